"""Intervals of ratios: they cover what they say, with the rule that ends a measurement early, on all kinds of noise."""

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pytest

from normgraph.timing.statistics import (
    CONFIDENCE,
    LEAST_ROUNDS,
    Ratio,
    Verdict,
    is_settled,
    quantile,
    ratio_of,
    round_ratio,
    student,
)

Noise = Callable[[np.random.Generator, int], npt.NDArray[np.float64]]
BLOCKS = 20
PRECISION = 0.01
MOST_ROUNDS = 60


def normal(spread: float) -> Noise:
    return lambda random, count: random.normal(0, spread, count)


def stragglers(spread: float) -> Noise:
    """One run of ten is held up by something else."""
    return lambda random, count: (
        random.normal(0, spread, count) + (random.random(count) < 0.1) * random.exponential(0.5, count)
    )


def heavy_tailed(spread: float) -> Noise:
    return lambda random, count: spread * random.standard_t(2, count)


def measurement(
    random: np.random.Generator, noise: Noise, session: float, drift: float, true: float
) -> tuple[Ratio, int]:
    """Rounds of synthetic run times, made until they are settled, as `measured` makes them."""
    rounds: list[float] = []
    while not is_settled([rounds], PRECISION) and len(rounds) < MOST_ROUNDS:
        common = np.cumsum(random.normal(0, drift, BLOCKS))  # the clock's changes, which both models see
        first, second = (
            np.exp(noise(random, BLOCKS) + random.normal(0, session) + common + offset)
            for offset in (math.log(true), 0.0)
        )
        rounds.append(round_ratio(second.tolist(), first.tolist()))
    return ratio_of(rounds), len(rounds)


@pytest.mark.parametrize("true", [1.0, 1.05])
@pytest.mark.parametrize(
    ("noise", "session", "drift"),
    [
        pytest.param(normal(0.05), 0.0, 0.0, id="wide noise"),
        pytest.param(normal(0.01), 0.002, 0.0, id="little noise"),
        pytest.param(normal(0.02), 0.01, 0.01, id="sessions differ and clocks drift"),
        pytest.param(stragglers(0.03), 0.0, 0.01, id="stragglers"),
        pytest.param(heavy_tailed(0.03), 0.005, 0.0, id="heavy tails"),
    ],
)
def test_interval_covers_the_true_ratio_as_often_as_it_says(
    noise: Noise, session: float, drift: float, true: float
) -> None:
    random = np.random.default_rng(3)
    found = [measurement(random, noise, session, drift, true)[0] for _ in range(250)]
    covered = sum(ratio.low <= true <= ratio.high for ratio in found) / len(found)
    assert covered > CONFIDENCE - 0.03  # 2.2 standard errors of 250 trials
    assert all(ratio.low < ratio.estimate < ratio.high for ratio in found)


def test_blocks_of_one_session_alone_would_cover_far_less() -> None:
    """Why rounds are of fresh sessions: within one session the noise hides that sessions differ."""
    random = np.random.default_rng(5)
    covered = 0
    for _ in range(200):
        first, second = random.normal(0, 0.01, 2)
        blocks = [math.exp(random.normal(0, 0.01) + first - random.normal(0, 0.01) - second) for _ in range(60)]
        ratio = ratio_of(blocks)
        covered += ratio.low <= 1 <= ratio.high
    assert covered / 200 < 0.5


def test_a_real_difference_is_found_and_a_missing_one_is_not() -> None:
    random = np.random.default_rng(7)

    def verdicts(true: float) -> list[Verdict]:
        return [measurement(random, stragglers(0.02), 0.005, 0.01, true)[0].verdict(PRECISION) for _ in range(100)]

    assert verdicts(1.05).count("faster") == 100
    assert verdicts(0.95).count("slower") == 100
    assert verdicts(1.0).count("no difference") >= 93


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        pytest.param(Ratio(1.1, 1.08, 1.12), "faster", id="above one"),
        pytest.param(Ratio(0.9, 0.88, 0.92), "slower", id="below one"),
        pytest.param(Ratio(1.001, 0.995, 1.007), "no difference", id="tight around one"),
        pytest.param(Ratio(1.0, 0.9, 1.1), "undecided", id="wide around one"),
        pytest.param(Ratio(1.3, 1.05, 1.6), "faster", id="wide and above one"),
        pytest.param(Ratio(2.0, 0.0, math.inf), "undecided", id="unbounded"),
        pytest.param(Ratio(1.005, 1.0, 1.01), "no difference", id="touching one"),
    ],
)
def test_verdict_is_what_the_interval_says(ratio: Ratio, expected: Verdict) -> None:
    assert ratio.verdict(PRECISION) == expected


@pytest.mark.parametrize("freedom", [1, 2, 5, 12, 30, 31, 45, 200])
def test_students_quantile_is_that_of_its_density(freedom: int) -> None:
    """The area up to the quantile, by Simpson's rule."""
    constant = math.gamma((freedom + 1) / 2) / math.sqrt(freedom * math.pi) / math.gamma(freedom / 2)
    points, step = np.linspace(0, student(freedom), 20_001, retstep=True)
    density = constant * (1 + points**2 / freedom) ** (-(freedom + 1) / 2)
    area = step / 3 * (density[0] + density[-1] + 4 * density[1:-1:2].sum() + 2 * density[2:-1:2].sum())
    assert 0.5 + area == pytest.approx(0.9875, abs=2e-5)
    assert student(freedom) > NormalDist().inv_cdf(0.9875)


def test_ratio_of_a_single_round_has_no_bounds() -> None:
    assert ratio_of([1.5]) == Ratio(pytest.approx(1.5), 0.0, math.inf)
    assert ratio_of([1.5]).precision == math.inf


def test_stragglers_in_few_blocks_leave_a_round_as_it_is() -> None:
    own, other = [1.0] * 9, [2.0] * 9
    own[2], other[5], other[6] = 50.0, 80.0, 0.01
    assert round_ratio(own, other) == 2.0


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [
        pytest.param([[1.0] * LEAST_ROUNDS], True, id="alike"),
        pytest.param([[1.0] * (LEAST_ROUNDS - 1)], False, id="alike but few"),
        pytest.param([[1.0, 1.2] * LEAST_ROUNDS], False, id="too different"),
        pytest.param([[1.0] * LEAST_ROUNDS, [1.0, 1.2] * (LEAST_ROUNDS // 2)], False, id="one of two"),
    ],
)
def test_measuring_ends_when_every_interval_is_tight(rounds: list[list[float]], expected: bool) -> None:
    assert is_settled(rounds, PRECISION) is expected


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([3.0], 0.9, 3.0), ([1.0, 2.0, 3.0, 4.0], 0.5, 2.5), ([4.0, 1.0, 3.0, 2.0], 1.0, 4.0), (range(11), 0.9, 9.0)],
)
def test_quantile_interpolates(values: list[float], share: float, expected: float) -> None:
    assert quantile(values, share) == pytest.approx(expected)
