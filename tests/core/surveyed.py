"""Models in a few lines of ONNX text, and what is known of their values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx.parser
import onnx_ir as ir
from onnx import numpy_helper

from normgraph.facts import Facts, survey
from normgraph.match import Findings, find

Array = npt.NDArray[Any]
Constants = Mapping[str, npt.ArrayLike]


def f32(values: npt.ArrayLike) -> Array:
    """An array of float32."""
    return np.asarray(values, np.float32)


def i64(values: npt.ArrayLike) -> Array:
    """An array of int64."""
    return np.asarray(values, np.int64)


@dataclass(frozen=True)
class Surveyed:
    """A model, its facts, and its values by name."""

    proto: onnx.ModelProto
    model: ir.Model
    facts: Facts
    values: Mapping[str, ir.Value]

    @property
    def findings(self) -> Findings:
        """The normalizations of the main graph."""
        return find(self.model.graph, self.facts)


def model(
    nodes: str, inputs: str = "", *, outputs: str = "", opset: int = 18, constants: Constants | None = None
) -> onnx.ModelProto:
    """A model; names of inputs and outputs are preceded by their types, and constants are initializers.

    Without outputs the last node's first one is it, of no declared type.
    """
    text = f'<ir_version: 8, opset_import: ["" : {opset}]> g ({inputs}) => ({outputs}) {{ {nodes} }}'
    parsed = onnx.parser.parse_model(text)
    tensors = [numpy_helper.from_array(np.asarray(a), name) for name, a in (constants or {}).items()]
    parsed.graph.initializer.extend(tensors)
    if not outputs:
        parsed.graph.output.append(onnx.ValueInfoProto(name=parsed.graph.node[-1].output[0]))
    return parsed


def surveyed(
    nodes: str, inputs: str = "", *, outputs: str = "", opset: int = 18, constants: Constants | None = None
) -> Surveyed:
    """The model and all that is known of it."""
    return known(model(nodes, inputs, outputs=outputs, opset=opset, constants=constants))


def known(proto: onnx.ModelProto) -> Surveyed:
    """All that is known of a model."""
    built = ir.from_proto(proto)
    graphs = [built.graph, *built.graph.subgraphs()]
    values: dict[str, ir.Value] = {}
    for graph in graphs:
        made = [value for node in graph for value in node.outputs]
        for value in (*graph.inputs, *graph.initializers.values(), *made):
            values[value.name or ""] = value
    return Surveyed(proto, built, survey(built), values)
