"""Sums of tensors: what adds them, and how maps go backward through that: a·(x + y) + b = (a·x + b) + a·y.

Forward they pass nothing: a map of one operand isn't one of the sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

import onnx_ir as ir

from normgraph.diagnosis import Shortfall
from normgraph.facts import Facts
from normgraph.folding.channel_map import ChannelMap
from normgraph.folding.moves import Carried, called

#: The operators that add tensors up. A Sum is a tree of Adds: addition doesn't ask in which order it broadcasts.
ADDITIONS = frozenset({"Add", "Sum"})


def is_addition(node: ir.Node | None) -> TypeGuard[ir.Node]:
    """Whether a node adds tensors up, and does nothing else."""
    return node is not None and node.op_type in ADDITIONS and not node.domain


def addition(node: ir.Node, maps: Sequence[ChannelMap], facts: Facts) -> Carried | Shortfall:
    """Add and Sum: an operand that stands once takes the shift, or each place of the first one its part of that."""
    shares = [0.0] * len(node.inputs)
    times = {value: node.inputs.count(value) for value in node.inputs}
    bearer = next((value for value in node.inputs if times[value] == 1), node.inputs[0])
    for position, value in enumerate(node.inputs):
        if value is bearer:
            shares[position] = 1 / times[bearer]
    return _shared(node, maps, shares, facts)


def subtraction(node: ir.Node, maps: Sequence[ChannelMap], facts: Facts) -> Carried | Shortfall:
    """Sub: a·(x − y) + b = (a·x + b) − a·y."""
    return _shared(node, maps, (1.0, 0.0), facts)


def _shared(node: ir.Node, maps: Sequence[ChannelMap], shares: Sequence[float], facts: Facts) -> Carried | Shortfall:
    """Each operand is scaled, and takes its share of the shift."""
    (channel_map,) = maps
    shapes = [None if value is None else facts.shape(value) for value in (*node.inputs, *node.outputs)]
    if None in shapes or len(set(shapes)) != 1:
        return Shortfall("layout", f"{called(node)} broadcasts its operands")
    return Carried(tuple(ChannelMap(channel_map.scale, share * channel_map.shift) for share in shares))
