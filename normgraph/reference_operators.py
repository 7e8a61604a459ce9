"""The kernels as operators of onnx's reference evaluator, in place of its own where these are wrong or fail.

onnx 1.23.2's BatchNormalization is wrong at opsets 9 and 13, its ConvTranspose fails with groups, its
LayerNormalization with double statistics; and a convolution by the kernels is bounded in memory.
"""

from __future__ import annotations

from typing import Any

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
    """LayerNormalization, whatever type its statistics are said to be computed in."""

    op_domain = ""

    def _run(self, x: Any, scale: Any, bias: Any = None, **attributes: Any) -> tuple[Any, ...]:
        axis, epsilon = attributes["axis"], attributes["epsilon"]
        mean, variance = moments(x, axes=tuple(range(axis % x.ndim, x.ndim)))
        return layer_normalization(x, scale, bias, axis=axis, epsilon=epsilon), mean, (variance + epsilon) ** -0.5


class RMSNormalization(OpRun):
    """RMSNormalization, whatever type its statistics are said to be computed in."""

    op_domain = ""

    def _run(self, x: Any, scale: Any, **attributes: Any) -> tuple[Any]:
        return (rms_normalization(x, scale, axis=attributes["axis"], epsilon=attributes["epsilon"]),)


def _given(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes that say something the weight doesn't: kernel_shape only repeats its shape."""
    return {name: value for name, value in attributes.items() if value is not None and name != "kernel_shape"}


OPERATORS = [BatchNormalization, Conv, ConvTranspose, LayerNormalization, RMSNormalization]
