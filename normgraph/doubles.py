"""What a small model computes where every floating number is a double: node by node, in NumPy and by the kernels.

It takes no model in float64, nor a session for one, which to make and open takes as long as to prove a norm. A model
with an operator that has no row in `OPERATORS` isn't computed here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from normgraph.constants import Array
from normgraph.execution import NotRunnable
from normgraph.kernels.batch_normalization import batch_normalization
from normgraph.kernels.convolution import convolution
from normgraph.kernels.gemm import gemm
from normgraph.kernels.layer_normalization import layer_normalization
from normgraph.kernels.rms_normalization import rms_normalization
from normgraph.kernels.transposed_convolution import transposed_convolution

Attributes = Mapping[str, Any]
Computation = Callable[..., Any]
#: The kinds of NumPy's types that become doubles: its own, and those of ml_dtypes.
FLOATING_KINDS = frozenset("fV")
#: What NumPy, the kernels and the rows say of what doesn't fit together.
_REFUSALS = (ValueError, TypeError, IndexError, KeyError, ArithmeticError)


class NotComputed(NotRunnable):
    """Something that isn't computed here, whatever others may make of it."""


class Doubles:
    """A model of one output, of the default domain's operators, computed in float64.

    Args:
        model: the model. Whatever floating type its tensors have, they are doubles here.

    Raises:
        NotComputed: an operator or an attribute has no row.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self._constants = {tensor.name: _double(numpy_helper.to_array(tensor)) for tensor in graph.initializer}
        self._steps = [(_computation(node), tuple(node.input), _result(node)) for node in graph.node]
        self._output = graph.output[0].name

    def __call__(self, feed: Mapping[str, Array]) -> Array:
        """The output for these inputs, whose floating numbers are doubles.

        Raises:
            NotComputed: it can't be computed, since this isn't the place to say whether the inputs fit, or it isn't
                finite: what becomes of a NaN differs from runtime to runtime, and a truth that is one excuses errors.
        """
        values: dict[str, Any] = {"": None, **self._constants, **feed}
        try:
            with np.errstate(all="ignore"):
                for compute, operands, result in self._steps:
                    values[result] = compute(*[values[operand] for operand in operands])
        except _REFUSALS as failure:
            raise NotComputed(str(failure)) from failure
        found = np.asarray(values[self._output])
        if not np.isfinite(found).all():
            raise NotComputed("infinities or NaN")
        return found


def _double(array: Array) -> Array:
    return array.astype(np.float64) if array.dtype.kind in FLOATING_KINDS else array


def _computation(node: onnx.NodeProto) -> Computation:
    """What computes a node.

    Raises:
        NotComputed: nothing does.
    """
    row = None if node.domain else OPERATORS.get(node.op_type)
    if row is None:
        raise NotComputed(node.op_type)
    try:
        return row({attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute})
    except _REFUSALS as failure:  # an attribute is missing, or none of those that there are
        raise NotComputed(f"attributes of {node.op_type}: {failure}") from failure


def _result(node: onnx.NodeProto) -> str:
    if any(node.output[1:]):
        raise NotComputed(f"further results of {node.op_type}")
    return str(node.output[0])


def _always(compute: Computation) -> Callable[[Attributes], Computation]:
    """A row that has no attributes."""

    def row(attributes: Attributes) -> Computation:
        if attributes:
            raise NotComputed(f"attributes {', '.join(attributes)}")
        return compute

    return row


def _divided(x: Array, y: Array) -> Any:
    """The quotient; of whole numbers that rounded towards zero."""
    if x.dtype.kind in FLOATING_KINDS:
        return x / y
    return np.where((x < 0) ^ (y < 0), -(np.abs(x) // np.abs(y)), np.abs(x) // np.abs(y)).astype(x.dtype)


def _power(x: Array, y: Array) -> Any:
    """xʸ, of x's type; a square is the same product as that by itself."""
    if y.size == 1 and y.reshape(-1)[0] == 2 and y.ndim <= x.ndim:
        return x * x
    return np.asarray(np.power(x, y)).astype(x.dtype)


def _many(compute: Computation) -> Callable[[Attributes], Computation]:
    """A row for any number of operands, taken in pairs."""
    return _always(lambda *operands: reduce(compute, operands))


def _clipped(x: Array, least: Array | None = None, most: Array | None = None) -> Any:
    if any(bound is not None and bound.ndim for bound in (least, most)):
        raise NotComputed("a bound that is no single number")
    bounded = x if least is None else np.maximum(x, least)
    return bounded if most is None else np.minimum(bounded, most)


def _integers(array: Array) -> list[int]:
    return [int(number) for number in np.asarray(array).reshape(-1).tolist()]


def _reduction(compute: Callable[[Array, tuple[int, ...], bool], Any]) -> Callable[[Attributes], Computation]:
    """A row for a reduction, whose axes are an attribute or an operand; without them it is over all.

    Args:
        compute: what is computed of a tensor, some of its axes, and whether these are kept.
    """

    def row(attributes: Attributes) -> Computation:
        _admit(attributes, "axes", "keepdims", "noop_with_empty_axes")
        stored, keep = attributes.get("axes"), bool(attributes.get("keepdims", 1))
        idle = bool(attributes.get("noop_with_empty_axes", 0))

        def reduced(x: Array, axes: Array | None = None) -> Any:
            over = stored if axes is None else _integers(axes)
            if not over and idle:
                raise NotComputed("a reduction over no axes")  # some of the standard's do something to each element
            return compute(x, tuple(over) if over else tuple(range(x.ndim)), keep)

        return reduced

    return row


def _require_floating(x: Array) -> None:
    if x.dtype.kind not in FLOATING_KINDS:
        raise NotComputed("a mean or a length of whole numbers")


def _mean(x: Array, axes: tuple[int, ...], keep: bool) -> Any:
    _require_floating(x)
    total = _sum(x, axes, keep)
    return total / (x.size // total.size) if total.size else total


def _reduced(function: Any) -> Callable[[Array, tuple[int, ...], bool], Any]:
    """A reduction by one of NumPy's functions of two numbers, without the detours of `np.sum` and its like."""
    return lambda x, axes, keep: function.reduce(x, axis=axes, keepdims=keep, dtype=x.dtype)


_sum = _reduced(np.add)


def _length(x: Array, axes: tuple[int, ...], keep: bool) -> Any:
    _require_floating(x)
    return np.sqrt(_sum(x * x, axes, keep))


def _cast(attributes: Attributes) -> Computation:
    _admit(attributes, "to", "saturate")
    dtype = helper.tensor_dtype_to_np_dtype(attributes["to"])
    target = np.dtype(np.float64) if dtype.kind in FLOATING_KINDS and dtype.itemsize > 1 else dtype
    if target.kind not in "fib" or (dtype.itemsize == 1 and dtype.kind in FLOATING_KINDS):
        raise NotComputed(f"a cast to {dtype}")
    return lambda x: x.astype(target, copy=False)


def _reshape(attributes: Attributes) -> Computation:
    _admit(attributes, "allowzero")
    if attributes.get("allowzero"):
        raise NotComputed("allowzero")

    def reshaped(x: Array, shape: Array) -> Any:
        return x.reshape([x.shape[i] if size == 0 else size for i, size in enumerate(_integers(shape))])

    return reshaped


def _shape(attributes: Attributes) -> Computation:
    _admit(attributes, "start", "end")
    first, last = attributes.get("start", 0), attributes.get("end")
    return lambda x: np.asarray(x.shape[first:last], np.int64)


def _concat(attributes: Attributes) -> Computation:
    axis = attributes["axis"]
    return lambda *operands: np.concatenate(operands, axis=axis)


def _gather(attributes: Attributes) -> Computation:
    axis = attributes.get("axis", 0)
    return lambda x, indices: np.take(x, indices, axis=axis)


def _expanded(x: Array, shape: Array) -> Any:
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(_integers(shape))))


def _transpose(attributes: Attributes) -> Computation:
    order = attributes.get("perm")
    return lambda x: x.transpose(order)


def _squeeze(attributes: Attributes) -> Computation:
    stored = attributes.get("axes")

    def squeezed(x: Array, axes: Array | None = None) -> Any:
        given = stored if axes is None else _integers(axes)
        if given is not None and not given:
            raise NotComputed("no axes")  # ONNX Runtime squeezes all then, onnx's reference evaluator none
        return np.squeeze(x, axis=None if given is None else tuple(given))

    return squeezed


def _unsqueeze(attributes: Attributes) -> Computation:
    stored = attributes.get("axes", ())
    return lambda x, axes=None: np.expand_dims(x, tuple(stored if axes is None else _integers(axes)))


def _flatten(attributes: Attributes) -> Computation:
    axis = attributes.get("axis", 1)

    def flattened(x: Array) -> Any:
        at = axis + x.ndim if axis < 0 else axis
        return x.reshape(int(np.prod(x.shape[:at])), int(np.prod(x.shape[at:])))

    return flattened


def _convolution(kernel: Computation) -> Callable[[Attributes], Computation]:
    """A row for a convolution; kernel_shape only repeats the weight's."""

    def row(attributes: Attributes) -> Computation:
        given = {name: value for name, value in attributes.items() if name != "kernel_shape"}
        if "auto_pad" in given:
            given["auto_pad"] = given["auto_pad"].decode()
        return lambda x, weight, bias=None: kernel(x, weight, bias, **given)

    return row


def _gemm(attributes: Attributes) -> Computation:
    names = {"alpha": "alpha", "beta": "beta", "transA": "transpose_a", "transB": "transpose_b"}
    _admit(attributes, *names)
    given = {names[name]: value for name, value in attributes.items()}
    return lambda a, b, c=None: gemm(a, b, c, **given)


def _batch_normalization(attributes: Attributes) -> Computation:
    _admit(attributes, "epsilon", "momentum", "training_mode", "spatial")
    if attributes.get("training_mode") or not attributes.get("spatial", 1):
        raise NotComputed("BatchNormalization in training mode")
    epsilon = attributes.get("epsilon", _EPSILON)
    return lambda *operands: batch_normalization(*operands, epsilon=epsilon)


def _trailing(kernel: Computation) -> Callable[[Attributes], Computation]:
    """A row for a norm over an axis and all behind it, whatever type its statistics are said to be computed in."""

    def row(attributes: Attributes) -> Computation:
        _admit(attributes, "axis", "epsilon", "stash_type")
        axis, epsilon = attributes.get("axis", -1), attributes.get("epsilon", _EPSILON)
        return lambda *operands: kernel(*operands, axis=axis, epsilon=epsilon)

    return row


def _admit(attributes: Attributes, *names: str) -> None:
    """Let no attributes pass but these."""
    if not attributes.keys() <= set(names):
        raise NotComputed(f"attributes {', '.join(attributes.keys() - set(names))}")


#: The standard's default, which is a float32.
_EPSILON = float(np.float32(1e-5))

#: Operator of the default domain, as it is from opset 11 on → what its attributes make of it.
OPERATORS: Mapping[str, Callable[[Attributes], Computation]] = {
    "Abs": _always(np.abs),
    "Add": _always(np.add),
    "And": _always(np.logical_and),
    "BatchNormalization": _batch_normalization,
    "Cast": _cast,
    "Clip": _always(_clipped),
    "Concat": _concat,
    "Conv": _convolution(convolution),
    "ConvTranspose": _convolution(transposed_convolution),
    "Div": _always(_divided),
    "Equal": _always(np.equal),
    "Expand": _always(_expanded),
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "Identity": _always(lambda x: x),
    "LayerNormalization": _trailing(layer_normalization),
    "MatMul": _always(np.matmul),
    "Max": _many(np.maximum),
    "Min": _many(np.minimum),
    "Mul": _always(np.multiply),
    "Neg": _always(np.negative),
    "Pow": _always(_power),
    "RMSNormalization": _trailing(rms_normalization),
    "Reciprocal": _always(lambda x: 1 / x),
    "ReduceL2": _reduction(_length),
    "ReduceMax": _reduction(_reduced(np.maximum)),
    "ReduceMean": _reduction(_mean),
    "ReduceMin": _reduction(_reduced(np.minimum)),
    "ReduceProd": _reduction(_reduced(np.multiply)),
    "ReduceSum": _reduction(_sum),
    "ReduceSumSquare": _reduction(lambda x, axes, keep: _sum(x * x, axes, keep)),
    "Reshape": _reshape,
    "Shape": _shape,
    "Sqrt": _always(np.sqrt),
    "Squeeze": _squeeze,
    "Sub": _always(np.subtract),
    "Sum": _many(np.add),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": _always(np.where),
}
