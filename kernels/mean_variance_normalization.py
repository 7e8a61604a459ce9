"""MeanVarianceNormalization: standardization over chosen axes, with ε beside the standard deviation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from normgraph.kernels.arithmetic import Value, sqrt
from normgraph.kernels.precision import Array, evaluate, require_floating
from normgraph.kernels.shapes import within
from normgraph.kernels.standardization import moments

#: The constant in ONNX's function body, a float32.
EPSILON = float(np.float32(1e-9))


def definition(x: Value, *, axes: Any, epsilon: float, gain: Value | float, bias: Value | float) -> Value:
    """Standardize over any tuple of axes: y = γ·(x − μ)/(√(σ²) + ε) + β.

    ε stands outside the root and is in units of x.
    """
    mean, variance = moments(x, axes=axes)
    return (x - mean) / (sqrt(variance) + epsilon) * gain + bias


def mean_variance_normalization(x: Array, *, axes: Sequence[int] = (0, 2, 3), epsilon: float = EPSILON) -> Array:
    """Mean-variance normalization, y = (x − μ)/(σ + ε).

    Mean μ and standard deviation σ (of the population) belong to one position of the other axes; by default
    to one channel of (N, C, H, W), over the batch. There are no parameters.

    Args:
        x: any shape that has these axes, floating.
        axes: the axes to normalize over, each in [−r, r), none twice.
        epsilon: ε, added to the standard deviation, so in units of x, not x². It is no attribute of the
            operator but a constant of its function body. ONNX Runtime's CPU kernel leaves it out: constant
            values give NaN there instead of 0.

    Returns:
        y, x's shape and dtype; computed in float64 and rounded once.

    Raises:
        ValueError: an axis isn't one of x's or is named twice, or x isn't floating.

    Source: ONNX MeanVarianceNormalization-9 and -13.

    >>> import numpy as np
    >>> mean_variance_normalization(np.array([[1.0, 3.0], [7.0, 7.0]]), axes=(1,)).round(6)
    array([[-1.,  1.],
           [ 0.,  0.]])
    """
    operator = "MeanVarianceNormalization"
    require_floating(operator, X=x)
    over = tuple(sorted(within(operator, axis, x) for axis in axes))
    if len(set(over)) < len(over):
        raise ValueError(f"{operator}: no axis may be named twice; axes are {tuple(axes)}, X has shape {x.shape}")
    return evaluate(definition, x, whole_axes=over, axes=over, epsilon=epsilon, gain=1.0, bias=0.0)
