"""The records of folds: what went where, and in which channel the result is furthest from the truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import onnx_ir as ir

from normgraph.affine import names_of
from normgraph.evidence import Evidence, Trial, joined
from normgraph.folding.branches import PARALLEL
from normgraph.folding.directions import Plan
from normgraph.folding.gain import GainPlan
from normgraph.folding.linear import LINEAR
from normgraph.folding.merging import MergePlan
from normgraph.folding.plan import FoldPlan, Region
from normgraph.folding.plans import BACKWARD
from normgraph.inventory import Fold, WorstChannel
from normgraph.naming import site_name
from normgraph.rewrite import stood_for


def parts_of(plan: Plan) -> list[tuple[tuple[ir.Node, ...], ir.Value]]:
    """What goes into others: the nodes of each part, and the output under which it is told."""
    if isinstance(plan, FoldPlan):
        return [(plan.affine.nodes, plan.affine.output)]
    if isinstance(plan, GainPlan):
        return [((plan.norm,), plan.norm.outputs[0])]
    return [(nodes, nodes[0].outputs[0]) for nodes in plan.absorbed]


def records_of(plan: Plan, proofs: Sequence[Evidence]) -> list[Fold]:
    """What a plan does: to a map, or to each operator that it merges into another.

    Args:
        plan: the plan.
        proofs: the evidence for each of its regions; none if nothing was tried.
    """
    return [
        Fold(
            name=site_name(nodes[:-1] if plan.direction == PARALLEL and len(nodes) > 1 else nodes, output),
            status="folded",
            output=output.name or "",
            nodes=stood_for(nodes),
            into=", ".join(names_of(tuple(change.linear.node for change in plan.changes))),
            direction=plan.direction,
            channels=plan.channels if isinstance(plan, FoldPlan) and plan.direction == BACKWARD else None,
            evidence=joined(proofs) if proofs else None,
            worst_channel=_worst_channel(plan.regions, proofs),
            subject="operator" if isinstance(plan, MergePlan) and not _is_map(nodes) else "map",
        )
        for nodes, output in parts_of(plan)
    ]


def _is_map(nodes: Sequence[ir.Node]) -> bool:
    """Whether a term of a sum is a map per channel of the common input: nodes before the Add, none of them linear."""
    return len(nodes) > 1 and all(node.op_type not in LINEAR for node in nodes)


def _worst_channel(regions: Sequence[Region], proofs: Sequence[Evidence]) -> WorstChannel | None:
    """The channel of the element that comes closest to its bound, over all trials."""
    found: list[tuple[Trial, int]] = []
    for region, proof in zip(regions, proofs, strict=False):
        worst = proof.worst
        if worst is not None and worst.at is not None and region.channel is not None:
            found.append((worst, region.channel))
    if not found:
        return None
    trial, dimension = max(found, key=lambda pair: pair[0].after / pair[0].allowed if pair[0].allowed else 0.0)
    assert trial.at is not None
    return WorstChannel(trial.at[dimension], trial.after) if dimension < len(trial.at) else None


def resolved(folds: Sequence[Fold]) -> list[Fold]:
    """The folds with `into` naming the operators that are there in the end, where these went into others themselves."""
    later = {node: fold.into for fold in folds if fold.into is not None for node in fold.nodes}
    return [
        fold
        if fold.into is None
        else replace(fold, into=", ".join(dict.fromkeys(_ends(fold.into, later, frozenset()))))
        for fold in folds
    ]


def _ends(into: str, later: Mapping[str, str], passed: frozenset[str]) -> Iterator[str]:
    """What names stand for in the end; each is followed once, since names needn't be unique."""
    for name in into.split(", "):
        if name in later and name not in passed:
            yield from _ends(later[name], later, passed | {name})
        else:
            yield name
