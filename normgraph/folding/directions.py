"""The ways in which linear operators and maps per channel come together, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import onnx_ir as ir

from normgraph.facts import Facts
from normgraph.folding.branches import PARALLEL, parallel_plans
from normgraph.folding.chains import CHAIN, chain_plans
from normgraph.folding.changes import Store, apply_plan
from normgraph.folding.merging import MergePlan, apply_merge
from normgraph.folding.plans import BACKWARD, FORWARD, FoldPlan, Refusal, plans_for

Plan = FoldPlan | MergePlan

#: Direction → what finds the plans of a graph.
DIRECTIONS: Mapping[str, Callable[[ir.Graph, Facts], Iterator[Plan | Refusal]]] = {
    BACKWARD: partial(plans_for, BACKWARD),
    FORWARD: partial(plans_for, FORWARD),
    PARALLEL: parallel_plans,
    CHAIN: chain_plans,
}


def apply(plan: Plan, store: Store) -> list[ir.Node]:
    """Make the changes of a plan; what it replaces stays behind without readers.

    Returns:
        The new nodes.
    """
    return apply_plan(plan, store) if isinstance(plan, FoldPlan) else apply_merge(plan, store)
