"""What convolution and transposed convolution have in common: attributes, bounds and sliding windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from normgraph.kernels.precision import BLOCK_ELEMENTS, Array, Float64, Index

AutoPad = Literal["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]


def require_auto_pad(operator: str, pads: Sequence[int] | None, auto_pad: str) -> str:
    """The padding rule.

    Raises:
        ValueError: it is unknown, or stands beside explicit pads.
    """
    if auto_pad not in ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"):
        raise ValueError(f"{operator}: auto_pad must be NOTSET, SAME_UPPER, SAME_LOWER or VALID; it is {auto_pad!r}")
    if auto_pad != "NOTSET" and pads is not None:
        raise ValueError(f"{operator}: auto_pad and pads exclude each other; they are {auto_pad} and {pads}")
    return auto_pad


def require_weight(operator: str, x: Array, weight: Array, *, axis: int, channels: int) -> None:
    """Check that the weight belongs to x.

    Args:
        operator: the ONNX operator.
        x: (N, C, D₁, …).
        weight: of the same rank.
        axis: the weight's axis of input channels.
        channels: what its extent must be.

    Raises:
        ValueError: its rank isn't x's, it expects another number of input channels, or the kernel is empty.
    """
    if weight.ndim != x.ndim or weight.shape[axis] != channels or 0 in weight.shape[2:]:
        raise ValueError(
            f"{operator}: W must have X's rank, {channels} input channels on axis {axis} and "
            f"a kernel that isn't empty; W has shape {weight.shape}, X has shape {x.shape}"
        )


def require_group(operator: str, group: int, channels: int, x: Array, weight: Array) -> None:
    """Check that the channels fall into equal groups.

    Raises:
        ValueError: group doesn't divide `channels`.
    """
    if group < 1 or channels % group:
        raise ValueError(
            f"{operator}: group must divide the channels; it is {group} for {channels}, "
            f"X has shape {x.shape}, W has shape {weight.shape}"
        )


def require_bias(operator: str, bias: Array | None, channels: int) -> None:
    """Check that there is one bias for each output channel.

    Raises:
        ValueError: its shape isn't (M,).
    """
    if bias is not None and bias.shape != (channels,):
        raise ValueError(
            f"{operator}: B must have shape (M,) = ({channels},), one for each output channel; "
            f"it has shape {bias.shape}"
        )


def per_axis(
    operator: str, name: str, values: Sequence[int] | None, length: int, *, default: int, least: int
) -> tuple[int, ...]:
    """The values, or the default for each.

    Raises:
        ValueError: there are more or fewer than `length`, or one is below `least`.
    """
    if values is None:
        return (default,) * length
    if len(values) != length or min(values) < least:
        raise ValueError(f"{operator}: {name} must be {length} numbers ≥ {least}; they are {tuple(values)}")
    return tuple(int(value) for value in values)


def window_at(
    offset: tuple[int, ...], dilations: tuple[int, ...], count: tuple[int, ...], strides: tuple[int, ...]
) -> Index:
    """Where one kernel element meets the longer side: `count` positions, a stride apart, per spatial axis."""
    starts = [j * d for j, d in zip(offset, dilations, strict=True)]
    return (..., *(slice(i, i + (n - 1) * s + 1, s) for i, n, s in zip(starts, count, strides, strict=True)))


def cuts(length: int, elements: int) -> list[slice]:
    """Slices of a length, such that so many elements for each of its positions stay within bounds."""
    step = max(1, BLOCK_ELEMENTS // max(elements, 1))
    return [slice(i, i + step) for i in range(0, length, step)]


def with_bias(y: Float64, bias: Array | None) -> Float64:
    """(n, M, …) with bias[m] added to channel m."""
    return y if bias is None else y + bias.astype(np.float64).reshape(-1, *(1,) * (y.ndim - 2))
