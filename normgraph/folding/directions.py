"""The ways in which linear operators and maps per channel come together, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import onnx_ir as ir

from normgraph.facts import Facts
from normgraph.folding.branches import PARALLEL, parallel_plans
from normgraph.folding.chains import CHAIN, chain_plans
from normgraph.folding.changes import Store, apply_plan
from normgraph.folding.gain import GAIN, GainPlan, apply_gain, gain_plans
from normgraph.folding.merging import MergePlan, apply_merge
from normgraph.folding.plan import FoldPlan, Refusal
from normgraph.folding.plans import BACKWARD, COMPOSE, DUPLICATE, FORWARD, plans_for

Plan = FoldPlan | MergePlan | GainPlan


@dataclass(frozen=True, slots=True)
class Wishes:
    """Folds that are only made when asked for, since they save no work in themselves.

    Attributes:
        duplicate: copy a linear operator that something beside a map reads, and fold the map into the copy.
        gain: fold gain and bias of a LayerNormalization or RMSNormalization into what reads it.
    """

    duplicate: bool = False
    gain: bool = False

    @property
    def directions(self) -> tuple[str, ...]:
        """The directions to be tried."""
        unwanted = {DUPLICATE: not self.duplicate, GAIN: not self.gain}
        return tuple(direction for direction in DIRECTIONS if not unwanted.get(direction, False))


#: Direction → what finds the plans of a graph.
DIRECTIONS: Mapping[str, Callable[[ir.Graph, Facts], Iterator[Plan | Refusal]]] = {
    BACKWARD: partial(plans_for, BACKWARD),
    FORWARD: partial(plans_for, FORWARD),
    DUPLICATE: partial(plans_for, DUPLICATE),
    PARALLEL: parallel_plans,
    CHAIN: chain_plans,
    GAIN: gain_plans,
    COMPOSE: partial(plans_for, COMPOSE),
}


def apply(plan: Plan, store: Store) -> list[ir.Node]:
    """Make the changes of a plan; what it replaces stays behind without readers.

    Returns:
        The new nodes.
    """
    if isinstance(plan, FoldPlan):
        return apply_plan(plan, store)
    return apply_merge(plan, store) if isinstance(plan, MergePlan) else apply_gain(plan, store)
