"""Transfer functions of native normalizations: their kernels, run on polynomials.

They stand in the middle of others: BatchNormalization with computed statistics in Keras' LayerNormalization,
InstanceNormalization between two reshapes in PyTorch's GroupNorm.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from normgraph import algebra
from normgraph.algebra import HALF
from normgraph.constants import attribute
from normgraph.errors import NotRepresentable
from normgraph.forms import Form, Scope
from normgraph.kernels import instance_normalization as instance
from normgraph.kernels import layer_normalization as layer
from normgraph.kernels import rms_normalization as rms
from normgraph.kernels.arithmetic import Definition


def _scaled(form: Form, scale: Form, bias: Form, dimension: int, scope: Scope) -> tuple[Form, Form]:
    """Per-channel scale and bias of a normalization operator, moved to the channels' dimension."""
    trailing = ((),) * (len(form.layout) - dimension - 1)
    return (
        Form(scale.value, scale.layout + trailing, scale.dtype),
        Form(bias.value, bias.layout + trailing, bias.dtype),
    )


def _affine(normalized: Form, gain: Form, bias: Form, scope: Scope) -> Form:
    a, b, layout = scope.aligned(normalized, gain)
    scaled = Form(a * b, layout, normalized.dtype)
    a, b, layout = scope.aligned(scaled, bias)
    return Form(a + b, layout, normalized.dtype)


def batch_normalization(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
    """BatchNormalization with given statistics: (x − mean)·(variance + ε)^(−½)·scale + B, per channel."""
    # Before version 14 it is the outputs that are asked for which tell training from inference.
    statistics = scope.facts.opset < 14 and any(output.name for output in node.outputs[1:])
    if attribute(node, "training_mode", 0) or statistics:
        raise NotRepresentable("training-mode", "the BatchNormalization computes statistics of its batch")
    x, scale, bias, mean, variance = operands
    if any(len(parameter.layout) != 1 for parameter in operands[1:]):  # spatial = 0, before version 9
        raise NotRepresentable("spatial", "the BatchNormalization has a parameter for each position")
    epsilon = attribute(node, "epsilon", 1e-5)
    mean, variance = _scaled(x, mean, variance, 1, scope)
    scale, bias = _scaled(x, scale, bias, 1, scope)
    a, b, layout = scope.aligned(x, mean)
    centred = Form(a - b, layout, x.dtype)
    deviation = Form((variance.value + epsilon) ** -HALF, variance.layout, x.dtype)
    a, b, layout = scope.aligned(centred, deviation)
    return _affine(Form(a * b, layout, x.dtype), scale, bias, scope)


def instance_normalization(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
    """InstanceNormalization: over all dimensions but the first two."""
    x, scale, bias = operands
    over = frozenset(axis for dimension in x.layout[2:] for axis in dimension)
    y = instance.definition(x.value, axes=over, epsilon=attribute(node, "epsilon", 1e-5), gain=1.0, bias=0.0)
    return _affine(Form(y, x.layout, x.dtype), *_scaled(x, scale, bias, 1, scope), scope)


def layer_normalization(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
    """LayerNormalization: over the dimensions from `axis` on."""
    return _over_trailing(layer.definition, node, operands, scope)


def rms_normalization(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
    """RMSNormalization: over the dimensions from `axis` on."""
    return _over_trailing(rms.definition, node, operands, scope)


def _over_trailing(definition: Definition, node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
    x = operands[0]
    first = attribute(node, "axis", -1) % len(x.layout)
    over = frozenset(axis for dimension in x.layout[first:] for axis in dimension)
    y = definition(x.value, axes=over, epsilon=attribute(node, "epsilon", 1e-5), gain=1.0, bias=0.0)
    zero = Form(algebra.constant(0.0), (), x.dtype)
    return _affine(Form(y, x.layout, x.dtype), operands[1], operands[2] if len(operands) > 2 else zero, scope)
