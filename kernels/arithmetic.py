"""What the definition of a normalization may use, so that it runs on arrays and on symbols alike."""

from __future__ import annotations

from typing import Any, Literal, Protocol, Self, TypeVar, cast

import numpy as np


class Arithmetic(Protocol):
    """A value with plain arithmetic and means: a float64 array, or a polynomial over atoms.

    Nothing else is promised: no shape, no dtype, no indexing, and of NumPy's functions only the square root, the
    larger of the value and a number, and whether it differs from one, which reach a value through
    ``__array_ufunc__``. A definition keeps the value on the left of every operation, so that it is never an array on
    the right that decides what the operation means.
    """

    def __add__(self, other: Any, /) -> Self: ...

    def __sub__(self, other: Any, /) -> Self: ...

    def __mul__(self, other: Any, /) -> Self: ...

    def __truediv__(self, other: Any, /) -> Self: ...

    def __pow__(self, exponent: Any, /) -> Self: ...

    def __neg__(self) -> Self: ...

    def __abs__(self) -> Self: ...

    def __array_ufunc__(
        self,
        ufunc: np.ufunc,
        method: Literal["__call__", "reduce", "reduceat", "accumulate", "outer", "at"],
        *inputs: Any,
        **kwargs: Any,
    ) -> Any: ...

    def mean(self, *, axis: Any, keepdims: bool) -> Self:
        """The mean over `axis`, which stay as axes of extent one where `keepdims` is true."""
        ...


Value = TypeVar("Value", bound=Arithmetic)


class Definition(Protocol):
    """The signature that the definitions of all normalizations share."""

    def __call__(self, x: Value, *, axes: Any, epsilon: float, gain: Value | float, bias: Value | float) -> Value:
        """Normalize x.

        Args:
            x: the value.
            axes: what the statistics are taken over: a tuple of integers for an array, whatever ``x.mean`` accepts
                for a symbol.
            epsilon: what keeps the divisor from zero; its unit is the definition's to state.
            gain: the factor after normalization; broadcasts against x, 1 where there is none.
            bias: the summand after that; broadcasts against x, 0 where there is none.
        """
        ...


def sqrt(x: Value) -> Value:
    """The square root of a value, ``numpy.sqrt``."""
    root: Value = np.sqrt(x)
    return root


def quotient_or_zero(x: Value, divisor: Value, exponent: float = 1) -> Value:
    """x/d^e where d isn't zero, and zero where it is: [d ≠ 0]·x/d^e."""
    result: Any
    if isinstance(divisor, np.ndarray):  # whose 0·(0/0) isn't zero
        numerator: Any = x
        zeros = np.zeros(np.broadcast_shapes(numerator.shape, divisor.shape))
        result = np.divide(numerator, divisor**exponent, out=zeros, where=np.not_equal(divisor, 0.0))
    else:
        result = x / divisor**exponent * np.not_equal(divisor, 0.0)  # type: ignore[call-overload]
    return cast("Value", result)


def at_least(x: Value, bound: float) -> Value:
    """The larger of a value and a number, ``numpy.maximum``."""
    larger: Value = np.maximum(x, bound)  # type: ignore[call-overload]
    return larger
