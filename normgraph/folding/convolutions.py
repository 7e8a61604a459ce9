"""How Conv and ConvTranspose take in an affine map, groups, strides and dilations included."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from normgraph.constants import attribute
from normgraph.diagnosis import Shortfall
from normgraph.folding.channel_map import ChannelMap, Float64
from normgraph.folding.geometry import Geometry, geometry_of
from normgraph.folding.linear_operator import Fill, Weights, along, layout_of


def group_of(node: ir.Node) -> int:
    """The number of groups of a convolution."""
    return int(attribute(node, "group", 1))


def convolution(outputs: Callable[[ir.Node, Weights], int]) -> Callable[[ir.Node, Weights, int], Weights | None]:
    """The rule for the effective weights of a convolution with so many output channels."""

    def effective(node: ir.Node, weights: Weights, rank: int) -> Weights | None:
        """Convolutions have one number per output channel."""
        channels = outputs(node, weights)
        if weights.weight.ndim != rank or weights.bias.size not in (1, channels):
            return None
        vector = np.broadcast_to(weights.bias.reshape(-1), channels)
        return replace(weights, bias=along(vector, rank, 1))

    return effective


def conv_outputs(node: ir.Node, weights: Weights) -> int:
    """Conv: W is (M, C/g, …)."""
    return int(weights.weight.shape[0])


def transposed_outputs(node: ir.Node, weights: Weights) -> int:
    """ConvTranspose: W is (C, M/g, …)."""
    return int(weights.weight.shape[1]) * group_of(node)


def conv_behind(node: ir.Node, weights: Weights, channel_map: ChannelMap) -> Weights | Shortfall:
    """Conv: W is (M, C/g, …), its first axis the output's channels."""
    w, vectors = weights.weight, channel_map.vectors(1, weights.bias.size)
    if vectors is None:
        return layout_of("Conv")
    scale, shift = vectors
    bias = weights.bias * along(scale, w.ndim, 1) + along(shift, w.ndim, 1)
    return Weights(w * along(scale, w.ndim, 0), bias)


def conv_before(node: ir.Node, weights: Weights, channel_map: ChannelMap) -> Weights | Shortfall:
    """Conv: output m of group k reads the channels k·C/g … of the input; padding is zero after the map, not before."""
    w, group = weights.weight, group_of(node)
    outputs, width = w.shape[0], w.shape[1]
    vectors = channel_map.vectors(1, width * group)
    if vectors is None:
        return layout_of("Conv")
    scale, shift = vectors
    fill = _fill(geometry_of(node, w.shape[2:], weights.space), scale, shift)
    if isinstance(fill, Shortfall):
        return fill
    rows = np.arange(outputs) // (outputs // group)
    index = rows[:, None] * width + np.arange(width)[None, :]
    trailing = (1,) * (w.ndim - 2)
    moved = (w * shift[index].reshape(outputs, width, *trailing)).sum(axis=tuple(range(1, w.ndim)))
    return Weights(w * scale[index].reshape(outputs, width, *trailing), weights.bias + along(moved, w.ndim, 1), fill)


def _fill(geometry: Geometry | None, scale: Float64, shift: Float64) -> Fill | Shortfall | None:
    """a·u + b = 0 where u = −b/a: padding with that before the map is padding with zero behind it."""
    if not np.any(shift != 0) or (geometry is not None and not any((*geometry.begin, *geometry.end))):
        return None
    problem = "the convolution pads with zeros, which the shift before it doesn't move"
    if geometry is None:
        return Shortfall(
            "padding",
            f"{problem}, and how far it pads depends on a size that isn't known before it is run",
            "export the model with that size, or write the pads out, so that a Pad may do",
        )
    with np.errstate(all="ignore"):
        values = -shift / scale
    if not np.all(np.isfinite(values)) or np.ptp(values) > 1e-12 * np.max(np.abs(values)):
        return Shortfall(
            "padding",
            f"{problem}, and no one number padded before it would do for all {scale.size} channels; "
            "a bias that differs along the borders would take a tensor of the output's size",
        )
    return Fill(float(values[0]), geometry.begin, geometry.end)


def transposed_behind(node: ir.Node, weights: Weights, channel_map: ChannelMap) -> Weights | Shortfall:
    """ConvTranspose: W is (C, M/g, …); input c of group k makes the outputs k·M/g …."""
    w, group = weights.weight, group_of(node)
    vectors = channel_map.vectors(1, weights.bias.size)
    if vectors is None:
        return layout_of("ConvTranspose")
    scale, shift = vectors
    inputs, width = w.shape[0], w.shape[1]
    index = (np.arange(inputs) // (inputs // group))[:, None] * width + np.arange(width)[None, :]
    bias = weights.bias * along(scale, w.ndim, 1) + along(shift, w.ndim, 1)
    return Weights(w * scale[index].reshape(inputs, width, *(1,) * (w.ndim - 2)), bias)


def transposed_before(node: ir.Node, weights: Weights, channel_map: ChannelMap) -> Weights | Shortfall:
    """ConvTranspose: a shift makes one number per channel only where every output meets the whole kernel."""
    w, group = weights.weight, group_of(node)
    vectors = channel_map.vectors(1, w.shape[0])
    if vectors is None:
        return layout_of("ConvTranspose")
    scale, shift = vectors
    scaled = w * along(scale, w.ndim, 0)
    if not np.any(shift != 0):
        return Weights(scaled, weights.bias)
    if not _meets_whole_kernel(node, w.shape[2:]):
        return Shortfall(
            "padding",
            "a shift before a transposed convolution isn't constant behind it, for not every output meets the whole "
            "kernel; what each one meets would take a tensor of the output's size",
        )
    space = tuple(range(2, w.ndim))
    moved = (w * along(shift, w.ndim, 0)).sum(axis=space).reshape(group, w.shape[0] // group, w.shape[1]).sum(axis=1)
    return Weights(scaled, weights.bias + along(moved.reshape(-1), w.ndim, 1))


def _meets_whole_kernel(node: ir.Node, kernel: tuple[int, ...]) -> bool:
    """Whether the outputs of a transposed convolution that meet a part of the kernel only are cut off."""
    rank = len(kernel)
    strides, dilations = (attribute(node, name) or [1] * rank for name in ("strides", "dilations"))
    pads = attribute(node, "pads") or [0] * (2 * rank)
    if attribute(node, "auto_pad", "NOTSET") != "NOTSET" or attribute(node, "output_shape") is not None:
        return False
    if any(attribute(node, "output_padding") or ()) or set(strides) != {1}:
        return False
    borders = [d * (k - 1) for k, d in zip(kernel, dilations, strict=True)]
    return all(pad >= border for pad, border in zip(pads, [*borders, *borders], strict=True))
