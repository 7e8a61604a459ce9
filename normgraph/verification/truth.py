"""A whole model with every floating tensor a double, where it can be run so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import AttributeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from normgraph.constants import Array
from normgraph.execution import NotRunnable, first_line
from normgraph.model_io.carried import to_proto
from normgraph.model_io.walk import initializers
from normgraph.reference_operators import OPERATORS
from normgraph.verification.sessions import Session

#: Weights of more bytes than this aren't made doubles: they are held in memory, more than once.
LARGEST_IN_RUNTIME = 512 * 2**20
#: Beyond this, onnx's reference evaluator, which ONNX Runtime is relieved by, would take minutes.
LARGEST_IN_REFERENCE = 16 * 2**20
_FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16})
#: Operators that compute their statistics in the type that their attribute stash_type names, by default float32.
_STASHING = frozenset({"GroupNormalization", "LayerNormalization", "RMSNormalization"})


@dataclass(frozen=True)
class Truth:
    """What a model computes in float64.

    Attributes:
        how: what computes it, or why nothing does.
        runner: computes the outputs; None where nothing does.
    """

    how: str
    runner: Any = None

    def __call__(self, feed: Mapping[str, Array]) -> dict[str, Array] | None:
        """The outputs in float64, None where there are none."""
        if self.runner is None:
            return None
        doubles = {n: a if a.dtype.kind in "biuSUO" else a.astype(np.float64) for n, a in feed.items()}
        try:
            found: dict[str, Array] = self.runner(doubles)
        except NotRunnable:
            return None
        return found


def truth_of(model: ir.Model, folder: Path, trial: Mapping[str, Array]) -> Truth:
    """A model in float64, if it can be run so.

    Args:
        model: the model; it isn't changed.
        folder: where its counterpart is written.
        trial: a feed to try it with.
    """
    size = sum(tensor.nbytes for _, tensor in initializers(model))
    if size > LARGEST_IN_RUNTIME:
        return Truth(f"not computed: weights of {size / 2**20:,.0f} MiB would be held in memory as doubles")
    exact = in_double(to_proto(model))
    path = folder / "double.onnx"
    path.write_bytes(exact.SerializeToString())
    try:
        in_runtime = Truth("the first model with every floating tensor a double, in ONNX Runtime", Session(path))
        if in_runtime(trial) is not None:
            return in_runtime
        reason = "ONNX Runtime fails on it"
    except NotRunnable as refused:
        reason = str(refused)
    if size > LARGEST_IN_REFERENCE:
        return Truth(f"not computed: in float64 {reason}, and the model is too large for onnx's reference evaluator")
    try:
        in_reference = Truth(
            "the first model with every floating tensor a double, in onnx's reference evaluator", _Reference(exact)
        )
        if in_reference(trial) is not None:
            return in_reference
    except NotRunnable as refused:
        reason = str(refused)
    return Truth(f"not computed: in float64 {reason}")


class _Reference:
    def __init__(self, model: onnx.ModelProto) -> None:
        self._names = [output.name for output in model.graph.output]
        try:
            self._evaluator = ReferenceEvaluator(model, new_ops=OPERATORS)
        except Exception as failure:
            raise NotRunnable(f"onnx's reference evaluator refuses it: {first_line(failure)}") from failure

    def __call__(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        try:
            with np.errstate(all="ignore"):
                results = self._evaluator.run(None, dict(feed))
        except Exception as failure:
            raise NotRunnable(f"onnx's reference evaluator fails on it: {first_line(failure)}") from failure
        return {name: np.asarray(result) for name, result in zip(self._names, results, strict=True)}


def in_double(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same computation with every floating tensor a double, in subgraphs and functions too."""
    exact = onnx.ModelProto()
    exact.CopyFrom(model)
    for graph in _graphs(exact):
        del graph.value_info[:]
        for tensor in graph.initializer:
            _widen(tensor)
        for value in (*graph.input, *graph.output):
            if value.type.tensor_type.elem_type in _FLOATS:
                value.type.tensor_type.elem_type = TensorProto.DOUBLE
    for holder in (*_graphs(exact), *exact.functions):
        for node in holder.node:
            if node.op_type in _STASHING and not node.domain:
                others = [attribute for attribute in node.attribute if attribute.name != "stash_type"]
                del node.attribute[:]
                node.attribute.extend([*others, helper.make_attribute("stash_type", int(TensorProto.DOUBLE))])
            for attribute in node.attribute:
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


def _graphs(model: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    pending = [model.graph]
    pending += [graph for function in model.functions for graph in _held_by(function.node)]
    while pending:
        graph = pending.pop(0)
        yield graph
        pending += _held_by(graph.node)


def _held_by(nodes: Sequence[onnx.NodeProto]) -> list[onnx.GraphProto]:
    attributes = [attribute for node in nodes for attribute in node.attribute]
    return [graph for a in attributes for graph in ([a.g] if a.type == AttributeProto.GRAPH else a.graphs)]
