"""LpNormalization: vectors divided by their length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from normgraph.kernels.arithmetic import Value, at_least, quotient_or_zero, sqrt
from normgraph.kernels.precision import Array, Float64, evaluate, require_floating
from normgraph.kernels.shapes import within


def definition(x: Value, *, axes: Any, epsilon: float, gain: Value | float, bias: Value | float) -> Value:
    """Divide by the length: y = γ·x/√(E[x²] + ε) + β; ε in units of x².

    This is x/‖x‖₂ for γ = 1/√n with n the number of elements along the axes, ε = 0 and β = 0; x/√(Σx² + ε′)
    has the same γ and ε = ε′/n.
    """
    return x / sqrt((x * x).mean(axis=axes, keepdims=True) + epsilon) * gain + bias


def zero_keeping_definition(x: Value, *, axes: Any, epsilon: float, gain: Value | float, bias: Value | float) -> Value:
    """Divide by the length, a vector of zeros aside: y = γ·[‖x‖ ≠ 0]·x/√(E[x²]) + β; ε is zero.

    This is what LpNormalization-22 says of x/‖x‖₂, for γ = 1/√n, and TensorFlow's ``div_no_nan`` of it.
    """
    power: Value = (x * x).mean(axis=axes, keepdims=True) + epsilon
    return quotient_or_zero(x, power, 0.5) * gain + bias


def zero_keeping_absolute_definition(
    x: Value, *, axes: Any, epsilon: float, gain: Value | float, bias: Value | float
) -> Value:
    """Divide by the sum of absolute values, a vector of zeros aside: y = γ·[Σ|x| ≠ 0]·x/E[|x|] + β; ε is zero."""
    length: Any = abs(x).mean(axis=axes, keepdims=True) + epsilon
    unit: Value = quotient_or_zero(x, length)
    return unit * gain + bias


def absolute_definition(x: Value, *, axes: Any, epsilon: float, gain: Value | float, bias: Value | float) -> Value:
    """Divide by the sum of absolute values: y = γ·x/(E[|x|] + ε) + β; ε in units of x.

    This is x/‖x‖₁ for γ = 1/n, ε = 0 and β = 0.
    """
    return x / (abs(x).mean(axis=axes, keepdims=True) + epsilon) * gain + bias


def bounded_definition(x: Value, *, axes: Any, epsilon: float, gain: Value | float, bias: Value | float) -> Value:
    """Divide by the length or more: y = γ·x/max(√(E[x²]), ε) + β; ε in units of x.

    This is x/max(‖x‖₂, ε·√n) for γ = 1/√n with n the number of elements along the axes, as in PyTorch's
    ``normalize``.
    """
    return x / at_least(sqrt((x * x).mean(axis=axes, keepdims=True)), epsilon) * gain + bias


def bounded_square_definition(
    x: Value, *, axes: Any, epsilon: float, gain: Value | float, bias: Value | float
) -> Value:
    """Divide by the root of the squared length or more: y = γ·x/√(max(E[x²], ε)) + β; ε in units of x².

    This is x/√(max(Σx², ε·n)) for γ = 1/√n, as in TensorFlow's ``l2_normalize``.
    """
    return x / sqrt(at_least((x * x).mean(axis=axes, keepdims=True), epsilon)) * gain + bias


def shifted_definition(x: Value, *, axes: Any, epsilon: float, gain: Value | float, bias: Value | float) -> Value:
    """Divide by the length and a little more: y = γ·x/(√(E[x²]) + ε) + β; ε in units of x.

    This is x/(‖x‖₂ + ε·√n) for γ = 1/√n.
    """
    return x / (sqrt((x * x).mean(axis=axes, keepdims=True)) + epsilon) * gain + bias


def bounded_absolute_definition(
    x: Value, *, axes: Any, epsilon: float, gain: Value | float, bias: Value | float
) -> Value:
    """Divide by the sum of absolute values or more: y = γ·x/max(E[|x|], ε) + β; ε in units of x.

    This is x/max(‖x‖₁, ε·n) for γ = 1/n.
    """
    return x / at_least(abs(x).mean(axis=axes, keepdims=True), epsilon) * gain + bias


_DEFINITIONS: dict[int, Callable[..., Any]] = {1: absolute_definition, 2: definition}


def lp_normalization(x: Array, *, axis: int = -1, p: int = 2) -> Array:
    """Lᵖ normalization, y = x/‖x‖ₚ with ‖x‖₁ = Σ|x| and ‖x‖₂ = √(Σx²).

    The norm belongs to one position of the other axes. A vector of zeros stays one: version 22 says so, and
    runtimes have always done so for version 1. There are no parameters and, unlike in PyTorch's
    ``normalize``, no ε.

    Args:
        x: any shape of rank ≥ 1, floating.
        axis: the one axis that vectors lie along, in [−r, r).
        p: 1 or 2.

    Returns:
        y, x's shape and dtype; computed in float64 and rounded once. In float64 itself, squares of elements
        beyond about 1e±154 overflow or vanish.

    Raises:
        ValueError: p is neither 1 nor 2, the axis isn't one of x's, or x isn't floating.

    Source: ONNX LpNormalization-1 and -22.

    >>> import numpy as np
    >>> lp_normalization(np.array([3.0, -4.0])), lp_normalization(np.array([3.0, -1.0]), p=1)
    (array([ 0.6, -0.8]), array([ 0.75, -0.25]))
    """
    operator = "LpNormalization"
    require_floating(operator, input=x)
    if p not in _DEFINITIONS:
        raise ValueError(f"{operator}: p must be 1 or 2; it is {p}, the input has shape {x.shape}")
    axes = (within(operator, axis, x),)
    gain = float(max(x.shape[axis], 1)) ** (-1.0 / p)

    def zero_at_zero(block: Float64) -> Float64:
        y: Float64 = _DEFINITIONS[p](block, axes=axes, epsilon=0.0, gain=gain, bias=0.0)
        return np.where(block.any(axis=axes, keepdims=True), y, 0.0)

    return evaluate(zero_at_zero, x, whole_axes=axes)
