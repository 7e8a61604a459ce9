"""RMSNormalization: each sample divided by its root mean square."""

from __future__ import annotations

from typing import Any

from normgraph.kernels.arithmetic import Value, sqrt
from normgraph.kernels.precision import Array, evaluate, require_floating
from normgraph.kernels.shapes import require_broadcast, trailing


def definition(x: Value, *, axes: Any, epsilon: float, gain: Value | float, bias: Value | float) -> Value:
    """Divide by the root mean square over any tuple of axes: y = γ·x/√(E[x²] + ε) + β; ε in units of x²."""
    return x / sqrt((x * x).mean(axis=axes, keepdims=True) + epsilon) * gain + bias


def rms_normalization(x: Array, scale: Array | None = None, *, axis: int = -1, epsilon: float = 1e-5) -> Array:
    """Root mean square normalization, y = scale·x/√(E[x²] + ε).

    The mean square belongs to one position of the leading axes: it is taken within a sample, over `axis` and
    all axes behind it. A full scale has as many parameters as these axes have elements; there is no bias.

    Args:
        x: (d₀, …, d_axis, …, d_{r−1}), floating.
        scale: γ, broadcasts to x; usually (d_axis, …, d_{r−1}). None stands for 1.
        axis: the first axis to normalize over, in [−r, r).
        epsilon: ε, added to the mean square, so in units of x². ONNX stores it as a float32: pass the stored
            value.

    Returns:
        y, x's shape, in the dtype of scale (ONNX's type V), in x's where there is none; computed in float64
        and rounded once, whatever ``stash_type`` would be.

    Raises:
        ValueError: the axis isn't one of x's, scale doesn't broadcast to x, or a dtype isn't floating.

    Source: ONNX RMSNormalization-23; Zhang and Sennrich, "Root Mean Square Layer Normalization"
    (arXiv:1910.07467).

    >>> import numpy as np
    >>> rms_normalization(np.array([[3.0, 4.0]]), epsilon=0.0).round(4)
    array([[0.8485, 1.1314]])
    """
    operator = "RMSNormalization"
    require_floating(operator, X=x, scale=scale)
    axes = trailing(operator, axis, x)
    require_broadcast(operator, "scale", scale, x)
    return evaluate(
        definition,
        x,
        whole_axes=axes,
        dtype=x.dtype if scale is None else scale.dtype,
        axes=axes,
        epsilon=epsilon,
        gain=1.0 if scale is None else scale,
        bias=0.0,
    )
