"""Candidates for the base tensor of a statistic.

They are the statistic's dominators: the values through which everything that it is computed from has passed.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import onnx_ir as ir

from normgraph.facts import FLOATING, Facts
from normgraph.interpret import MAXIMAL_NODES
from normgraph.transfer import LAYOUT_OPERATORS, is_reduction, transfer_of

#: At most this many dominators of a statistic are tried as its base.
MAXIMAL_CANDIDATES = 8
#: Beside reductions, the nodes at which a search begins: native norms that others are written with.
NATIVE_STATISTICS = frozenset({"InstanceNormalization", "LayerNormalization", "RMSNormalization"})
#: Operators before a norm that are better taken into its region, if their inverse stands behind it.
_WIDENING = frozenset({"Cast", "Flatten", "Reshape", "Squeeze", "Unsqueeze"})


def begins_search(node: ir.Node, facts: Facts) -> bool:
    """Whether the node makes a statistic, or is the native norm that other norms are written with."""
    return (node.op_type in NATIVE_STATISTICS and not node.domain and bool(node.inputs)) or is_reduction(node, facts)


class Dominators:
    """The immediate dominator of each value of a graph, among the values joined by transfer functions.

    Beside it each value has a farther dominator to jump to, so that the nearest one that two values have in common is
    found in steps of the logarithm of their depth (Myers, "An applicative random-access stack", 1983).

    Args:
        graph: the graph, its subgraphs aside.
        facts: the facts about the model.
    """

    def __init__(self, graph: ir.Graph, facts: Facts) -> None:
        self._parents: dict[ir.Value, ir.Value | None] = {}
        self._jumps: dict[ir.Value, ir.Value] = {}
        self._depths: dict[ir.Value, int] = {}
        for node in graph:
            transfer = transfer_of(node, facts)
            if transfer is None:
                continue
            operands = [v for v in transfer.operands_of(node) if v is not None and not facts.depends_on_shapes_only(v)]
            if operands:
                dominator: ir.Value | None = operands[0]
                for operand in operands[1:]:
                    dominator = None if dominator is None else self._common(dominator, operand)
                self._put(node.outputs[0], dominator)

    def above(self, value: ir.Value | None) -> Iterator[ir.Value]:
        """The value and its dominators, the nearest first."""
        while value is not None:
            yield value
            value = self._parents.get(value)

    def _put(self, value: ir.Value, parent: ir.Value | None) -> None:
        self._parents[value] = parent
        if parent is None:
            return
        self._depths[value] = self._depth(parent) + 1
        jump = self._jump(parent)
        farther = self._jump(jump)
        as_long = self._depth(parent) - self._depth(jump) == self._depth(jump) - self._depth(farther)
        self._jumps[value] = farther if as_long else parent

    def _depth(self, value: ir.Value) -> int:
        return self._depths.get(value, 0)

    def _jump(self, value: ir.Value) -> ir.Value:
        return self._jumps.get(value, value)

    def _common(self, a: ir.Value, b: ir.Value) -> ir.Value | None:
        depth = min(self._depth(a), self._depth(b))
        left, right = self._up_to(depth, a), self._up_to(depth, b)
        while left is not right:
            if not self._depth(left):
                return None
            # How far a jump goes is decided by the depth alone; where both meet behind it they may have met before.
            over = self._jump(left) is not self._jump(right)
            left = self._jump(left) if over else self._parent(left)
            right = self._jump(right) if over else self._parent(right)
        return left

    def _up_to(self, depth: int, value: ir.Value) -> ir.Value:
        while self._depth(value) > depth:
            jump = self._jump(value)
            value = jump if self._depth(jump) >= depth else self._parent(value)
        return value

    def _parent(self, value: ir.Value) -> ir.Value:
        parent = self._parents[value]
        assert parent is not None, "only a value of depth zero has no dominator"
        return parent


class Candidates:
    """The tensors that the statistics of a graph may be taken of.

    Args:
        graph: the graph, its subgraphs aside.
        facts: the facts about the model.
    """

    def __init__(self, graph: ir.Graph, facts: Facts) -> None:
        self._dominators = Dominators(graph, facts)
        self._facts = facts
        self._read_often: dict[ir.Value, bool] = {}

    def of(self, statistic: ir.Node) -> Iterator[ir.Value]:
        """Dominators of a statistic that are read more than once, the nearest first, unless it was cast or reshaped.

        What a native norm reads needn't be read by anything else, but only its layout may have been changed before.
        """
        if statistic.op_type in NATIVE_STATISTICS:
            return _before_layout(statistic.inputs[0])
        found: list[ir.Value] = []
        previous: ir.Value | None = None
        # From beyond so many dominators no interpretation reaches the statistic.
        for value in islice(self._dominators.above(reduced_by(statistic, self._facts)), MAXIMAL_NODES):
            node = None if previous is None else previous.producer()
            widens = node is not None and value in node.inputs and _widens(node, self._facts)
            if widens and previous in found:
                found.insert(found.index(previous), value)
            elif len(found) >= MAXIMAL_CANDIDATES:
                break
            elif self._is_read_often(value):
                found.append(value)
            previous = value
        return (value for value in found[:MAXIMAL_CANDIDATES] if self._facts.dtype(value) in FLOATING)

    def _is_read_often(self, value: ir.Value) -> bool:
        known = self._read_often.get(value)
        if known is None:
            known = self._read_often[value] = len(value.uses()) > 1
        return known


def _widens(node: ir.Node, facts: Facts) -> bool:
    """Whether the node before a norm is better taken into its region: one that its inverse undoes, or that centres."""
    weights = [facts.constants.weights(v) for v in node.inputs[:2]] if node.op_type in ("Gemm", "MatMul") else []
    return node.op_type in _WIDENING or any(found is not None and found.own != 0.0 for found in weights)


def reduced_by(reduction: ir.Node, facts: Facts) -> ir.Value | None:
    """The value of which a node makes a statistic."""
    operands = [value for value in reduction.inputs if value is not None]
    return next((value for value in operands if not facts.depends_on_shapes_only(value)), operands[0])


def _before_layout(value: ir.Value | None) -> Iterator[ir.Value]:
    for _ in range(MAXIMAL_CANDIDATES):
        if value is None:
            return
        yield value
        node = value.producer()
        if node is None or node.domain or node.op_type not in LAYOUT_OPERATORS:
            return
        value = node.inputs[0]
