"""Budgets of time: how long one run of a model may take, on this machine and a provider of ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass

from normgraph import api
from normgraph.check.budgets import LatencyBudget, shown
from normgraph.check.contract import Contract, Culprit, Finding
from normgraph.feeds import Feeding
from normgraph.feeds.families import ORDINARY
from normgraph.targets import DEFAULT_TARGET
from normgraph.timing import Plan, bench

#: How long a model is timed; a budget isn't a comparison, and needs no narrow interval.
PLAN = Plan(precision=0.05, budget=10.0)
LEVEL = "all"


@dataclass(frozen=True)
class Timed:
    """How long a model took.

    Attributes:
        median: seconds of a run.
        p90: seconds that nine of ten runs didn't take longer than.
        runtime: the version of ONNX Runtime.
    """

    median: float
    p90: float
    runtime: str


def judge_latency(path: str, contract: Contract) -> Finding:
    """Whether a model's median run keeps within the budget of its contract.

    Raises:
        NormgraphError: it can't be run there.
    """
    budget = contract.max_latency
    assert budget is not None
    timed = _timed(path, contract, budget)
    condition = f"max-latency = {shown(budget.seconds)} on {budget.provider}"
    figures = f"median {shown(timed.median)}, 90 % within {shown(timed.p90)}, ONNX Runtime {timed.runtime}"
    if timed.median <= budget.seconds:
        return Finding("max-latency", condition, note=figures)
    return Finding(
        "max-latency",
        condition,
        f"a run takes longer: {figures}; `normgraph bench --per-site` tells what rewrites are worth",
        (Culprit(path, figures),),
    )


def _timed(path: str, contract: Contract, budget: LatencyBudget) -> Timed:
    model = (
        path
        if not contract.optimized
        else api.optimize(path, target=contract.target or DEFAULT_TARGET, allow_contrib=contract.allow_contrib).model
    )
    feeding = Feeding(None, dict(budget.dims), ORDINARY, 0, sizes=1)
    found = bench([model], provider=budget.provider, levels=[LEVEL], threads=budget.threads, feeding=feeding, plan=PLAN)
    times = found.levels[0].figures[0].times
    return Timed(times.median, times.p90, found.surroundings.runtime)
