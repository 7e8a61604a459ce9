"""Conditions: what is decided whatever the data is decided so, and what depends on it is refused."""

from collections.abc import Callable

import numpy as np
import pytest

from normgraph import conditions
from normgraph.algebra import HALF, Polynomial, base, constant
from normgraph.axes import Axis, Size
from normgraph.coefficients import coefficient
from normgraph.errors import NotRepresentable
from tests.core.evaluation import Evaluation

N, H = Axis(0, Size(3)), Axis(1, Size(4))
LAYOUT = ((N,), (H,))
x = base((N, H))
m = x.mean(axis=(H,))
centred = x - m
variance = (centred * centred).mean(axis=(H,))
root = (variance + 1) ** HALF
high, low = x.maximum(axis=(H,)), -(-x).maximum(axis=(H,))
ROW = constant(coefficient([0.5, -1.0, 2.0, 3.0], [(H,)]))
GAPPED = constant(coefficient([0.0, 1.0, 2.0, 3.0], [(H,)]))
zero, one = constant(0.0), constant(1.0)
constant_row = conditions.equal(low, high)
length = (x * x).mean(axis=(H,)) ** HALF
no_length = conditions.equal(length, zero)
unit = x * length**-1

DECIDED = [
    pytest.param(lambda: (conditions.equal(x, x + 0), one), id="equal-to-itself"),
    pytest.param(lambda: (conditions.equal(root, zero), zero), id="root-of-a-positive-number-not-zero"),
    pytest.param(lambda: (conditions.equal(-root, zero), zero), id="nor-its-negative"),
    pytest.param(lambda: (conditions.greater(variance + 1, variance), one), id="greater"),
    pytest.param(lambda: (conditions.greater(zero, variance), zero), id="not-greater"),
    pytest.param(lambda: (conditions.greater(x, x), zero), id="not-greater-than-itself"),
    pytest.param(lambda: (1 - conditions.greater(zero, variance), one), id="not-less"),
    pytest.param(lambda: (conditions.both(constant_row, one), constant_row), id="and-true"),
    pytest.param(lambda: (conditions.both(constant_row, zero), zero), id="and-false"),
    pytest.param(lambda: (conditions.either(constant_row, one), one), id="or-true"),
    pytest.param(lambda: (conditions.either(constant_row, zero), constant_row), id="or-false"),
]


@pytest.mark.parametrize("make", DECIDED)
def test_condition_is_decided(make: Callable[[], tuple[Polynomial, Polynomial]]) -> None:
    found, expected = make()
    assert found == expected


@pytest.mark.parametrize(
    ("make", "other"),
    [
        pytest.param(lambda: conditions.equal(zero, variance), zero, id="never"),
        pytest.param(lambda: conditions.equal(m**-1, zero), conditions.equal(m, zero), id="of-the-reciprocal"),
        pytest.param(lambda: conditions.equal(m * root, zero), conditions.equal(m, zero), id="of-one-factor"),
        pytest.param(lambda: conditions.equal(m * root, zero), conditions.equal(root, zero), id="of-the-other-factor"),
        pytest.param(lambda: conditions.equal(m * GAPPED, zero), conditions.equal(m, zero), id="without-weights"),
    ],
)
def test_condition_is_not_another(make: Callable[[], Polynomial], other: Polynomial) -> None:
    assert make() != other


CHOSEN = [
    pytest.param(lambda: (one, x, m, x), id="true"),
    pytest.param(lambda: (zero, x, m, m), id="false"),
    pytest.param(lambda: (constant_row, zero, centred, centred), id="centred-for-a-constant-row"),
    pytest.param(lambda: (1 - constant_row, centred, zero, centred), id="centred-unless-the-row-is-constant"),
    pytest.param(lambda: (1 - constant_row, zero, centred, zero), id="zero-either-way"),
    pytest.param(lambda: (constant_row, m, x, x), id="mean-of-a-constant-row"),
    pytest.param(lambda: (constant_row, m**2, (x * x).mean(axis=(H,)), (x * x).mean(axis=(H,))), id="mean-of-squares"),
    pytest.param(lambda: (constant_row, zero, variance, variance), id="variance-of-a-constant-row"),
    pytest.param(lambda: (constant_row, zero, centred * ROW, centred * ROW), id="centred-with-weights"),
    pytest.param(lambda: (constant_row, zero, centred * root**-1, centred * root**-1), id="normalized"),
    pytest.param(
        lambda: (conditions.both(constant_row, conditions.equal(m, zero)), zero, centred, centred), id="one-of-two"
    ),
    pytest.param(lambda: (conditions.equal(2 * low, 2 * high), zero, centred, centred), id="doubled-ends"),
    pytest.param(lambda: (conditions.greater(variance, zero), variance, zero, variance), id="variance-where-positive"),
    pytest.param(lambda: (conditions.equal(variance, zero), one, 1 + 3 * variance, 1 + 3 * variance), id="multiple"),
    pytest.param(lambda: (conditions.equal(x, m), x, m, m), id="equal-where-equal"),
    pytest.param(lambda: (conditions.equal(length, zero), zero, length, length), id="root-of-what-is-zero"),
    pytest.param(
        lambda: (conditions.equal(3 * length, zero), zero, x * length, x * length), id="product-with-what-is-zero"
    ),
]


@pytest.mark.parametrize("make", CHOSEN)
def test_choice_makes_no_difference(make: Callable[[], tuple[Polynomial, ...]]) -> None:
    condition, first, second, expected = make()
    assert conditions.chosen(condition, first, second) == expected
    numbers = np.random.default_rng(5).integers(-1, 2, (3, 4)).astype(np.float64)
    numbers[1] = 2.0  # a constant row
    test, a, b, c = (evaluated(value, numbers) for value in (condition, first, second, expected))
    np.testing.assert_allclose(np.where(test != 0, a, b), c, rtol=0, atol=1e-12)


SPARED = [
    pytest.param(lambda: (no_length, zero, unit), id="unless-zero"),
    pytest.param(lambda: (conditions.equal((x * x).mean(axis=(H,)), zero), zero, unit), id="unless-the-square-is-zero"),
    pytest.param(lambda: (conditions.greater(2 * length, zero), unit, zero), id="where-positive"),
    pytest.param(lambda: (no_length, zero, unit * ROW), id="weighted"),
]


@pytest.mark.parametrize("make", SPARED)
def test_quotient_is_spared_where_its_divisor_is_zero(make: Callable[[], tuple[Polynomial, ...]]) -> None:
    condition, first, second = make()
    found = conditions.chosen(condition, first, second)
    quotient = second if first == zero else first
    assert found == quotient * (1 - no_length)
    assert found not in (first, second)  # the plain quotient isn't a number there


MATTERING = [
    pytest.param(lambda: (no_length, one, unit), id="one-in-its-place"),
    pytest.param(lambda: (no_length, unit, zero), id="the-quotient-where-it-is-none"),
    pytest.param(lambda: (conditions.equal(m, zero), zero, unit), id="where-another-value-is-zero"),
    pytest.param(lambda: (no_length, zero, unit + 1), id="a-sum"),
    pytest.param(lambda: (conditions.equal(length, one), zero, unit), id="where-the-divisor-is-one"),
    pytest.param(lambda: (no_length, zero, m * length * (m * m + one) ** -1 + one), id="not-zero-itself"),
    pytest.param(lambda: (1 - no_length, unit, one), id="one-in-its-place-where-it-is-none"),
]


@pytest.mark.parametrize("make", MATTERING)
def test_quotient_is_spared_of_nothing_else(make: Callable[[], tuple[Polynomial, ...]]) -> None:
    condition, first, second = make()
    with pytest.raises(NotRepresentable) as raised:
        conditions.chosen(condition, first, second)
    assert raised.value.rule == "condition"


def evaluated(value: Polynomial, numbers: np.ndarray) -> np.ndarray:
    found = Evaluation(numbers, LAYOUT, {}).polynomial(value)
    return np.broadcast_to(found.over((N, H)), (3, 4))


wide_high = x.maximum(axis=(N, H))
wide = x - x.mean(axis=(N,))
squares, rows = (x * x).maximum(axis=(H,)), m.maximum(axis=(N,))
weighted = x * (length**2 + ROW * ROW) ** -HALF
REFUSED: list[object] = [
    pytest.param(lambda: conditions.greater(x, zero), id="sign-of-x"),
    pytest.param(lambda: conditions.greater(variance, one), id="large-variance"),
    pytest.param(lambda: conditions.chosen(constant_row, one, centred), id="one-for-a-constant-row"),
    pytest.param(lambda: conditions.chosen(constant_row, centred, x), id="x-for-the-centred"),
    pytest.param(lambda: conditions.chosen(1 - constant_row, zero, x), id="unless-the-row-is-constant"),
    pytest.param(
        lambda: conditions.chosen(conditions.either(constant_row, conditions.equal(m, zero)), zero, centred), id="or"
    ),
    pytest.param(
        lambda: conditions.chosen(conditions.equal(x.maximum(axis=(N,)), -(-x).maximum(axis=(N,))), zero, centred),
        id="constant-along-another-axis",
    ),
    pytest.param(
        lambda: conditions.chosen(constant_row, zero, x - x.mean(axis=(N, H))), id="mean-over-more-than-the-row"
    ),
    pytest.param(lambda: conditions.chosen(conditions.equal(low, wide_high), zero, centred), id="ends-over-other-axes"),
    pytest.param(
        lambda: conditions.chosen(conditions.equal(low, (x * x).maximum(axis=(H,))), zero, centred), id="of-squares"
    ),
    pytest.param(
        lambda: conditions.chosen(conditions.equal(low, 2 * high), zero, centred), id="ends-of-unequal-weight"
    ),
    pytest.param(lambda: conditions.chosen(conditions.equal(-low, high), zero, centred), id="ends-of-equal-size"),
    pytest.param(lambda: conditions.chosen(constant_row, zero, (centred * x).mean(axis=(N,))), id="mean-over-the-rows"),
    pytest.param(lambda: conditions.chosen(conditions.equal(m, zero), zero, centred), id="mean-zero"),
    pytest.param(lambda: conditions.chosen(conditions.equal(variance, zero), one, 3 * variance), id="no-multiple"),
    pytest.param(lambda: conditions.chosen(2 * constant_row, zero, centred), id="no-condition"),
    pytest.param(lambda: conditions.chosen(x, zero, centred), id="a-number"),
    *(
        pytest.param(lambda case=case: conditions.chosen(conditions.equal(case[0], case[1]), zero, case[2]), id=name)
        for name, case in {
            "range-of-the-centred": (centred.maximum(axis=(H,)), -(-centred).maximum(axis=(H,)), x * m),
            "range-of-squares": (squares, -(-x * x).maximum(axis=(H,)), centred),
            "range-of-the-weighted": ((x * ROW).maximum(axis=(H,)), -(-x * ROW).maximum(axis=(H,)), centred),
            "range-of-means": (rows, -(-m).maximum(axis=(N,)), wide),
            "range-and-a-product": (high - low, -(m * x), centred),
            "largest-and-mean": (m, -high, centred),
            "mean-and-largest": (-high, m, centred),
            "largest-and-value": (-high, x, centred),
            "square-of-the-largest": (high**2, low, centred),
            "weighted-base": (x * ROW, zero, centred),
            "multiple-by-weights": (x, m, x * ROW),
            "of-weights-alone": (ROW, zero, centred),
            "one-of-two-factors": (m * variance, zero, m),
            "one-of-two-means": (m * length**2, zero, m),
            "the-other-of-two-means": (m * length**2, zero, length**2),
            "reciprocal": (m**-1, zero, m),
            "weighted-mean-with-a-gap": (m * GAPPED, zero, m),
            "quotient-of-what-is-zero": (m, zero, m * length**-1),
            "root-of-a-mean-of-squares": (low, high, length - m),
            "mean-of-the-weighted": (low, high, weighted - weighted.mean(axis=(H,))),
        }.items()
    ),
    pytest.param(lambda: conditions.chosen(constant_row * x, zero, centred), id="no-condition-by-a-factor"),
    pytest.param(lambda: conditions.chosen(constant_row**-1, zero, centred), id="no-condition-by-its-exponent"),
]


@pytest.mark.parametrize("make", REFUSED)
def test_choice_that_matters_is_refused(make: Callable[[], Polynomial]) -> None:
    with pytest.raises(NotRepresentable) as raised:
        make()
    assert raised.value.rule == "condition"


def test_maximum_along_nothing_is_the_value() -> None:
    assert m.maximum(axis=(H,)) == m
    assert x.maximum(axis=()) == x
