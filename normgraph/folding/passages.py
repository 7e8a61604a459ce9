"""Passages: the operators that an affine map passes through, and how it looks on the other side.

f passes a map if f(a·u + b) = a'·f(u) + b'.  Read from left to right that carries the map forward, from f's inputs to
its outputs; read from right to left, backward.  Most operators only move elements or average them, and do to a and b
what they do to u: `PASSAGES` has one row for each.  What an input isn't mapped by counts as a = 1, b = 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from normgraph.diagnosis import Shortfall
from normgraph.facts import SIGNS_OF_INVALID_NODES, Facts
from normgraph.folding import moves, sums, windows
from normgraph.folding.channel_map import ChannelMap, Float64
from normgraph.folding.moves import Carried, Move

#: Carries maps across a node: (node, maps on one side, facts) → maps on the other side, or why it can't.
Carry = Callable[[ir.Node, Sequence[ChannelMap], Facts], Carried | Shortfall]
#: What must hold of the maps on the inner side for a move to commute with them.
Condition = Callable[[ir.Node, ChannelMap, Facts], Shortfall | None]


@dataclass(frozen=True, slots=True)
class Passage:
    """A row of the table.

    Attributes:
        forward: from maps of the data operands to maps of the outputs; None where it passes nothing that way.
        backward: from maps of the outputs to maps of the data operands.
        operands: how many of the first inputs are data, None for all.
    """

    forward: Carry | None
    backward: Carry | None
    operands: int | None = 1

    def data(self, node: ir.Node) -> Sequence[ir.Value | None]:
        """The data operands of a node."""
        return node.inputs[: self.operands]


def _moving(forward: Move, backward: Move, condition: Condition | None = None, operands: int | None = 1) -> Passage:
    """An operator that does to the coefficients of a map what it does to the tensor."""

    def carrying(move: Move) -> Carry:
        def carry(node: ir.Node, maps: Sequence[ChannelMap], facts: Facts) -> Carried | Shortfall:
            for channel_map in maps:
                shortfall = None if condition is None else condition(node, channel_map, facts)
                if shortfall is not None:
                    return shortfall
            try:
                scales = move(node, [channel_map.scale for channel_map in maps], 1.0, facts)
                shifts = move(node, [channel_map.shift for channel_map in maps], 0.0, facts)
            except SIGNS_OF_INVALID_NODES as failure:
                return Shortfall("invalid-node", f"{node.op_type} doesn't fit its operands: {failure}")
            if isinstance(scales, Shortfall):
                return scales
            if isinstance(shifts, Shortfall):
                return shifts
            return Carried(tuple(ChannelMap(a, b) for a, b in zip(scales, shifts, strict=True)))

        return carry

    return Passage(carrying(forward), carrying(backward), operands)


def _same(node: ir.Node, arrays: Sequence[Float64], fill: float, facts: Facts) -> list[Float64]:
    return [arrays[0]]


_UNCHANGED = _moving(_same, _same)
_REGROUPED = _moving(moves.regroup, moves.regroup_back)

#: Operator → its row.
PASSAGES: Mapping[str, Passage] = {
    "Add": Passage(None, sums.addition, operands=None),
    "AveragePool": _moving(_same, _same, windows.averages),
    "Concat": _moving(moves.concat, moves.concat_back, operands=None),
    "DepthToSpace": _moving(moves.depth_to_space, moves.depth_to_space_back, windows.flat),
    "Dropout": _moving(moves.first_output, _same, windows.inference),
    "Flatten": _REGROUPED,
    "Gather": _moving(moves.gather, moves.gather_back),
    "GlobalAveragePool": _moving(_same, _same, windows.flat),
    "GlobalMaxPool": _moving(_same, _same, windows.greatest),
    "Identity": _UNCHANGED,
    "MaxPool": _moving(moves.first_output, _same, windows.greatest),
    "Pad": Passage(windows.pad_forward, windows.pad_backward),
    "ReduceMean": _moving(moves.reduce, moves.reduce_back),
    "Reshape": _REGROUPED,
    "Resize": _moving(_same, _same, windows.interpolates),
    "Slice": _moving(moves.cut, moves.cut_back),
    "SpaceToDepth": _moving(moves.space_to_depth, moves.space_to_depth_back, windows.flat),
    "Split": _moving(moves.split, moves.split_back),
    "Squeeze": _REGROUPED,
    "Sub": Passage(None, sums.subtraction, operands=None),
    "Sum": Passage(None, sums.addition, operands=None),
    "Transpose": _moving(moves.transpose, moves.transpose_back),
    "Unsqueeze": _REGROUPED,
    "Upsample": _moving(_same, _same, windows.interpolates),
}


def passage_of(node: ir.Node) -> Passage | None:
    """The node's row of the table, None for an operator that nothing is known of."""
    return None if node.domain else PASSAGES.get(node.op_type)
