"""Sums of tensors, backward: a·(x + y) + b = (a·x + b) + a·y.

Forward they pass nothing: a map of one operand isn't one of the sum.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from normgraph.diagnosis import Shortfall
from normgraph.facts import Facts
from normgraph.folding.channel_map import ChannelMap
from normgraph.folding.moves import Carried


def addition(node: ir.Node, maps: Sequence[ChannelMap], facts: Facts) -> Carried | Shortfall:
    """Add and Sum: the first operand takes the shift."""
    (channel_map,) = maps
    shapes = [None if value is None else facts.shape(value) for value in (*node.inputs, *node.outputs)]
    if None in shapes or len(set(shapes)) != 1:
        return Shortfall("layout", f"{node.op_type} '{node.name or node.outputs[0].name}' broadcasts its operands")
    scaled = ChannelMap(channel_map.scale, np.zeros_like(channel_map.shift))
    return Carried((channel_map, *(scaled for _ in node.inputs[1:])))


def subtraction(node: ir.Node, maps: Sequence[ChannelMap], facts: Facts) -> Carried | Shortfall:
    """Sub: a·(x − y) + b = (a·x + b) − a·y."""
    return addition(node, maps, facts)
