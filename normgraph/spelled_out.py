"""BatchNormalizations that are spelled out in Sub, Div, Mul and Add and that no linear neighbour can take in.

They have no statistics to be found by: they are affine maps per channel, of the second dimension.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

import onnx_ir as ir

from normgraph.affine import Affine, affine_maps, continues_affine, leads_to_scale
from normgraph.facts import FLOATING, Facts
from normgraph.folding import BACKWARD, FORWARD, FoldPlan, plans_for
from normgraph.interpret import interpret
from normgraph.match import Match
from normgraph.norms import Norm

#: Nodes that such a map may begin with.
_FIRST = frozenset({"Add", "Div", "Mul", "Sub"})


def find_batch_normalizations(graph: ir.Graph, facts: Facts, matches: Sequence[Match]) -> list[Match]:
    """The affine maps per channel of a graph that take two nodes or more and can't be folded away.

    Args:
        graph: the graph.
        facts: the facts about the model.
        matches: the other normalizations of the graph. A map may begin at the result of one, which stays where that is
            fused, but at no value within.
    """
    taken = {node for match in matches for node in match.nodes}
    results = {match.output for match in matches}
    candidates = [
        node
        for node in graph
        if node.op_type in _FIRST and not node.domain and node not in taken and _base(node, results, facts) is not None
    ]
    if not candidates:
        return []
    unavailable = set(taken)
    for direction in (BACKWARD, FORWARD):
        for plan in plans_for(direction, graph, facts, taken):
            if isinstance(plan, FoldPlan):
                unavailable.update(plan.affine.nodes)
    found: list[Match] = []
    for node in candidates:
        affine = None if node in unavailable else _largest(node, graph, results, facts, unavailable)
        if affine is not None:
            unavailable.update(affine.nodes)
            found.append(_match(affine))
    return found


def begins_map(node: ir.Node, facts: Facts) -> bool:
    """Whether a node may be the first of such a map."""
    return node.op_type in _FIRST and not node.domain and _base(node, frozenset(), facts) is not None


def _base(node: ir.Node, results: Set[ir.Value], facts: Facts) -> ir.Value | None:
    """What a map that begins with the node may be one of."""
    base = next((v for v in node.inputs if v is not None and not facts.depends_on_shapes_only(v)), None)
    if base is None or facts.dtype(base) not in FLOATING:
        return None
    if base not in results and continues_affine(base, facts):
        return None
    return base if leads_to_scale(base, facts) else None


def _largest(
    node: ir.Node, graph: ir.Graph, results: Set[ir.Value], facts: Facts, unavailable: set[ir.Node]
) -> Affine | None:
    base = _base(node, results, facts)
    if base is None or (base not in results and base.producer() in unavailable):
        return None
    interpretation = interpret(base, graph, facts)
    if interpretation is None or len(interpretation.layout) < 2 or interpretation.assumed:
        return None
    channels = frozenset(interpretation.layout[1])
    for affine in reversed(affine_maps(interpretation, facts)):
        fits = affine.is_normalization and affine.axes <= channels and len(affine.nodes) > 1
        if fits and unavailable.isdisjoint(affine.nodes):
            return affine
    return None


def _match(affine: Affine) -> Match:
    norm = Norm(("BatchNormalization",), frozenset(), 0.0, affine.scale, affine.shift)
    return Match(norm, affine.base, affine.output, affine.layout, affine.layout, affine.nodes)
