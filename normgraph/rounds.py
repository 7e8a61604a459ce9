"""Rounds: one rewrite makes others possible, and the passes are repeated until none is left to do.

A norm may show its base only once the norm before it is one operator; behind what a fold made of a linear operator, a
scale and a shift may be left that become a BatchNormalization. The second round looks only for such
(`normgraph.unsettled`), in what was surveyed at the end of the first, so that it costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from normgraph.facts import graphs_of
from normgraph.folding import Wishes, fold_batch_normalizations, foldable
from normgraph.folding.folding_pass import unfolded
from normgraph.folding.records import resolved
from normgraph.inventory import Fold, Site
from normgraph.ledger import Ledger
from normgraph.lowering import Demand
from normgraph.passes import MAXIMAL_ROUNDS, fuse_round, take_inventory
from normgraph.progress import Progress, silent
from normgraph.proposals import Judge, consent
from normgraph.rewrite import label_of
from normgraph.spelled_out import begins_map
from normgraph.surveyed import Surveyed

NOTHING_MORE = Wishes()


@dataclass(frozen=True)
class Rewritten:
    """What became of a model.

    Attributes:
        sites: every normalization, in the order of the graph.
        folds: every map per channel that was folded, and those that are left with the reason.
        rounds: how often something was rewritten.
    """

    sites: Sequence[Site]
    folds: Sequence[Fold]
    rounds: int


def rewrite(
    model: ir.Model,
    demand: Demand,
    *,
    opset: int | None = None,
    wishes: Wishes = NOTHING_MORE,
    judge: Judge = consent,
    progress: Progress = silent,
    proven: bool = True,
) -> Rewritten:
    """Fuse and fold, in place, until there is nothing left to do.

    Args:
        model: the model, its functions inlined.
        demand: the runtime, and what is permitted.
        opset: see `normgraph.passes.fuse_normalizations`.
        wishes: see `normgraph.folding.fold_batch_normalizations`.
        judge: asked which of the rewrites that are proven are to be made.
        progress: told about the proofs.
        proven: whether rewrites are proven; if not, they are made all the same.
    """
    surveyed, ledger = Surveyed(model), Ledger()
    folded: list[Fold] = []
    left: list[Fold] = []
    rounds = 0
    while rounds < MAXIMAL_ROUNDS:
        fused = fuse_round(surveyed, ledger, demand, opset, judge, progress, proven=proven)
        if rounds and not fused:
            break
        found = fold_batch_normalizations(surveyed, wishes=wishes, judge=judge, progress=progress, proven=proven)
        done = [fold for fold in found if fold.status == "folded"]
        folded += done
        left = [fold for fold in found if fold.status != "folded"]
        if not fused and not done:
            break
        rounds += 1
    folds = [ledger.told(fold) for fold in (*(folded if rounds < 2 else resolved(folded)), *left)]
    return Rewritten([site for site in ledger.sites if not proven or _is_left(site, folds)], folds, rounds)


def foreseen(model: ir.Model, demand: Demand) -> Rewritten:
    """What `rewrite` would do to a model, the proofs aside: what it would fuse or fold counts as kept.

    It is told of the model as it stands. Only what shows once something else is rewritten is found by a trial.

    Args:
        model: the model, its functions inlined; it isn't changed.
        demand: the runtime, and what is permitted.
    """
    surveyed = Surveyed(model)
    sites, uncovers = take_inventory(surveyed, demand)
    folds = foldable(surveyed)
    if uncovers or _may_leave_maps(surveyed, folds):
        trial = rewrite(model.clone(), demand, proven=False)
        if trial.rounds > 1:
            made = {fold.output: unfolded(fold) for fold in trial.folds if fold.status == "folded"}
            told = [fold if fold.rule == "not-folded" else made.get(fold.output, fold) for fold in folds]
            known = {fold.output for fold in told}
            return Rewritten(trial.sites, [*told, *(made[name] for name in made if name not in known)], 0)
    return Rewritten(sites, folds, 0)


def _may_leave_maps(surveyed: Surveyed, folds: Sequence[Fold]) -> bool:
    """Whether maps may be left behind what is folded that are BatchNormalizations then."""
    named = {name for fold in folds if fold.rule == "not-folded" for name in fold.nodes}
    if not named:
        return False
    nodes = (node for graph in graphs_of(surveyed.model) for node in graph if label_of(node) not in named)
    return any(begins_map(node, surveyed.facts) for node in nodes)


def _is_left(site: Site, folds: Sequence[Fold]) -> bool:
    """Whether a site is no native BatchNormalization that went into something else."""
    if site.kind != "BatchNormalization":
        return True
    return all(fold.status == "kept" or site.nodes[0] not in fold.nodes for fold in folds)
