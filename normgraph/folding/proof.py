"""Proving folds: each region that a fold leaves the same is run by itself, before the fold and after it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from normgraph.evidence import Evidence, Experiment, OnceEach, compare
from normgraph.extraction import cut_out, original_fragment
from normgraph.facts import Facts
from normgraph.folding.alone import folded_alone
from normgraph.folding.carrying import WEIGHED, Carrier
from normgraph.folding.directions import Plan
from normgraph.folding.extents import least_extent, small_inputs
from normgraph.folding.plan import FoldPlan, Region

#: The families of inputs that tell folds apart. What they compute is a linear map and a shift: the first shows the map,
#: the last the shift, the others what is left of both where the numbers are far from zero. Rows of one number and
#: variances say nothing of it.
FAMILIES_OF_FOLDS = ("normal", "offset 100", "offset 10000", "large magnitude", "largest", "subnormal")
#: Those that show map and shift: they are tried with the weights of every fold.
_TELLING = ("normal", "subnormal")


class Prover:
    """Proves the folds of one model: what they have in common is made, opened and tried on everything once."""

    def __init__(self) -> None:
        self._once = OnceEach()
        self._carrier = Carrier()

    def __call__(self, plan: Plan, region: Region, facts: Facts) -> Evidence:
        """Run a region as it is and folded, over all families of inputs, each judged against float64.

        Where onnx's reference evaluator and the runtime don't agree about the original (nearest neighbours that are
        equally near, for one), float64 says nothing of the fold, and it isn't made.

        Args:
            plan: the fold.
            region: one of its regions.
            facts: the facts about the graph.
        """
        evidence = compare(region, partial(self._designed, plan, region, facts), facts, self._once)
        if evidence.original_is_true:
            return evidence
        others = ", ".join(sorted({node.op_type for node in region.nodes}))
        parties = "the runtime and the reference evaluator"
        reason = f"{parties} don't agree about what {others} compute, so that nothing is proven"
        return replace(evidence, failure=reason)

    def _designed(self, plan: Plan, region: Region, facts: Facts) -> Experiment:
        """The experiment that proves a fold in one of its regions.

        A plan that reaches no further than the region is carried out on it, with the very weights that the fold puts
        in.  What others copy or merge is found anew in the region by itself.
        """
        extent, candidate = least_extent(region, facts), None
        if isinstance(plan, FoldPlan):
            fragment, nodes = cut_out(region, facts, WEIGHED)
            candidate = self._carrier(plan, fragment, nodes)
        if candidate is None:
            fragment = original_fragment(region, facts)
            candidate = folded_alone(fragment, plan.direction)
        return Experiment(
            fragment,
            candidate,
            region.axes,
            region.assumed,
            extent,
            FAMILIES_OF_FOLDS,
            small_inputs(fragment, extent),
            again=_TELLING,
            sized=False,
            subject=region.output.name or "",
        )
