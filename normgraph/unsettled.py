"""What a second look at a model is for: where a rewrite may have brought to light what didn't show before.

A look at everything would find it, too, and mostly in vain. A statistic is left over only where nothing was made of it,
and it matters only if it meets what it is taken of again. A norm that stands there as an operator can't become another
unless something beside it can be taken in.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from normgraph.candidates import NATIVE_STATISTICS, begins_search
from normgraph.facts import Facts, graphs_of
from normgraph.match import Match
from normgraph.transfer import LAYOUT_OPERATORS, transfer_of

#: A statistic is followed at most so many nodes; where it ends isn't known then.
MAXIMAL_FOLLOWED = 24


def is_unsettled(node: ir.Node, facts: Facts) -> bool:
    """Whether a search that begins at the node may find anything once what it would have found is rewritten."""
    if not begins_search(node, facts):
        return False
    if node.op_type not in NATIVE_STATISTICS:
        return _meets_another(node, facts)
    whole = node.op_type == "InstanceNormalization"
    return _has_behind(node.outputs[0], facts) or (whole and _is_moved(node.inputs[0]))


def may_uncover(model: ir.Model, matches: Sequence[Match], facts: Facts) -> bool:
    """Whether something that can't be seen yet may show once these normalizations are fused."""
    if not matches:
        return False
    for match in matches:
        whole = "InstanceNormalization" in match.norm.kinds
        if match.norm.over and (_has_behind(match.output, facts) or (whole and _is_moved(match.base))):
            return True
    covered = {node for match in matches for node in match.nodes}
    left = (node for graph in graphs_of(model) for node in graph if node not in covered)
    return any(node.op_type not in NATIVE_STATISTICS and is_unsettled(node, facts) for node in left)


def _is_moved(value: ir.Value | None) -> bool:
    """Whether a value was made by moving elements."""
    node = None if value is None else value.producer()
    return node is not None and not node.domain and node.op_type in LAYOUT_OPERATORS


def _has_behind(value: ir.Value, facts: Facts) -> bool:
    """Whether a node that computes something reads the value, moved or not, and beside it nothing but constants."""
    pending, seen = [value], set[ir.Node]()
    while pending:
        for use in pending.pop().uses():
            node = use.node
            if node in seen or _varying(node, facts) != 1:
                continue
            if node.op_type not in LAYOUT_OPERATORS or len(seen) > MAXIMAL_FOLLOWED:
                return True
            seen.add(node)
            pending.extend(node.outputs)
    return False


def _meets_another(node: ir.Node, facts: Facts) -> bool:
    """Whether what is computed of a statistic meets anything else that isn't constant."""
    pending, seen = [node], set[ir.Node]()
    while pending:
        node = pending.pop()
        for value in node.outputs:
            for use in value.uses():
                varying = 0 if use.node in seen else _varying(use.node, facts)
                if varying > 1 or len(seen) > MAXIMAL_FOLLOWED:
                    return True
                if varying:
                    seen.add(use.node)
                    pending.append(use.node)
    return False


def _varying(node: ir.Node, facts: Facts) -> int:
    """How many operands of a node aren't constant; none of one that the algebra doesn't know."""
    transfer = transfer_of(node, facts)
    operands = () if transfer is None else transfer.operands_of(node)
    return sum(operand is not None and not facts.depends_on_shapes_only(operand) for operand in operands)
