"""Tensors of two models: what counts as the same, what doesn't, and what is told of either."""

import ml_dtypes
import numpy as np
import pytest

from normgraph.verification.comparing import RELATIVE, Comparison, Tolerance, compared

Array = np.ndarray
ONES = np.ones((2, 3), np.float32)


def f32(*values: float) -> Array:
    return np.asarray(values, np.float32)


def on(before: Array, after: Array, truth: Array | None = None, tolerance: Tolerance | None = None) -> Comparison:
    return compared("y", "normal", before, after, truth, tolerance)


SAME = [
    pytest.param(ONES, ONES, None, None, id="equal"),
    pytest.param(f32(1, 1000), f32(1 + 1e-2, 1000), None, None, id="small beside the largest"),
    pytest.param(f32(1, np.nan), f32(1, np.nan), None, None, id="nan in both"),
    pytest.param(f32(1, -np.inf), f32(1, -np.inf), None, None, id="infinite in both"),
    pytest.param(f32(np.inf, 1), f32(3, 1), np.asarray([3.0, 1]), None, id="finite again"),
    pytest.param(f32(np.nan, 1), f32(np.inf, 1), np.asarray([np.inf, 1]), None, id="infinite, as the truth is"),
    pytest.param(f32(3, 1), f32(3, 1), np.asarray([np.nan, 1]), None, id="number where the truth is none"),
    pytest.param(f32(1.1), f32(1.0), np.asarray([1.0]), None, id="nearer the truth"),
    pytest.param(f32(1.1), f32(0.7), np.asarray([1.0]), None, id="thrice the error"),
    pytest.param(f32(1.0), f32(1 + 1e-6), np.asarray([1.0]), None, id="few units in the last place"),
    pytest.param(f32(1.0), f32(1.2), np.asarray([1.0]), Tolerance(0.3), id="within the tolerance, whatever the truth"),
    pytest.param(f32(1.0, 100), f32(1.0, 109), None, Tolerance(0.1), id="relative tolerance"),
    pytest.param(f32(0.0, 100), f32(0.2, 100), None, Tolerance(0.0, 0.3), id="absolute tolerance"),
    pytest.param(np.asarray([1, 2]), np.asarray([1, 2]), None, None, id="integers"),
    pytest.param(np.ones((0, 3), np.float32), np.ones((0, 3), np.float32), None, None, id="empty"),
    pytest.param(np.float32(2), np.asarray(2, np.float32), None, None, id="scalar"),
    pytest.param(ONES.astype(ml_dtypes.bfloat16), ONES.astype(ml_dtypes.bfloat16), None, None, id="bfloat16"),
]
DIFFERENT = [
    pytest.param(ONES, ONES[0], None, None, "its shape is [2, 3] before and [3] after", id="shape"),
    pytest.param(ONES, ONES.astype(float), None, None, "its type is float32 before and float64 after", id="type"),
    pytest.param(f32(1, 1000), f32(1, 1001), None, None, "it differs by 1, and 0.1 is allowed", id="value"),
    pytest.param(f32(1, 2), f32(1, np.nan), None, None, "elements that are NaN or infinite in one mod", id="nan"),
    pytest.param(f32(1, np.inf), f32(1, -np.inf), None, None, "elements that are NaN", id="sign of infinity"),
    pytest.param(f32(1, np.inf), f32(1, 2), None, None, "elements that are NaN", id="finite again, truth unknown"),
    pytest.param(f32(np.inf), f32(-np.inf), np.asarray([np.inf]), None, "elements that are NaN", id="truly infinite"),
    pytest.param(f32(np.inf), f32(2), np.asarray([np.inf]), None, "elements that are NaN", id="finite, wrongly"),
    pytest.param(f32(np.nan, 1), f32(3, 1), np.asarray([np.nan, 1]), None, "elements that are NaN", id="made up"),
    pytest.param(f32(3, 1), f32(np.nan, 1), np.asarray([np.nan, 1]), None, "elements that are NaN", id="nan as truth"),
    pytest.param(f32(3, 1), f32(4, 1), np.asarray([np.nan, 1]), None, "it differs by 1 where float64", id="no truth"),
    pytest.param(f32(3, 1), f32(4, 1), np.asarray([np.inf, 1]), None, "it differs by 1 where float64", id="overflown"),
    pytest.param(f32(1, 2), f32(1, np.inf), np.asarray([1.0, 2]), None, "elements that are NaN", id="overflows"),
    pytest.param(f32(1.1), f32(0.5), np.asarray([1.0]), None, "its error is 0.5 (before: 0.1), and 0.4", id="error"),
    pytest.param(f32(1), f32(1.00001), np.asarray([1.0]), None, "its error is 1e-05", id="units in the last place"),
    pytest.param(f32(1, 100), f32(1.2, 100), None, Tolerance(0.1), "it differs by 0.2", id="relative tolerance"),
    pytest.param(f32(1.1), f32(1.0), np.asarray([1.0]), Tolerance(), "it differs by 0.1, and 0 is", id="no tolerance"),
    pytest.param(np.asarray([1, 2]), np.asarray([1, 3]), None, None, "elements that differ: 1 of 2", id="integers"),
    pytest.param(np.asarray([True]), np.asarray([False]), None, None, "elements that differ: 1 of 1", id="booleans"),
    pytest.param(np.asarray(["a"], object), np.asarray(["b"], object), None, None, "elements that differ", id="text"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "truth", "tolerance"), SAME)
def test_same_is_the_same(before: Array, after: Array, truth: Array | None, tolerance: Tolerance | None) -> None:
    found = on(np.asarray(before), after, truth, tolerance)
    assert found.difference is None
    assert found.passed
    assert found.excess <= 1 or tolerance is not None or truth is not None


@pytest.mark.parametrize(("before", "after", "truth", "tolerance", "reason"), DIFFERENT)
def test_different_is_told_apart(
    before: Array, after: Array, truth: Array | None, tolerance: Tolerance | None, reason: str
) -> None:
    found = on(before, after, truth, tolerance)
    assert not found.passed
    assert found.difference is not None
    assert found.difference.startswith(reason)


def test_figures_are_those_of_the_difference() -> None:
    found = on(f32(1, -2, 4), f32(1, -2.5, 4), np.asarray([1.0, -2.0, 4.0]))
    assert (found.largest, found.relative, found.scale) == (0.5, 0.25, 4.0)
    assert found.ulps is not None
    assert found.ulps.largest == 0.5 / 2.0**-22
    assert (found.error_before, found.error_after) == (0.0, 0.5)
    assert found.cosine == pytest.approx((1 + 5 + 16) / np.sqrt(21 * 23.25))
    assert on(f32(np.inf, 1), f32(3, 1), np.asarray([3.0, 1])).recovered == 1
    assert on(f32(0, 0), f32(0, 0)).cosine is None
    assert set(RELATIVE) == {"float64", "float32", "float16", "bfloat16"}
