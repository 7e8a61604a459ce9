"""ONNX's own shape inference for a single node, where the facts have no rule of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir
from onnx.shape_inference import infer_node_outputs

from normgraph.axes import Size

if TYPE_CHECKING:
    from normgraph.facts import Facts
    from normgraph.shapes import Shape

#: Constants up to this many elements are shown to the inference, which needs shapes, axes and the like.
_MAXIMAL_SHOWN = 64
#: What the inference raises for a node that it can't judge.
_FAILURES = (
    onnx.defs.SchemaError,
    onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError,
    RuntimeError,
    TypeError,
    ValueError,
)


def infer_shapes(node: ir.Node, facts: Facts, opsets: dict[str, int]) -> list[Shape | None] | None:
    """The shapes of the node's outputs as its ONNX schema infers them; None where it can't."""
    version = opsets.get(node.domain)
    if version is None or any(attr.is_ref() for attr in node.attributes.values()):
        return None
    try:
        schema = onnx.defs.get_schema(node.op_type, version, node.domain)
        types, data = _described_inputs(node, facts)
        if any(value is not None and value.name not in types for value in node.inputs):
            return None
        inferred = infer_node_outputs(schema, ir.serde.serialize_node(node), types, data)
    except _FAILURES:
        return None
    return [_shape_of(inferred.get(output.name or ""), facts) for output in node.outputs]


def _described_inputs(node: ir.Node, facts: Facts) -> tuple[dict[str, onnx.TypeProto], dict[str, onnx.TensorProto]]:
    types: dict[str, onnx.TypeProto] = {}
    data: dict[str, onnx.TensorProto] = {}
    for value in node.inputs:
        shape = None if value is None else facts.shape(value)
        if value is None or not value.name or shape is None:
            continue
        dims = [size.static if not size.symbols else str(size) for size in shape]
        array = facts.constant(value) if all(not s.symbols for s in shape) and _count(shape) <= _MAXIMAL_SHOWN else None
        element_type = facts.dtype(value)
        if element_type is None:
            continue
        types[value.name] = onnx.helper.make_tensor_type_proto(int(element_type), dims)
        if array is not None:
            data[value.name] = onnx.numpy_helper.from_array(array, value.name)
    return types, data


def _count(shape: Shape) -> int:
    total = 1
    for size in shape:
        total *= size.factor
    return total


def _shape_of(inferred: onnx.TypeProto | None, facts: Facts) -> Shape | None:
    if inferred is None or not inferred.HasField("tensor_type") or not inferred.tensor_type.HasField("shape"):
        return None
    sizes = []
    for dim in inferred.tensor_type.shape.dim:
        if dim.HasField("dim_value"):
            sizes.append(Size(dim.dim_value))
        elif dim.dim_param and "*" not in dim.dim_param:
            sizes.append(Size(1, (dim.dim_param,)))
        else:
            sizes.append(facts.new_symbol())
    return tuple(sizes)
