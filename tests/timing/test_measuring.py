"""Measuring, with models that only advance a clock."""

import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from normgraph.timing.measuring import BLOCKS, LEAST_SECONDS, WARM_UP, Plan, comparisons, measured
from normgraph.timing.statistics import LEAST_ROUNDS, ratio_of


@dataclass
class Machine:
    """A clock, and what happened when."""

    now: float = 0.0
    happened: list[str] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def opener(self, name: str, seconds: Callable[[], float], opening: float = 0.5) -> Callable[[], "Model"]:
        def opened() -> Model:
            self.now += opening
            self.happened.append(f"open {name}")
            return Model(self, name, seconds)

        return opened


@dataclass
class Model:
    machine: Machine
    name: str
    seconds: Callable[[], float]

    def run(self) -> None:
        self.machine.now += self.seconds()
        self.machine.happened.append(self.name)


def test_models_are_interleaved_block_by_block_in_changing_order() -> None:
    machine = Machine()
    openers = [machine.opener("a", lambda: 0.02), machine.opener("b", lambda: 0.01)]
    found = measured(openers, Plan(), clock=machine.clock)
    (first, *rest) = "".join(" " if "open" in step else step for step in machine.happened).split()
    assert len(rest) == LEAST_ROUNDS - 1
    for runs in (first, *rest):
        blocks = [runs[place : place + 2] for place in range(2 * WARM_UP, len(runs), 2)]
        assert set(blocks) == {"ab", "ba"}
    assert len({first, *rest}) > 1
    assert ratio_of(found[1].ratios(found[0])).estimate == pytest.approx(2.0)
    assert found[0].median == pytest.approx(0.02)
    assert found[1].p90 == pytest.approx(0.01)
    assert found[0].session == pytest.approx(0.5)


def test_the_same_seed_gives_the_same_order() -> None:
    def happened(seed: int) -> list[str]:
        machine = Machine()
        openers = [machine.opener(name, lambda: 0.02) for name in "abc"]
        measured(openers, Plan(seed=seed), clock=machine.clock)
        return machine.happened

    assert happened(1) == happened(1) != happened(2)


def test_each_round_opens_every_model_anew() -> None:
    machine = Machine()
    found = measured([machine.opener("a", lambda: 0.1), machine.opener("b", lambda: 0.1)], Plan(), clock=machine.clock)
    opened = Counter(step for step in machine.happened if "open" in step)
    assert opened == {"open a": LEAST_ROUNDS, "open b": LEAST_ROUNDS}
    assert len(found[0].sessions) == len(found[0].rounds) == LEAST_ROUNDS


@pytest.mark.parametrize(
    ("budget", "rounds"),
    [
        pytest.param(0.1, 2, id="one round would have no interval"),
        pytest.param(30.0, range(3, 30), id="ends with the budget"),
    ],
)
def test_measuring_ends_with_its_budget(budget: float, rounds: int | range) -> None:
    machine, noise = Machine(), random.Random(1)
    openers = [machine.opener(name, lambda: noise.uniform(0.05, 0.2)) for name in "ab"]
    told: list[tuple[int, int]] = []
    found = measured(
        openers, Plan(budget=budget), clock=machine.clock, progress=lambda _, done, total: told.append((done, total))
    )
    done = len(found[0].rounds)
    assert done in rounds if isinstance(rounds, range) else done == rounds
    assert machine.now < budget + 6
    assert [place for place, _ in told] == list(range(1, done))
    assert all(place < total for place, total in told)


def test_runs_too_short_for_the_clock_are_timed_several_at_once() -> None:
    machine, short = Machine(), 2.0**-17
    found = measured([machine.opener("a", lambda: short)], Plan(), clock=machine.clock)
    runs = machine.happened.count("a") - LEAST_ROUNDS * WARM_UP
    assert len(found[0].runs) == LEAST_ROUNDS * BLOCKS[1]
    assert runs == len(found[0].runs) * math.ceil(LEAST_SECONDS / short)
    assert found[0].median == pytest.approx(short)


def test_a_model_alone_is_measured_until_its_own_time_is_known() -> None:
    machine, noise = Machine(), random.Random(1)
    found = measured([machine.opener("a", lambda: noise.uniform(0.1, 0.11))], Plan(), clock=machine.clock)
    (times,) = comparisons(found)
    assert ratio_of(times).precision <= 0.01
    assert ratio_of(times).estimate == pytest.approx(0.105, rel=0.02)
