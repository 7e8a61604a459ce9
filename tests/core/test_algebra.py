"""Polynomials: equal values are equal, what isn't equal isn't, and what can't be represented says so."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from normgraph.algebra import (
    HALF,
    MAXIMAL_TERMS,
    NotRepresentable,
    Polynomial,
    base,
    constant,
    extent,
)
from normgraph.atoms import Base, Mean, Sum
from normgraph.axes import Axis, Size
from normgraph.coefficients import coefficient
from tests.core.evaluation import Evaluation

N, H = Axis(0, Size(3)), Axis(1, Size(4))
LAYOUT = ((N,), (H,))
NUMBERS = np.random.default_rng(3).standard_normal((3, 4))
x = base((N, H))
GAPPED = constant(coefficient([0.0, 1.0, 2.0, 3.0], [(H,)]))
ROW = constant(coefficient([0.5, -1.0, 2.0, 3.0], [(H,)]))


def mean(value: Polynomial, *axes: Axis) -> Polynomial:
    return value.mean(axis=axes or (H,))


def variance(value: Polynomial) -> Polynomial:
    centred = value - mean(value)
    return mean(centred * centred)


def evaluated(value: Polynomial) -> np.ndarray:
    found = Evaluation(NUMBERS, LAYOUT, {"S": 5}).polynomial(value)
    return np.asarray(found.over((N, H)))


def direct(value: np.ndarray, *axes: int) -> np.ndarray:
    return np.asarray(value.mean(axis=axes or (1,), keepdims=True))


EQUAL = [
    pytest.param(lambda: ((x + 1) - 1, x), id="shift-there-and-back"),
    pytest.param(lambda: ((x * 3) / 3, x), id="scale-there-and-back"),
    pytest.param(lambda: (x * 768 * float(np.float32(1 / 768)), x), id="a-float32-reciprocal"),
    pytest.param(lambda: (x - x, constant(0.0)), id="nothing-left"),
    pytest.param(lambda: (mean(x * x) - mean(x) ** 2, variance(x)), id="moments"),
    pytest.param(lambda: (mean(x * (x - mean(x))), variance(x)), id="covariance-with-itself"),
    pytest.param(lambda: (variance(x + 5), variance(x)), id="shifted-variance"),
    pytest.param(lambda: (variance(x * 2) / 4, variance(x)), id="scaled-variance"),
    pytest.param(lambda: (mean(mean(x, N), H), mean(x, N, H)), id="means-one-by-one"),
    pytest.param(lambda: (mean(x - mean(x)), constant(0.0)), id="mean-of-the-centred"),
    pytest.param(lambda: (mean(x * 2 + ROW), mean(x) * 2 + 1.125), id="mean-of-a-constant"),
    pytest.param(lambda: (((variance(x) + 1e-5) ** HALF) ** 2, variance(x) + 1e-5), id="root-squared"),
    pytest.param(lambda: (1 / (variance(x) + 1) ** HALF, (variance(x) + 1) ** -HALF), id="reciprocal-root"),
    pytest.param(lambda: ((1 / (variance(x) + 1)) ** HALF, (variance(x) + 1) ** -HALF), id="root-of-reciprocal"),
    pytest.param(lambda: ((variance(x) * 4 + 4) ** -HALF, (variance(x) + 1) ** -HALF / 2), id="scaled-spread"),
    pytest.param(lambda: ((x + 1) ** 2, x * x + 2 * x + 1), id="binomial"),
    pytest.param(lambda: (x.absolute() ** 2, x * x), id="square-of-the-absolute-value"),
    pytest.param(lambda: ((x * x).absolute(), x * x), id="absolute-value-of-the-square"),
    pytest.param(lambda: ((-(x * x)).absolute(), x * x), id="absolute-value-of-the-negative"),
    pytest.param(lambda: (variance(x).clamped(0.0), variance(x)), id="bound-that-holds-anyway"),
    pytest.param(
        lambda: ((mean(x * x) - mean(x) ** 2 + 1e-5).clamped(1e-5), variance(x) + 1e-5), id="bound-by-epsilon"
    ),
    pytest.param(lambda: (np.sqrt(np.square(mean(x * x))), mean(x * x)), id="numpy-functions"),
    pytest.param(lambda: (np.reciprocal(x) * x, constant(1.0)), id="reciprocal"),
    pytest.param(lambda: (x * ROW / ROW, x), id="array-there-and-back"),
    pytest.param(lambda: (extent("S") * mean(x) / extent("S"), mean(x)), id="dynamic-extent"),
    pytest.param(lambda: ((x + 1) ** 5 / (x + 1) ** 5, constant(1.0)), id="powers-beyond-expansion"),
    pytest.param(lambda: (x**0, constant(1.0)), id="power-of-zero"),
    pytest.param(lambda: ((x + 1) ** 0, constant(1.0)), id="power-of-zero-of-a-sum"),
    pytest.param(lambda: ((x - x) ** 2, constant(0.0)), id="square-of-nothing"),
    pytest.param(lambda: (constant(1.0).clamped(2.0), constant(2.0)), id="bounded-number"),
    pytest.param(lambda: ((2 * mean(x * x)).clamped(2e-5), mean(x * x).clamped(1e-5) * 2), id="scaled-bound"),
    pytest.param(lambda: (GAPPED**2, GAPPED * GAPPED), id="square-of-numbers-one-of-which-is-zero"),
    pytest.param(lambda: ((GAPPED**HALF) ** 2, GAPPED), id="root-of-numbers-one-of-which-is-zero"),
    pytest.param(
        lambda: ((3 * mean(x * x) - 3.000003 * mean(x) ** 2 + 3) ** -HALF, 3**-0.5 * (variance(x) + 1) ** -HALF),
        id="spread-scaled-in-float32",
    ),
    pytest.param(
        lambda: ((3 * mean(x * x) - 6 * mean(x * x, N)) ** -1, (mean(x * x) - 2 * mean(x * x, N)) ** -1 / 3),
        id="scaled-difference-of-spreads",
    ),
]
DIFFERENT = [
    pytest.param(lambda: (mean(x), mean(x, N)), id="other-axis"),
    pytest.param(lambda: (mean(x * x), mean(x) ** 2), id="mean-of-square-and-square-of-mean"),
    pytest.param(lambda: (mean(x), x), id="mean-and-value"),
    pytest.param(lambda: (x - mean(x), mean(x) - x), id="sign"),
    pytest.param(lambda: ((variance(x) + 1) ** HALF, variance(x) ** HALF + 1), id="epsilon-outside"),
    pytest.param(lambda: (variance(x) + 1e-5, variance(x) + 1.1e-5), id="epsilon"),
    pytest.param(lambda: (mean(x**3), mean(x) * mean(x * x)), id="mean-of-a-product"),
    pytest.param(lambda: (x.absolute(), x), id="absolute-value"),
    pytest.param(lambda: (mean(x.absolute()), mean(x).absolute()), id="absolute-value-of-the-mean"),
    pytest.param(lambda: (x.clamped(0.0), x), id="bound"),
    pytest.param(lambda: (x.clamped(0.0), x.clamped(1.0)), id="other-bound"),
    pytest.param(lambda: (variance(x).clamped(1e-5), variance(x)), id="bound-that-may-bite"),
    pytest.param(lambda: (x * ROW, x * 0.5), id="array-and-its-first-number"),
    pytest.param(lambda: (extent("S") * x, extent("T") * x), id="other-extent"),
    pytest.param(lambda: (variance(x) * 5 / 4, variance(x)), id="unbiased"),
]


@pytest.mark.parametrize("make", EQUAL)
def test_spellings_of_one_value_are_equal(make: Callable[[], tuple[Polynomial, Polynomial]]) -> None:
    a, b = make()
    assert a.close_to(b)
    assert b.close_to(a)
    np.testing.assert_allclose(evaluated(a) - evaluated(b), 0.0, atol=1e-6)


@pytest.mark.parametrize("make", DIFFERENT)
def test_other_values_are_not(make: Callable[[], tuple[Polynomial, Polynomial]]) -> None:
    a, b = make()
    assert a != b
    assert not a.close_to(b)
    assert not b.close_to(a)


COMPUTED: list[object] = [
    pytest.param(lambda v, m: v - m(v), id="centred"),
    pytest.param(lambda v, m: m((v - m(v)) ** 2) ** -0.5 * v, id="scaled"),
    pytest.param(lambda v, m: m((v - m(v)) ** 4), id="fourth-power"),
    pytest.param(lambda v, m: (v + 2) ** 3 * (v - 1), id="product-of-powers"),
    pytest.param(lambda v, m: v * (v + 1) ** 5, id="power-beyond-expansion"),
    pytest.param(lambda v, m: (m(v * v) + 1) ** 1.5 * (m(v * v) + 1) ** 0.5, id="powers-that-add-up"),
    pytest.param(lambda v, m: (m(v * v) * 3 + 2) ** -0.25 * m(v) ** -2, id="negative-powers"),
    pytest.param(lambda v, m: m(v * m(v)) + m(m(v * v) ** 2), id="mean-of-what-does-not-vary"),
    pytest.param(lambda v, m: m((m(v * v) + v * v) ** -1), id="mean-of-a-reciprocal"),
]


@pytest.mark.parametrize("function", COMPUTED)
def test_polynomial_is_what_arithmetic_makes(function: Callable[..., object]) -> None:
    found = function(x, mean)
    assert isinstance(found, Polynomial)
    expected = np.broadcast_to(np.asarray(function(NUMBERS, direct)), (3, 4))
    np.testing.assert_allclose(np.broadcast_to(evaluated(found), (3, 4)), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("compute", "rule"),
    [
        pytest.param(lambda: x**HALF, "sign", id="root-of-either-sign"),
        pytest.param(lambda: (x * x) ** HALF, "sign", id="root-of-a-square"),
        pytest.param(lambda: (mean(x * x) * -2) ** HALF, "sign", id="root-of-a-negative"),
        pytest.param(lambda: (x**-2) ** HALF, "sign", id="root-of-a-negative-power"),
        pytest.param(lambda: ((x + 1) ** 6) ** HALF, "sign", id="root-of-an-unexpanded-power"),
        pytest.param(lambda: 1 / (x - x), "division-by-zero", id="zero"),
        pytest.param(lambda: x / (ROW - 0.5), "division-by-zero", id="zero-in-one-place"),
        pytest.param(lambda: mean(x * ROW), "weighted-mean", id="weights"),
        pytest.param(lambda: many() * many(), "too-complex", id="terms"),
    ],
)
def test_what_has_no_form_says_why(compute: Callable[[], Polynomial], rule: str) -> None:
    with pytest.raises(NotRepresentable) as caught:
        compute()
    assert caught.value.rule == rule


def many() -> Polynomial:
    """As many terms as there may be, or nearly."""
    total = constant(1.0)
    for power in range(2, MAXIMAL_TERMS - 1):
        total = total + x ** Fraction(power)
    return total


def test_what_a_kernel_must_not_use_is_a_type_error() -> None:
    misuses: list[Callable[[Any], Any]] = [np.exp, np.add.reduce, lambda value: np.sqrt(value, where=True)]
    for misuse in misuses:
        with pytest.raises(TypeError, match="has no meaning for polynomials"):
            misuse(x)


def test_value_varies_along_its_axes_only() -> None:
    assert x.axes == {N, H}
    assert mean(x).axes == {N}
    assert (mean(x) * ROW).axes == {N, H}
    assert mean(x, N, H).axes == frozenset()
    assert (mean(x) + 3).constant is None
    assert (constant(2.0) * 3).constant == 6.0
    assert (x - x).constant == 0.0


def test_spread_is_normalized_by_the_coefficient_of_the_square() -> None:
    ((root, factor),) = ((variance(x) * 3 + 6) ** HALF).terms.items()
    ((atom, exponent),) = root
    assert isinstance(atom, Sum)
    assert exponent == HALF
    assert factor == pytest.approx(3**0.5)
    assert atom.of == variance(x) + 2


# --- renaming -----------------------------------------------------------------------------------------------------

F = Axis(9, Size(4), fresh=True)
G = constant(coefficient([1.0, 2.0, 3.0, 4.0], [(F,)]))


def test_fresh_axis_becomes_the_axis_that_it_meets() -> None:
    assert (x * 2 + G).renamed({F: (H,)}) == x * 2 + constant(coefficient([1.0, 2.0, 3.0, 4.0], [(H,)]))
    inside = ((mean(x * x) + G) ** HALF).renamed({F: (H,)})
    assert inside.axes == {N, H}
    assert (mean(x) + G).clamped(0.0).renamed({F: (H,)}).axes == {N, H}
    assert (mean(x) + G).absolute().renamed({F: (H,)}).axes == {N, H}
    assert x.renamed({F: (H,)}) is x


def test_axis_that_a_mean_has_bound_keeps_its_name() -> None:
    root = (mean(x * x) + G) ** HALF
    averaged = root.mean(axis=(N, F))  # over both axes of (E_H[x²])_N + γ_F
    ((product, _),) = averaged.terms.items()
    ((atom, _),) = product
    assert isinstance(atom, Mean)
    assert averaged.renamed({F: (N,)}) == averaged
    both = averaged * G
    assert both.renamed({F: (N,)}) == averaged * G.renamed({F: (N,)})


def test_axis_is_not_taken_for_one_that_a_mean_has_bound() -> None:
    averaged = ((mean(x * x) + G) ** HALF).mean(axis=(N,))  # varies along F, over N
    with pytest.raises(NotRepresentable) as caught:
        averaged.renamed({F: (N,)})
    assert caught.value.rule == "broadcast"


def test_atoms_are_compared_by_what_they_are() -> None:
    assert Base(frozenset([N, H])) == Base(frozenset([H, N]))
    assert hash(x * x + mean(x)) == hash(mean(x) + x * x)
    assert len({mean(x), mean(x), mean(x, N)}) == 2
    assert constant(1.0) != 1.0
