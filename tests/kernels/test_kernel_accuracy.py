"""How near the kernels come to the exact value, and what they make of extraordinary ones.

The exact value comes from the formulas in rational arithmetic; only the root is rounded, after 60 digits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from normgraph.kernels.batch_normalization import batch_normalization, batch_normalization_training
from normgraph.kernels.convolution import convolution
from normgraph.kernels.gemm import gemm
from normgraph.kernels.group_normalization import group_normalization
from normgraph.kernels.instance_normalization import instance_normalization
from normgraph.kernels.layer_normalization import layer_normalization
from normgraph.kernels.lp_normalization import lp_normalization
from normgraph.kernels.mean_variance_normalization import EPSILON, mean_variance_normalization
from normgraph.kernels.precision import Array
from normgraph.kernels.rms_normalization import rms_normalization
from normgraph.kernels.transposed_convolution import transposed_convolution

ROWS, LENGTH = 3, 48
STORED_EPSILON = float(np.float32(1e-5))
#: A few roundings of float64, which every result may carry before the last one.
ROUNDINGS = 16 * 2.0**-53


def root(value: Fraction) -> Fraction:
    with localcontext(prec=60):
        return Fraction((Decimal(value.numerator) / Decimal(value.denominator)).sqrt())


def exact(values: Any) -> list[Fraction]:
    return [Fraction(float(value)) for value in values]


def mean(values: Sequence[Fraction]) -> Fraction:
    return sum(values, Fraction(0)) / len(values)


def variance(values: Sequence[Fraction]) -> Fraction:
    return mean([v * v for v in values]) - mean(values) ** 2


def exact_layer(row: Sequence[Fraction]) -> list[Fraction]:
    scale = root(variance(row) + Fraction(STORED_EPSILON))
    return [(v - mean(row)) / scale for v in row]


def exact_rms(row: Sequence[Fraction]) -> list[Fraction]:
    scale = root(mean([v * v for v in row]) + Fraction(STORED_EPSILON))
    return [v / scale for v in row]


def exact_l2(row: Sequence[Fraction]) -> list[Fraction]:
    length = root(sum((v * v for v in row), Fraction(0)))
    return [v / length if length else Fraction(0) for v in row]


def exact_l1(row: Sequence[Fraction]) -> list[Fraction]:
    length = sum(map(abs, row), Fraction(0))
    return [v / length if length else Fraction(0) for v in row]


def exact_mean_variance(row: Sequence[Fraction]) -> list[Fraction]:
    scale = root(variance(row)) + Fraction(EPSILON)
    return [(v - mean(row)) / scale for v in row]


Row = Callable[[Sequence[Fraction]], list[Fraction]]

#: Each kernel on rows, with the formula that it must meet and the ε inside the root, which bounds its errors.
KERNELS: dict[str, tuple[Callable[[Array], Array], Row, float]] = {
    "layer": (lambda x: layer_normalization(x, epsilon=STORED_EPSILON), exact_layer, STORED_EPSILON),
    "instance": (
        lambda x: instance_normalization(x[None], np.ones(len(x)), np.zeros(len(x)), epsilon=STORED_EPSILON)[0],
        exact_layer,
        STORED_EPSILON,
    ),
    "group": (
        lambda x: group_normalization(
            x.reshape(1, ROWS * LENGTH), *ones_and_zeros(x.size), num_groups=ROWS, epsilon=STORED_EPSILON
        ).reshape(x.shape),
        exact_layer,
        STORED_EPSILON,
    ),
    "batch": (
        lambda x: batch_normalization_training(x.T, *2 * ones_and_zeros(len(x)), epsilon=STORED_EPSILON).y.T,
        exact_layer,
        STORED_EPSILON,
    ),
    "mean_variance": (
        lambda x: mean_variance_normalization(x, axes=(1,)),
        exact_mean_variance,
        EPSILON**2,
    ),
    "rms": (lambda x: rms_normalization(x, epsilon=STORED_EPSILON), exact_rms, STORED_EPSILON),
    "l2": (lp_normalization, exact_l2, 0.0),
    "l1": (lambda x: lp_normalization(x, p=1), exact_l1, 0.0),
}


def ones_and_zeros(count: int) -> tuple[Array, Array]:
    return np.ones(count), np.zeros(count)


FAMILIES: dict[str, Callable[[Array, float], Array]] = {
    "normal": lambda normal, largest: normal,
    "offset 10": lambda normal, largest: normal + 10,
    "offset 1e3": lambda normal, largest: normal + 1e3,
    "offset 1e4": lambda normal, largest: normal + 1e4,
    "tiny variance": lambda normal, largest: 1 + 1e-3 * normal,
    "constant": lambda normal, largest: np.full_like(normal, 0.7),
    "zero": lambda normal, largest: np.zeros_like(normal),
    "large": lambda normal, largest: np.clip(normal, -2.5, 2.5) / 25 * largest,
    "subnormal": lambda normal, largest: normal * 1e-7 if largest < 1e5 else normal * 1e-40,
    "one outlier": lambda normal, largest: np.where(np.arange(LENGTH) == 7, 1e4, normal),
}
#: Beyond these, squares leave the range of float64 itself.
LARGEST = {"float16": 65504.0, "float32": 3.4e38, "float64": 1e150}


def errors(got: Array, wanted: list[list[Fraction]], dtype: str) -> tuple[Any, Any]:
    """The absolute error of each element, and one unit in the last place of `dtype` at its exact value."""
    rounded = np.array([[float(v) for v in row] for row in wanted]).astype(dtype)
    error = [
        [float(abs(Fraction(float(g)) - w)) for g, w in zip(row, exactly, strict=True)]
        for row, exactly in zip(got, wanted, strict=True)
    ]
    return np.array(error), np.spacing(np.abs(rounded)).astype(np.float64)


def units_in_the_last_place(got: Array, wanted: list[list[Fraction]], dtype: str) -> Any:
    """The error of each element in units in the last place."""
    error, unit = errors(got, wanted, dtype)
    return error / unit


@pytest.mark.parametrize("dtype", LARGEST)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_result_is_the_exact_one_rounded_once(kernel: str, family: str, dtype: str) -> None:
    call, formula, epsilon = KERNELS[kernel]
    normal = np.random.default_rng(11).normal(size=(ROWS, LENGTH))
    x = FAMILIES[family](normal, LARGEST[dtype]).astype(dtype)
    got = call(x)
    assert got.dtype == dtype
    wanted = [formula(exact(row)) for row in x]
    error, unit = errors(got, wanted, dtype)
    if kernel in ("rms", "l2", "l1"):
        # Nothing cancels: a few roundings of float64, and the last one of the result's dtype.
        conditioning = np.array([[abs(float(v)) for v in row] for row in wanted])
    else:
        # x − μ cancels: the roundings are relative to x, in units of the divisor.
        wide = x.astype(np.float64)
        spread = [max(float(variance(exact(row))), epsilon) ** 0.5 for row in wide]
        conditioning = np.broadcast_to((np.abs(wide).max(axis=1) / spread)[:, None], wide.shape)
    assert (error <= 0.5 * unit + ROUNDINGS * conditioning).all()


@pytest.mark.parametrize(
    ("kernel", "dtype", "bound"),
    [
        *((kernel, "float16", 0.5001) for kernel in KERNELS),
        *((kernel, "float32", 0.501) for kernel in KERNELS),
        # In float64 itself, what cancels in x − μ is bounded by the test above only.
        *((kernel, "float64", 4.0) for kernel in ("rms", "l2", "l1")),
    ],
)
def test_ordinary_values_come_within_so_many_units_in_the_last_place(kernel: str, dtype: str, bound: float) -> None:
    call, formula, _ = KERNELS[kernel]
    x = np.random.default_rng(12).normal(0.5, 2.0, (ROWS, LENGTH)).astype(dtype)
    assert units_in_the_last_place(call(x), [formula(exact(row)) for row in x], dtype).max() <= bound


def test_products_are_exact_but_for_one_rounding() -> None:
    random = np.random.default_rng(13)
    a, b, c = (random.normal(size=shape).astype(np.float32) for shape in ((3, 40), (40, 5), (5,)))
    wanted = [
        [
            sum((x * y for x, y in zip(exact(row), exact(column), strict=True)), Fraction(0)) / 2
            - 3 * Fraction(float(summand))
            for column, summand in zip(b.T, c, strict=True)
        ]
        for row in a
    ]
    got = gemm(a, b, c, alpha=0.5, beta=-3.0)
    assert units_in_the_last_place(got, wanted, "float32").max() <= 0.501
    pointwise = convolution(a.T[None], b.T[:, :, None])[0]
    exact_product = [[2 * (v + 3 * Fraction(float(s))) for v, s in zip(r, c, strict=True)] for r in wanted]
    assert units_in_the_last_place(pointwise.T, exact_product, "float32").max() <= 0.501
    spread = transposed_convolution(a.T[None], b[:, :, None])[0]
    np.testing.assert_array_equal(spread, pointwise)


def test_stored_and_running_statistics_are_rounded_once() -> None:
    random = np.random.default_rng(14)
    x = random.normal(3.0, 2.0, (7, 2, 5)).astype(np.float32)
    scale, bias, m, v = (random.uniform(0.5, 2.0, 2).astype(np.float32) for _ in range(4))
    channels = [exact(x[:, c].reshape(-1)) for c in range(2)]
    vectors = [exact(vector) for vector in (scale, bias, m, v)]

    stored = batch_normalization(x, scale, bias, m, v, epsilon=STORED_EPSILON)
    wanted = [
        [g * (value - mu) / root(var + Fraction(STORED_EPSILON)) + b for value in values]
        for values, g, b, mu, var in zip(channels, *vectors, strict=True)
    ]
    got = np.moveaxis(stored, 1, 0).reshape(2, -1)
    assert units_in_the_last_place(got, wanted, "float32").max() <= 0.51

    training = batch_normalization_training(x, scale, bias, m, v, momentum=0.75)
    for statistic, running, current in (
        (mean, 2, training.running_mean),
        (variance, 3, training.running_variance),
    ):
        moved = [[old * 3 / 4 + statistic(values) / 4] for old, values in zip(vectors[running], channels, strict=True)]
        assert units_in_the_last_place(current[:, None], moved, "float32").max() <= 0.501


# Values that aren't ordinary


def test_statistics_never_leave_the_range_where_half_precision_would() -> None:
    x = np.array([[60000.0, -60000.0, 30000.0, -30000.0]], np.float16)
    for y in (layer_normalization(x), rms_normalization(x), lp_normalization(x)):
        assert y.dtype == np.float16
        assert np.isfinite(y).all()
        assert (np.abs(y) > 0.1).all()


def test_a_result_out_of_range_is_infinite_without_a_warning() -> None:
    y = layer_normalization(np.array([[1.0, -1.0]], np.float16), np.array([1e5, 1e5]))
    np.testing.assert_array_equal(y, [[np.inf, -np.inf]])


def test_nan_and_infinity_stay_in_their_sample() -> None:
    x = np.array([[1.0, np.nan, 2.0], [1.0, np.inf, 2.0], [1.0, 2.0, 3.0]], np.float32)
    y = layer_normalization(x)
    assert np.isnan(y[:2]).all()
    assert np.isfinite(y[2]).all()


def test_a_vector_of_zeros_stays_one_unless_it_holds_nan() -> None:
    x = np.array([[0.0, 0.0], [0.0, 2.0], [0.0, np.nan]], np.float32)
    for p in (1, 2):
        np.testing.assert_array_equal(lp_normalization(x, p=p), [[0.0, 0.0], [0.0, 1.0], [np.nan, np.nan]])


def test_without_epsilon_a_constant_sample_is_undefined() -> None:
    x = np.full((1, 3), 2.0)
    assert np.isnan(layer_normalization(x, epsilon=0.0)).all()
    np.testing.assert_array_equal(mean_variance_normalization(x, axes=(1,)), np.zeros((1, 3)))


def test_a_negative_stored_variance_gives_nan_without_a_warning() -> None:
    one = np.ones(1)
    assert np.isnan(batch_normalization(np.ones((1, 1)), one, one, one, -one)).all()


def test_epsilon_stands_inside_the_root_but_for_mean_variance_normalization() -> None:
    x = np.array([[-1.0, 1.0]])
    np.testing.assert_allclose(layer_normalization(x, epsilon=3.0), x / 2)
    np.testing.assert_allclose(rms_normalization(x, epsilon=3.0), x / 2)
    np.testing.assert_allclose(mean_variance_normalization(x, axes=(1,), epsilon=3.0), x / 4)


# Dtypes


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16"])
def test_the_result_has_the_dtype_that_onnx_names(dtype: str) -> None:
    kind = np.dtype(ml_dtypes.bfloat16) if dtype == "bfloat16" else np.dtype(dtype)
    x, vector = np.ones((2, 3, 4), kind), np.ones(3)
    kernel = np.ones((3, 3, 2))
    assert layer_normalization(x, np.ones(4), np.ones(4)).dtype == kind
    assert instance_normalization(x, vector, vector).dtype == kind
    assert group_normalization(x, vector, vector, num_groups=3).dtype == kind
    assert lp_normalization(x).dtype == kind
    assert mean_variance_normalization(x, axes=(0, 2)).dtype == kind
    assert batch_normalization(x, vector, vector, vector, vector).dtype == kind
    assert convolution(x, kernel).dtype == kind
    assert transposed_convolution(x, kernel).dtype == kind
    assert gemm(x[0], np.ones((4, 2))).dtype == kind
    # RMSNormalization gives its scale's type V.
    assert rms_normalization(x).dtype == kind
    assert rms_normalization(np.ones(4), x[0, 0]).dtype == kind
    # BatchNormalization gives the running statistics' type T2 for those.
    y, *running = batch_normalization_training(x, vector, vector, np.ones(3, np.float32), vector)
    assert [y.dtype, *(r.dtype for r in running)] == [kind, np.float32, np.float64]
