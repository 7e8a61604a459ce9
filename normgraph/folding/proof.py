"""Proving folds: each region that a fold leaves the same is run by itself, folded by the very code that folds it."""

from __future__ import annotations

from dataclasses import replace

import onnx_ir as ir

from normgraph.evidence import Evidence, Experiment, Modelled, Ulps, compare
from normgraph.execution import NotRunnable, one_thread
from normgraph.extraction import Fragment, original_fragment
from normgraph.facts import Facts, survey
from normgraph.feeds import ORDINARY
from normgraph.feeds.families import limits
from normgraph.folding.changes import Store
from normgraph.folding.directions import DIRECTIONS, apply
from normgraph.folding.extents import least_extent, small_inputs
from normgraph.folding.plan import Refusal, Region
from normgraph.rewrite import Names, remove_dead

#: The families of inputs that tell folds apart. What they compute is a linear map and a shift: the first shows the map,
#: the last the shift, the others what is left of both where the numbers are far from zero. Rows of one number and
#: variances say nothing of it.
FAMILIES_OF_FOLDS = ("normal", "offset 100", "offset 10000", "large magnitude", "largest", "subnormal")
#: One element in a hundred of the original that errs by this much of itself isn't rounding.
_ANOTHER_FUNCTION = 0.5


def prove(region: Region, direction: str, facts: Facts) -> Evidence:
    """Run a region as it is and folded, over all families of inputs, each judged against float64.

    Where onnx's reference evaluator and the runtime don't agree about the original (nearest neighbours that are equally
    near, for one), float64 says nothing of the fold, and it isn't made.
    """

    def designed() -> Experiment:
        original = original_fragment(region, facts)
        extent = least_extent(region, facts)
        return Experiment(
            original,
            folded_alone(original, direction),
            region.axes,
            region.assumed,
            extent,
            FAMILIES_OF_FOLDS,
            small_inputs(original, extent),
        )

    with one_thread():
        evidence = compare(region, designed, facts)
    before = Ulps.largest_of(trial.ulps_before for trial in evidence.trials if trial.family in ORDINARY)
    dtype = evidence.dtype
    if before is None or dtype is None or before.p99 * float(limits(dtype.numpy()).eps) < _ANOTHER_FUNCTION:
        return evidence
    others = ", ".join(sorted({node.op_type for node in region.nodes}))
    reason = (
        f"the runtime and the reference evaluator don't agree about what {others} compute, so that nothing is proven"
    )
    return replace(evidence, failure=reason)


def folded_alone(fragment: Fragment, direction: str) -> Modelled:
    """The region as a model of its own, folded.

    Raises:
        NotRunnable: there is nothing to fold in it.
    """
    model = ir.from_proto(fragment.model)
    for value, (_, _, shape) in zip(model.graph.inputs, fragment.inputs, strict=True):
        value.shape = ir.Shape([size.static if not size.symbols else str(size) for size in shape])
    facts = survey(model)
    plans = [plan for plan in DIRECTIONS[direction](model.graph, facts) if not isinstance(plan, Refusal)]
    if not plans:
        raise NotRunnable("the region by itself can't be folded")
    store = Store(Names(model))
    for plan in plans:
        apply(plan, store)
    remove_dead([node for plan in plans for node in plan.doomed], facts.positions)
    for value in (*model.graph.inputs, *model.graph.outputs):  # at other sizes, too, it is to be tried
        value.shape = None if value.shape is None else ir.Shape([None] * len(value.shape))
    folded = Fragment(ir.to_proto(model), fragment.inputs, fragment.output)
    for value in model.graph.initializers.values():  # a graph is a cycle, which would hold them until it is collected
        value.const_value = None
    return Modelled(folded)
