"""The real exports of models/: what the manifest says of them, what to feed them, what is true in float64."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernel

from tests.cases import Array
from tests.running import run

FOLDER = Path(__file__).resolve().parent.parent / "models"
Sample = Mapping[str, Any]
SAMPLES: tuple[Sample, ...] = tuple(json.loads((FOLDER / "manifest.json").read_text("utf-8"))["samples"])
#: Draws of random inputs per size: enough that a condition on them goes either way.
DRAWS = 3

_FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16})


def path_of(sample: Sample) -> Path:
    """The sample's file."""
    return FOLDER / str(sample["file"])


def name_of(sample: Sample) -> str:
    """The sample's name within a test's."""
    return path_of(sample).stem


def feeds(sample: Sample) -> list[dict[str, Array]]:
    """What to feed a sample: random numbers as the manifest describes its inputs, at each of its sizes."""
    random = np.random.default_rng(7)
    return [
        {
            described["name"]: _drawn(random, described, shape)
            for described, shape in zip(sample["inputs"], shapes, strict=True)
        }
        for shapes in sample["checked_shapes"]
        for _ in range(DRAWS)
    ]


def _drawn(random: np.random.Generator, described: Mapping[str, Any], shape: Sequence[int]) -> Array:
    if described["high"] is not None:
        return random.integers(0, described["high"], shape).astype(described["dtype"])
    return random.standard_normal(shape).astype(described["dtype"])


def truth(model: onnx.ModelProto, fed: Sequence[Mapping[str, Array]]) -> list[dict[str, Array]]:
    """The outputs of a model whose every floating tensor is a double, fed with the very same numbers."""
    exact = _in_double(model)
    widened = [{n: a if a.dtype.kind in "biu" else a.astype(np.float64) for n, a in feed.items()} for feed in fed]
    try:
        return run(exact, widened)
    except NoKernel:  # ONNX Runtime's Conv and Erf, for example, take no doubles.
        reference = ReferenceEvaluator(exact)
        names = [output.name for output in exact.graph.output]
        results = [map(np.asarray, reference.run(None, feed)) for feed in widened]
        return [dict(zip(names, arrays, strict=True)) for arrays in results]


def _in_double(model: onnx.ModelProto) -> onnx.ModelProto:
    exact = onnx.ModelProto()
    exact.CopyFrom(model)
    # What a Resize multiplies sizes by is a float, whatever it resizes.
    scales = {node.input[2] for node in nodes_of(exact) if node.op_type == "Resize" and len(node.input) > 2}
    for graph in graphs_of(exact):
        for tensor in graph.initializer:
            if tensor.name not in scales:
                _widen(tensor)
        for value in (*graph.input, *graph.output, *graph.value_info):
            if value.type.tensor_type.elem_type in _FLOATS:
                value.type.tensor_type.elem_type = TensorProto.DOUBLE
    for node in nodes_of(exact):
        for attribute in node.attribute if scales.isdisjoint(node.output) else ():
            _widen_attribute(node, attribute)
    return exact


def _widen_attribute(node: onnx.NodeProto, attribute: AttributeProto) -> None:
    if attribute.type == AttributeProto.TENSOR:
        _widen(attribute.t)
    elif attribute.name in ("to", "dtype") and attribute.i in _FLOATS:
        attribute.i = TensorProto.DOUBLE
    elif node.op_type == "Constant" and attribute.name in ("value_float", "value_floats"):
        stored = np.asarray(helper.get_attribute_value(attribute), np.float32).astype(np.float64)
        attribute.CopyFrom(helper.make_attribute("value", numpy_helper.from_array(stored)))


def _widen(tensor: TensorProto) -> None:
    if tensor.data_type in _FLOATS:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))


def graphs_of(model: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    """The main graph and all subgraphs, those in functions too."""
    pending = [model.graph]
    pending += [graph for function in model.functions for graph in _held_by(function.node)]
    while pending:
        graph = pending.pop(0)
        yield graph
        pending += _held_by(graph.node)


def _held_by(nodes: Sequence[onnx.NodeProto]) -> list[onnx.GraphProto]:
    attributes = [attribute for node in nodes for attribute in node.attribute]
    return [graph for a in attributes for graph in ([a.g] if a.type == AttributeProto.GRAPH else a.graphs)]


def nodes_of(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """The nodes of all graphs and functions."""
    for holder in (*graphs_of(model), *model.functions):
        yield from holder.node
