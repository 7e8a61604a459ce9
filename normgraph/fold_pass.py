"""The pass that folds affine maps per channel into the linear operators beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import onnx_ir as ir

from normgraph.affine import Affine, names_of
from normgraph.constants import attribute
from normgraph.diagnosis import Shortfall
from normgraph.evidence import Evidence, compare
from normgraph.facts import Facts, graphs_of, survey
from normgraph.folding import FoldPlan, apply_plan, folded_alone, plans_for
from normgraph.inventory import NATIVE, Fold
from normgraph.linear import LINEAR
from normgraph.match import find
from normgraph.naming import site_name
from normgraph.progress import Progress, silent
from normgraph.rewrite import Names, remove_dead

#: Dynamic dimensions are tried at no less than this, so that windows fit into them.
LEAST_EXTENT = 24
DIRECTIONS = ("backward", "forward")


def fold_batch_normalizations(model: ir.Model, progress: Progress = silent) -> list[Fold]:
    """Fold every affine map per channel that a linear operator beside it can take in, each fold proven, in place.

    Args:
        model: the model, its functions inlined; changed in place.
        progress: told about the proofs.

    Returns:
        What was folded, and every BatchNormalization that is left with the reason.
    """
    folded: list[Fold] = []
    refused: dict[str, Shortfall] = {}
    for direction in DIRECTIONS:
        facts = survey(model)
        found = [result for graph in graphs_of(model) for result in _plans(direction, graph, facts)]
        names = Names(model)
        doomed: list[ir.Node] = []
        for done, result in enumerate(found):
            progress("proving folds", done, len(found))
            if isinstance(result, tuple):
                affine, shortfall = result
                refused.update((node.outputs[0].name or "", shortfall) for node in affine.nodes)
                continue
            proofs = [_prove(plan, facts) for plan in result]
            failed = next((proof for proof in proofs if not proof.accepted), None)
            if failed is not None:
                shortfall = Shortfall("proof-failed", failed.describe())
                refused.update((node.outputs[0].name or "", shortfall) for node in result[0].affine.nodes)
                continue
            for plan, proof in zip(result, proofs, strict=True):
                folded.append(_record(plan, proof))
                doomed.extend(plan.affine.nodes)
                apply_plan(plan, names)
        remove_dead(doomed, facts.positions)
    return folded + _left(model, refused)


def foldable(model: ir.Model) -> list[Fold]:
    """What `fold_batch_normalizations` would look at, as it stands: what it could fold counts as kept."""
    facts = survey(model)
    planned: dict[str, Fold] = {}
    refused: dict[str, Shortfall] = {}
    for direction in DIRECTIONS:
        for graph in graphs_of(model):
            for result in _plans(direction, graph, facts):
                if isinstance(result, tuple):
                    refused.update((node.outputs[0].name or "", result[1]) for node in result[0].nodes)
                    continue
                record = _record(result[0], None)
                reason = f"it can be folded into {record.into}; `normgraph optimize` does it"
                planned.setdefault(record.output, replace(record, status="kept", rule="not-folded", reason=reason))
    covered = {name for fold in planned.values() for name in fold.nodes}
    return [*planned.values(), *(fold for fold in _left(model, refused) if not covered & set(fold.nodes))]


def _plans(direction: str, graph: ir.Graph, facts: Facts) -> Iterator[list[FoldPlan] | tuple[Affine, Shortfall]]:
    """The plans of a direction, those aside that would take the gain and bias of another normalization apart."""
    results = list(plans_for(direction, graph, facts))
    if not results:
        return
    normalizing = {node for match in find(graph, facts).matches for node in match.nodes}
    normalizing.update(node for node in graph if node.op_type in NATIVE and node.op_type != "BatchNormalization")
    for result in results:
        affine = result[0].affine if isinstance(result, list) else result[0]
        if normalizing.isdisjoint(affine.nodes) and affine.base.producer() not in normalizing:
            yield result


def _prove(plan: FoldPlan, facts: Facts) -> Evidence:
    return compare(plan, lambda fragment: folded_alone(fragment, plan.direction), facts, least_extent=LEAST_EXTENT)


def _record(plan: FoldPlan, evidence: Evidence | None) -> Fold:
    affine = plan.affine
    return Fold(
        name=site_name(affine.nodes, affine.output),
        status="folded",
        output=affine.output.name or "",
        nodes=names_of(affine.nodes),
        into=names_of((plan.linear.node,))[0],
        direction=plan.direction,
        channels=plan.linear.weights.bias.size if plan.direction == "backward" else None,
        evidence=evidence,
    )


def _left(model: ir.Model, refused: dict[str, Shortfall]) -> list[Fold]:
    """The BatchNormalizations that are still there, each with the decisive reason."""
    facts = survey(model)
    kept: list[Fold] = []
    for graph in graphs_of(model):
        for node in graph:
            if node.op_type != "BatchNormalization" or node.domain:
                continue
            output = node.outputs[0]
            shortfall = refused.get(output.name or "") or _why_left(node, facts)
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


def _why_left(node: ir.Node, facts: Facts) -> Shortfall:
    """Why a BatchNormalization has nothing to go into."""
    base = node.inputs[0]
    if attribute(node, "training_mode", 0):
        return Shortfall("training-mode", "it is in training mode: its statistics are those of each batch")
    for value, role in zip(node.inputs[1:], ("scale", "bias", "mean", "variance"), strict=False):
        if value is not None and not facts.is_constant(value):
            made = "may be overridden by the caller" if value.is_graph_input() else "is computed at run time"
            return Shortfall("not-constant", f"its {role} '{value.name}' {made}")
    producer = None if base is None else base.producer()
    if producer is None:
        return Shortfall("no-neighbour", "it reads an input of the graph, and nothing linear reads it alone")
    if producer.op_type not in LINEAR:
        return Shortfall("no-neighbour", f"{producer.op_type} stands before it, which isn't linear")
    weight = producer.inputs[1] if len(producer.inputs) > 1 else None
    if weight is not None and not facts.is_constant(weight):
        made = "may be overridden by the caller" if weight.is_graph_input() else "isn't constant"
        return Shortfall("not-constant", f"the weight '{weight.name}' of {producer.op_type} {made}")
    if base is not None and (len(base.consumers()) > 1 or base.is_graph_output()):
        return Shortfall("inner-reader", f"'{base.name}', which {producer.op_type} makes, is needed elsewhere too")
    return Shortfall("no-neighbour", f"its channels aren't those of {producer.op_type} before it")
