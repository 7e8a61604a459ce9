"""Proving folds: each region that a fold leaves the same is run by itself, folded by the very code that folds it."""

from __future__ import annotations

from dataclasses import replace

import onnx_ir as ir

from normgraph.constants import attribute
from normgraph.evidence import SMALL, Evidence, Modelled, Ulps, compare
from normgraph.execution import NotRunnable
from normgraph.extraction import Fragment
from normgraph.facts import Facts, survey
from normgraph.feeds import ORDINARY
from normgraph.feeds.families import limits
from normgraph.folding.changes import Store
from normgraph.folding.directions import DIRECTIONS, apply
from normgraph.folding.plan import Refusal, Region
from normgraph.rewrite import Names, remove_dead

#: Operators with windows over space.
_WINDOWS = frozenset({"AveragePool", "Conv", "MaxPool"})
#: So many outputs of the last window are wanted along each dimension: two at the borders and one between.
_OUTPUTS = 3
#: One element in a hundred of the original that errs by this much of itself isn't rounding.
_ANOTHER_FUNCTION = 0.5
#: Dynamic dimensions without windows are tried at no less than this.
_LEAST = 2


def prove(region: Region, direction: str, facts: Facts) -> Evidence:
    """Run a region as it is and folded, over all families of inputs, each judged against float64.

    Where onnx's reference evaluator and the runtime don't agree about the original (nearest neighbours that are equally
    near, for one), float64 says nothing of the fold, and it isn't made.
    """
    evidence = compare(
        region, lambda fragment: folded_alone(fragment, direction), facts, least_extent=least_extent(region, facts)
    )
    before = Ulps.largest_of(trial.ulps_before for trial in evidence.trials if trial.family in ORDINARY)
    dtype = evidence.dtype
    if before is None or dtype is None or before.p99 * float(limits(dtype.numpy()).eps) < _ANOTHER_FUNCTION:
        return evidence
    others = ", ".join(sorted({node.op_type for node in region.nodes}))
    reason = (
        f"the runtime and the reference evaluator don't agree about what {others} compute, so that nothing is proven"
    )
    return replace(evidence, failure=reason)


def least_extent(region: Region, facts: Facts) -> int:
    """The size of space at which every window of a region fits in and has neighbours; small, for proofs take time."""
    needed: dict[ir.Value | None, int] = {region.output: _OUTPUTS}
    for node in reversed(region.nodes):
        extent = max(needed.get(output, 1) for output in node.outputs)
        if _has_windows(node):
            stride, reach = _window(node, facts)
            extent = (extent - 1) * stride + reach
        for value in node.inputs:
            needed[value] = max(needed.get(value, 1), extent)
    extent = needed.get(region.base, 1)
    space = (facts.shape(region.base) or ())[2:]
    # Static dimensions are tried at SMALL or more anyway: then only the batch is dynamic, and can be small.
    fits = extent <= SMALL + 2 and all(size.static is not None for size in space)
    return extent if any(map(_has_windows, region.nodes)) and not fits else _LEAST


def _has_windows(node: ir.Node) -> bool:
    return node.op_type in _WINDOWS and not node.domain


def _window(node: ir.Node, facts: Facts) -> tuple[int, int]:
    """The largest stride of a node's window, and over how many elements it reaches."""
    weight = facts.shape(node.inputs[1]) if node.op_type == "Conv" and node.inputs[1] is not None else None
    kernel = attribute(node, "kernel_shape") or [size.factor for size in (weight or ())[2:]] or [1]
    dilations = attribute(node, "dilations") or [1] * len(kernel)
    reach = max(d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True))
    return max(attribute(node, "strides") or [1]), reach


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
    return Modelled(Fragment(ir.to_proto(model), fragment.inputs, fragment.output))
