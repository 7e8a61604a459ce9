"""Matching: which values of a graph are normalizations, of what, and what stands in the way of those that nearly are.

Candidates for the base tensor of a statistic are its dominators: the values through which everything that the
statistic is computed from has passed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import onnx_ir as ir

from normgraph.atoms import Axes
from normgraph.axes import Layout
from normgraph.candidates import Candidates, begins_search
from normgraph.diagnosis import Shortfall, is_divisor
from normgraph.facts import Facts
from normgraph.forms import Form
from normgraph.interpret import Interpretation, interpret
from normgraph.near_misses import Miss, NearMiss, causes, misses_in, most_telling, where_lost
from normgraph.norms import Norm
from normgraph.outer import Operand, Outer, outer_of, without_applied
from normgraph.recognition import is_native, recognised_in, stands_alone, statistics_of
from normgraph.region import Escape, escapes, reads_only_shape, region_of
from normgraph.transfer import is_reduction


@dataclass(frozen=True, eq=False)
class Needed:
    """A value made within a match that something outside of it needs.

    Attributes:
        escape: the value and its readers.
        form: what it is in terms of the base.
        nodes: the nodes through which it is computed from the base; they stay unless the replacement makes it too.
    """

    escape: Escape
    form: Form
    nodes: tuple[ir.Node, ...]

    @property
    def value(self) -> ir.Value:
        """The value."""
        return self.escape.value

    @property
    def shortfall(self) -> Shortfall:
        """Why the match can't be replaced, where it isn't worth while for this value's sake."""
        return Shortfall("graph-output" if self.value.is_graph_output() else "inner-reader", str(self.escape))


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
        needed: the values made in the region that something outside needs, the output aside.
        aside: why, with what is before it, it is no normalization of another tensor, where it looks like one.
        outer: what the output is beside the norm, made with tensors known at run time only; None where it is the norm.
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
    needed: tuple[Needed, ...] = ()
    aside: Shortfall | None = None
    outer: Outer | None = None

    @property
    def operands(self) -> tuple[Operand, ...]:
        """The tensors known at run time only that the nodes read beside the base."""
        return () if self.outer is None else self.outer.operands

    @property
    def graph(self) -> ir.Graph | None:
        """The graph that the match is in."""
        return self.nodes[-1].graph

    @property
    def axes(self) -> tuple[int, ...]:
        """The dimensions of the base over which the statistics are taken, those of size one aside."""
        return tuple(i for i, dimension in enumerate(self.layout) if not self.norm.over.isdisjoint(dimension))


@dataclass(frozen=True)
class Findings:
    """What was found in a graph, in its order."""

    matches: tuple[Match, ...]
    near_misses: tuple[NearMiss, ...]


def find(graph: ir.Graph, facts: Facts, begins: Callable[[ir.Node, Facts], bool] = begins_search) -> Findings:
    """All normalizations in a graph, its subgraphs aside.

    Args:
        graph: the graph.
        facts: the facts about the model.
        begins: at which nodes to begin.
    """
    beginning = [node for node in graph if begins(node, facts)]
    if not beginning:
        return Findings((), ())
    candidates = Candidates(graph, facts)
    covered: set[ir.Node] = set()
    taken: set[ir.Node] = set()
    matches: list[Match] = []
    near_misses: dict[ir.Node, NearMiss] = {}
    seen: dict[ir.Value, _Reading | None] = {}
    for node in beginning:
        if node in covered:
            continue
        found, missed = _examine(node, graph, candidates, facts, seen)
        found = [m for m in found if (taken if m.obstacle is None else covered).isdisjoint(m.nodes)]
        matches.extend(found)
        for match in found:
            covered.update(match.nodes)
            taken.update(match.nodes if match.obstacle is None else ())
        if missed is not None:
            near_misses.setdefault(missed.node, missed)
    outside = [miss for miss in near_misses.values() if miss.reduction not in covered]
    # What is centred over other axes than it is divided over is a normalization of the centred value alone.
    asides = {miss.node: miss.shortfall for miss in outside if miss.shortfall.rule == "axes-differ"}
    told = (replace(m, aside=next((asides[n] for n in m.nodes if n in asides), None)) if asides else m for m in matches)
    return Findings(tuple(told), tuple(causes(miss for miss in outside if miss.node not in covered)))


@dataclass(frozen=True)
class _Reading:
    """What the interpretation of one base tensor comes to, whichever of its statistics asks.

    Attributes:
        interpretation: the forms.
        facts: the facts about the model.
        matches: the normalizations of the base.
    """

    interpretation: Interpretation
    graph: ir.Graph
    facts: Facts
    matches: Sequence[Match]

    @cached_property
    def _followed(self) -> Interpretation | None:
        """The same with tensors known at run time only, where a deviation meets one, else None."""
        forms = self.interpretation.forms
        if not any(unknown.rule == "different-base" for unknown in self.interpretation.unknowns):
            return None
        if not any(is_divisor(atom, e) for form in forms.values() for m in form.value.terms for atom, e in m):
            return None
        return interpret(self.interpretation.base, self.graph, self.facts, with_foreign=True)

    @cached_property
    def with_foreign(self) -> Sequence[Match]:
        """The normalizations into which tensors known at run time only are multiplied, or added, beforehand."""
        matches = () if self._followed is None else _matches(self._followed, self.facts)
        return matches if any(match.outer is not None for match in matches) else ()

    @cached_property
    def miss(self) -> Miss | None:
        """What stands in the way of other normalizations, the most telling."""
        matched = {node for match in self.matches for node in match.nodes}
        return most_telling(misses_in(self.interpretation, self.facts, matched))

    def explained(self, miss: Miss) -> Miss:
        """The same, with what stands in the way behind a tensor known at run time only, where it is one that does."""
        return miss if self._followed is None else where_lost(miss, self._followed)


def _reading(base: ir.Value, graph: ir.Graph, facts: Facts) -> _Reading | None:
    interpretation = interpret(base, graph, facts)
    return None if interpretation is None else _Reading(interpretation, graph, facts, _matches(interpretation, facts))


def _examine(
    reduction: ir.Node,
    graph: ir.Graph,
    candidates: Candidates,
    facts: Facts,
    seen: dict[ir.Value, _Reading | None],
) -> tuple[Sequence[Match], NearMiss | None]:
    """The matches that use a statistic, else the near miss."""
    kept: Sequence[Match] = ()
    misses: list[Miss] = []
    readings: list[_Reading] = []
    for base in candidates.of(reduction):
        if base not in seen:
            seen[base] = _reading(base, graph, facts)
        reading = seen[base]
        if reading is None:
            continue
        readings.append(reading)
        found = reading.matches
        if any(reduction in match.nodes for match in found):
            if not _is_hindered(found):
                return found, None
            if not kept or (_is_obstructed(kept) and not _is_obstructed(found)):
                kept = found
        # A native operator that is nothing else is no near miss.
        if is_reduction(reduction, facts) and reading.miss is not None:
            misses.append(reading.miss)
    for reading in readings:
        found = reading.with_foreign
        if any(reduction in match.nodes for match in found) and not (kept and _is_hindered(found)):
            return found, None
    decisive = most_telling(misses)
    if kept or decisive is None:
        return kept, None
    reading = next(each for each in readings if each.miss is decisive)
    return (), NearMiss(reduction, *reading.explained(decisive))


def _is_obstructed(matches: Sequence[Match]) -> bool:
    return any(match.obstacle is not None for match in matches)


def _is_hindered(matches: Sequence[Match]) -> bool:
    """Whether one of them can't be replaced, or not without something that stays."""
    return any(match.obstacle is not None or match.needed for match in matches)


def _matches(interpretation: Interpretation, facts: Facts) -> Sequence[Match]:
    """The outputs to replace: as much of the region as can go, with as few norms as do it."""
    recognised = recognised_in(interpretation)
    if not recognised:
        return ()
    base, forms = interpretation.base, interpretation.forms
    further = statistics_of(recognised, facts)
    regions: dict[ir.Value, tuple[ir.Node, ...]] = {}
    if not interpretation.foreign:  # mostly the furthest one is what all of them serve
        output = next(reversed(recognised))
        regions[output] = region = region_of(base, output, forms, facts)
        whole = further.isdisjoint(region) and all(value.producer() in region for value in recognised)
        if whole and not stands_alone(region) and not escapes(region, base, forms, facts).keys() - {output}:
            return [_match(interpretation, output, recognised[output], region, ())]
    for output in recognised:  # what is nearer the base first
        regions[output] = region_of(base, output, forms, facts, regions)
    if interpretation.foreign:
        recognised = without_applied(recognised, regions, interpretation, facts)
    recognised = {
        output: norm
        for output, norm in recognised.items()
        if not stands_alone(regions[output]) and further.isdisjoint(regions[output])
    }
    regions = {output: regions[output] for output in recognised}
    if not recognised:
        return ()
    plans: list[tuple[int, tuple[ir.Value, ...]]] = []
    for output in reversed(recognised):  # the furthest first
        if not set(escapes(regions[output], base, forms, facts)) - {output}:
            if frozenset(regions[output]).issuperset(node for region in regions.values() for node in region):
                return [_match(interpretation, output, recognised[output], regions[output], ())]
            plans.append((len(regions[output]) - 1, (output,)))
            break
    together = {node: None for region in regions.values() for node in region}
    outward = escapes(together, base, forms, facts)
    needed = [value for value in forms if value in outward]
    if len(needed) > 1 and all(value in recognised for value in needed):
        plans.append((len(together) - len(needed), tuple(needed)))
    inner: dict[ir.Value, Escape] = {}
    if not plans:  # not all can go: what else is needed stays, or comes out of the replacement
        outputs = [value for value in needed if value in recognised] or [next(reversed(recognised))]
        plans.append((0, tuple(outputs)))
        inner = {value: escape for value, escape in outward.items() if value not in outputs}
        if any(is_native(region_of(base, value, forms, facts)) for value in inner):
            return ()  # a native norm that is read for its own sake stays one
    _, outputs_of_plan = max(plans, key=lambda plan: plan[0])
    return [
        _match(
            interpretation,
            output,
            recognised[output],
            regions[output],
            _needed(inner, regions[output], base, forms, facts),
        )
        for output in outputs_of_plan
    ]


def _needed(
    inner: Mapping[ir.Value, Escape],
    region: Sequence[ir.Node],
    base: ir.Value,
    forms: Mapping[ir.Value, Form],
    facts: Facts,
) -> tuple[Needed, ...]:
    """Those of the values that are made in the region, in the order of the graph."""
    made = [value for value in forms if value in inner and value.producer() in region]
    return tuple(Needed(inner[value], forms[value], region_of(base, value, forms, facts)) for value in made)


def _match(
    interpretation: Interpretation,
    output: ir.Value,
    norm: Norm,
    nodes: tuple[ir.Node, ...],
    needed: tuple[Needed, ...],
) -> Match:
    layout, forms, region = interpretation.layout, interpretation.forms, frozenset(nodes)
    shape_readers = tuple(
        use.node
        for node in nodes
        for value in node.outputs
        if value is not output
        for use in value.uses()
        if use.node not in region and reads_only_shape(use.node, value, layout, forms)
    )
    # What a constant elsewhere demands of a size says nothing of the region: there it may broadcast instead.
    demanded = frozenset(axis for node in nodes for axis in interpretation.demanding.get(node, ()))
    assumed = tuple(
        (position, interpretation.assumed[axis])
        for position, dimension in enumerate(layout)
        for axis in dimension
        if axis in demanded
    )
    return Match(
        norm,
        interpretation.base,
        output,
        layout,
        forms[output].layout,
        nodes,
        shape_readers,
        assumed,
        _broadcast_obstacle(interpretation, norm, demanded),
        needed,
        outer=outer_of(forms[output], interpretation),
    )


def _broadcast_obstacle(interpretation: Interpretation, norm: Norm, demanded: Axes) -> Shortfall | None:
    """A constant over a dynamic dimension outside of the statistics, which would grow if it is of size one."""
    for position, dimension in enumerate(interpretation.layout):
        for axis in dimension:
            if axis in demanded and axis not in norm.over:
                size = interpretation.assumed[axis]
                reason = (
                    f"a constant of size {size} meets dimension {position}, which is dynamic and may be of size one"
                )
                return Shortfall("dynamic-axis", reason)
    return None
