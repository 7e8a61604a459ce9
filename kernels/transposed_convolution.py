"""Transposed convolution: each input element spreads over a window of the output."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from math import prod

import numpy as np

from normgraph.kernels.precision import Array, Float64, Index, require_floating
from normgraph.kernels.shapes import require_rank
from normgraph.kernels.windows import (
    AutoPad,
    cuts,
    per_axis,
    require_auto_pad,
    require_bias,
    require_group,
    require_weight,
    window_at,
    with_bias,
)

_ALL = (slice(None), slice(None))


def transposed_convolution(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    group: int = 1,
    auto_pad: AutoPad = "NOTSET",
    output_padding: Sequence[int] | None = None,
    output_shape: Sequence[int] | None = None,
) -> Array:
    """Transposed convolution over k spatial axes, the transpose of `convolution` as a linear map.

        y[n, m, o] = bias[m] + Σ_{c, i, j: i·s + j·d − p = o} x[n, g·C/G + c, i] · weight[g·C/G + c, r, j]

    with i, j, o, s, d, p vectors over the spatial axes, g = ⌊m·G/M⌋ the group of output channel m and r = m
    mod M/G its place there. The weight's first axis counts input channels: output channel m owns weight[:, r]
    of its group.

    Args:
        x: (N, C, D₁, …, D_k) with k ≥ 1, floating.
        weight: (C, M/G, K₁, …, K_k).
        bias: (M,). None stands for 0.
        strides: s, k numbers ≥ 1; 1 where not given.
        pads: p, what is cut off at the beginning of each spatial axis, then at its end: 2·k numbers ≥ 0.
        dilations: d, k numbers ≥ 1; 1 where not given.
        group: G, divides C.
        auto_pad: SAME_UPPER and SAME_LOWER cut to an output of D·s; VALID cuts nothing; both exclude pads.
        output_padding: k numbers, what the output is longer at the end; less than the stride or the dilation.
        output_shape: O, k numbers; then pads don't count, and what is too much is cut off evenly, an odd one
            at the end for SAME_UPPER, else at the beginning. What is too little is zero (plus bias) at the
            end.

    Returns:
        y, (N, M, O₁, …, O_k) with O = s·(D − 1) + output_padding + d·(K − 1) + 1 − p_begin − p_end, in x's
        dtype; computed in float64 and rounded once. The operands' dtypes may differ. Memory beyond the result
        is bounded by a block of samples.

    Raises:
        ValueError: ranks, channels, group or the lengths of the lists don't fit; a spatial axis is empty;
            nothing would be left of an axis; an output is asked for that is a stride longer than what the
            windows cover, or longer at all with SAME (also where the kernel is shorter than the stride:
            runtimes differ on where the zeros go); or a dtype isn't floating.

    Source: ONNX ConvTranspose-1, -11 and -22 (the formulas for output_shape as of -11).

    >>> import numpy as np
    >>> transposed_convolution(np.array([[[1.0, 2.0, 3.0]]]), np.array([[[1.0, 10.0]]]))
    array([[[ 1., 12., 23., 30.]]])
    """
    operator = "ConvTranspose"
    require_floating(operator, X=x, W=weight, B=bias)
    require_rank(operator, x, 3)
    require_group(operator, group, x.shape[1], x, weight)
    require_weight(operator, x, weight, axis=0, channels=x.shape[1])
    if 0 in x.shape[2:]:
        raise ValueError(f"{operator}: no spatial axis may be empty; X has shape {x.shape}")
    rank, kernel, size = x.ndim - 2, weight.shape[2:], x.shape[2:]
    outputs = weight.shape[1] * group
    require_bias(operator, bias, outputs)
    steps = per_axis(operator, "strides", strides, rank, default=1, least=1)
    gaps = per_axis(operator, "dilations", dilations, rank, default=1, least=1)
    extra = per_axis(operator, "output_padding", output_padding, rank, default=0, least=0)
    if any(e >= max(s, d) for e, s, d in zip(extra, steps, gaps, strict=True)):
        raise ValueError(
            f"{operator}: output_padding must be less than the stride or the dilation; "
            f"it is {extra}, strides are {steps}, dilations {gaps}"
        )
    covered = tuple(
        s * (n - 1) + d * (k - 1) + 1 + e for n, s, d, k, e in zip(size, steps, gaps, kernel, extra, strict=True)
    )
    kept = _kept(operator, x, covered, steps, pads, auto_pad, output_shape)

    full = tuple(max(n, part.stop) for n, part in zip(covered, kept[2:], strict=True))

    batch, width = x.shape[0], x.shape[1] // group
    matrices = weight.astype(np.float64, copy=False).reshape(group, width, -1).swapaxes(1, 2)
    y = np.empty((batch, outputs, *(part.stop - part.start for part in kept[2:])), x.dtype)
    row = max(x.shape[1], outputs * prod(kernel)) * prod(size[1:])  # elements that a row of x takes
    with np.errstate(all="ignore"):
        for samples in cuts(batch, max(row * size[0], outputs * prod(full))):
            count = x[samples].shape[0]
            target = np.zeros((count, outputs, *full))
            for rows in cuts(size[0], row * count):
                source = x[samples, :, rows].astype(np.float64).swapaxes(0, 1)
                product = matrices @ source.reshape(group, width, source[0].size)
                shares = product.reshape(outputs, *kernel, *source.shape[1:])
                _spread(shares, target[:, :, rows.start * steps[0] :], gaps, steps)
            y[samples] = with_bias(target[kept], bias)
    return y


def _spread(shares: Float64, target: Float64, dilations: tuple[int, ...], strides: tuple[int, ...]) -> None:
    """Add what each kernel element makes of each input element, (M, K₁, …, K_k, N, D₁, …, D_k), to the output."""
    rank = len(strides)
    kernel, size = shares.shape[1 : 1 + rank], shares.shape[-rank:]
    for offset in itertools.product(*map(range, kernel)):
        tap: Index = (slice(None), *offset)
        target[window_at(offset, dilations, size, strides)] += shares[tap].swapaxes(0, 1)


def _kept(
    operator: str,
    x: Array,
    covered: tuple[int, ...],
    strides: tuple[int, ...],
    pads: Sequence[int] | None,
    auto_pad: str,
    output_shape: Sequence[int] | None,
) -> tuple[slice, ...]:
    """What of each axis is left after the cuts; all of batch and channel."""
    rank = len(covered)
    same = require_auto_pad(operator, pads, auto_pad) in ("SAME_UPPER", "SAME_LOWER")
    if output_shape is None and not same:
        both = per_axis(operator, "pads", pads, 2 * rank, default=0, least=0)
        begin, end = both[:rank], both[rank:]
        if any(p + q >= n for p, q, n in zip(begin, end, covered, strict=True)):
            raise ValueError(
                f"{operator}: pads must leave something of each axis; they cut {both} off {covered}, "
                f"X has shape {x.shape}"
            )
        return (*_ALL, *(slice(p, n - q) for p, q, n in zip(begin, end, covered, strict=True)))
    implied = tuple(n * s for n, s in zip(x.shape[2:], strides, strict=True))
    wanted = per_axis(operator, "output_shape", output_shape or implied, rank, default=1, least=1)
    surplus = [w - n for w, n in zip(wanted, covered, strict=True)]
    if any(n >= (1 if same else s) for n, s in zip(surplus, strides, strict=True)):
        raise ValueError(
            f"{operator}: the output must not be longer than what the windows cover, or by less than a "
            f"stride where auto_pad isn't SAME; {wanted} is asked for of {covered}, "
            f"X has shape {x.shape}, strides are {strides}"
        )
    cut = tuple(max(0, -n) for n in surplus)
    start = tuple(c // 2 if auto_pad == "SAME_UPPER" else c - c // 2 for c in cut)
    return (*_ALL, *(slice(p, p + w) for p, w in zip(start, wanted, strict=True)))
