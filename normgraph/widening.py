"""The same computation in float64: a model with every floating tensor a double, in subgraphs and functions too.

What no double may be is cast: the factors of a Resize, for example, are float32 whatever is resized, and what is
quantized is rounded to whole steps anyway. Other operators that take no doubles are left as they are, for whoever runs
the model to find; those that would compute something else are named by `obstacle`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper
from onnx.inliner import inline_local_functions

FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16})
_STANDARD = ("", "ai.onnx")
#: Attributes that name the type of a result, or the type that something is computed in.
_TYPES = frozenset({"to", "dtype", "output_datatype"})
_PRECISIONS = frozenset({"stash_type", "softmax_precision"})
#: What makes float32 unless an attribute says otherwise: a tensor of zeros, or the type by its name.
_UNTOLD = {
    "BlackmanWindow": "output_datatype",
    "ConstantOfShape": "value",
    "HammingWindow": "output_datatype",
    "HannWindow": "output_datatype",
    "MelWeightMatrix": "output_datatype",
    "SequenceEmpty": "dtype",
}
#: Operators with operands or results that are no doubles, and that compute what they would if these were: these are
#: parameters of a type of their own, or quantized, or only compared.
CAST = frozenset(
    {
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "NonMaxSuppression",
        "QLinearConv",
        "QLinearMatMul",
        "QuantizeLinear",
        "Resize",
        "TfIdfVectorizer",
        "Upsample",
    }
)
#: Operators that give something else on doubles than on the same numbers in another type, and why.
OTHERWISE = {
    "Bernoulli": "draws other random numbers",
    "BitCast": "takes other bits",
    "Multinomial": "draws other random numbers",
    "RandomNormal": "draws other random numbers",
    "RandomNormalLike": "draws other random numbers",
    "RandomUniform": "draws other random numbers",
    "RandomUniformLike": "draws other random numbers",
}


def obstacle(model: onnx.ModelProto) -> str | None:
    """Why a model's counterpart in float64 wouldn't be its truth; None where nothing is in the way."""
    for node in nodes_of(model):
        if node.domain in _STANDARD and node.op_type in OTHERWISE:
            return f"{node.op_type} '{node.name or node.output[0]}' {OTHERWISE[node.op_type]} in float64"
    return None


def in_double(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same computation with every floating tensor a double.

    Args:
        model: a model that holds its weights; it isn't changed. Where one of its functions has attributes that its
            callers give, all functions are inlined.
    """
    original = _inlined(model)
    types = _Types(original)
    exact = onnx.ModelProto()
    exact.CopyFrom(original)
    for graph in graphs_of(exact):
        del graph.value_info[:]
        for tensor in graph.initializer:
            _widen(tensor)
        for sparse in graph.sparse_initializer:
            _widen(sparse.values)
        for value in (*graph.input, *graph.output):
            _widen_type(value.type)
    for holder in (*graphs_of(exact), *exact.functions):
        versions = holder.opset_import if isinstance(holder, onnx.FunctionProto) else exact.opset_import
        opset = next((entry.version for entry in versions if entry.domain in _STANDARD), 0)
        for node in holder.node:
            _widen_attributes(node, opset)
        nodes = [made for node in holder.node for made in _with_casts(node, opset, types)]
        if len(nodes) != len(holder.node):
            serialized = [node.SerializeToString() for node in nodes]
            del holder.node[:]
            holder.node.extend(onnx.NodeProto.FromString(data) for data in serialized)
    return exact


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without its functions if one of them hasn't got all of its attributes' values."""
    told = any(attribute.ref_attr_name for node in nodes_of(model) for attribute in node.attribute)
    return inline_local_functions(model) if told else model


class _Types:
    """The element types that a model's values had, inferred once somebody asks."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self._known: dict[str, int] | None = None

    def stays(self, name: str) -> bool:
        """Whether a value is known to be of a type that isn't made a double."""
        if self._known is None:
            try:
                inferred = onnx.shape_inference.infer_shapes(self._model)
            except (
                onnx.shape_inference.InferenceError,
                ValueError,
            ):  # too large, or a mistake that isn't looked for here
                inferred = self._model
            graphs = list(graphs_of(inferred))
            values = [v for g in graphs for v in (*g.input, *g.output, *g.value_info)]
            self._known = {v.name: v.type.tensor_type.elem_type for v in values}
            self._known.update({tensor.name: tensor.data_type for g in graphs for tensor in g.initializer})
        found = self._known.get(name, 0)
        return found != TensorProto.UNDEFINED and found not in FLOATS and found != TensorProto.DOUBLE


def _with_casts(node: onnx.NodeProto, opset: int, types: _Types) -> list[onnx.NodeProto]:
    """The node, with casts of operands that may not be doubles before it, and of such results behind it."""
    schema = _schema(node.op_type, opset) if node.op_type in CAST and node.domain in _STANDARD else None
    if schema is None:
        return [node]
    before, behind = [], []
    for position, name in enumerate(node.input):
        if name and not types.stays(name) and _is_narrow(schema, schema.inputs[position]):
            node.input[position] = f"{node.output[0]}/operand{position}"
            before.append(helper.make_node("Cast", [name], [node.input[position]], to=TensorProto.FLOAT))
    for position, name in enumerate(node.output):
        if name and _is_narrow(schema, schema.outputs[position]):
            node.output[position] = f"{name}/narrow"
            behind.append(helper.make_node("Cast", [node.output[position]], [name], to=TensorProto.DOUBLE))
    return [*before, node, *behind]


def _is_narrow(schema: onnx.defs.OpSchema, formal: onnx.defs.OpSchema.FormalParameter) -> bool:
    return "tensor(float)" in formal.types and "tensor(double)" not in formal.types


@lru_cache(maxsize=256)
def _schema(operator: str, opset: int) -> onnx.defs.OpSchema | None:
    try:
        return onnx.defs.get_schema(operator, opset)
    except onnx.defs.SchemaError:
        return None


@lru_cache(maxsize=256)
def _precisions(operator: str, opset: int) -> tuple[str, ...] | None:
    """The attributes that say in which type an operator computes; None where there is no such operator."""
    schema = _schema(operator, opset)
    return None if schema is None else tuple(sorted(_PRECISIONS.intersection(schema.attributes)))


def _widen_attributes(node: onnx.NodeProto, opset: int) -> None:
    precisions = _precisions(node.op_type, opset) if node.domain in _STANDARD else None
    for name in precisions or ():
        others = [attribute for attribute in node.attribute if attribute.name != name]
        del node.attribute[:]
        node.attribute.extend([*others, helper.make_attribute(name, int(TensorProto.DOUBLE))])
    untold = None if precisions is None else _UNTOLD.get(node.op_type)
    if untold is not None and untold not in {attribute.name for attribute in node.attribute}:
        zeros = numpy_helper.from_array(np.zeros(1))
        node.attribute.append(helper.make_attribute(untold, zeros if untold == "value" else int(TensorProto.DOUBLE)))
    for attribute in node.attribute:
        if attribute.type == AttributeProto.TENSOR:
            _widen(attribute.t)
        elif attribute.type == AttributeProto.SPARSE_TENSOR:
            _widen(attribute.sparse_tensor.values)
        elif attribute.type == AttributeProto.TYPE_PROTO:
            _widen_type(attribute.tp)
        elif attribute.name in _TYPES and attribute.i in FLOATS:
            attribute.i = TensorProto.DOUBLE
        elif attribute.name == "output_dtype" and attribute.i in FLOATS:
            attribute.i = TensorProto.FLOAT
        elif node.op_type == "Constant" and attribute.name in ("value_float", "value_floats"):
            stored = np.asarray(helper.get_attribute_value(attribute), np.float32).astype(np.float64)
            attribute.CopyFrom(helper.make_attribute("value", numpy_helper.from_array(stored)))


def _widen(tensor: TensorProto) -> None:
    if tensor.data_type in FLOATS:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))


def _widen_type(value: onnx.TypeProto) -> None:
    kind = value.WhichOneof("value")
    if kind == "tensor_type" and value.tensor_type.elem_type in FLOATS:
        value.tensor_type.elem_type = TensorProto.DOUBLE
    elif kind == "sparse_tensor_type" and value.sparse_tensor_type.elem_type in FLOATS:
        value.sparse_tensor_type.elem_type = TensorProto.DOUBLE
    elif kind == "sequence_type":
        _widen_type(value.sequence_type.elem_type)
    elif kind == "optional_type":
        _widen_type(value.optional_type.elem_type)


def graphs_of(model: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    """The main graph and all subgraphs, those in functions too."""
    pending = [model.graph]
    pending += [graph for function in model.functions for graph in _held_by(function.node)]
    while pending:
        graph = pending.pop(0)
        yield graph
        pending += _held_by(graph.node)


def nodes_of(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """The nodes of all graphs and functions."""
    for holder in (*graphs_of(model), *model.functions):
        yield from holder.node


def _held_by(nodes: Sequence[onnx.NodeProto]) -> list[onnx.GraphProto]:
    attributes = [attribute for node in nodes for attribute in node.attribute]
    return [graph for a in attributes for graph in ([a.g] if a.type == AttributeProto.GRAPH else a.graphs)]
