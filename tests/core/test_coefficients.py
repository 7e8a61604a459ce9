"""Constants over labelled axes: aligned by label, one number where they are one number."""

import math
from typing import Any

import numpy as np
import pytest

from normgraph.axes import Axis, Size
from normgraph.coefficients import (
    TOLERANCE,
    Coefficient,
    LabelledArray,
    apply,
    axes_of_coefficient,
    close,
    coefficient,
    combine,
    is_zero,
    mean_over,
    over_dimensions,
    rename,
    smallest,
    spread,
    sum_of,
)
from normgraph.errors import NotRepresentable

A, B, C = Axis(0, Size(2)), Axis(1, Size(3)), Axis(2, Size(6))
F = Axis(9, Size(6), fresh=True)
N = Axis(3, Size(1, ("n",)))
ROW = coefficient([1.0, 2.0, 4.0], [(B,)])
COLUMN = coefficient([[1.0], [-1.0]], [(A,), ()])


def numbers(value: Coefficient) -> Any:
    return value if isinstance(value, float) else value.values.tolist()


@pytest.mark.parametrize(
    ("values", "dimensions", "number"),
    [
        pytest.param(2.0, [], 2.0, id="scalar"),
        pytest.param([[3, 3, 3], [3, 3, 3]], [(A,), (B,)], 3.0, id="full-of-one-number"),
        pytest.param(np.float32(1e-5), [], float(np.float32(1e-5)), id="float32-as-stored"),
        pytest.param(np.float16(1e-5), [], float(np.float16(1e-5)), id="float16-as-stored"),
        pytest.param([[[7.0]]], [(), (), ()], 7.0, id="ones"),
    ],
)
def test_constant_that_is_one_number_is_kept_as_that(values: Any, dimensions: Any, number: float) -> None:
    assert coefficient(values, dimensions) == number


def test_one_element_is_a_number_even_if_it_is_not_a_number() -> None:
    assert isinstance(coefficient([[math.nan]], [(), ()]), float)


def test_array_of_no_elements_has_arithmetic() -> None:
    empty = coefficient(np.zeros((0, 3)), [(Axis(0, Size(0)),), (B,)])
    assert isinstance(empty, LabelledArray)
    assert is_zero(combine(np.add, empty, 1.0))


def test_axes_stand_in_their_order_whatever_the_layout() -> None:
    found = coefficient([[1, 2], [3, 4], [5, 6]], [(B,), (A,)])
    assert isinstance(found, LabelledArray)
    assert found.axes == (A, B)
    assert numbers(found) == [[1, 3, 5], [2, 4, 6]]


def test_dimension_of_several_axes_is_taken_apart() -> None:
    found = coefficient([0, 1, 2, 3, 4, 5], [(A, B)])
    assert isinstance(found, LabelledArray)
    assert found.axes == (A, B)
    assert numbers(found) == [[0, 1, 2], [3, 4, 5]]


def test_arithmetic_aligns_by_label_not_by_position() -> None:
    total = combine(np.add, ROW, COLUMN)
    assert axes_of_coefficient(total) == (A, B)
    assert numbers(total) == [[2, 3, 5], [0, 1, 3]]
    assert numbers(combine(np.multiply, total, 2.0)) == [[4, 6, 10], [0, 2, 6]]


@pytest.mark.parametrize(
    ("operation", "a", "b", "result"),
    [
        pytest.param(np.multiply, ROW, 1.0, [1, 2, 4], id="times-one"),
        pytest.param(np.multiply, 1.0, ROW, [1, 2, 4], id="one-times"),
        pytest.param(np.add, ROW, 1.0, [2, 3, 5], id="plus-one"),
        pytest.param(np.add, 1.0, ROW, [2, 3, 5], id="one-plus"),
        pytest.param(np.divide, 1.0, ROW, [1, 0.5, 0.25], id="one-divided"),
        pytest.param(np.add, coefficient([1, 2, 1], [(B,)]), 1.0, [2, 3, 2], id="first-is-as-last"),
    ],
)
def test_one_is_neutral_to_products_only(operation: Any, a: Coefficient, b: Coefficient, result: Any) -> None:
    assert numbers(combine(operation, a, b)) == result


def test_result_that_is_one_number_is_kept_as_that() -> None:
    assert combine(np.divide, ROW, ROW) == 1.0
    assert combine(np.subtract, ROW, ROW) == 0.0
    assert is_zero(combine(np.multiply, ROW, 0.0))
    assert not is_zero(ROW)


def test_arithmetic_on_what_is_not_finite_is_silent() -> None:
    infinite = coefficient([1.0, math.inf, -math.inf], [(B,)])
    assert math.isnan(numbers(combine(np.subtract, infinite, infinite))[1])
    assert not close(infinite, -1.0)
    assert math.isnan(combine(np.divide, 0.0, 0.0))  # type: ignore[arg-type]
    assert math.isnan(mean_over(infinite, frozenset([B])))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("over", "result"),
    [
        pytest.param([A], [3.0, 4.0, 5.0], id="first"),
        pytest.param([B], [2.5, 5.5], id="second"),
        pytest.param([A, B], 4.0, id="both"),
        pytest.param([C], [[1.5, 2.5, 3.5], [4.5, 5.5, 6.5]], id="along-which-it-does-not-vary"),
    ],
)
def test_mean_is_over_own_axes(over: list[Axis], result: Any) -> None:
    value = coefficient([[1.5, 2.5, 3.5], [4.5, 5.5, 6.5]], [(A,), (B,)])
    assert numbers(mean_over(value, frozenset(over))) == result


def test_mean_that_is_one_number_is_kept_as_that() -> None:
    value = coefficient([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], [(A,), (B,)])
    assert mean_over(value, frozenset([A])) == 2.0


def test_renaming_puts_axes_where_they_belong() -> None:
    parts = coefficient(np.arange(6.0), [(F,)])
    found = rename(parts, {F: (A, B)})
    assert isinstance(found, LabelledArray)
    assert (found.axes, numbers(found)) == ((A, B), [[0, 1, 2], [3, 4, 5]])
    beside = coefficient(np.arange(12.0).reshape(2, 6), [(A,), (F,)])
    assert axes_of_coefficient(rename(beside, {F: (C,)})) == (A, C)
    assert rename(2.0, {F: (C,)}) == 2.0
    assert rename(ROW, {F: (C,)}) is ROW


def test_axis_of_unknown_size_has_the_extent_of_its_array() -> None:
    value = coefficient(np.arange(12.0).reshape(2, 6), [(N,), (F,)])
    assert numbers(value) == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    found = rename(value, {F: (A, B)})
    assert isinstance(found, LabelledArray)
    assert found.axes == (A, B, N)
    np.testing.assert_array_equal(found.values, np.arange(12.0).reshape(2, 2, 3).transpose(1, 2, 0))


@pytest.mark.parametrize(
    ("value", "layout", "result"),
    [
        pytest.param(5.0, [(A,), (B,)], [[5.0]], id="number"),
        pytest.param(ROW, [(A,), (B,)], [[1.0, 2.0, 4.0]], id="along-one-dimension"),
        pytest.param(ROW, [(B,), (N,)], [[1.0], [2.0], [4.0]], id="beside-an-unknown-size"),
        pytest.param(ROW, [(A, B)], [1.0, 2.0, 4.0, 1.0, 2.0, 4.0], id="along-a-part-of-a-dimension"),
        pytest.param(ROW, [(B, A)], [1.0, 1.0, 2.0, 2.0, 4.0, 4.0], id="along-a-part-in-other-order"),
        pytest.param(ROW, [(N, B)], None, id="beside-an-unknown-size-in-one-dimension"),
        pytest.param(coefficient([1.0, 2.0], [(N,)]), [(N,), (B,)], [[1.0], [2.0]], id="along-an-unknown-size"),
    ],
)
def test_coefficient_over_dimensions_broadcasts_against_the_tensor(
    value: Coefficient, layout: Any, result: Any
) -> None:
    found = over_dimensions(value, tuple(layout))
    assert (None if found is None else found.tolist()) == result


def test_spread_broadcasts_over_more_axes() -> None:
    assert spread(ROW, (A, B, C)).shape == (1, 3, 1)
    assert spread(5.0, (A, B)).shape == (1, 1)


CLOSE = [
    pytest.param(1.0, 1.0 + TOLERANCE / 2, id="numbers"),
    pytest.param(768 * float(np.float32(1 / 768)), 1.0, id="a-mean-by-float32"),
    pytest.param(ROW, combine(np.multiply, ROW, 1 + TOLERANCE / 2), id="arrays"),
    pytest.param(0.0, 0.0, id="zeros"),
]
APART = [
    pytest.param(1.0, 1.0 + 2 * TOLERANCE, id="numbers"),
    pytest.param(1.0, -1.0, id="sign"),
    pytest.param(0.0, 1e-30, id="zero-and-little"),
    pytest.param(ROW, combine(np.add, ROW, coefficient([0.0, 0.0, 1e-4], [(B,)])), id="one-element"),
    pytest.param(ROW, 2.0, id="array-and-number"),
    pytest.param(float("nan"), float("nan"), id="nan"),
]


@pytest.mark.parametrize(("a", "b"), CLOSE)
def test_constants_that_differ_by_rounding_are_close_and_cancel(a: Coefficient, b: Coefficient) -> None:
    assert close(a, b)
    assert close(b, a)
    assert sum_of(a, apply(np.negative, b)) == 0.0


@pytest.mark.parametrize(("a", "b"), APART)
def test_constants_that_differ_by_more_do_not(a: Coefficient, b: Coefficient) -> None:
    assert not close(a, b)
    assert not is_zero(sum_of(a, apply(np.negative, b)))


LEFT = [
    pytest.param(9 + 1e-5, -9.0, 1e-5, id="epsilon"),
    pytest.param(5.76e6 + 0.25, -5.76e6, 0.25, id="quarter"),
    pytest.param(0.1 + 0.2, -0.3, 0.0, id="rounding"),
    pytest.param(2.0, -2.0, 0.0, id="nothing"),
    pytest.param(
        ROW, combine(np.add, apply(np.negative, ROW), coefficient([0, 0, 1e-6], [(B,)])), [0, 0, 1e-6], id="one-place"
    ),
    pytest.param(combine(np.multiply, ROW, 1 + 1e-15), apply(np.negative, ROW), 0.0, id="rounding-in-each-place"),
]
LOST = [
    pytest.param(1e6 + 1e-5, -1e6, id="epsilon"),
    pytest.param(combine(np.add, ROW, coefficient([0, 0, 1e-10], [(B,)])), apply(np.negative, ROW), id="one-place"),
]


@pytest.mark.parametrize(("a", "b", "left"), LEFT)
def test_of_summands_all_is_left_but_rounding(a: Coefficient, b: Coefficient, left: Any) -> None:
    np.testing.assert_allclose(numbers(sum_of(a, b, alone=True)), left, rtol=1e-6)
    np.testing.assert_allclose(numbers(sum_of(b, a, alone=True)), left, rtol=1e-6)


@pytest.mark.parametrize(("a", "b"), LOST)
def test_summands_that_leave_too_few_digits_have_no_sum(a: Coefficient, b: Coefficient) -> None:
    with pytest.raises(NotRepresentable, match="what is left of them is lost"):
        sum_of(a, b, alone=True)
    assert sum_of(a, b) == 0.0


@pytest.mark.parametrize("alone", [False, True])
def test_number_and_array_have_a_sum(alone: bool) -> None:
    assert numbers(sum_of(2.0, ROW, alone=alone)) == [3, 4, 6]
    assert numbers(sum_of(ROW, 2.0, alone=alone)) == [3, 4, 6]


def test_least_element() -> None:
    assert smallest(COLUMN) == -1.0
    assert smallest(3.0) == 3.0


def test_equal_arrays_are_one_value_in_sets() -> None:
    again = coefficient([1.0, 2.0, 4.0], [(B,)])
    assert again == ROW
    assert len({again, ROW, coefficient([1.0, 2.0, 4.5], [(B,)])}) == 2


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(1.0, id="number"),
        pytest.param(coefficient([1.0, 2.0, 4.5], [(B,)]), id="other-values"),
        pytest.param(coefficient([1.0, 2.0, 4.0], [(Axis(2, Size(3)),)]), id="other-axis"),
    ],
)
def test_array_equals_nothing_else(other: Coefficient) -> None:
    row: object = ROW
    assert row != other  # either side is asked
    assert other != ROW
    assert len({other, ROW}) == 2
