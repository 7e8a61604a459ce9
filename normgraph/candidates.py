"""Candidates for the base tensor of a statistic: the values through which all that it is computed from has passed."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from normgraph.facts import FLOATING, Facts
from normgraph.transfer import LAYOUT_OPERATORS, transfer_of

#: At most this many dominators of a statistic are tried as its base.
MAXIMAL_CANDIDATES = 8
#: Beside reductions, the nodes at which a search begins: the native norm that other norms are written with.
NATIVE_STATISTICS = frozenset({"InstanceNormalization"})
#: Operators before a norm that are better taken into its region, if their inverse stands behind it.
_WIDENING = frozenset({"Cast", "Flatten", "Reshape", "Squeeze", "Unsqueeze"})


def dominators_of(graph: ir.Graph, facts: Facts) -> dict[ir.Value, ir.Value | None]:
    """Each value's immediate dominator among the values joined by transfer functions; None for those without."""
    parents: dict[ir.Value, ir.Value | None] = {}
    depths: dict[ir.Value, int] = {}

    def common(a: ir.Value, b: ir.Value) -> ir.Value | None:
        left: ir.Value | None = a
        right: ir.Value | None = b
        while left is not right:
            if left is None or right is None:
                return None
            if depths.get(left, 0) >= depths.get(right, 0):
                left = parents.get(left)
            else:
                right = parents.get(right)
        return left

    for node in graph:
        transfer = transfer_of(node, facts)
        if transfer is None:
            continue
        operands = [v for v in transfer.operands_of(node) if v is not None and not facts.depends_on_shapes_only(v)]
        if not operands:
            continue
        dominator: ir.Value | None = operands[0]
        for operand in operands[1:]:
            dominator = None if dominator is None else common(dominator, operand)
        output = node.outputs[0]
        parents[output] = dominator
        depths[output] = 0 if dominator is None else depths.get(dominator, 0) + 1
    return parents


def candidates_for(reduction: ir.Node, dominators: dict[ir.Value, ir.Value | None], facts: Facts) -> Iterator[ir.Value]:
    """Dominators of the statistic that are read more than once, the nearest first, unless it was cast or reshaped.

    What a native norm reads needn't be read by anything else, but only its layout may have been changed before.
    """
    if reduction.op_type in NATIVE_STATISTICS:
        yield from _before_layout(reduction.inputs[0])
        return
    chain: list[ir.Value] = []
    value = reduced_by(reduction, facts)
    while value is not None:
        chain.append(value)
        value = dominators.get(value)
    candidates: list[ir.Value] = []
    for position, value in enumerate(chain):
        previous = chain[position - 1].producer() if position else None
        widens = previous is not None and value in previous.inputs and _widens(previous, facts)
        if widens and chain[position - 1] in candidates:
            candidates.insert(candidates.index(chain[position - 1]), value)
        elif len(value.uses()) > 1:
            candidates.append(value)
    yield from (v for v in candidates[:MAXIMAL_CANDIDATES] if facts.dtype(v) in FLOATING)


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
