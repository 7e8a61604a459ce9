"""BatchNormalization: each channel standardized, by stored statistics or by those of the batch."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from normgraph.kernels.arithmetic import Value, sqrt
from normgraph.kernels.precision import Array, Float64, blocks, evaluate, require_floating
from normgraph.kernels.shapes import per_channel, require_population, require_rank
from normgraph.kernels.standardization import moments, standardize

_OPERATOR = "BatchNormalization"


def definition(x: Value, *, axes: Any, epsilon: float, gain: Value | float, bias: Value | float) -> Value:
    """Standardize over all axes but the channel (training): y = γ·(x − μ)/√(σ² + ε) + β; ε in units of x²."""
    return standardize(x, axes=axes, epsilon=epsilon) * gain + bias


def inference_definition(
    x: Value, *, mean: Value, variance: Value, epsilon: float, gain: Value | float, bias: Value | float
) -> Value:
    """Standardize by stored statistics: y = γ·(x − m)/√(v + ε) + β; ε in units of x².

    An affine map of x: y = a·x + b with a = γ/√(v + ε) and b = β − a·m.
    """
    return (x - mean) / sqrt(variance + epsilon) * gain + bias


class Training(NamedTuple):
    """What BatchNormalization gives in training mode.

    Attributes:
        y: the normalized batch, x's shape and dtype.
        running_mean: (C,), in the dtype of the running mean put in.
        running_variance: (C,), in the dtype of the running variance put in.
    """

    y: Array
    running_mean: Array
    running_variance: Array


def batch_normalization(
    x: Array, scale: Array, bias: Array, mean: Array, variance: Array, *, epsilon: float = 1e-5
) -> Array:
    """Batch normalization at inference, y = scale·(x − mean)/√(variance + ε) + bias.

    The statistics are stored, one of each for a channel; nothing is computed from x. A layer has 2·C
    parameters (scale and bias: BatchNorm2d(5) 10); the 2·C running statistics are state and don't count.

    Args:
        x: (N, C, D₁, …, D_k), or (N,) for a single channel, floating.
        scale: γ, (C,).
        bias: β, (C,).
        mean: m, (C,).
        variance: v, (C,), not negative.
        epsilon: ε, added to the variance, so in units of x². ONNX stores it as a float32: pass the stored
            value.

    Returns:
        y, x's shape and dtype; computed in float64 and rounded once. The operands' dtypes may differ.

    Raises:
        ValueError: a vector isn't (C,), or a dtype isn't floating.

    Source: ONNX BatchNormalization-7 (spatial = 1), -9, and -14 and -15 with training_mode = 0; Ioffe and
    Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift"
    (arXiv:1502.03167).

    >>> import numpy as np
    >>> x, mean, variance = np.array([[1.0, 2.0]]), np.array([0.0, 1.0]), np.array([4.0, 1.0])
    >>> batch_normalization(x, np.array([1.0, 3.0]), np.array([0.0, 1.0]), mean, variance, epsilon=0.0)
    array([[0.5, 4. ]])
    """
    require_floating(_OPERATOR, X=x, scale=scale, B=bias, input_mean=mean, input_var=variance)
    channelled = _channelled(x)
    y = evaluate(
        inference_definition,
        channelled,
        whole_axes=(),
        mean=per_channel(_OPERATOR, "input_mean", mean, channelled),
        variance=per_channel(_OPERATOR, "input_var", variance, channelled),
        epsilon=epsilon,
        gain=per_channel(_OPERATOR, "scale", scale, channelled),
        bias=per_channel(_OPERATOR, "B", bias, channelled),
    )
    return y.reshape(x.shape)


def batch_normalization_training(
    x: Array,
    scale: Array,
    bias: Array,
    running_mean: Array,
    running_variance: Array,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
) -> Training:
    """Batch normalization in training mode, y = scale·(x − μ)/√(σ² + ε) + bias.

    Mean μ and variance σ² (of the population) belong to one channel: they are taken over the batch and all
    positions, so that a sample's result depends on the others. The running statistics follow them:

        running_mean' = momentum·running_mean + (1 − momentum)·μ
        running_variance' = momentum·running_variance + (1 − momentum)·σ²

    PyTorch's momentum is 1 − this one, and it feeds the running variance with Bessel's n/(n − 1)·σ².

    Args:
        x: (N, C, D₁, …, D_k), or (N,) for a single channel, floating.
        scale: γ, (C,).
        bias: β, (C,).
        running_mean: (C,).
        running_variance: (C,).
        epsilon: ε, added to the variance, so in units of x². ONNX stores it as a float32: pass the stored
            value.
        momentum: the share of the running statistics that stays, a pure number.

    Returns:
        The normalized batch and the new running statistics; computed in float64 and rounded once.

    Raises:
        ValueError: a vector isn't (C,), the batch is empty, or a dtype isn't floating.

    Source: ONNX BatchNormalization-14 and -15 with training_mode = 1; Ioffe and Szegedy (arXiv:1502.03167).

    >>> import numpy as np
    >>> x, one, zero = np.array([[1.0], [3.0]]), np.array([1.0]), np.array([0.0])
    >>> result = batch_normalization_training(x, one, zero, zero, one, epsilon=0.0, momentum=0.75)
    >>> result.y.tolist(), result.running_mean, result.running_variance
    ([[-1.0], [1.0]], array([0.5]), array([1.]))
    """
    require_floating(_OPERATOR, X=x, scale=scale, B=bias, input_mean=running_mean, input_var=running_variance)
    channelled = _channelled(x)
    axes = (0, *range(2, channelled.ndim))
    require_population(_OPERATOR, channelled, axes)
    for name, vector in (("input_mean", running_mean), ("input_var", running_variance)):
        per_channel(_OPERATOR, name, vector, channelled)
    y = evaluate(
        definition,
        channelled,
        whole_axes=axes,
        axes=axes,
        epsilon=epsilon,
        gain=per_channel(_OPERATOR, "scale", scale, channelled),
        bias=per_channel(_OPERATOR, "B", bias, channelled),
    )
    mean, variance = _batch_statistics(channelled, axes)
    return Training(
        y.reshape(x.shape),
        _moved(running_mean, mean, momentum),
        _moved(running_variance, variance, momentum),
    )


def _channelled(x: Array) -> Array:
    """Give x a channel axis: ONNX takes a tensor of rank 1 for a batch of one channel."""
    require_rank(_OPERATOR, x, 1)
    return x.reshape(-1, 1) if x.ndim == 1 else x


def _batch_statistics(x: Array, axes: tuple[int, ...]) -> tuple[Float64, Float64]:
    """Mean and variance of every channel, each (C,)."""
    mean, variance = np.empty(x.shape[1]), np.empty(x.shape[1])
    with np.errstate(all="ignore"):
        for index in blocks(x.shape, axes):
            of_mean, of_variance = moments(x[index].astype(np.float64), axes=axes)
            mean[index[1]], variance[index[1]] = of_mean.reshape(-1), of_variance.reshape(-1)
    return mean, variance


def _moved(running: Array, current: Float64, momentum: float) -> Array:
    with np.errstate(all="ignore"):
        return (running.astype(np.float64) * momentum + current * (1.0 - momentum)).astype(running.dtype)
