"""Candidates for the base tensor of a statistic.

They are the statistic's dominators: the values through which everything that it is computed from has passed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

import onnx_ir as ir

from normgraph.facts import FLOATING, Facts
from normgraph.foreign import ENTERED
from normgraph.interpret import MAXIMAL_NODES
from normgraph.transfer import LAYOUT_OPERATORS, REDUCTIONS, is_reduction, transfer_of

#: At most this many dominators of a statistic are tried as its base.
MAXIMAL_CANDIDATES = 8
#: Beside reductions, the nodes at which a search begins: native norms that others are written with.
NATIVE_STATISTICS = frozenset({"InstanceNormalization", "LayerNormalization", "RMSNormalization"})
#: Operators before a norm that are better taken into its region, if their inverse stands behind it.
_WIDENING = frozenset({"Cast", "Flatten", "Reshape", "Squeeze", "Unsqueeze"})


def begins_search(node: ir.Node, facts: Facts) -> bool:
    """Whether the node makes a statistic, or is the native norm that other norms are written with."""
    operator = node.op_type
    if operator in REDUCTIONS:
        return is_reduction(node, facts)
    return operator in NATIVE_STATISTICS and not node.domain and bool(node.inputs)


@dataclass(eq=False, slots=True)
class _Place:
    """Where a value stands in the tree of dominators.

    Attributes:
        value: the value.
        parent: its immediate dominator, None where it has none.
        depth: how many dominators it has.
        farther: a dominator to jump to; the place itself at depth zero.
    """

    value: ir.Value
    parent: _Place | None = None
    depth: int = 0
    farther: _Place = field(init=False)

    def __post_init__(self) -> None:
        if self.parent is None:
            self.farther = self
        else:
            # Jumps as long as the two before together, so that their lengths double.
            parent, jump = self.parent, self.parent.farther
            as_long = parent.depth - jump.depth == jump.depth - jump.farther.depth
            self.farther = jump.farther if as_long else parent
            self.depth = parent.depth + 1


class Dominators:
    """The immediate dominator of each value of a graph, among the values joined by transfer functions.

    Beside it each value has a farther dominator to jump to, so that the nearest one that two values have in common is
    found in steps of the logarithm of their depth (Myers, "An applicative random-access stack", 1983).

    Args:
        graph: the graph, its subgraphs aside.
        facts: the facts about the model.
    """

    def __init__(self, graph: ir.Graph, facts: Facts) -> None:
        self._places: dict[ir.Value, _Place] = {}
        for node in graph:
            transfer = transfer_of(node, facts)
            if transfer is None:
                continue
            nearest: _Place | None = None
            found = False
            for operand in transfer.operands_of(node):
                if operand is not None and not facts.depends_on_shapes_only(operand):
                    place = self._places.get(operand) or self._put(operand, None)
                    nearest = _common(nearest, place) if found else place
                    found = True
            if found:
                self._put(node.outputs[0], nearest)

    def is_above(self, dominator: ir.Value, value: ir.Value) -> bool:
        """Whether everything that the value is computed from has passed through the other."""
        top, place = self._places.get(dominator), self._places.get(value)
        return top is not None and place is not None and _up_to(top.depth, place) is top

    def above(self, value: ir.Value | None) -> Iterator[ir.Value]:
        """The value and its dominators, the nearest first."""
        if value is None:
            return
        yield value
        place = self._places.get(value)
        while place is not None and place.parent is not None:
            place = place.parent
            yield place.value

    def _put(self, value: ir.Value, parent: _Place | None) -> _Place:
        place = self._places[value] = _Place(value, parent)
        return place


def _common(a: _Place | None, b: _Place) -> _Place | None:
    """The nearest place that is above both, or one of them."""
    if a is None or a is b:
        return a
    depth = min(a.depth, b.depth)
    left, right = _up_to(depth, a), _up_to(depth, b)
    while left is not right:
        if left.parent is None or right.parent is None:
            return None
        # How far a jump goes is decided by the depth alone; where both meet behind it they may have met before.
        over = left.farther is not right.farther
        left = left.farther if over else left.parent
        right = right.farther if over else right.parent
    return left


def _up_to(depth: int, place: _Place) -> _Place:
    while place.depth > depth:
        assert place.parent is not None, "only a value of depth zero has no dominator"
        place = place.farther if place.farther.depth >= depth else place.parent
    return place


class Candidates:
    """The tensors that the statistics of a graph may be taken of.

    Args:
        graph: the graph, its subgraphs aside.
        facts: the facts about the model.
    """

    def __init__(self, graph: ir.Graph, facts: Facts) -> None:
        self._graph = graph
        self._facts = facts
        self._read_often: dict[ir.Value, bool] = {}

    @cached_property
    def _dominators(self) -> Dominators:
        return Dominators(self._graph, self._facts)

    def of(self, statistic: ir.Node) -> Iterator[ir.Value]:
        """Dominators of a statistic that are read more than once, the nearest first, unless it was cast or reshaped.

        What a native norm reads needn't be read by anything else, but only its layout may have been changed before.
        """
        if statistic.op_type in NATIVE_STATISTICS:
            bases = _before_layout(statistic.inputs[0])
            return (base for base in bases if self._may_be_part(statistic, base))
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

    def _may_be_part(self, native: ir.Node, base: ir.Value) -> bool:
        """Whether a native norm may be part of another norm of the base: of one made of more than moved elements.

        Then a node behind it computes something of the base alone, or with what is known at run time only.  Around an
        InstanceNormalization moved elements are enough.
        """
        whole = native.op_type == "InstanceNormalization"
        if whole and base is not native.inputs[0]:
            return True
        pending = [native.outputs[0]]
        while pending:
            for use in pending.pop().uses():
                reader = use.node
                if transfer_of(reader, self._facts) is None:
                    continue
                if reader.op_type not in LAYOUT_OPERATORS:
                    if reader.op_type in ENTERED or self._dominators.is_above(base, reader.outputs[0]):
                        return True
                elif whole:
                    return True
                else:
                    pending.append(reader.outputs[0])
        return False

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
