"""How Gemm, MatMul and Einsum take in an affine map, on whichever side the constant stands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from normgraph.constants import attribute
from normgraph.diagnosis import Shortfall
from normgraph.folding.channel_map import ChannelMap, Float64, fits
from normgraph.folding.linear_operator import Weights, layout_of


def _matrix(node: ir.Node, name: str, array: Float64) -> Float64:
    """An operand of Gemm as it enters the product, or back."""
    return array.T if attribute(node, name, 0) else array


def gemm_effective(node: ir.Node, weights: Weights, rank: int) -> Weights | None:
    """Gemm computes α·A·B + β·C: with α in the constant matrix and β in C both become 1."""
    with np.errstate(invalid="ignore"):
        bias = weights.bias * attribute(node, "beta", 1.0)
    if weights.weight.ndim != 2 or bias.ndim > 2:
        return None
    bias = bias.reshape((1,) * (2 - bias.ndim) + bias.shape)
    alpha = attribute(node, "alpha", 1.0)
    return Weights(weights.weight if alpha == 1.0 else weights.weight * alpha, bias)


@dataclass(frozen=True, slots=True)
class GemmRules:
    """Gemm with one operand constant: names of the transpositions of data and weight, and which side it stands on."""

    data: str
    weight: str
    right: bool

    def behind(self, node: ir.Node, weights: Weights, channel_map: ChannelMap) -> Weights | Shortfall:
        """(A·B)·s = A·(B·s) for one factor per column; s·(A·B) = (s·A)·B for one per row."""
        matrix = _matrix(node, self.weight, weights.weight)
        if channel_map.scale.shape[0 if self.right else 1] != 1 or not fits(channel_map.scale, self._output(matrix)):
            return layout_of("Gemm")
        bias = weights.bias * channel_map.scale + channel_map.shift
        return Weights(_matrix(node, self.weight, matrix * channel_map.scale), bias)

    def before(self, node: ir.Node, weights: Weights, channel_map: ChannelMap) -> Weights | Shortfall:
        """(A·s + t)·B = A·(sᵀ·B) + t·B for factors over the sum."""
        matrix = _matrix(node, self.weight, weights.weight)
        scale, shift = (_matrix(node, self.data, array) for array in (channel_map.scale, channel_map.shift))
        free = 0 if self.right else 1
        inner = matrix.shape[free]
        if scale.shape[free] != 1 or shift.shape[free] != 1 or {scale.size, shift.size} - {1, inner}:
            return layout_of("Gemm")
        full = np.broadcast_to(shift, (1, inner) if self.right else (inner, 1))
        moved = full @ matrix if self.right else matrix @ full
        return Weights(_matrix(node, self.weight, matrix * scale.T), weights.bias + moved)

    def _output(self, matrix: Float64) -> tuple[int, int]:
        return (1, matrix.shape[1]) if self.right else (matrix.shape[0], 1)


def matmul_effective(node: ir.Node, weights: Weights, rank: int) -> Weights | None:
    """MatMul has no bias; vectors in the place of matrices aren't followed."""
    if weights.weight.ndim < 2 or rank < 2:
        return None
    return Weights(weights.weight, np.zeros((1,) * rank))


@dataclass(frozen=True, slots=True)
class MatMulRules:
    """MatMul with the constant on the right or on the left, a matrix or a stack of them."""

    right: bool

    def behind(self, node: ir.Node, weights: Weights, channel_map: ChannelMap) -> Weights | Shortfall:
        """(x·W)·s = x·(W·s) for factors that don't vary along the rows."""
        scale = channel_map.scale
        if scale.shape[-2 if self.right else -1] != 1 or not fits(scale, _padded(weights.weight, scale.ndim)):
            return layout_of("MatMul")
        bias = weights.bias * scale + channel_map.shift
        return Weights(weights.weight * _trimmed(scale, weights.weight.ndim), bias)

    def before(self, node: ir.Node, weights: Weights, channel_map: ChannelMap) -> Weights | Shortfall:
        """(x·s + t)·W = x·(sᵀ·W) + t·W for factors over the sum."""
        w, scale, shift = weights.weight, channel_map.scale, channel_map.shift
        free, over = (-2, -1) if self.right else (-1, -2)
        inner = w.shape[free]
        turned = np.swapaxes(scale, -1, -2)
        rank = max(w.ndim, scale.ndim)
        if scale.shape[free] != 1 or {scale.shape[over], shift.shape[over]} - {1, inner}:
            return layout_of("MatMul")
        if not fits(turned.reshape((1,) * (rank - turned.ndim) + turned.shape), _padded(w, rank)):
            return layout_of("MatMul")
        full = np.broadcast_to(shift, (*shift.shape[:-2], *_filled(shift.shape, over, inner)))
        moved = full @ w if self.right else w @ full
        return Weights(w * _trimmed(turned, w.ndim), weights.bias + moved)


def _filled(shape: tuple[int, ...], position: int, extent: int) -> tuple[int, int]:
    return (shape[-2], extent) if position == -1 else (extent, shape[-1])


def _padded(array: Float64, rank: int) -> tuple[int, ...]:
    return (1,) * (rank - array.ndim) + array.shape


def _trimmed(array: Float64, rank: int) -> Float64:
    """The array with leading dimensions of extent one taken off or put on."""
    return array.reshape(array.shape[max(array.ndim - rank, 0) :])


@dataclass(frozen=True, slots=True)
class EinsumRules:
    """Einsum of two operands, one of which is constant: y[o] = Σ x[i]·W[w], with labels i, w and o."""

    data: int

    def effective(self, node: ir.Node, weights: Weights, rank: int) -> Weights | None:
        """None where the equation has an ellipsis, repeats a label in a term, or leaves a label out of both others."""
        labels = self._labels(node)
        if labels is None:
            return None
        data, weight, output = labels
        plain = all(len(set(term)) == len(term) for term in labels)
        if not plain or len(weight) != weights.weight.ndim or len(output) != rank or set(output) - {*data, *weight}:
            return None
        return Weights(weights.weight, np.zeros((1,) * rank))

    def behind(self, node: ir.Node, weights: Weights, channel_map: ChannelMap) -> Weights | Shortfall:
        """s·Σ x·W = Σ x·(s·W) for factors along labels of W."""
        _, weight, output = self._labels(node) or ("", "", "")
        scale = _relabelled(channel_map.scale, output, weight)
        if scale is None or not fits(scale, weights.weight.shape):
            return layout_of("Einsum")
        return Weights(weights.weight * scale, weights.bias * channel_map.scale + channel_map.shift)

    def before(self, node: ir.Node, weights: Weights, channel_map: ChannelMap) -> Weights | Shortfall:
        """Σ (s·x + t)·W = Σ x·(s·W) + Σ t·W for factors along labels of W; nothing else may be summed over."""
        data, weight, output = self._labels(node) or ("", "", "")
        w = weights.weight
        scale, shift = (_relabelled(array, data, weight) for array in (channel_map.scale, channel_map.shift))
        if scale is None or shift is None or not fits(scale, w.shape) or not fits(shift, w.shape):
            return layout_of("Einsum")
        if channel_map.has_shift and set(data) - set(output) - set(weight):
            return Shortfall("layout", "the Einsum sums over an axis that its weight hasn't got")
        kept = [label for label in output if label in weight]
        moved = np.einsum(f"{weight}->{''.join(kept)}", w * shift)
        placed = moved.reshape([w.shape[weight.index(label)] if label in kept else 1 for label in output])
        return Weights(w * scale, weights.bias + placed)

    def _labels(self, node: ir.Node) -> tuple[str, str, str] | None:
        """The labels of data, weight and output, None where the equation isn't written so."""
        equation = str(attribute(node, "equation", "")).replace(" ", "")
        terms, arrow, output = equation.partition("->")
        operands = terms.split(",")
        if not arrow or len(operands) != 2 or not "".join((*operands, output)).isalpha():
            return None
        return operands[self.data], operands[1 - self.data], output


def _relabelled(array: Float64, labels: str, wanted: str) -> Float64 | None:
    """An array over some labels as one over others, None where it varies along a label that these don't have."""
    if array.ndim != len(labels):
        return None
    extents = dict(zip(labels, array.shape, strict=True))
    if any(extent != 1 and label not in wanted for label, extent in extents.items()):
        return None
    shared = [label for label in labels if label in wanted]
    compact = array.reshape([extents[label] for label in shared])
    order = [label for label in wanted if label in shared]
    turned = compact.transpose([shared.index(label) for label in order])
    return turned.reshape([extents.get(label, 1) for label in wanted])
