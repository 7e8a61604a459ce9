"""The pass that folds affine maps per channel into the linear operators beside them."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import onnx_ir as ir

from normgraph.affine import Affine
from normgraph.diagnosis import Shortfall
from normgraph.evidence import Evidence, broken
from normgraph.execution import one_thread
from normgraph.extraction import NotExtractable, original_fragment
from normgraph.facts import Facts, graphs_of
from normgraph.folding.alone import folded_alone
from normgraph.folding.changes import Store
from normgraph.folding.directions import DIRECTIONS, Plan, Wishes, apply
from normgraph.folding.gain import GainPlan
from normgraph.folding.leftovers import leftovers
from normgraph.folding.linear import LINEAR
from normgraph.folding.plan import FoldPlan, Refusal
from normgraph.folding.plans import BACKWARD, COMPOSE, DUPLICATE, FORWARD, plans_for
from normgraph.folding.preconditions import established_of_plan
from normgraph.folding.proof import Prover
from normgraph.folding.records import parts_of, records_of, resolved
from normgraph.fragments import Fragment
from normgraph.inventory import NATIVE, Fold
from normgraph.match import find
from normgraph.naming import site_name
from normgraph.progress import Progress, silent
from normgraph.proposals import Judge, Proposal, Way, consent
from normgraph.rewrite import Names, admit_initializers, remove_dead
from normgraph.surveyed import Surveyed

#: Folds make others possible: the search is repeated until nothing is found, at most so many times.
MAXIMAL_ROUNDS = 16
NOTHING_MORE = Wishes()


class _Normalizing(Container[ir.Node]):
    """The nodes of a graph that belong to normalizations other than BatchNormalizations, found once somebody asks."""

    def __init__(self, graph: ir.Graph, facts: Facts) -> None:
        self._graph, self._facts = graph, facts

    def __contains__(self, node: object) -> bool:
        return node in self._nodes

    @cached_property
    def _nodes(self) -> set[ir.Node]:
        found = {node for match in find(self._graph, self._facts).matches for node in match.nodes}
        found.update(n for n in self._graph if n.op_type in NATIVE and n.op_type != "BatchNormalization")
        return found


@dataclass
class _Known:
    """What is known of a model as it stands.

    Attributes:
        facts: the facts.
        normalizing: for each graph the nodes that are left to other normalizations.
    """

    facts: Facts
    normalizing: Mapping[ir.Graph, Container[ir.Node]]


@dataclass
class _State:
    """What the pass has done so far.

    Attributes:
        folded: the records of what was folded.
        surveyed: the model.
        refused: for each output of a map and direction why it wasn't.
        maps: the maps that weren't, by their nodes.
        failed: the outputs of regions whose folds weren't proven or wanted, which aren't tried again.
        prover: proves folds.
    """

    surveyed: Surveyed
    folded: list[Fold] = field(default_factory=list)
    refused: dict[tuple[str, str], Shortfall] = field(default_factory=dict)
    maps: dict[tuple[ir.Node, ...], Affine] = field(default_factory=dict)
    failed: set[tuple[str, str]] = field(default_factory=set)
    prover: Prover = field(default_factory=Prover)
    _known: _Known | None = None

    def known(self, model: ir.Model) -> _Known:
        """What is known of the model, asked again only after a change."""
        if self._known is None:
            facts = self.surveyed.facts
            self._known = _Known(facts, {graph: _Normalizing(graph, facts) for graph in graphs_of(model)})
        return self._known

    def changed(self) -> None:
        """Note that what was known of the model holds no longer."""
        self.surveyed.changed()
        self._known = None

    def refuse(self, nodes: tuple[ir.Node, ...], affine: Affine | None, direction: str, shortfall: Shortfall) -> None:
        """Note why a map isn't folded, for each of its nodes."""
        if affine is not None:
            self.maps[nodes] = affine
        for node in nodes:
            self.refused[node.outputs[0].name or "", direction] = shortfall

    def drop(self, plan: Plan, shortfall: Shortfall) -> None:
        """Note that a plan isn't carried out."""
        self.failed.add(_key(plan))
        if isinstance(plan, FoldPlan | GainPlan):
            affine = plan.affine if isinstance(plan, FoldPlan) else None
            self.refuse(
                (plan.norm,) if isinstance(plan, GainPlan) else plan.affine.nodes, affine, plan.direction, shortfall
            )


def _key(plan: Plan) -> tuple[str, str]:
    return plan.regions[0].output.name or "", plan.direction


def fold_batch_normalizations(
    model: ir.Model | Surveyed,
    *,
    wishes: Wishes = NOTHING_MORE,
    judge: Judge = consent,
    progress: Progress = silent,
    proven: bool = True,
) -> list[Fold]:
    """Fold every affine map per channel that linear operators beside it can take in, each fold proven, in place.

    Linear operators whose results are added, or that follow each other, become one where that is cheaper.

    Args:
        model: the model, its functions inlined; changed in place. Where it was surveyed, that isn't done again.
        wishes: the folds that are asked for beyond those that save work.
        judge: asked whether the folds that are proven are to be made.
        progress: told about the proofs.
        proven: whether folds are proven; if not, they are made all the same.

    Returns:
        What was folded, and every BatchNormalization that is left with the reason.
    """
    surveyed = model if isinstance(model, Surveyed) else Surveyed(model)
    with one_thread():
        return _folded(surveyed, wishes, judge, progress, proven=proven)


def foldable(surveyed: Surveyed) -> list[Fold]:
    """What `fold_batch_normalizations` would do, the proofs aside: what it would fold counts as kept."""
    model = surveyed.model
    known = _State(surveyed).known(model)
    ways = NOTHING_MORE.directions
    found = (plan for direction in ways for graph in known.normalizing for plan in _plans(direction, graph, known))
    work = Surveyed(model.clone()) if any(not isinstance(plan, Refusal) for plan in found) else surveyed
    return [unfolded(fold) for fold in _folded(work, NOTHING_MORE, consent, silent, proven=False)]


def unfolded(fold: Fold) -> Fold:
    """A fold that could be made, as one that isn't."""
    if fold.status == "kept":
        return fold
    left = Shortfall("not-folded", f"it can be folded into {fold.into}")
    return replace(fold, status="kept", rule=left.rule, reason=left.sentence)


def _folded(surveyed: Surveyed, wishes: Wishes, judge: Judge, progress: Progress, *, proven: bool) -> list[Fold]:
    model, state = surveyed.model, _State(surveyed)
    store = Store(Names(model))
    for _ in range(MAXIMAL_ROUNDS):
        before = len(state.folded)
        for direction in wishes.directions:
            if direction == COMPOSE and len(state.folded) > before:
                continue  # what has been done may have made way for a fold that saves more
            _fold(model, direction, state, store, judge, progress, proven=proven)
        if len(state.folded) == before:
            break
    if state.folded:
        admit_initializers(model)
    return resolved(state.folded) + leftovers(model, state.refused, state.maps.values(), state.known(model).facts)


def _fold(
    model: ir.Model, direction: str, state: _State, store: Store, judge: Judge, progress: Progress, *, proven: bool
) -> None:
    """Fold in one direction what doesn't touch what has just been folded."""
    known = state.known(model)
    facts = known.facts
    found = [result for graph in known.normalizing for result in _plans(direction, graph, known)]
    touched: set[ir.Node] = set()
    chosen: list[tuple[Plan, list[Evidence]]] = []
    for done, plan in enumerate(found):
        progress("proving folds", done, len(found))
        if isinstance(plan, Refusal):
            state.refuse(plan.nodes, plan.affine, direction, plan.shortfall)
            continue
        if _key(plan) in state.failed or not touched.isdisjoint(plan.nodes):
            continue
        proofs = _proofs(plan, facts, state.prover) if proven else []
        failed = next((proof for proof in proofs if not proof.accepted), None)
        if failed is not None:
            state.drop(plan, Shortfall("proof-failed", failed.describe()))
            continue
        touched |= plan.nodes
        chosen.append((plan, proofs))
    doomed: list[ir.Node] = []
    judged = judge(model, [_proposal(plan, facts) for plan, _ in chosen])
    for (plan, proofs), way in zip(chosen, judged, strict=True):
        if isinstance(way, Shortfall):
            state.drop(plan, way)
            continue
        state.folded += records_of(plan, proofs)
        doomed.extend(plan.doomed)
        apply(plan, store)
        state.changed()
    remove_dead(doomed, facts.positions)


def _proofs(plan: Plan, facts: Facts, prover: Prover) -> list[Evidence]:
    """The evidence of each region that a fold leaves the same, the preconditions of the fold with each."""
    conditions = established_of_plan(plan, facts) if isinstance(plan, FoldPlan) else ()
    failure = broken(conditions)
    if failure is not None:
        return [Evidence(failure=failure, preconditions=conditions)]
    proofs = [prover(plan, region, facts) for region in plan.regions]
    return [replace(proof, preconditions=(*conditions, *proof.preconditions)) for proof in proofs]


def _proposal(plan: Plan, facts: Facts) -> Proposal:
    def pair() -> tuple[Fragment, Fragment]:
        if len(plan.regions) > 1:
            raise NotExtractable("it is folded into several operators at once")
        before = original_fragment(plan.regions[0], facts)
        return before, folded_alone(before, plan.direction).fragment

    kind = ", ".join(dict.fromkeys(change.linear.node.op_type for change in plan.changes))
    output = plan.regions[0].output
    told = tuple(value.name or "" for _, value in parts_of(plan))
    return Proposal(site_name(plan.doomed or tuple(plan.nodes), output), output.name or "", told, Way(kind, pair))


def _plans(direction: str, graph: ir.Graph, known: _Known) -> Iterator[Plan | Refusal]:
    """The plans of a direction, those aside that would take the gain and bias of another normalization apart."""
    if direction == COMPOSE:  # why two maps don't become one tells nobody why neither folds
        found = plans_for(direction, graph, known.facts, known.normalizing[graph])
        return (plan for plan in found if isinstance(plan, FoldPlan) and _takes_in_a_map(plan))
    if direction in (BACKWARD, DUPLICATE, FORWARD):
        return plans_for(direction, graph, known.facts, known.normalizing[graph])
    return DIRECTIONS[direction](graph, known.facts)


def _takes_in_a_map(plan: FoldPlan) -> bool:
    """Whether a BatchNormalization takes a map in; into linear operators alone it has been tried already."""
    return any(change.linear.node.op_type not in LINEAR for change in plan.changes)
