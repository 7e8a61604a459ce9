"""BatchNormalization as what takes a map in: where nothing linear stands near, two maps become one.

a·(γ·n + β) + b = (a·γ)·n + (a·β + b), n being what is normalized.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from normgraph.constants import attribute
from normgraph.diagnosis import Shortfall
from normgraph.facts import Facts
from normgraph.folding.channel_map import ChannelMap
from normgraph.folding.linear import Linear, with_row
from normgraph.folding.linear_operator import LinearOperator, Weights, along, layout_of


def _effective(node: ir.Node, weights: Weights, rank: int) -> Weights | None:
    """γ and β, one number per channel; in training mode, too, they'd be no others, but what is read besides would."""
    training = attribute(node, "training_mode", 0) or len(node.outputs) > 1
    if training or not attribute(node, "spatial", 1) or weights.weight.ndim != 1:
        return None
    return replace(weights, bias=along(np.broadcast_to(weights.bias.reshape(-1), weights.weight.size), rank, 1))


def _behind(node: ir.Node, weights: Weights, channel_map: ChannelMap) -> Weights | Shortfall:
    vectors = channel_map.vectors(1, weights.weight.size)
    if vectors is None:
        return layout_of("BatchNormalization")
    scale, shift = vectors
    rank = channel_map.rank
    return Weights(weights.weight * scale, weights.bias * along(scale, rank, 1) + along(shift, rank, 1))


def _before(node: ir.Node, weights: Weights, channel_map: ChannelMap) -> Weights | Shortfall:
    """A map before it is folded the other way round: it is a BatchNormalization, or it is none that stands alone."""
    return layout_of("BatchNormalization")


_ROW = LinearOperator(0, 1, 2, _effective, _behind, _before, lambda bias: bias.reshape(-1), (0,), 1)


def normalization_of(node: ir.Node, facts: Facts) -> Linear | None:
    """The node as a BatchNormalization whose scale and bias are constant, or None."""
    return with_row(node, _ROW, facts) if node.op_type == "BatchNormalization" and not node.domain else None
