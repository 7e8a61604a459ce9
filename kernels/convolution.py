"""Convolution: the linear operator that a BatchNormalization folds into most often."""

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


def convolution(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    group: int = 1,
    auto_pad: AutoPad = "NOTSET",
) -> Array:
    """Convolution (a cross-correlation) over k spatial axes.

        y[n, m, o] = bias[m] + Σ_{c, j} x[n, g·C/G + c, o·s + j·d − p] · weight[m, c, j]

    with o, j, s, d, p vectors over the spatial axes, g = ⌊m·G/M⌋ the group of output channel m, and x zero
    outside. Output channel m owns weight[m] and bias[m] whatever G is; the padding is zero after anything
    that comes before.

    Args:
        x: (N, C, D₁, …, D_k) with k ≥ 1, floating.
        weight: (M, C/G, K₁, …, K_k).
        bias: (M,). None stands for 0.
        strides: s, k numbers ≥ 1; 1 where not given.
        pads: p at the beginning of each spatial axis, then at its end: 2·k numbers ≥ 0; 0 where not given.
        dilations: d, k numbers ≥ 1; 1 where not given.
        group: G, divides C and M.
        auto_pad: SAME_UPPER and SAME_LOWER pad to an output of ⌈D/s⌉, an odd one more at the end or the
            beginning; VALID pads nothing; both exclude pads.

    Returns:
        y, (N, M, O₁, …, O_k) with O = ⌊(D + p_begin + p_end − d·(K − 1) − 1)/s⌋ + 1, in x's dtype; computed
        in float64 and rounded once. The operands' dtypes may differ. Memory beyond the result is bounded by a
        block of windows.

    Raises:
        ValueError: ranks, channels, group or the lengths of the lists don't fit, the kernel is larger than
            the padded input, or a dtype isn't floating.

    Source: ONNX Conv-1, -11 and -22.

    >>> import numpy as np
    >>> convolution(np.array([[[1.0, 2.0, 3.0]]]), np.array([[[1.0, 10.0]]]), np.array([0.5]))
    array([[[21.5, 32.5]]])
    """
    operator = "Conv"
    require_floating(operator, X=x, W=weight, B=bias)
    require_rank(operator, x, 3)
    require_group(operator, group, x.shape[1], x, weight)
    require_weight(operator, x, weight, axis=1, channels=x.shape[1] // group)
    require_group(operator, group, weight.shape[0], x, weight)
    require_bias(operator, bias, weight.shape[0])
    rank, kernel = x.ndim - 2, weight.shape[2:]
    steps = per_axis(operator, "strides", strides, rank, default=1, least=1)
    gaps = per_axis(operator, "dilations", dilations, rank, default=1, least=1)
    reach = tuple(d * (k - 1) + 1 for k, d in zip(kernel, gaps, strict=True))
    begin, end = _padding(operator, x, reach, steps, pads, auto_pad)
    padded = tuple(n + p + q for n, p, q in zip(x.shape[2:], begin, end, strict=True))
    if any(r > n for r, n in zip(reach, padded, strict=True)):
        raise ValueError(
            f"{operator}: the dilated kernel must fit into the padded input; "
            f"it reaches over {reach} of {padded}, X has shape {x.shape}, W has shape {weight.shape}"
        )
    out = tuple((n - r) // s + 1 for n, r, s in zip(padded, reach, steps, strict=True))

    batch, outputs = x.shape[0], weight.shape[0]
    matrices = weight.astype(np.float64, copy=False).reshape(group, outputs // group, -1)
    inside: Index = (..., *(slice(p, p + n) for p, n in zip(begin, x.shape[2:], strict=True)))
    y = np.empty((batch, outputs, *out), x.dtype)
    row = max(x.shape[1] * prod(kernel), outputs) * prod(out[1:])  # elements that a row of the output takes
    with np.errstate(all="ignore"):
        for samples in cuts(batch, max(x.shape[1] * prod(padded), row * out[0])):
            count = x[samples].shape[0]
            source = np.zeros((count, x.shape[1], *padded))
            source[inside] = x[samples]
            for rows in cuts(out[0], row * count):
                size = (min(rows.stop, out[0]) - rows.start, *out[1:])
                windows = _windows(source[:, :, rows.start * steps[0] :], kernel, gaps, size, steps)
                product = matrices @ windows.reshape(group, matrices.shape[2], count * prod(size))
                y[samples, :, rows] = with_bias(product.reshape(outputs, count, *size).swapaxes(0, 1), bias)
    return y


def _windows(
    source: Float64,
    kernel: tuple[int, ...],
    dilations: tuple[int, ...],
    size: tuple[int, ...],
    strides: tuple[int, ...],
) -> Float64:
    """(C, K₁, …, K_k, N, O₁, …, O_k): what each kernel element meets, so that one product sums over all of them."""
    windows = np.empty((source.shape[1], *kernel, source.shape[0], *size))
    for offset in itertools.product(*map(range, kernel)):
        tap: Index = (slice(None), *offset)
        windows[tap] = source[window_at(offset, dilations, size, strides)].swapaxes(0, 1)
    return windows


def _padding(
    operator: str,
    x: Array,
    reach: tuple[int, ...],
    strides: tuple[int, ...],
    pads: Sequence[int] | None,
    auto_pad: str,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The padding before and behind each spatial axis."""
    rank = len(strides)
    if require_auto_pad(operator, pads, auto_pad) == "NOTSET":
        both = per_axis(operator, "pads", pads, 2 * rank, default=0, least=0)
        return both[:rank], both[rank:]
    if auto_pad == "VALID":
        return (0,) * rank, (0,) * rank
    total = [max(0, (-(-n // s) - 1) * s + r - n) for n, s, r in zip(x.shape[2:], strides, reach, strict=True)]
    less, more = tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
    return (less, more) if auto_pad == "SAME_UPPER" else (more, less)
