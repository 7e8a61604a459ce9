"""Measuring: models in turn, in rounds of fresh sessions, until the intervals of their ratios are tight.

A round opens every model anew and runs them block by block: A B, B A, A B, …, the order drawn from a seed.  See
`normgraph.timing.statistics` for what is made of the times.
"""

from __future__ import annotations

import gc
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from normgraph.progress import Progress, silent
from normgraph.timing.statistics import LEAST_ROUNDS, is_settled, quantile, ratio_of, round_ratio

#: Runs of each model at the beginning of a round that aren't counted.
WARM_UP = 3
#: Seconds of runs that a round is to hold, or as many as opening the models took, and between how many blocks.
ROUND_SECONDS = 0.5
BLOCKS = (5, 50)
#: Seconds below which runs are timed several at once, since reading the clock would take part of them.
LEAST_SECONDS = 2e-4
#: Rounds that are made even if they take longer than the budget: one alone has no interval.
ROUNDS_WITHOUT_BUDGET = 2


class Runnable(Protocol):
    """A model that is open, with its inputs."""

    def run(self) -> None:
        """Run it once, to the end."""


#: Opens a model.
Opener = Callable[[], Runnable]


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to measure.

    Attributes:
        precision: the half-width of the interval of a ratio at which it is done, relative to the ratio.
        budget: the seconds after which it ends even so.
        seed: what the order of the runs follows from.
    """

    precision: float = 0.01
    budget: float = 60.0
    seed: int = 0


@dataclass(frozen=True)
class Times:
    """What was measured of one model.

    Attributes:
        sessions: seconds that opening it took, round by round.
        rounds: seconds of its runs: for each round, for each block.
    """

    sessions: tuple[float, ...]
    rounds: tuple[tuple[float, ...], ...]

    @property
    def runs(self) -> list[float]:
        """Seconds of all runs."""
        return [seconds for times in self.rounds for seconds in times]

    @property
    def median(self) -> float:
        """Seconds that half of the runs didn't take longer than."""
        return median(self.runs)

    @property
    def p90(self) -> float:
        """Seconds that nine of ten runs didn't take longer than."""
        return quantile(self.runs, 0.9)

    @property
    def session(self) -> float:
        """Seconds that opening it took, the median of the rounds."""
        return median(self.sessions)

    def ratios(self, other: Times) -> list[float]:
        """How many times as fast this model is as the other, round by round."""
        return [round_ratio(own, theirs) for own, theirs in zip(self.rounds, other.rounds, strict=True)]


def measured(
    openers: Sequence[Opener],
    plan: Plan,
    *,
    task: str = "timing",
    progress: Progress = silent,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Times]:
    """Time some models against the first of them; a single one against nothing.

    Args:
        openers: what opens each; called once a round.
        plan: how long to measure.
        task: what this is called where progress is told.
        progress: told how far it is, in rounds: as many as seem to be needed, and no more than the budget allows.
        clock: reads the time in seconds.

    Raises:
        NormgraphError: what the openers and their models raise.
    """
    generator = random.Random(plan.seed)
    started = clock()
    sessions: list[list[float]] = [[] for _ in openers]
    rounds: list[list[tuple[float, ...]]] = [[] for _ in openers]
    while True:
        for position, (opening, times) in enumerate(_round(openers, generator, clock)):
            sessions[position].append(opening)
            rounds[position].append(times)
        found = [Times(tuple(s), tuple(r)) for s, r in zip(sessions, rounds, strict=True)]
        ratios = comparisons(found)
        done, elapsed = len(rounds[0]), clock() - started
        if is_settled(ratios, plan.precision) or (elapsed >= plan.budget and done >= ROUNDS_WITHOUT_BUDGET):
            return found
        progress(task, done, _expected(ratios, plan, elapsed / done))


def comparisons(times: Sequence[Times]) -> list[list[float]]:
    """What has to be known precisely, round by round: each model's ratio to the first; of a single one its time."""
    first, *others = times
    return [found.ratios(first) for found in others] or [[median(block) for block in first.rounds]]


def _expected(ratios: Sequence[Sequence[float]], plan: Plan, seconds: float) -> int:
    """How many rounds it will be: intervals shrink with the root of their number."""
    done = len(ratios[0])
    affordable = max(math.ceil(plan.budget / seconds), done + 1)
    if done < 3:
        return max(LEAST_ROUNDS, done + 1)
    widest = max(ratio_of(rounds).precision for rounds in ratios)
    return min(affordable, max(LEAST_ROUNDS, done + 1, math.ceil(done * (widest / plan.precision) ** 2)))


def _round(
    openers: Sequence[Opener], generator: random.Random, clock: Callable[[], float]
) -> list[tuple[float, tuple[float, ...]]]:
    """For each model: seconds to open it, and seconds of its runs, block by block."""
    order = list(range(len(openers)))
    models: list[Runnable | None] = [None] * len(openers)
    opening = [0.0] * len(openers)
    generator.shuffle(order)
    for position in order:
        begin = clock()
        models[position] = openers[position]()
        opening[position] = clock() - begin
    runs = [model.run for model in models if model is not None]
    once = [_warmed_up(run, clock) for run in runs]
    repeats = max(1, math.ceil(LEAST_SECONDS / max(min(once), 1e-9)))
    fewest, most = BLOCKS
    blocks = max(fewest, min(most, int(max(ROUND_SECONDS, sum(opening)) / max(sum(once) * repeats, 1e-9))))
    times: list[list[float]] = [[] for _ in openers]
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(blocks):
            generator.shuffle(order)
            for position in order:
                run = runs[position]
                begin = clock()
                for _ in range(repeats):
                    run()
                times[position].append((clock() - begin) / repeats)
    finally:
        if collecting:
            gc.enable()
    return [(seconds, tuple(found)) for seconds, found in zip(opening, times, strict=True)]


def _warmed_up(run: Callable[[], None], clock: Callable[[], float]) -> float:
    """Run a model until it has what it keeps between runs; the seconds of the last run."""
    seconds = 0.0
    for _ in range(WARM_UP):
        begin = clock()
        run()
        seconds = clock() - begin
    return seconds
