"""Rounding the weights of a fold: once, to the type in which they are stored, and only where they fit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from normgraph.constants import Array
from normgraph.diagnosis import Shortfall
from normgraph.folding.channel_map import Float64
from normgraph.folding.linear import Linear
from normgraph.folding.linear_operator import Weights

#: Types of few exponents, and what a channel of weights may lose in them by rounding, relative to its largest weight.
#: A rounding without underflow loses half of it.
PERMITTED_LOSS: Mapping[np.dtype, float] = {np.dtype(np.float16): 2.0**-10}


def rounded(linear: Linear, weights: Weights) -> tuple[Array, Array | None] | Shortfall:
    """The new weight and bias of a linear operator in its own type, or why they don't fit into it.

    Returns:
        The weight, and the bias in the shape in which it is stored: None where it is zero and there was none.
    """
    dtype = linear.dtype
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        weight, bias = weights.weight.astype(dtype), weights.bias.astype(dtype)
    for name, array, exact in (("weight", weight, weights.weight), ("bias", bias, weights.bias)):
        if np.all(np.isfinite(array)):
            continue
        if not np.all(np.isfinite(exact)):
            return Shortfall("parameter-range", f"the {name} wouldn't be finite: the variance isn't positive")
        largest = float(np.max(np.abs(exact), initial=0.0))
        return Shortfall("parameter-range", f"the {name} would reach {largest:.3g}, beyond {dtype}")
    loss = _loss(linear, weights.weight, weight)
    if loss is not None:
        return loss
    needed = linear.has_bias or bool(np.any(bias.astype(np.float64) != 0))
    return weight, linear.row.stored(bias) if needed else None


def _loss(linear: Linear, exact: Float64, stored: Array) -> Shortfall | None:
    """Whether a channel of the weight loses too much: small numbers have few digits in types of few exponents."""
    permitted = PERMITTED_LOSS.get(linear.dtype)
    if permitted is None:
        return None
    error = np.abs(stored.astype(np.float64) - exact)
    for position in linear.row.channels:
        others = tuple(axis for axis in range(exact.ndim) if axis != position % exact.ndim)
        largest = np.max(np.abs(exact), axis=others)
        lost = np.divide(np.max(error, axis=others), largest, out=np.zeros_like(largest), where=largest > 0)
        worst = int(np.argmax(lost))
        if lost[worst] > permitted:
            return Shortfall(
                "parameter-range",
                f"channel {worst} of the weight, at most {largest[worst]:.2g}, would lose {lost[worst]:.2g} "
                f"of itself in {linear.dtype}, more than {permitted:.2g}",
            )
    return None
