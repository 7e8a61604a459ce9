"""LayerNormalization: each sample standardized over its trailing axes."""

from __future__ import annotations

from typing import Any

from normgraph.kernels.arithmetic import Value
from normgraph.kernels.precision import Array, evaluate, require_floating
from normgraph.kernels.shapes import require_broadcast, trailing
from normgraph.kernels.standardization import standardize


def definition(x: Value, *, axes: Any, epsilon: float, gain: Value | float, bias: Value | float) -> Value:
    """Standardize over any tuple of axes: y = γ·(x − μ)/√(σ² + ε) + β; ε in units of x².

    Mean and variance are μ = E[x] and σ² = E[(x − μ)²].
    """
    return standardize(x, axes=axes, epsilon=epsilon) * gain + bias


def layer_normalization(
    x: Array, scale: Array | None = None, bias: Array | None = None, *, axis: int = -1, epsilon: float = 1e-5
) -> Array:
    """Layer normalization, y = scale·(x − μ)/√(σ² + ε) + bias.

    Mean μ and variance σ² (of the population) belong to one position of the leading axes: they are taken
    within a sample, over `axis` and all axes behind it, never over the batch. A layer over axes of extents d₁
    … d_k has 2·d₁⋯d_k parameters where scale and bias are both full: LayerNorm(10) 20, LayerNorm([5, 10, 10])
    1,000.

    Args:
        x: (d₀, …, d_axis, …, d_{r−1}), floating.
        scale: γ, broadcasts to x; usually (d_axis, …, d_{r−1}). None stands for 1.
        bias: β, broadcasts to x. None stands for 0.
        axis: the first axis to normalize over, in [−r, r).
        epsilon: ε, added to the variance, so in units of x². ONNX stores it as a float32: pass the stored
            value.

    Returns:
        y, x's shape and dtype; computed in float64 and rounded once, whatever ``stash_type`` would be. The
        operands' dtypes may differ. (ONNX's outputs Mean and InvStdDev are not computed.)

    Raises:
        ValueError: the axis isn't one of x's, scale or bias doesn't broadcast to x, or a dtype isn't
            floating.

    Source: ONNX LayerNormalization-17; Ba, Kiros and Hinton, "Layer Normalization" (arXiv:1607.06450).

    >>> import numpy as np
    >>> layer_normalization(np.array([[1.0, 2.0, 3.0]]), epsilon=0.0).round(4)
    array([[-1.2247,  0.    ,  1.2247]])
    """
    operator = "LayerNormalization"
    require_floating(operator, X=x, Scale=scale, B=bias)
    axes = trailing(operator, axis, x)
    require_broadcast(operator, "Scale", scale, x)
    require_broadcast(operator, "B", bias, x)
    return evaluate(
        definition,
        x,
        whole_axes=axes,
        axes=axes,
        epsilon=epsilon,
        gain=1.0 if scale is None else scale,
        bias=0.0 if bias is None else bias,
    )
