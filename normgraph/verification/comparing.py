"""One tensor of two models, compared: shape, type, where it isn't finite, and by how much it differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import ml_dtypes  # noqa: F401 - NumPy knows bfloat16 and the like by their names from then on
import numpy as np
import numpy.typing as npt

from normgraph.constants import Array
from normgraph.evidence.measuring import FACTOR, ULPS, Ulps, errors, spacing_at
from normgraph.feeds.families import limits

Float64 = npt.NDArray[np.float64]

#: Against float64 the second model may err `FACTOR` times as much as the first, or by `ULPS` units in the last place of
#: the largest true value. Where there is no truth, the two may differ by this much of the tensor's largest value.
RELATIVE: Mapping[str, float] = {"float64": 1e-9, "float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1}
#: From this spread on values are told apart at all.
_TINY = 1e-300


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far two models may differ where the caller says so: |after − before| ≤ absolute + relative · |before|.

    Attributes:
        relative: the relative part.
        absolute: the absolute part, in the units of the tensor.
    """

    relative: float = 0.0
    absolute: float = 0.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """A tensor of the first model and its counterpart in the second, for one feed.

    Attributes:
        tensor: its name.
        feed: what the models were fed, as the report calls it.
        shape: its shape in the first model.
        dtype: its type in the first model.
        difference: why the two can't be compared number by number, or differ where they may not; None otherwise.
        largest: the largest absolute difference.
        relative: the largest difference relative to the first model's value, element by element.
        ulps: the difference in units in the last place of the first model's values.
        cosine: the cosine of the angle between the two; None where one of them is zero or not finite.
        error_before: the first model's largest error against float64, None without a truth.
        error_after: the second model's.
        allowed: the bound: of `error_after` where there is a truth and no tolerance was asked for, else of `largest`.
        recovered: how many elements are finite in the second model and in truth, and aren't in the first.
        scale: the largest magnitude in the first model.
    """

    tensor: str
    feed: str
    shape: tuple[int, ...]
    dtype: str
    difference: str | None = None
    largest: float = 0.0
    relative: float = 0.0
    ulps: Ulps | None = None
    cosine: float | None = None
    error_before: float | None = None
    error_after: float | None = None
    allowed: float | None = None
    recovered: int = 0
    scale: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether the two are the same, as far as rounding goes."""
        return self.difference is None

    @property
    def excess(self) -> float:
        """How many times the bound is used up; infinite where the two can't be compared."""
        judged = max(self.largest, self.error_after or 0.0)
        if self.allowed:
            return judged / self.allowed
        return 0.0 if self.passed and not judged else float("inf")


def compared(
    tensor: str,
    feed: str,
    before: Array,
    after: Array,
    truth: Array | None = None,
    tolerance: Tolerance | None = None,
    relative: float | None = None,
) -> Comparison:
    """Compare a tensor of two models.

    Args:
        tensor: its name.
        feed: what the models were fed.
        before: what the first model makes.
        after: what the second makes.
        truth: the same in float64, None where that isn't known.
        tolerance: what the caller asks for; None to judge by the truth, or by `RELATIVE` where there is none.
        relative: what to take in place of `RELATIVE`'s bound.
    """
    about = (tensor, feed, tuple(before.shape), str(before.dtype))
    if before.dtype != after.dtype:
        return Comparison(*about, f"its type is {before.dtype} before and {after.dtype} after")
    if before.shape != after.shape:
        return Comparison(*about, f"its shape is {list(before.shape)} before and {list(after.shape)} after")
    if str(before.dtype) not in RELATIVE:
        return _discrete(about, before, after)
    exact = truth if truth is not None and truth.shape == before.shape else None
    return _judged(about, before, after, None if exact is None else np.asarray(exact, np.float64), tolerance, relative)


About = tuple[str, str, tuple[int, ...], str]


def _discrete(about: About, before: Array, after: Array) -> Comparison:
    """Integers, booleans, text and what is quantized are equal or they aren't."""
    different, largest = before != after, 0.0
    if before.dtype.kind in "biufV":
        one, other = before.astype(np.float64), after.astype(np.float64)
        different &= ~(np.isnan(one) & np.isnan(other))
        finite = np.isfinite(one) & np.isfinite(other)
        largest = float(np.max(np.abs(one - other, where=finite, out=np.zeros_like(one)), initial=0.0))
    count = int(np.count_nonzero(different))
    if not count:
        return Comparison(*about)
    return Comparison(*about, f"elements that differ: {count:,} of {before.size:,}", largest)


def _judged(
    about: About, before: Array, after: Array, exact: Float64 | None, tolerance: Tolerance | None, bound: float | None
) -> Comparison:
    dtype = before.dtype
    one, other = before.astype(np.float64), after.astype(np.float64)
    finite = np.isfinite(one) & np.isfinite(other)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        change = np.where(finite, np.abs(other - one), 0.0)
        relative = np.where(change > 0, change / np.maximum(np.abs(one), _TINY), 0.0)
    largest = float(np.max(change, initial=0.0))
    measured = errors(np.where(finite, other, 0.0), np.where(finite, one, 0.0), spacing_at(one, dtype))
    scale = float(np.max(np.abs(one[np.isfinite(one)]), initial=0.0))
    figures = (largest, float(np.max(relative, initial=0.0)), measured.ulps, _cosine(one, other))
    pattern, recovered = _pattern(one, other, exact)
    error_before = error_after = None
    usual = (RELATIVE.get(str(dtype), 0.0) if bound is None else bound) * scale
    if exact is not None:
        spacing = spacing_at(exact, dtype)
        error_before, error_after = (errors(result, exact, spacing).largest for result in (one, other))
    if tolerance is not None:
        allowed = tolerance.absolute + tolerance.relative * scale
        far = np.any(change > tolerance.absolute + tolerance.relative * np.abs(one), where=finite)
    elif exact is not None and error_before is not None and error_after is not None:
        true_scale = float(np.max(np.abs(exact[np.isfinite(exact)]), initial=0.0))
        allowed = max(FACTOR * error_before, ULPS * float(limits(dtype).eps) * true_scale)
        far = np.bool_(error_after > allowed)
        pattern = pattern or _beyond(change, finite & ~np.isfinite(exact), usual)
    else:
        allowed = usual
        far = np.bool_(largest > allowed)
    reason = pattern
    if reason is None and far:
        by_truth = tolerance is None and error_after is not None
        told = (
            f"its error is {error_after:.2g} (before: {error_before:.2g})"
            if by_truth
            else f"it differs by {largest:.2g}"
        )
        reason = f"{told}, and {allowed:.2g} is allowed"
    return Comparison(*about, reason, *figures, error_before, error_after, allowed, recovered, scale)


def _beyond(change: Float64, where: npt.NDArray[np.bool_], allowed: float) -> str | None:
    """What is wrong with elements of which float64 says nothing, though both models make numbers of them."""
    largest = float(np.max(change, where=where, initial=0.0))
    if largest <= allowed:
        return None
    return f"it differs by {largest:.2g} where float64 isn't finite, and {allowed:.2g} is allowed there"


def _pattern(one: Float64, other: Float64, exact: Float64 | None) -> tuple[str | None, int]:
    """What is wrong with where the two aren't finite, and how many elements the second model has won back."""
    same = (np.isnan(one) == np.isnan(other)) & (np.isposinf(one) == np.isposinf(other))
    same &= np.isneginf(one) == np.isneginf(other)
    won = np.zeros(one.shape, np.bool_)
    if exact is not None:
        won = ~np.isfinite(one) & np.isfinite(other) & np.isfinite(exact)
        same |= won | (np.isinf(exact) & (other == exact))
    wrong = int(np.count_nonzero(~same))
    recovered = int(np.count_nonzero(won))
    return (f"elements that are NaN or infinite in one model only: {wrong:,}" if wrong else None), recovered


def _cosine(one: Float64, other: Float64) -> float | None:
    a, b = one.reshape(-1), other.reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        norms = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
        if not norms or not np.isfinite(norms):
            return None
        return float(np.clip(np.dot(a, b) / norms, -1.0, 1.0))
