"""Proving folds: each region that a fold leaves the same is run by itself, folded by the very code that folds it."""

from __future__ import annotations

import onnx_ir as ir

from normgraph.evidence import Evidence, Modelled, compare
from normgraph.execution import NotRunnable
from normgraph.extraction import Fragment
from normgraph.facts import Facts, survey
from normgraph.folding.changes import Store, apply_plan
from normgraph.folding.plans import FoldPlan, Region, plans_for
from normgraph.rewrite import Names, remove_dead

#: Dynamic dimensions are tried at no less than this, so that windows fit into them.
LEAST_EXTENT = 24


def prove(region: Region, direction: str, facts: Facts) -> Evidence:
    """Run a region as it is and folded, over all families of inputs, each judged against float64."""
    return compare(region, lambda fragment: folded_alone(fragment, direction), facts, least_extent=LEAST_EXTENT)


def folded_alone(fragment: Fragment, direction: str) -> Modelled:
    """The region as a model of its own, folded.

    Raises:
        NotRunnable: there is nothing to fold in it.
    """
    model = ir.from_proto(fragment.model)
    for value, (_, _, shape) in zip(model.graph.inputs, fragment.inputs, strict=True):
        value.shape = ir.Shape([size.static if not size.symbols else str(size) for size in shape])
    facts = survey(model)
    plans = [plan for plan in plans_for(direction, model.graph, facts) if isinstance(plan, FoldPlan)]
    if not plans:
        raise NotRunnable("the region by itself can't be folded")
    store = Store(Names(model))
    for plan in plans:
        apply_plan(plan, store)
    remove_dead([node for plan in plans for node in plan.affine.nodes], facts.positions)
    return Modelled(Fragment(ir.to_proto(model), fragment.inputs, fragment.output))
