"""Where the original of a rewrite overflows, its replacement may too; nothing else is excused by that."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from normgraph.evidence import conduct, experiment
from normgraph.evidence.structure import runners_of
from normgraph.execution import Runner
from normgraph.targets import TARGETS
from tests.core.test_evidence import lowered, matched


def at_first(value: float) -> Callable[[np.ndarray], np.ndarray]:
    """Puts a number in the place of the first."""

    def changed(array: np.ndarray) -> np.ndarray:
        array = np.array(array)
        array.reshape(-1)[:1] = value
        return array

    return changed


INFINITE = at_first(np.inf)
OVERFLOWS = [
    pytest.param(INFINITE, lambda y: y, True, id="right where the original overflows"),
    pytest.param(INFINITE, INFINITE, True, id="overflows in both"),
    pytest.param(INFINITE, at_first(np.nan), True, id="infinite before and not a number after"),
    pytest.param(lambda y: y, INFINITE, False, id="overflows where the original does not"),
    pytest.param(INFINITE, lambda y: INFINITE(y[::-1])[::-1], False, id="overflows elsewhere"),
    pytest.param(INFINITE, at_first(7.0), False, id="wrong where the original overflows"),
    pytest.param(INFINITE, lambda y: y + 1, False, id="wrong elsewhere"),
    pytest.param(INFINITE, lambda y: INFINITE(y + 1), False, id="wrong beside an overflow of both"),
]


@pytest.mark.parametrize(("spoil", "change", "accepted"), OVERFLOWS)
def test_overflow_of_the_original_excuses_no_error(
    spoil: Callable[[np.ndarray], np.ndarray], change: Callable[[np.ndarray], np.ndarray], accepted: bool
) -> None:
    match, found = matched()
    conducted = experiment(match, lowered(match, found), TARGETS["onnxruntime"], found.facts)
    right = runners_of(conducted)

    def computed(runner: Runner, how: Callable[[np.ndarray], np.ndarray]) -> Runner:
        return lambda feed: how(runner(feed)) if np.max(np.abs(feed["x"]), initial=0.0) > 500 else runner(feed)

    runners = replace(right, before=computed(right.before, spoil), after=computed(right.after, change))
    evidence = conduct(conducted, runners)
    assert evidence.accepted is accepted, evidence.describe()


def test_nothing_is_proven_by_overflows_alone() -> None:
    match, found = matched()
    conducted = experiment(match, lowered(match, found), TARGETS["onnxruntime"], found.facts)
    right = runners_of(conducted)
    runners = replace(right, before=lambda f: right.before(f) + np.inf, after=lambda f: right.after(f) + np.inf)
    evidence = conduct(conducted, runners)
    assert not evidence.accepted
    assert evidence.failure == "neither the original nor its replacement gives numbers: nothing is proven"
