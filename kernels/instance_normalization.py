"""InstanceNormalization: each channel of each sample standardized over its positions."""

from __future__ import annotations

from typing import Any

from normgraph.kernels.arithmetic import Value
from normgraph.kernels.precision import Array, evaluate, require_floating
from normgraph.kernels.shapes import per_channel, require_rank
from normgraph.kernels.standardization import standardize


def definition(x: Value, *, axes: Any, epsilon: float, gain: Value | float, bias: Value | float) -> Value:
    """Standardize over the spatial axes: y = γ·(x − μ)/√(σ² + ε) + β; ε in units of x²."""
    return standardize(x, axes=axes, epsilon=epsilon) * gain + bias


def instance_normalization(x: Array, scale: Array, bias: Array, *, epsilon: float = 1e-5) -> Array:
    """Instance normalization, y = scale·(x − μ)/√(σ² + ε) + bias.

    Mean μ and variance σ² (of the population) belong to one channel of one sample: they are taken over D₁ …
    D_k, never over the batch. There are 2·C parameters.

    Args:
        x: (N, C, D₁, …, D_k) with k ≥ 1, floating.
        scale: γ, (C,).
        bias: β, (C,).
        epsilon: ε, added to the variance, so in units of x². ONNX stores it as a float32: pass the stored
            value.

    Returns:
        y, x's shape and dtype; computed in float64 and rounded once. The operands' dtypes may differ.

    Raises:
        ValueError: x has no spatial axis, scale or bias isn't (C,), or a dtype isn't floating.

    Source: ONNX InstanceNormalization-6 and -22; Ulyanov, Vedaldi and Lempitsky, "Instance Normalization: The
    Missing Ingredient for Fast Stylization" (arXiv:1607.08022).

    >>> import numpy as np
    >>> x = np.array([[[1.0, 3.0], [10.0, 20.0]]])
    >>> instance_normalization(x, np.array([1.0, 1.0]), np.array([0.0, 5.0]), epsilon=0.0)
    array([[[-1.,  1.],
            [ 4.,  6.]]])
    """
    operator = "InstanceNormalization"
    require_floating(operator, input=x, scale=scale, B=bias)
    require_rank(operator, x, 3)
    axes = tuple(range(2, x.ndim))
    return evaluate(
        definition,
        x,
        whole_axes=axes,
        axes=axes,
        epsilon=epsilon,
        gain=per_channel(operator, "scale", scale, x),
        bias=per_channel(operator, "B", bias, x),
    )
