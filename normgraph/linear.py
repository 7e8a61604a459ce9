"""Linear operators: where their channels are, and how an affine map per channel goes into their weights.

y = W·x + w is linear in x, so an affine map behind it goes into the weights: a·(W·x + w) + b = (a·W)·x + (a·w
+ b); and one before it does, too: W·(a·x + b) + w = (W·a)·x + (W·b + w). `LINEAR` has one row per operator;
everything is computed in float64 and rounded by the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from normgraph.constants import attribute
from normgraph.diagnosis import Shortfall

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Weights:
    """The constants of a linear operator, in float64.

    Attributes:
        weight: W, in the operator's own layout.
        bias: w per output channel, of shape (channels,).
    """

    weight: Float64
    bias: Float64


@dataclass(frozen=True, slots=True)
class LinearOperator:
    """A row of the table.

    Attributes:
        data: the input that the operator is linear in.
        weight: the input that must be constant.
        bias: the input with the bias, None where the operator has none.
        output_axis: the axis of the output's channels, for a rank.
        input_axis: the axis of the input's channels, for a rank.
        channels: how many output channels there are, given the weight.
        effective: the weights as they enter the arithmetic, attributes like alpha and beta included.
        behind: the weights after an affine map (scale, shift per output channel).
        before: the weights before which an affine map (scale, shift per input channel) stands, or why there are none.
    """

    data: int
    weight: int
    bias: int | None
    output_axis: Callable[[ir.Node, int], int]
    input_axis: Callable[[ir.Node, int], int]
    channels: Callable[[ir.Node, Float64], int]
    effective: Callable[[ir.Node, Weights], Weights]
    behind: Callable[[ir.Node, Weights, Float64, Float64], Weights]
    before: Callable[[ir.Node, Weights, Float64, Float64], Weights | Shortfall]


def _along(vector: Float64, rank: int, axis: int) -> Float64:
    return vector.reshape([-1 if position == axis else 1 for position in range(rank)])


def _group(node: ir.Node) -> int:
    return int(attribute(node, "group", 1))


def _pads(node: ir.Node) -> bool:
    automatic = attribute(node, "auto_pad", "NOTSET")
    return automatic in ("SAME_UPPER", "SAME_LOWER") or any(attribute(node, "pads", ()) or ())


def _conv_behind(node: ir.Node, weights: Weights, scale: Float64, shift: Float64) -> Weights:
    """Conv: W is (M, C/g, …), its first axis the output's channels."""
    return Weights(weights.weight * _along(scale, weights.weight.ndim, 0), weights.bias * scale + shift)


def _conv_before(node: ir.Node, weights: Weights, scale: Float64, shift: Float64) -> Weights | Shortfall:
    """Conv: output m of group k reads the channels k·C/g … of the input; padding is zero after the map, not before."""
    if _pads(node) and np.any(shift != 0):
        return Shortfall("padding", "the convolution pads with zeros, which the shift before it doesn't move")
    w, group = weights.weight, _group(node)
    outputs, width = w.shape[0], w.shape[1]
    rows = np.arange(outputs) // (outputs // group)
    index = rows[:, None] * width + np.arange(width)[None, :]
    trailing = (1,) * (w.ndim - 2)
    moved = (w * shift[index].reshape(outputs, width, *trailing)).sum(axis=tuple(range(1, w.ndim)))
    return Weights(w * scale[index].reshape(outputs, width, *trailing), weights.bias + moved)


def _transposed_behind(node: ir.Node, weights: Weights, scale: Float64, shift: Float64) -> Weights:
    """ConvTranspose: W is (C, M/g, …); input c of group k makes the outputs k·M/g …."""
    w, group = weights.weight, _group(node)
    inputs, width = w.shape[0], w.shape[1]
    index = (np.arange(inputs) // (inputs // group))[:, None] * width + np.arange(width)[None, :]
    return Weights(w * scale[index].reshape(inputs, width, *(1,) * (w.ndim - 2)), weights.bias * scale + shift)


def _transposed_before(node: ir.Node, weights: Weights, scale: Float64, shift: Float64) -> Weights | Shortfall:
    """ConvTranspose: at the borders fewer inputs meet an output, so a shift isn't one number per channel behind."""
    if np.any(shift != 0):
        return Shortfall("padding", "a shift before a transposed convolution isn't constant behind it at the borders")
    return Weights(weights.weight * _along(scale, weights.weight.ndim, 0), weights.bias)


def _gemm_effective(node: ir.Node, weights: Weights) -> Weights:
    """Gemm computes α·A·B + β·C: with α in B and β in C both become 1."""
    return Weights(weights.weight * attribute(node, "alpha", 1.0), weights.bias * attribute(node, "beta", 1.0))


def _gemm_axis(node: ir.Node) -> int:
    """The axis of B with the output's columns."""
    return 0 if attribute(node, "transB", 0) else 1


def _gemm_behind(node: ir.Node, weights: Weights, scale: Float64, shift: Float64) -> Weights:
    return Weights(weights.weight * _along(scale, 2, _gemm_axis(node)), weights.bias * scale + shift)


def _gemm_before(node: ir.Node, weights: Weights, scale: Float64, shift: Float64) -> Weights:
    inner = 1 - _gemm_axis(node)
    moved = (weights.weight * _along(shift, 2, inner)).sum(axis=inner)
    return Weights(weights.weight * _along(scale, 2, inner), weights.bias + moved)


def _matmul_behind(inner: int) -> Callable[[ir.Node, Weights, Float64, Float64], Weights]:
    def behind(node: ir.Node, weights: Weights, scale: Float64, shift: Float64) -> Weights:
        w = weights.weight
        outer = w.ndim - 2 if inner == -1 else w.ndim - 1
        return Weights(w * _along(scale, w.ndim, outer), weights.bias * scale + shift)

    return behind


def _matmul_before(inner: int) -> Callable[[ir.Node, Weights, Float64, Float64], Weights | Shortfall]:
    def before(node: ir.Node, weights: Weights, scale: Float64, shift: Float64) -> Weights | Shortfall:
        w = weights.weight
        if w.ndim > 2:
            return Shortfall("batched-weight", "the constant operand of the MatMul is a stack of matrices")
        position = w.ndim + inner
        moved = (w * _along(shift, w.ndim, position)).sum(axis=position)
        return Weights(w * _along(scale, w.ndim, position), weights.bias + moved)

    return before


def _same(node: ir.Node, weights: Weights) -> Weights:
    return weights


def _gemm_input(node: ir.Node, rank: int) -> int:
    """The axis of A that is summed over."""
    return 0 if attribute(node, "transA", 0) else 1


def _second(node: ir.Node, rank: int) -> int:
    return 1


def _last(node: ir.Node, rank: int) -> int:
    return rank - 1


def _last_but_one(node: ir.Node, rank: int) -> int:
    return rank - 2


#: Operator → its row; for MatMul one row for a constant on the right and one for a constant on the left.
LINEAR: Mapping[str, tuple[LinearOperator, ...]] = {
    "Conv": (LinearOperator(0, 1, 2, _second, _second, lambda n, w: w.shape[0], _same, _conv_behind, _conv_before),),
    "ConvTranspose": (
        LinearOperator(
            0,
            1,
            2,
            _second,
            _second,
            lambda n, w: w.shape[1] * _group(n),
            _same,
            _transposed_behind,
            _transposed_before,
        ),
    ),
    "Gemm": (
        LinearOperator(
            0,
            1,
            2,
            _second,
            _gemm_input,
            lambda n, w: w.shape[_gemm_axis(n)],
            _gemm_effective,
            _gemm_behind,
            _gemm_before,
        ),
    ),
    "MatMul": (
        LinearOperator(
            0, 1, None, _last, _last, lambda n, w: w.shape[-1], _same, _matmul_behind(-2), _matmul_before(-2)
        ),
        LinearOperator(
            1,
            0,
            None,
            _last_but_one,
            _last_but_one,
            lambda n, w: w.shape[-2],
            _same,
            _matmul_behind(-1),
            _matmul_before(-1),
        ),
    ),
}
