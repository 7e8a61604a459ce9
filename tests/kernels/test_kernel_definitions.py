"""A kernel's definition is plain arithmetic: it runs on symbols as it runs on arrays."""

from __future__ import annotations

import doctest
import importlib
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from normgraph.kernels import (
    batch_normalization,
    group_normalization,
    instance_normalization,
    layer_normalization,
    lp_normalization,
    mean_variance_normalization,
    rms_normalization,
)
from normgraph.kernels.arithmetic import Definition

NORMALIZATIONS: dict[str, Definition] = {
    "batch": batch_normalization.definition,
    "group": group_normalization.definition,
    "instance": instance_normalization.definition,
    "layer": layer_normalization.definition,
    "lp": lp_normalization.definition,
    "lp, absolute": lp_normalization.absolute_definition,
    "lp, bounded": lp_normalization.bounded_definition,
    "lp, absolute and bounded": lp_normalization.bounded_absolute_definition,
    "lp, bounded square": lp_normalization.bounded_square_definition,
    "lp, shifted": lp_normalization.shifted_definition,
    "mean_variance": mean_variance_normalization.definition,
    "rms": rms_normalization.definition,
}

Environment = dict[str, Any]


class Symbol:
    """Nothing but what a definition may use; remembers how to compute itself once the names have values."""

    __slots__ = ("compute",)

    def __init__(self, compute: Callable[[Environment], Any]) -> None:
        self.compute = compute

    def _with(self, other: Any, operation: Callable[[Any, Any], Any]) -> Symbol:
        if isinstance(other, Symbol):
            return Symbol(lambda names: operation(self.compute(names), other.compute(names)))
        assert isinstance(other, int | float), "a definition brings in nothing but its operands and numbers"
        return Symbol(lambda names: operation(self.compute(names), other))

    def __add__(self, other: Any) -> Symbol:
        return self._with(other, lambda a, b: a + b)

    def __sub__(self, other: Any) -> Symbol:
        return self._with(other, lambda a, b: a - b)

    def __mul__(self, other: Any) -> Symbol:
        return self._with(other, lambda a, b: a * b)

    def __truediv__(self, other: Any) -> Symbol:
        return self._with(other, lambda a, b: a / b)

    def __pow__(self, exponent: Any) -> Symbol:
        return self._with(exponent, lambda a, b: a**b)

    def __neg__(self) -> Symbol:
        return Symbol(lambda names: -self.compute(names))

    def mean(self, *, axis: Any, keepdims: bool) -> Symbol:
        assert keepdims
        return Symbol(lambda names: self.compute(names).mean(axis=names[axis], keepdims=True))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Symbol:
        assert ufunc in (np.sqrt, np.maximum)
        assert method == "__call__"
        assert not kwargs
        operand, *numbers = inputs
        assert all(isinstance(number, float) for number in numbers)
        return Symbol(lambda names: ufunc(operand.compute(names), *numbers))

    def __abs__(self) -> Symbol:
        return Symbol(lambda names: abs(self.compute(names)))


def symbol(name: str) -> Symbol:
    return Symbol(lambda names: names[name])


VALUES: Environment = {
    "x": np.random.default_rng(5).normal(3.0, 2.0, (4, 3, 5, 2)),
    "gain": np.array([0.5, -2.0, 3.0]).reshape(3, 1, 1),
    "bias": np.array([1.0, 0.0, -7.0]).reshape(3, 1, 1),
    "mean": np.array([1.0, 2.0, 3.0]).reshape(3, 1, 1),
    "variance": np.array([0.1, 1.0, 10.0]).reshape(3, 1, 1),
    "the axes": (0, 2, 3),
}


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_a_definition_means_the_same_on_symbols_as_on_arrays(name: str) -> None:
    definition = NORMALIZATIONS[name]
    traced = definition(symbol("x"), axes="the axes", epsilon=1e-3, gain=symbol("gain"), bias=symbol("bias")).compute(
        VALUES
    )
    computed = definition(VALUES["x"], axes=(0, 2, 3), epsilon=1e-3, gain=VALUES["gain"], bias=VALUES["bias"])
    assert traced.shape == VALUES["x"].shape
    np.testing.assert_array_equal(traced, computed)


def test_batch_normalization_with_stored_statistics_is_plain_arithmetic_too() -> None:
    operands = ("mean", "variance", "gain", "bias")
    definition = batch_normalization.inference_definition
    traced = definition(symbol("x"), epsilon=1e-3, **{name: symbol(name) for name in operands})
    computed = definition(VALUES["x"], epsilon=1e-3, **{name: VALUES[name] for name in operands})
    np.testing.assert_array_equal(traced.compute(VALUES), computed)


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_gain_and_bias_may_be_plain_numbers(name: str) -> None:
    definition = NORMALIZATIONS[name]
    x = VALUES["x"]
    plain = definition(x, axes=(1, 2), epsilon=0.5, gain=1, bias=0)
    scaled = definition(x, axes=(1, 2), epsilon=0.5, gain=-3.0, bias=2.0)
    np.testing.assert_allclose(scaled, plain * -3.0 + 2.0, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_all_definitions_share_one_signature(name: str) -> None:
    parameters = inspect.signature(NORMALIZATIONS[name]).parameters
    assert list(parameters) == ["x", "axes", "epsilon", "gain", "bias"]
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in list(parameters.values())[1:])
    assert all(p.default is inspect.Parameter.empty for p in parameters.values())


def test_vectors_are_divided_by_what_frameworks_divide_them_by() -> None:
    x = VALUES["x"]
    x[0, 0] *= 1e-3  # below the bounds
    n, axes, plain = x.shape[1], (1,), {"gain": 1.0, "bias": 0.0}
    squares, absolutes = (x * x).sum(axis=1, keepdims=True), np.abs(x).sum(axis=1, keepdims=True)
    bound = float(np.median(np.sqrt(squares)))
    for definition, epsilon, gain, divisor in (
        (lp_normalization.bounded_definition, bound / n**0.5, n**-0.5, np.maximum(np.sqrt(squares), bound)),
        (lp_normalization.bounded_square_definition, bound**2 / n, n**-0.5, np.sqrt(np.maximum(squares, bound**2))),
        (lp_normalization.shifted_definition, bound / n**0.5, n**-0.5, np.sqrt(squares) + bound),
        (lp_normalization.absolute_definition, bound / n, 1 / n, absolutes + bound),
        (lp_normalization.bounded_absolute_definition, bound / n, 1 / n, np.maximum(absolutes, bound)),
    ):
        y = definition(x, axes=axes, epsilon=epsilon, **plain) * gain  # type: ignore[operator]
        np.testing.assert_allclose(y, x / divisor, rtol=1e-12)


def test_a_mean_over_several_axes_is_one_mean() -> None:
    x = VALUES["x"]
    flat = layer_normalization.definition(x.reshape(4, -1), axes=(1,), epsilon=0.1, gain=1, bias=0)
    whole = layer_normalization.definition(x, axes=(1, 2, 3), epsilon=0.1, gain=1, bias=0)
    np.testing.assert_allclose(whole.reshape(4, -1), flat, rtol=1e-13)


@pytest.mark.parametrize(
    "module",
    [
        "batch_normalization",
        "convolution",
        "gemm",
        "group_normalization",
        "instance_normalization",
        "layer_normalization",
        "lp_normalization",
        "mean_variance_normalization",
        "rms_normalization",
        "transposed_convolution",
    ],
)
def test_the_examples_in_the_docstrings_hold(module: str) -> None:
    result = doctest.testmod(importlib.import_module(f"normgraph.kernels.{module}"))
    assert result.attempted > 0
    assert result.failed == 0
