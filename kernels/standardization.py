"""Mean, variance and the standardization that five of the normalizations have in common."""

from __future__ import annotations

from typing import Any

from normgraph.kernels.arithmetic import Value, sqrt


def moments(x: Value, *, axes: Any) -> tuple[Value, Value]:
    """Mean and variance of the population: μ = E[x], σ² = E[(x − μ)²].

    The variance is that of the N values present (no Bessel's correction), as everywhere in ONNX. Taken from
    the deviations it keeps its accuracy where the mean is large against the deviation, which E[x²] − μ²
    doesn't.

    Args:
        x: the value.
        axes: the axes to average over.

    Returns:
        Mean and variance, with extent one along `axes`.
    """
    mean = x.mean(axis=axes, keepdims=True)
    deviation = x - mean
    return mean, (deviation * deviation).mean(axis=axes, keepdims=True)


def standardize(x: Value, *, axes: Any, epsilon: float) -> Value:
    """Standardize, (x − μ)/√(σ² + ε), the statistics over `axes`; ε is in units of x²."""
    mean, variance = moments(x, axes=axes)
    return (x - mean) / sqrt(variance + epsilon)
