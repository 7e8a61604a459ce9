"""Matching: which values of a graph are normalizations, of what, and what stands in the way of those that nearly are.

Candidates for the base tensor of a statistic are its dominators: the values through which everything that the
statistic is computed from has passed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from normgraph.atoms import Mean
from normgraph.axes import Layout
from normgraph.diagnosis import Shortfall, diagnose, is_divisor, looks_normalized
from normgraph.facts import FLOATING, Facts
from normgraph.interpret import Interpretation, Unknown, interpret
from normgraph.norms import Norm, recognise
from normgraph.region import Escape, escapes, reads_only_shape, region_of
from normgraph.transfer import LAYOUT_OPERATORS, is_reduction, transfer_of

#: At most this many dominators of a statistic are tried as its base.
MAXIMAL_CANDIDATES = 8
#: A root is looked for at most this many nodes behind a statistic that couldn't be followed further.
MAXIMAL_LOOKAHEAD = 16
#: Beside reductions, the nodes at which a search begins: the native norm that other norms are written with.
_NATIVE = frozenset({"InstanceNormalization"})
#: Operators before a norm that are better taken into its region, if their inverse stands behind it.
_WIDENING = frozenset({"Cast", "Flatten", "Reshape", "Squeeze", "Unsqueeze"})
#: Rules that say little: any other reason for the same statistic is given instead.
UNTELLING = frozenset({"different-base", "not-a-normalization"})
_ROOTS = frozenset({"Sqrt", "Pow", "ReduceL2"})


@dataclass(frozen=True)
class Match:
    """A normalization found in a graph.

    Attributes:
        norm: what it computes.
        base: the tensor that is normalized.
        output: the normalized tensor, of the base's type.
        layout: the axes of the base's dimensions.
        output_layout: those of the output's, a permutation of the base's.
        nodes: the region, in the order of the graph.
        shape_readers: nodes outside that read the shape of a value made in the region; the base has the same shape.
        assumed: sizes that constants demand of dynamic dimensions of the base: (dimension, size).
        obstacle: why it can't be replaced although it is recognised, None if it can.
    """

    norm: Norm
    base: ir.Value
    output: ir.Value
    layout: Layout
    output_layout: Layout
    nodes: tuple[ir.Node, ...]
    shape_readers: tuple[ir.Node, ...] = ()
    assumed: tuple[tuple[int, int], ...] = ()
    obstacle: Shortfall | None = None

    @property
    def graph(self) -> ir.Graph | None:
        """The graph that the match is in."""
        return self.nodes[-1].graph

    @property
    def axes(self) -> tuple[int, ...]:
        """The dimensions of the base over which the statistics are taken, those of size one aside."""
        return tuple(i for i, dimension in enumerate(self.layout) if not self.norm.over.isdisjoint(dimension))


@dataclass(frozen=True)
class NearMiss:
    """A statistic that looks like part of a normalization but isn't.

    Attributes:
        reduction: the node that makes the statistic.
        node: the node at which it goes wrong.
        shortfall: why.
    """

    reduction: ir.Node
    node: ir.Node
    shortfall: Shortfall


@dataclass(frozen=True)
class Findings:
    """What was found in a graph, in its order."""

    matches: tuple[Match, ...]
    near_misses: tuple[NearMiss, ...]


def find(graph: ir.Graph, facts: Facts) -> Findings:
    """All normalizations in a graph, its subgraphs aside."""
    dominators = _dominators(graph, facts)
    covered: set[ir.Node] = set()
    matches: list[Match] = []
    near_misses: list[NearMiss] = []
    seen: dict[ir.Value, Interpretation | None] = {}
    for node in graph:
        if node in covered or node.domain or not node.inputs:
            continue
        if node.op_type not in _NATIVE and not is_reduction(node, facts):
            continue
        found, missed = _examine(node, graph, dominators, facts, seen)
        matches.extend(found)
        for match in found:
            covered.update(match.nodes)
        if missed is not None and all(missed.node is not other.node for other in near_misses):
            near_misses.append(missed)
    unexplained = tuple(miss for miss in near_misses if miss.reduction not in covered and miss.node not in covered)
    return Findings(tuple(matches), unexplained)


def _examine(
    reduction: ir.Node,
    graph: ir.Graph,
    dominators: dict[ir.Value, ir.Value | None],
    facts: Facts,
    seen: dict[ir.Value, Interpretation | None],
) -> tuple[Sequence[Match], NearMiss | None]:
    """The matches that use a statistic, else the near miss."""
    kept: Sequence[Match] = ()
    missed: list[NearMiss] = []
    for base in _candidates(reduction, dominators, facts):
        if base not in seen:
            seen[base] = interpret(base, graph, facts)
        interpretation = seen[base]
        if interpretation is None:
            continue
        found = _matches(interpretation, facts)
        if any(reduction in match.nodes for match in found):
            if all(match.obstacle is None for match in found):
                return found, None
            kept = kept or found
        if reduction.op_type not in _NATIVE:  # a native operator that is nothing else is no near miss
            missed.extend(_near_misses(reduction, interpretation, facts))
    telling = sorted(missed, key=lambda miss: miss.shortfall.rule in UNTELLING)
    return kept, None if kept or not telling else telling[0]


def _dominators(graph: ir.Graph, facts: Facts) -> dict[ir.Value, ir.Value | None]:
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


def _candidates(reduction: ir.Node, dominators: dict[ir.Value, ir.Value | None], facts: Facts) -> Iterator[ir.Value]:
    """Dominators of the statistic that are read more than once, the nearest first, unless it was cast or reshaped.

    What a native norm reads needn't be read by anything else, but only its layout may have been changed before.
    """
    if reduction.op_type in _NATIVE:
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


def _matches(interpretation: Interpretation, facts: Facts) -> Sequence[Match]:
    """The outputs to replace: as much of the region as can go, with as few norms as do it."""
    recognised = _recognised(interpretation)
    if not recognised:
        return ()
    base, forms = interpretation.base, interpretation.forms
    regions = {output: region_of(base, output, forms, facts) for output in recognised}
    recognised = {
        output: norm
        for output, norm in recognised.items()
        if not _stands_alone(regions[output]) and not _passes_through(regions[output], recognised, facts)
    }
    regions = {output: regions[output] for output in recognised}
    if not recognised:
        return ()
    plans: list[tuple[int, tuple[ir.Value, ...]]] = []
    first_escapes: dict[ir.Value, Escape] = {}
    for output in reversed(recognised):  # the furthest first
        outside = escapes(regions[output], base, forms, facts)
        outside.pop(output, None)
        if not outside:
            plans.append((len(regions[output]) - 1, (output,)))
            break
        first_escapes = first_escapes or outside
    together = {node: None for region in regions.values() for node in region}
    outward = escapes(together, base, forms, facts)
    needed = [value for value in forms if value in outward]
    if len(needed) > 1 and all(value in recognised for value in needed):
        plans.append((len(together) - len(needed), tuple(needed)))
    if not plans:
        output = next(reversed(recognised))
        escape = min(first_escapes.values(), key=lambda e: list(forms).index(e.value))
        rule = "graph-output" if escape.value.is_graph_output() else "inner-reader"
        return [_match(interpretation, output, recognised[output], regions[output], Shortfall(rule, str(escape)))]
    _, outputs = max(plans, key=lambda plan: plan[0])
    return [_match(interpretation, output, recognised[output], regions[output], None) for output in outputs]


def _stands_alone(region: Sequence[ir.Node]) -> bool:
    """Whether the region is a native operator and nothing else: it is what a match would become."""
    return len(region) == 1


def _passes_through(region: Sequence[ir.Node], recognised: Mapping[ir.Value, Norm], facts: Facts) -> bool:
    """Whether a statistic of one recognised norm is part of the region: it begins another norm."""
    return any(is_reduction(node, facts) and not recognised.keys().isdisjoint(node.inputs) for node in region)


def _recognised(interpretation: Interpretation) -> dict[ir.Value, Norm]:
    """The values that are normalizations of the base, of its type, with its dimensions in whatever order."""
    found: dict[ir.Value, Norm] = {}
    forms = interpretation.forms
    for value, form in interpretation.forms.items():
        if form.dtype != forms[interpretation.base].dtype or sorted_dimensions(form.layout) != sorted_dimensions(
            interpretation.layout
        ):
            continue
        norm = recognise(form.value, interpretation.layout)
        if norm is not None:
            found[value] = norm
    return found


def sorted_dimensions(layout: Layout) -> list[tuple[int, ...]]:
    """The dimensions of a layout without their order."""
    return sorted(tuple(axis.index for axis in dimension) for dimension in layout)


def _match(
    interpretation: Interpretation,
    output: ir.Value,
    norm: Norm,
    nodes: tuple[ir.Node, ...],
    obstacle: Shortfall | None,
) -> Match:
    layout, forms = interpretation.layout, interpretation.forms
    shape_readers = tuple(
        use.node
        for node in nodes
        for value in node.outputs
        if value is not output
        for use in value.uses()
        if use.node not in nodes and reads_only_shape(use.node, value, layout, forms)
    )
    assumed = tuple(
        (position, interpretation.assumed[axis])
        for position, dimension in enumerate(layout)
        for axis in dimension
        if axis in interpretation.assumed
    )
    obstacle = obstacle or _broadcast_obstacle(interpretation, norm)
    return Match(
        norm,
        interpretation.base,
        output,
        layout,
        forms[output].layout,
        nodes,
        shape_readers,
        assumed,
        obstacle,
    )


def _broadcast_obstacle(interpretation: Interpretation, norm: Norm) -> Shortfall | None:
    """A constant over a dynamic dimension outside of the statistics, which would grow if it is of size one."""
    for position, dimension in enumerate(interpretation.layout):
        for axis in dimension:
            if axis in interpretation.assumed and axis not in norm.over:
                size = interpretation.assumed[axis]
                reason = (
                    f"a constant of size {size} meets dimension {position}, which is dynamic and may be of size one"
                )
                return Shortfall("dynamic-axis", reason)
    return None


def _near_misses(reduction: ir.Node, interpretation: Interpretation, facts: Facts) -> Iterator[NearMiss]:
    """The first value behind the statistic that looks normalized and isn't, and the nodes where it got lost."""
    for value, form in interpretation.forms.items():
        producer = value.producer()
        if producer is not None and value is not interpretation.base and looks_normalized(form.value):
            yield NearMiss(reduction, producer, diagnose(form.value))
            break
    for unknown in interpretation.unknowns:
        if _lost_on_the_way(unknown, facts):
            yield NearMiss(reduction, unknown.node, Shortfall(unknown.rule, unknown.reason))


def _lost_on_the_way(unknown: Unknown, facts: Facts) -> bool:
    """Whether a statistic of the base went into a node that has no form, and a root is taken before or behind it."""
    factors = [factor for form in unknown.operands for monomial in form.value.terms for factor in monomial]
    if any(is_divisor(atom, exponent) for atom, exponent in factors):
        return True
    statistic = is_reduction(unknown.node, facts) or any(isinstance(atom, Mean) for atom, _ in factors)
    if not statistic:
        return False
    pending, seen = [unknown.node], set[ir.Node]()
    while pending and len(seen) < MAXIMAL_LOOKAHEAD:
        node = pending.pop(0)
        if node in seen or transfer_of(node, facts) is None:
            continue
        seen.add(node)
        if node.op_type in _ROOTS:
            return True
        pending.extend(reader for output in node.outputs for reader in output.consumers())
    return False
