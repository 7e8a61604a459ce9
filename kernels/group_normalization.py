"""GroupNormalization: each group of channels of each sample standardized together."""

from __future__ import annotations

from typing import Any

from normgraph.kernels.arithmetic import Value
from normgraph.kernels.precision import Array, evaluate, require_floating
from normgraph.kernels.shapes import require_rank
from normgraph.kernels.standardization import standardize


def definition(x: Value, *, axes: Any, epsilon: float, gain: Value | float, bias: Value | float) -> Value:
    """Standardize (N, G, C/G, D₁, …) over all axes behind G: y = γ·(x − μ)/√(σ² + ε) + β.

    ε is in units of x². γ and β, one number for each channel, stand as (G, C/G, 1, …).
    """
    return standardize(x, axes=axes, epsilon=epsilon) * gain + bias


def group_normalization(x: Array, scale: Array, bias: Array, *, num_groups: int, epsilon: float = 1e-5) -> Array:
    """Group normalization, y = scale·(x − μ)/√(σ² + ε) + bias.

    The C channels are split into G groups of C/G neighbours, the group being the leading factor. Mean μ and
    variance σ² (of the population) belong to one group of one sample: they are taken over its channels and
    all positions, never over the batch. G = C is InstanceNormalization; G = 1 standardizes a whole sample.
    There are 2·C parameters.

    Args:
        x: (N, C, D₁, …, D_k), floating.
        scale: γ, (C,) as in version 21, or (G,) as in version 18, where a group has one scale.
        bias: β, shaped like scale.
        num_groups: G, a divisor of C.
        epsilon: ε, added to the variance, so in units of x². ONNX stores it as a float32: pass the stored
            value.

    Returns:
        y, x's shape and dtype; computed in float64 and rounded once, whatever ``stash_type`` would be. The
        operands' dtypes may differ.

    Raises:
        ValueError: num_groups doesn't divide C, scale or bias is neither (C,) nor (G,), or a dtype isn't
            floating.

    Source: ONNX GroupNormalization-21 and the deprecated -18; Wu and He, "Group Normalization"
    (arXiv:1803.08494).

    >>> import numpy as np
    >>> x = np.array([[[1.0], [3.0], [10.0], [20.0]]])
    >>> group_normalization(x, np.ones(4), np.zeros(4), num_groups=2, epsilon=0.0).reshape(-1)
    array([-1.,  1., -1.,  1.])
    """
    operator = "GroupNormalization"
    require_floating(operator, X=x, scale=scale, bias=bias)
    require_rank(operator, x, 2)
    batch, channels, *spatial = x.shape
    if num_groups < 1 or channels % num_groups:
        raise ValueError(
            f"{operator}: num_groups must divide the number of channels; it is {num_groups}, X has shape {x.shape}"
        )
    split = x.reshape(batch, num_groups, channels // num_groups, *spatial)
    axes = tuple(range(2, split.ndim))
    y = evaluate(
        definition,
        split,
        whole_axes=axes,
        axes=axes,
        epsilon=epsilon,
        gain=_split("scale", scale, num_groups, split, x),
        bias=_split("bias", bias, num_groups, split, x),
    )
    return y.reshape(x.shape)


def _split(name: str, vector: Array, num_groups: int, split: Array, x: Array) -> Array:
    """A vector for each channel as (G, C/G, 1, …), one for each group as (G, 1, 1, …)."""
    if vector.shape not in (x.shape[1:2], (num_groups,)):
        raise ValueError(
            f"GroupNormalization: {name} must have shape (C,) = {x.shape[1:2]} or (G,) = ({num_groups},); "
            f"it has shape {vector.shape}, X has shape {x.shape}"
        )
    within_group = split.shape[2] if vector.shape == x.shape[1:2] else 1
    return vector.reshape(num_groups, within_group, *(1,) * (split.ndim - 3))
