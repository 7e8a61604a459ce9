"""The pass that folds affine maps per channel into the linear operators beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import onnx_ir as ir

from normgraph.affine import Affine, names_of
from normgraph.diagnosis import Shortfall
from normgraph.evidence import Evidence
from normgraph.extraction import Fragment, NotExtractable, original_fragment
from normgraph.facts import Facts, graphs_of, survey
from normgraph.folding.changes import Store, apply_plan
from normgraph.folding.plans import BACKWARD, FORWARD, FoldPlan, Refusal, plans_for
from normgraph.folding.proof import folded_alone, prove
from normgraph.folding.reasons import why_left
from normgraph.inventory import NATIVE, Fold
from normgraph.match import find
from normgraph.naming import site_name
from normgraph.progress import Progress, silent
from normgraph.proposals import Judge, Proposal, consent
from normgraph.rewrite import Names, remove_dead

DIRECTIONS = (BACKWARD, FORWARD)
#: Folds make others possible: the search is repeated until nothing is found, at most so many times.
MAXIMAL_ROUNDS = 16


@dataclass
class _State:
    """What the pass has done so far.

    Attributes:
        folded: the records of what was folded.
        refused: for each output of a map and direction why it wasn't.
        failed: the outputs of maps whose folds weren't proven, which aren't tried again.
    """

    folded: list[Fold] = field(default_factory=list)
    refused: dict[tuple[str, str], Shortfall] = field(default_factory=dict)
    failed: set[tuple[str, str]] = field(default_factory=set)

    def refuse(self, affine: Affine, direction: str, shortfall: Shortfall) -> None:
        """Note why a map isn't folded, for each of its nodes."""
        for node in affine.nodes:
            self.refused[node.outputs[0].name or "", direction] = shortfall


def fold_batch_normalizations(model: ir.Model, *, judge: Judge = consent, progress: Progress = silent) -> list[Fold]:
    """Fold every affine map per channel that linear operators beside it can take in, each fold proven, in place.

    Args:
        model: the model, its functions inlined; changed in place.
        judge: asked whether the folds that are proven are to be made.
        progress: told about the proofs.

    Returns:
        What was folded, and every BatchNormalization that is left with the reason.
    """
    state = _State()
    store = Store(Names(model))
    for _ in range(MAXIMAL_ROUNDS):
        before = len(state.folded)
        for direction in DIRECTIONS:
            _fold(model, direction, state, store, judge, progress)
        if len(state.folded) == before:
            break
    return state.folded + _left(model, state.refused)


def _fold(model: ir.Model, direction: str, state: _State, store: Store, judge: Judge, progress: Progress) -> None:
    """Fold in one direction what doesn't touch what has just been folded."""
    facts = survey(model)
    found = [result for graph in graphs_of(model) for result in _plans(direction, graph, facts)]
    touched: set[ir.Node] = set()
    proven: list[tuple[FoldPlan, list[Evidence]]] = []
    for done, result in enumerate(found):
        progress("proving folds", done, len(found))
        key = (result.affine.output.name or "", direction)
        if isinstance(result, Refusal):
            state.refuse(result.affine, direction, result.shortfall)
            continue
        if key in state.failed or not touched.isdisjoint(result.nodes):
            continue
        proofs = [prove(region, direction, facts) for region in result.regions]
        failed = next((proof for proof in proofs if not proof.accepted), None)
        if failed is not None:
            state.failed.add(key)
            state.refuse(result.affine, direction, Shortfall("proof-failed", failed.describe()))
            continue
        touched |= result.nodes
        proven.append((result, proofs))
    doomed: list[ir.Node] = []
    objections = judge(model, [_proposal(plan, facts) for plan, _ in proven])
    for (plan, proofs), objection in zip(proven, objections, strict=True):
        if objection is not None:
            state.failed.add((plan.affine.output.name or "", direction))
            state.refuse(plan.affine, direction, objection)
            continue
        state.folded.append(_record(plan, proofs))
        doomed.extend(plan.affine.nodes)
        apply_plan(plan, store)
    remove_dead(doomed, facts.positions)


def _proposal(plan: FoldPlan, facts: Facts) -> Proposal:
    def pair() -> tuple[Fragment, Fragment]:
        if len(plan.regions) > 1:
            raise NotExtractable("it is folded into several operators at once")
        before = original_fragment(plan.regions[0], facts)
        return before, folded_alone(before, plan.direction).fragment

    kind = ", ".join(dict.fromkeys(change.linear.node.op_type for change in plan.changes))
    return Proposal(site_name(plan.affine.nodes, plan.affine.output), kind, pair)


def foldable(model: ir.Model) -> list[Fold]:
    """What `fold_batch_normalizations` would look at, as it stands: what it could fold counts as kept."""
    facts = survey(model)
    planned: dict[str, Fold] = {}
    state = _State()
    for direction in DIRECTIONS:
        for graph in graphs_of(model):
            for result in _plans(direction, graph, facts):
                if isinstance(result, Refusal):
                    state.refuse(result.affine, direction, result.shortfall)
                    continue
                record = _record(result, ())
                reason = f"it can be folded into {record.into}; `normgraph optimize` does it"
                planned.setdefault(record.output, replace(record, status="kept", rule="not-folded", reason=reason))
    covered = {name for fold in planned.values() for name in fold.nodes}
    return [*planned.values(), *(fold for fold in _left(model, state.refused) if not covered & set(fold.nodes))]


def _plans(direction: str, graph: ir.Graph, facts: Facts) -> Iterator[FoldPlan | Refusal]:
    """The plans of a direction, those aside that would take the gain and bias of another normalization apart."""
    results = list(plans_for(direction, graph, facts))
    if not results:
        return
    normalizing = {node for match in find(graph, facts).matches for node in match.nodes}
    normalizing.update(node for node in graph if node.op_type in NATIVE and node.op_type != "BatchNormalization")
    for result in results:
        affine = result.affine
        if normalizing.isdisjoint(affine.nodes) and affine.base.producer() not in normalizing:
            yield result


def _record(plan: FoldPlan, proofs: list[Evidence] | tuple[()]) -> Fold:
    affine = plan.affine
    sizes = {change.linear.weights.bias.size for change in plan.changes}
    trials = tuple(trial for proof in proofs for trial in proof.trials)
    return Fold(
        name=site_name(affine.nodes, affine.output),
        status="folded",
        output=affine.output.name or "",
        nodes=names_of(affine.nodes),
        into=", ".join(names_of(tuple(change.linear.node for change in plan.changes))),
        direction=plan.direction,
        channels=sizes.pop() if plan.direction == BACKWARD and len(sizes) == 1 else None,
        evidence=Evidence(trials) if proofs else None,
    )


def _left(model: ir.Model, refused: dict[tuple[str, str], Shortfall]) -> list[Fold]:
    """The BatchNormalizations that are still there, each with the decisive reason."""
    facts = survey(model)
    kept: list[Fold] = []
    for graph in graphs_of(model):
        for node in graph:
            if node.op_type != "BatchNormalization" or node.domain:
                continue
            output = node.outputs[0]
            tried = [refused[key] for d in DIRECTIONS if (key := (output.name or "", d)) in refused]
            shortfall = why_left(node, tried, facts)
            kept.append(
                Fold(
                    name=site_name((node,), output),
                    status="kept",
                    output=output.name or "",
                    nodes=names_of((node,)),
                    rule=shortfall.rule,
                    reason=shortfall.reason,
                )
            )
    return kept
