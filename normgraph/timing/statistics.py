"""How much faster, and how sure that is: intervals for ratios of run times.  Pure; nothing here measures.

Run times of a computer aren't independent of each other: clocks change, other programs come and go, and a session that
happened to get its memory in an unlucky place stays slow for as long as it lives.  So a measurement is made in
**rounds**.  Each round opens a new session of every model and runs them in blocks, each model once a block; a block's
ratio of times has lost what slowed down both, and the median over the blocks of a round has lost the stragglers.  What
is left differs from round to round, by the luck of the sessions too, and the rounds are independent.  The interval is
therefore Student's t over the logarithms of the rounds' medians.

That the rounds end when the interval is tight makes them end early where the first agree by chance, and an interval at
95 % would then cover less.  So the quantile is that of 97.5 %, which covers 95 % with that rule: on noise of several
kinds `tests/timing/test_statistics.py` measures it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import Literal

#: How often an interval holds the true ratio, its rule of stopping included.
CONFIDENCE = 0.95
#: Rounds before an interval is taken for what it says.
LEAST_ROUNDS = 6
#: The 0.9875 quantile of Student's distribution for 1, 2, … degrees of freedom.
_STUDENT = (
    25.4517, 6.2053, 4.1765, 3.4954, 3.1634, 2.9687, 2.8412, 2.7515, 2.6850, 2.6338, 2.5931, 2.5600, 2.5326, 2.5096,
    2.4899, 2.4729, 2.4581, 2.4450, 2.4334, 2.4231, 2.4138, 2.4055, 2.3979, 2.3909, 2.3846, 2.3788, 2.3734, 2.3685,
    2.3638, 2.3596,
)  # fmt: skip

Verdict = Literal["faster", "slower", "no difference", "undecided"]


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as fast one model is as another: times of the other over its own.

    Attributes:
        estimate: the best guess; above one it is the faster.
        low: the lower end of the interval that holds the true ratio at `CONFIDENCE`.
        high: the upper end.
    """

    estimate: float
    low: float
    high: float

    @property
    def precision(self) -> float:
        """The half-width of the interval, relative to the estimate."""
        return math.sqrt(self.high / self.low) - 1 if self.low > 0 else math.inf

    def to_dict(self) -> dict[str, float | None]:
        """It as plain data; JSON has no infinity, so an end that isn't there is None."""
        return {"estimate": self.estimate, "low": self.low, "high": self.high if math.isfinite(self.high) else None}

    def verdict(self, precision: float) -> Verdict:
        """What the interval says.

        Args:
            precision: the half-width from which on an interval that holds one is too wide to mean "no difference".
        """
        if self.low > 1:
            return "faster"
        if self.high < 1:
            return "slower"
        return "no difference" if self.precision <= precision else "undecided"


def student(freedom: int) -> float:
    """The 0.9875 quantile of Student's distribution, to four digits.

    Args:
        freedom: degrees of freedom, at least 1.

    >>> student(5), round(student(60), 3)
    (3.1634, 2.299)
    """
    if freedom <= len(_STUDENT):
        return _STUDENT[freedom - 1]
    z = 2.241403  # the normal distribution's, expanded in powers of 1/freedom (Abramowitz and Stegun 26.7.5)
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def round_ratio(times: Sequence[float], others: Sequence[float]) -> float:
    """A round's ratio: the median over its blocks of the other's time over its own.

    Args:
        times: seconds of the model's runs, block by block.
        others: those of the model that it is compared with.
    """
    return median(other / own for own, other in zip(times, others, strict=True))


def ratio_of(rounds: Sequence[float]) -> Ratio:
    """The ratio and its interval.

    Args:
        rounds: each round's ratio, at least one; of a single round the interval is unbounded.

    >>> ratio_of([1.0, 1.1, 1.2]).estimate == (1.0 * 1.1 * 1.2) ** (1 / 3)
    True
    """
    logarithms = [math.log(value) for value in rounds]
    centre = fmean(logarithms)
    if len(logarithms) < 2:
        return Ratio(math.exp(centre), 0.0, math.inf)
    half = student(len(logarithms) - 1) * stdev(logarithms) / math.sqrt(len(logarithms))
    return Ratio(math.exp(centre), math.exp(centre - half), math.exp(centre + half))


def is_settled(ratios: Sequence[Sequence[float]], precision: float) -> bool:
    """Whether enough rounds were made: all intervals are tight.

    Args:
        ratios: for each comparison the ratios of its rounds.
        precision: the half-width that counts as tight, relative to the ratio.
    """
    return all(len(rounds) >= LEAST_ROUNDS and ratio_of(rounds).precision <= precision for rounds in ratios)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of the values doesn't exceed, interpolated linearly between neighbours.

    >>> quantile([1.0, 2.0, 3.0], 0.5), quantile([1.0, 2.0], 0.9)
    (2.0, 1.9)
    """
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
