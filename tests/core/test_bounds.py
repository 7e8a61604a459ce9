"""Lower bounds: what is claimed never to be less than a number isn't, and what might be isn't claimed."""

import math
from collections.abc import Callable
from random import Random

import numpy as np
import pytest

from normgraph.algebra import HALF, Polynomial, base, constant, extent
from normgraph.axes import Axis, Size
from normgraph.bounds import lower_bound
from normgraph.coefficients import coefficient
from normgraph.errors import NotRepresentable
from tests.core.evaluation import Evaluation

N, H = Axis(0, Size(2)), Axis(1, Size(3))
LAYOUT = ((N,), (H,))
x = base((N, H))
m = x.mean(axis=(H,))
square = (x * x).mean(axis=(H,))
both = (x * x).mean(axis=(N, H))
POSITIVE = constant(coefficient([0.5, 1.0, 2.0], [(H,)]))
GAPPED = constant(coefficient([0.0, 1.0, 2.0], [(H,)]))
MIXED = constant(coefficient([0.5, -1.0, 2.0], [(H,)]))

KNOWN = [
    pytest.param(lambda: constant(-3.0), -3.0, id="number"),
    pytest.param(lambda: MIXED, -1.0, id="numbers"),
    pytest.param(lambda: constant(0.0), 0.0, id="zero"),
    pytest.param(lambda: x * x + 1, 1.0, id="even-power"),
    pytest.param(lambda: x**-2, 0.0, id="even-negative-power"),
    pytest.param(lambda: square + 1e-5, 1e-5, id="mean-of-square"),
    pytest.param(lambda: square - m * m, 0.0, id="variance"),
    pytest.param(lambda: 3 * square - 2 * m * m + 1, 1.0, id="more-than-variance"),
    pytest.param(lambda: (x**4).mean(axis=(H,)) - square * square, 0.0, id="variance-of-the-square"),
    pytest.param(lambda: (square + 1) ** -HALF, 0.0, id="reciprocal-root"),
    pytest.param(lambda: (square - m * m) ** -1 + 2, 2.0, id="reciprocal-of-the-variance"),
    pytest.param(lambda: (square + 4) ** HALF, 2.0, id="root"),
    pytest.param(lambda: (square - m * m + 4) ** HALF * 3 - 1, 5.0, id="root-in-a-sum"),
    pytest.param(lambda: (square + 4) ** HALF * x.clamped(3.0), 6.0, id="product"),
    pytest.param(lambda: (square + 4) ** HALF * m * m, 0.0, id="product-with-what-may-be-zero"),
    pytest.param(lambda: (x - m).vanishes() + 2, 2.0, id="condition"),
    pytest.param(lambda: extent("S") - 4, -4.0, id="extent"),
    pytest.param(lambda: x.clamped(-1.0).absolute() + 2, 2.0, id="absolute-value"),
    pytest.param(lambda: x.clamped(0.0) * POSITIVE, 0.0, id="bounded-times-positive"),
    pytest.param(lambda: (x - m) ** 2, 0.0, id="expanded-square"),
    pytest.param(lambda: (x - 2 * m) ** 2 * 3, 0.0, id="scaled-square"),
    pytest.param(lambda: (x - m + m * m) ** 2, 0.0, id="square-of-three"),
    pytest.param(lambda: ((x - m) ** 2).mean(axis=(H,)), 0.0, id="mean-of-expanded-square"),
    pytest.param(lambda: (x + 1) ** 2, 0.0, id="square-with-a-number"),
    pytest.param(lambda: (x + 1) ** 6 + 2, 2.0, id="even-power-that-is-not-expanded"),
    pytest.param(lambda: (x - x**-1 + m) ** 2, 0.0, id="square-with-a-reciprocal"),
    pytest.param(lambda: square * GAPPED, 0.0, id="weights-one-of-which-is-zero"),
]
UNKNOWN = [
    pytest.param(lambda: x, id="value"),
    pytest.param(lambda: m, id="mean"),
    pytest.param(lambda: x**3, id="odd-power"),
    pytest.param(lambda: -square, id="negative"),
    pytest.param(lambda: square - 2 * m * m, id="less-than-variance"),
    pytest.param(lambda: square - m * m - m * m, id="variance-used-twice"),
    pytest.param(lambda: square * square - m * m, id="of-another-degree"),
    pytest.param(lambda: both - m * m, id="over-other-axes"),
    pytest.param(lambda: square - both, id="means-of-squares"),
    pytest.param(lambda: x * x * MIXED, id="weights-of-both-signs"),
    pytest.param(lambda: (square - 0.5) ** -1 + 2, id="reciprocal-of-what-may-be-negative"),
    pytest.param(lambda: (square - 0.5) ** -1 * square, id="product-with-what-may-be-negative"),
    pytest.param(lambda: x.clamped(-1.0), id="bounded-below-zero"),
    pytest.param(lambda: (x - m) ** 2 - m * m, id="less-than-a-square"),
    pytest.param(lambda: x * x + m * m - 3 * x * m, id="more-crossed-than-a-square"),
    pytest.param(
        lambda: x * x + m * m + square**2 - 2 * x * m - 2 * x * square - 2 * m * square, id="signs-of-no-square"
    ),
    pytest.param(lambda: -extent("S"), id="negative-extent"),
    pytest.param(lambda: square - m * m * POSITIVE, id="less-than-variance-in-some-places"),
    pytest.param(lambda: square - m**4, id="of-another-degree-yet"),
    pytest.param(lambda: x * x + m * m + x * square, id="crossed-with-another"),
    pytest.param(lambda: -((x + m) ** 2), id="negative-square"),
    pytest.param(
        lambda: (x - m) ** 2 + (square - both) ** 2 + 2 * (x + m) * (square + both), id="signs-of-no-square-of-four"
    ),
]


@pytest.mark.parametrize(("make", "bound"), KNOWN)
def test_bound_is_found(make: Callable[[], Polynomial], bound: float) -> None:
    assert lower_bound(make().terms) == pytest.approx(bound)


@pytest.mark.parametrize("make", UNKNOWN)
def test_nothing_is_claimed_where_nothing_is_known(make: Callable[[], Polynomial]) -> None:
    assert lower_bound(make().terms) == -math.inf


def grown(random: Random, depth: int) -> Polynomial:
    """A random polynomial."""
    if depth == 0:
        return random.choice([x, x, m, square, constant(random.choice([-1.0, 0.5, 2.0])), extent("S"), MIXED])
    a, b = grown(random, depth - 1), grown(random, depth - 1)
    kind = random.randrange(7)
    if kind < 2:
        return a + b if kind else a - b
    if kind == 2:
        return a * b
    if kind == 3:
        return a.mean(axis=random.choice([(N,), (H,), (N, H)]))
    if kind == 4:
        return a.clamped(random.choice([-1.0, 0.0, 0.5]))
    return a.absolute() if kind == 5 else a * a


def test_no_value_of_a_random_polynomial_is_below_its_bound() -> None:
    random, bounded = Random(1), 0
    for _ in range(400):
        try:
            value = grown(random, random.randint(1, 3))
        except NotRepresentable:
            continue
        bound = lower_bound(value.terms)
        bounded += bound > -math.inf
        for seed in range(3):
            numbers = np.random.default_rng(seed).standard_normal((2, 3)) * 3
            found = Evaluation(numbers, LAYOUT, {"S": 1 + seed}).polynomial(value).values
            assert np.all(found >= bound - 1e-5 * (1 + np.abs(found)))
    assert bounded > 100
