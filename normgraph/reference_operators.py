"""The kernels as operators of onnx's reference evaluator, in place of its own where these are wrong or fail.

onnx 1.23.2's BatchNormalization is wrong at opsets 9 and 13, its ConvTranspose fails with groups, its
LayerNormalization with double statistics; a convolution by the kernels is bounded in memory; and its sums of 16-bit
floats are rounded after every summand, which no device does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx.reference.op_run import OpRun

from normgraph.kernels.batch_normalization import batch_normalization
from normgraph.kernels.convolution import convolution
from normgraph.kernels.layer_normalization import layer_normalization
from normgraph.kernels.rms_normalization import rms_normalization
from normgraph.kernels.standardization import moments
from normgraph.kernels.transposed_convolution import transposed_convolution


class BatchNormalization(OpRun):
    """Inference-mode BatchNormalization."""

    op_domain = ""

    def _run(self, x: Any, scale: Any, bias: Any, mean: Any, variance: Any, **attributes: Any) -> tuple[Any]:
        if attributes.get("training_mode"):
            raise NotImplementedError("BatchNormalization in training mode")
        return (batch_normalization(x, scale, bias, mean, variance, epsilon=attributes["epsilon"]),)


class Conv(OpRun):
    """Convolution."""

    op_domain = ""

    def _run(self, x: Any, weight: Any, bias: Any = None, **attributes: Any) -> tuple[Any]:
        return (convolution(x, weight, bias, **_given(attributes)),)


class ConvTranspose(OpRun):
    """Transposed convolution."""

    op_domain = ""

    def _run(self, x: Any, weight: Any, bias: Any = None, **attributes: Any) -> tuple[Any]:
        return (transposed_convolution(x, weight, bias, **_given(attributes)),)


class LayerNormalization(OpRun):
    """LayerNormalization, whatever type its statistics are said to be computed in: float32 for 16-bit floats."""

    op_domain = ""

    def _run(self, x: Any, scale: Any, bias: Any = None, **attributes: Any) -> tuple[Any, ...]:
        axis, epsilon = attributes["axis"], attributes["epsilon"]
        mean, variance = moments(x.astype(_accumulator(x)), axes=tuple(range(axis % x.ndim, x.ndim)))
        return layer_normalization(x, scale, bias, axis=axis, epsilon=epsilon), mean, (variance + epsilon) ** -0.5


class RMSNormalization(OpRun):
    """RMSNormalization, whatever type its statistics are said to be computed in."""

    op_domain = ""

    def _run(self, x: Any, scale: Any, **attributes: Any) -> tuple[Any]:
        return (rms_normalization(x, scale, axis=attributes["axis"], epsilon=attributes["epsilon"]),)


class SimplifiedLayerNormalization(OpRun):
    """What ONNX Runtime calls an RMSNormalization; of an operator without a schema nothing tells the defaults."""

    op_domain = ""

    def _run(self, x: Any, scale: Any, **attributes: Any) -> tuple[Any]:
        axis, epsilon = attributes.get("axis", -1), attributes.get("epsilon", 1e-5)
        return (rms_normalization(x, scale, axis=axis, epsilon=epsilon),)


class ReduceMean(OpRun):
    """The mean, 16-bit floats summed up in float32."""

    op_domain = ""

    def _run(self, x: Any, axes: Any = None, **attributes: Any) -> tuple[Any]:
        return (_reduced(np.mean, x, axes, attributes),)


class ReduceSum(OpRun):
    """The sum, 16-bit floats summed up in float32."""

    op_domain = ""

    def _run(self, x: Any, axes: Any = None, **attributes: Any) -> tuple[Any]:
        return (_reduced(np.sum, x, axes, attributes),)


def _reduced(reduction: Callable[..., Any], x: Any, axes: Any, attributes: dict[str, Any]) -> Any:
    """A reduction over axes that are an operand or an attribute, rounded once to x's type."""
    over = tuple(int(axis) for axis in np.asarray(axes).reshape(-1)) if axes is not None else ()
    if not over:
        if attributes.get("noop_with_empty_axes"):
            return x
        over = tuple(range(x.ndim))
    keepdims = attributes.get("keepdims")
    result = reduction(x, axis=over, keepdims=keepdims is None or bool(keepdims), dtype=_accumulator(x))
    return np.asarray(result).astype(x.dtype)


def _accumulator(x: Any) -> np.dtype[Any]:
    """The type that statistics of x are computed in."""
    return np.dtype(np.float32) if x.dtype.itemsize == 2 and x.dtype.kind in "fV" else x.dtype


def _given(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes that say something the weight doesn't: kernel_shape only repeats its shape."""
    return {name: value for name, value in attributes.items() if value is not None and name != "kernel_shape"}


OPERATORS = [
    BatchNormalization,
    Conv,
    ConvTranspose,
    LayerNormalization,
    RMSNormalization,
    ReduceMean,
    ReduceSum,
    SimplifiedLayerNormalization,
]
