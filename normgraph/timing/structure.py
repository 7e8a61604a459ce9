"""What the speed of a small model depends on, as a key: its operators, how they are joined, types and shapes.

Names and the values of weights play no part, nor does an epsilon.  Whole numbers do, since they are shapes and axes,
and single numbers that may be exponents, since a square is faster than other powers.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence

import onnx
from onnx import numpy_helper

from normgraph.constants import Array
from normgraph.fragments import Fragment

_WHOLE = frozenset({onnx.TensorProto.INT32, onnx.TensorProto.INT64, onnx.TensorProto.BOOL})


def key_of(before: Fragment, after: Fragment, feed: Mapping[str, Array]) -> str:
    """The key of a rewrite at the shapes of a feed: 16 bytes of SHA-256 in hexadecimal digits."""
    fed = [f"{feed[name].dtype.name}{list(feed[name].shape)}" for name, _, _ in before.inputs]
    text = "\n".join([*fed, *_lines(before.model), "becomes", *_lines(after.model)])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _lines(model: onnx.ModelProto) -> Sequence[str]:
    """The model with every value called after its place."""
    constants = {tensor.name: _constant(tensor) for tensor in model.graph.initializer}
    names = {value.name: f"input {number}" for number, value in enumerate(model.graph.input)}
    lines = [f"{item.domain} {item.version}" for item in sorted(model.opset_import, key=lambda item: item.domain)]
    for number, node in enumerate(model.graph.node):
        operands = [names.get(name) or constants.get(name, "") for name in node.input]
        attributes = sorted(_attribute(attribute) for attribute in node.attribute)
        lines.append(f"{number}: {node.domain} {node.op_type} {operands} {attributes}")
        names.update({name: f"{number}.{position}" for position, name in enumerate(node.output)})
    return lines


def _attribute(attribute: onnx.AttributeProto) -> str:
    if attribute.type == onnx.AttributeProto.TENSOR:
        return f"{attribute.name}={_constant(attribute.t)}"
    if attribute.type == onnx.AttributeProto.FLOAT:
        return f"{attribute.name}=float"
    return f"{attribute.name}={onnx.helper.get_attribute_value(attribute)!r}"


def _constant(tensor: onnx.TensorProto) -> str:
    values: list[float] = []
    if tensor.data_type in _WHOLE or math.prod(tensor.dims) == 1:
        values = numpy_helper.to_array(tensor).reshape(-1).tolist()
    if tensor.data_type not in _WHOLE and any(not (2 * value).is_integer() for value in values):
        values = []
    return f"{onnx.TensorProto.DataType.Name(tensor.data_type)}{list(tensor.dims)}{values}"
