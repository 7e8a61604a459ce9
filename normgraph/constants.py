"""Constants of a graph: what can be computed without running the model.

A value is constant if it is an initializer that isn't also a graph input (such a one may be overridden by the
caller), a Constant node's output, or computed from constants by an operator of `FOLDERS`. Arrays are made
when somebody asks for them, so that surveying a model reads none of its weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from normgraph.model_io import FileTensor

Array = npt.NDArray[Any]
#: A tensor in a file of more bytes than this is read anew whenever it is asked for, so that models may be large.
MAXIMAL_KEPT = 1 << 18
#: A constant of more elements than this isn't computed from others.
MAXIMAL_ELEMENTS = 1 << 24


def attribute(node: ir.Node, name: str, default: Any = None) -> Any:
    """The value of an attribute, or `default` where the node hasn't got it or it refers to a function's attribute."""
    found = node.attributes.data.get(name)  # of the plain dictionary within, which is asked ten times as fast
    return default if found is None or found.is_ref() else found.value


def _axes(node: ir.Node, operands: Sequence[Array | None]) -> tuple[int, ...] | None:
    if len(operands) > 1 and operands[1] is not None:
        return tuple(int(axis) for axis in operands[1].reshape(-1))
    axes = attribute(node, "axes")
    return None if axes is None else tuple(axes)


def _unsqueeze(node: ir.Node, operands: Sequence[Array]) -> Array:
    return np.expand_dims(operands[0], _axes(node, operands) or ())


def _squeeze(node: ir.Node, operands: Sequence[Array]) -> Array:
    return np.squeeze(operands[0], _axes(node, operands))


def _reshape(node: ir.Node, operands: Sequence[Array]) -> Array:
    data, shape = operands[0], [int(size) for size in operands[1]]
    if not attribute(node, "allowzero", 0):
        shape = [data.shape[i] if size == 0 else size for i, size in enumerate(shape)]
    return data.reshape(shape)


def _cast(node: ir.Node, operands: Sequence[Array]) -> Array:
    return operands[0].astype(ir.DataType(attribute(node, "to")).numpy())


def _slice(node: ir.Node, operands: Sequence[Array]) -> Array:
    data, starts, ends = operands[:3]
    axes = operands[3] if len(operands) > 3 and operands[3] is not None else np.arange(len(starts))
    steps = operands[4] if len(operands) > 4 and operands[4] is not None else np.ones(len(starts), np.int64)
    window = [slice(None)] * data.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        stop = None if step < 0 and end < -data.shape[axis] else int(end)
        window[axis] = slice(int(start), stop, int(step))
    return data[tuple(window)]


def _constant_of_shape(node: ir.Node, operands: Sequence[Array]) -> Array:
    value = attribute(node, "value")
    fill = np.zeros(1, np.float32) if value is None else value.numpy()
    return np.broadcast_to(fill.reshape(()), tuple(operands[0]))


def _expand(node: ir.Node, operands: Sequence[Array]) -> Array:
    data, shape = operands
    return np.broadcast_to(data, np.broadcast_shapes(data.shape, tuple(shape)))


def _range(node: ir.Node, operands: Sequence[Array]) -> Array:
    start, limit, delta = (operand.reshape(()).item() for operand in operands)
    if abs(limit - start) > abs(delta) * MAXIMAL_ELEMENTS:
        raise ValueError("the range is too long to compute")
    return np.arange(start, limit, delta).astype(operands[0].dtype)


def _shape(node: ir.Node, operands: Sequence[Array]) -> Array:
    return np.asarray(operands[0].shape[attribute(node, "start", 0) : attribute(node, "end")], np.int64)


def _flatten(node: ir.Node, operands: Sequence[Array]) -> Array:
    axis = attribute(node, "axis", 1)
    return operands[0].reshape(int(np.prod(operands[0].shape[:axis])), -1)


def _divide(node: ir.Node, operands: Sequence[Array]) -> Array:
    """Integers are divided towards zero."""
    a, b = operands
    if not np.issubdtype(a.dtype, np.integer):
        return np.asarray(a / b)
    if not b.all():
        raise ValueError("an integer is divided by zero")
    rounded_up = (a % b != 0) & ((a < 0) != (b < 0))
    return np.asarray(a // b + rounded_up).astype(a.dtype)


def _power(node: ir.Node, operands: Sequence[Array]) -> Array:
    return np.asarray(np.power(operands[0], operands[1]).astype(operands[0].dtype))


def _plain(function: Callable[..., Any]) -> Callable[[ir.Node, Sequence[Array]], Array]:
    return lambda node, operands: np.asarray(function(*operands))


#: Operators computed on constants: (node, operands) → result, as ONNX defines them at every opset ≥ 7.
FOLDERS: dict[str, Callable[[ir.Node, Sequence[Array]], Array]] = {
    "Abs": _plain(np.abs),
    "Add": _plain(np.add),
    "And": _plain(np.logical_and),
    "Cast": _cast,
    "Concat": lambda node, operands: np.concatenate(operands, attribute(node, "axis")),
    "ConstantOfShape": _constant_of_shape,
    "Div": _divide,
    "Equal": _plain(np.equal),
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": lambda node, operands: np.take(operands[0], operands[1], attribute(node, "axis", 0)),
    "Greater": _plain(np.greater),
    "GreaterOrEqual": _plain(np.greater_equal),
    "Identity": _plain(lambda a: a),
    "Less": _plain(np.less),
    "LessOrEqual": _plain(np.less_equal),
    "Max": _plain(lambda *arrays: np.maximum.reduce(np.broadcast_arrays(*arrays))),
    "Min": _plain(lambda *arrays: np.minimum.reduce(np.broadcast_arrays(*arrays))),
    "Mul": _plain(np.multiply),
    "Neg": _plain(np.negative),
    "Not": _plain(np.logical_not),
    "Or": _plain(np.logical_or),
    "Pow": _power,
    "Range": _range,
    "Reciprocal": _plain(np.reciprocal),
    "Reshape": _reshape,
    "Shape": _shape,
    "Size": _plain(lambda a: np.asarray(a.size, np.int64)),
    "Slice": _slice,
    "Sqrt": _plain(np.sqrt),
    "Squeeze": _squeeze,
    "Sub": _plain(np.subtract),
    "Transpose": lambda node, operands: np.transpose(operands[0], attribute(node, "perm")),
    "Unsqueeze": _unsqueeze,
    "Where": _plain(np.where),
}

_DATA_TYPES = {dtype.value: dtype for dtype in ir.DataType}
_ATTRIBUTES_OF_CONSTANT = ("value_float", "value_int", "value_floats", "value_ints")


def stored_tensor(value: ir.Value) -> Any:
    """The tensor that an initializer or a Constant node stores (onnx_ir's TensorProtocol), else None."""
    if value.is_initializer():
        return None if value.is_graph_input() else value.const_value
    node = value.producer()
    return None if node is None or node.op_type != "Constant" or node.domain else tensor_of_constant(node)


def tensor_of_constant(node: ir.Node) -> Any:
    """The tensor that a Constant node stores, None where it is another thing."""
    tensor = attribute(node, "value")
    if tensor is not None:
        return tensor
    for name in _ATTRIBUTES_OF_CONSTANT:
        plain = attribute(node, name)
        if plain is not None:
            kind = np.float32 if "float" in name else np.int64
            return ir.Tensor(np.asarray(plain, kind))
    return None


@dataclass(frozen=True, slots=True)
class Weights:
    """The elements of a constant that are all `others`, those on the diagonal of a square more by `own`."""

    own: float
    others: float


def _may_be_weights(at: Callable[[int], Any], shape: Sequence[int]) -> bool:
    """Whether some elements leave it open that a tensor holds weights other than zero; of most they show otherwise.

    Args:
        at: the element at a position of the flattened tensor.
        shape: the tensor's shape, of at least one element.
    """
    size, first = math.prod(shape), at(0)
    if at(size - 1) == first and at(size // 2) == first and at(min(1, size - 1)) == first:
        return bool(first != 0)
    if len(shape) != 2 or shape[0] != shape[1]:
        return False
    return bool(at(size - shape[0]) == at(1) and at(size - 1) == first and at(shape[0] + 1) == first)


def _weights_in(array: Array) -> Weights | None:
    """The weights in an array."""
    flat = array.reshape(-1)
    if not _may_be_weights(flat.__getitem__, array.shape):
        return None
    first = flat[0]
    if flat[-1] == first and flat[min(1, flat.size - 1)] == first:
        return Weights(0.0, float(first)) if bool(np.all(flat == first)) else None
    other = flat[1]
    expected = np.full(array.shape, other)
    np.fill_diagonal(expected, first)
    return Weights(float(first) - float(other), float(other)) if np.array_equal(array, expected) else None


def is_in_file(tensor: object) -> TypeGuard[FileTensor]:
    """Whether a tensor's bytes stay in a file."""
    return type(tensor) is FileTensor  # isinstance takes a hundred times as long: onnx_ir's tensors are protocols


def _is_open_to_weights(tensor: FileTensor) -> bool:
    """The same of a tensor in a file, of which nothing else is read."""
    shape = tensor.shape.numpy()
    return not math.prod(shape) or tensor.dtype.bitwidth % 8 != 0 or _may_be_weights(tensor.element, shape)


def described(tensor: ir.TensorProtocol) -> tuple[tuple[int, ...], ir.DataType]:
    """The shape and the type of a stored tensor."""
    if type(tensor) is ir.serde.TensorProtoTensor:  # which makes both anew, and slowly, whenever it is asked
        proto = tensor.raw
        return tuple(proto.dims), _DATA_TYPES.get(proto.data_type) or tensor.dtype
    return tuple(tensor.shape.numpy()), tensor.dtype


def raw_bytes(tensor: ir.TensorProtocol) -> bytes:
    """The bytes, little-endian, of a tensor that the model itself stores as such; none of others."""
    return tensor.raw.raw_data if type(tensor) is ir.serde.TensorProtoTensor else b""


def is_foldable(node: ir.Node) -> bool:
    """Whether the node's output is constant once its inputs are."""
    return node.op_type in FOLDERS and not node.domain and len(node.outputs) == 1


def _is_made(value: ir.Value) -> bool:
    """Whether the value is computed, not stored."""
    producer = value.producer()
    return producer is not None and producer.op_type != "Constant"


class Constants:
    """The constants of a model, computed when asked for and kept, but for large ones.

    Args:
        known: the values known to be constant: stored ones, and outputs of foldable nodes whose inputs are in `known`.
    """

    def __init__(self) -> None:
        self.known: set[ir.Value] = set()
        self._arrays: dict[ir.Value, Array | None] = {}
        self._weights: dict[ir.Value, Weights | None] = {}

    def array(self, value: ir.Value | None) -> Array | None:
        """The constant's elements as stored, or None if the value isn't constant or is too large to compute."""
        if value is None or value not in self.known:
            return None
        if value not in self._arrays:
            tensor = stored_tensor(value)
            if is_in_file(tensor) and tensor.nbytes > MAXIMAL_KEPT:
                return np.asarray(tensor.numpy())
            self._arrays[value] = self._compute(value)
        return self._arrays[value]

    def weights(self, value: ir.Value | None) -> Weights | None:
        """The elements of a floating constant, if they are all the same number, or all but those on a diagonal."""
        if value is None or value not in self.known:
            return None
        if value not in self._weights:
            tensor = None if value in self._arrays else stored_tensor(value)
            if is_in_file(tensor) and not _is_open_to_weights(tensor):
                self._weights[value] = None
                return None
            array = self.array(value)
            usable = array is not None and array.size and array.dtype.kind in "fV"
            self._weights[value] = _weights_in(array) if array is not None and usable else None
        return self._weights[value]

    def provide(self, value: ir.Value, array: Array) -> None:
        """Note that the value is this constant, found out by other means than computing it."""
        self.known.add(value)
        self._arrays[value] = array

    def _compute(self, value: ir.Value) -> Array | None:
        tensor = stored_tensor(value)
        if tensor is not None:
            return None if tensor.dtype == ir.DataType.STRING else np.asarray(tensor.numpy())
        pending = [value]
        while pending:  # operands before what is made of them, without recursion: chains of constants can be long
            made = pending[-1]
            producer = made.producer()
            assert producer is not None
            missing = [i for i in producer.inputs if i is not None and i not in self._arrays and _is_made(i)]
            if missing and made not in self._arrays:
                pending.extend(missing)
                continue
            pending.pop()
            if made not in self._arrays:
                self._arrays[made] = self._evaluated(producer)
        return self._arrays[value]

    def _evaluated(self, node: ir.Node) -> Array | None:
        operands = [self.array(operand) for operand in node.inputs]
        if any(a is None and operand is not None for a, operand in zip(operands, node.inputs, strict=True)):
            return None
        if sum(operand.size for operand in operands if operand is not None) > MAXIMAL_ELEMENTS:
            return None
        with np.errstate(all="ignore"):
            try:
                return FOLDERS[node.op_type](node, operands)  # type: ignore[arg-type]
            except (
                ValueError,
                IndexError,
                TypeError,
            ):  # an invalid constant subgraph is the runtime's to report
                return None
