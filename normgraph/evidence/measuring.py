"""Errors against float64: absolute, in units in the last place, and how large they may be."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from normgraph.feeds.families import limits

#: A replacement may err this many times as much as the original, …
FACTOR = 4.0
#: … or by this many units in the last place: of the largest true value, or of the input, whichever does more.
ULPS = 16.0

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ulps:
    """Errors in units in the last place of the true value, element by element.

    Attributes:
        largest: the largest. Where the true value is nearly zero, a harmless error is many of its units.
        p99: the 99th percentile, which such elements leave alone.
    """

    largest: float
    p99: float

    @staticmethod
    def largest_of(found: Iterable[Ulps | None]) -> Ulps | None:
        """The largest of each figure; None if there are none."""
        known = [ulps for ulps in found if ulps is not None]
        return Ulps(max(u.largest for u in known), max(u.p99 for u in known)) if known else None


@dataclass(frozen=True, slots=True)
class Errors:
    """How far a result is from the truth.

    Attributes:
        largest: the largest absolute error; infinite where the result isn't finite and the truth is.
        at: where.
        ulps: the same in units in the last place of each true value.
    """

    largest: float
    at: tuple[int, ...] | None
    ulps: Ulps


def errors(result: Float64, exact: Float64, spacing: Float64) -> Errors:
    """Compare a result with the truth, wherever the truth is finite.

    Args:
        result: the result.
        exact: the truth, of the same shape.
        spacing: the unit in the last place at each true value, see `spacing_at`.
    """
    return errors_of_each(result[np.newaxis], exact[np.newaxis], spacing[np.newaxis])[0]


def errors_of_each(results: Float64, exact: Float64, spacing: Float64) -> list[Errors]:
    """The same for several results at once, which the first dimension of the truth and of its units counts.

    The results have a further dimension before it where several were made of each input.
    """
    shape, extent = exact.shape[1:], exact[:1].size
    count = math.prod(results.shape[: results.ndim - len(shape)])
    if not exact.size:
        return [Errors(0.0, None, Ulps(0.0, 0.0))] * count
    with np.errstate(invalid="ignore"):
        error = np.abs(results - exact).reshape(count, extent)
    positions = error.argmax(axis=1)  # of a NaN, if there is one
    if not np.isfinite(error[np.arange(count), positions]).all():
        error[np.isnan(error)] = np.inf
        error.reshape(-1, *exact.shape)[:, ~np.isfinite(exact)] = 0.0
        positions = error.argmax(axis=1)
    with np.errstate(over="ignore"):
        units = (error.reshape(-1, *exact.shape) / spacing).reshape(count, extent)
    figures = zip(units.max(axis=1).tolist(), _percentiles(units), strict=True)
    ulps = [Ulps(largest, p99) for largest, p99 in figures]
    places = np.transpose(np.unravel_index(positions, shape)).tolist() if shape else [[]] * count
    largest = error[np.arange(count), positions].tolist()
    return [Errors(*each) for each in zip(largest, map(tuple, places), ulps, strict=True)]


def _percentiles(rows: Float64) -> list[float]:
    """The 99th percentile of each row: the least number that no more than one in a hundred exceeds.

    It is sought among what isn't less than the last of as many group maxima as numbers are at or above it.
    """
    extent = rows.shape[1]
    top = extent - max(0, -(-99 * extent // 100) - 1)
    groups = 4 * top
    if extent < _FEW:
        return np.partition(rows, extent - top, axis=1)[:, extent - top].tolist()  # type: ignore[no-any-return]
    maxima = rows[:, : extent // groups * groups].reshape(len(rows), -1, groups).max(axis=1)
    least = np.partition(maxima, groups - top, axis=1)[:, groups - top]
    candidates = (row[row >= bound] for row, bound in zip(rows, least, strict=True))
    return [float(np.partition(found, found.size - top)[found.size - top]) for found in candidates]


def finite_error(result: Float64, exact: Float64, unless: npt.NDArray[np.bool_] | None = None) -> float:
    """The largest absolute error where the truth is finite, overflows aside.

    Args:
        result: the result.
        exact: the truth, of the same shape.
        unless: where the result needn't be finite; elsewhere its overflows are infinite errors. None for everywhere.
    """
    known = np.isfinite(exact)
    if unless is not None and np.any(known & ~np.isfinite(result) & ~unless):
        return float("inf")
    with np.errstate(invalid="ignore"):
        return float(np.max(np.abs(result - exact), where=known & np.isfinite(result), initial=0.0))


#: Up to so many numbers are partitioned at once.
_FEW = 1024


def spacing_at(exact: Float64, dtype: np.dtype) -> Float64:
    """The unit in the last place of a floating type at each value; of subnormal values the smallest subnormal.

    That of what isn't finite is the largest number, and so is that of zero: it has no last place, and what is added up
    to nearly nothing would count for more units than all else.

    >>> spacing_at(np.asarray([1.0, 1.5, 2.0, 1e-9]), np.dtype(np.float16)).tolist()
    [0.0009765625, 0.0009765625, 0.001953125, 5.960464477539063e-08]
    """
    limit: Any = limits(dtype)
    magnitude = (np.asarray(exact, np.float64).view(np.int64) & _EXPONENT).view(np.float64)
    most = np.finfo(np.float64).max
    units = np.clip(magnitude * float(limit.eps), float(limit.smallest_subnormal), most)
    return np.asarray(np.where(np.asarray(exact) == 0, most, units))


#: The bits of a double's exponent: alone they are its magnitude, rounded down to a power of two.
_EXPONENT = 0x7FF << 52


def allowed_errors(before: Sequence[float], exact: Float64, dtype: np.dtype) -> list[float]:
    """The largest absolute error that a replacement may have, whatever rounding the input does to the result.

    Args:
        before: the original's error in each of several trials.
        exact: the truth in each of them, counted by the first dimension.
        dtype: the type that is computed in.
    """
    limit: Any = limits(dtype)
    magnitude = np.abs(exact).reshape(len(exact), -1)
    largest = magnitude.max(axis=1, initial=0.0)
    if not np.isfinite(largest).all():
        largest = magnitude.max(axis=1, initial=0.0, where=np.isfinite(magnitude))
    unit, least = ULPS * float(limit.eps), float(limit.smallest_subnormal)
    return [max(FACTOR * error, unit * top, least) for error, top in zip(before, largest.tolist(), strict=True)]


def sensitivity(exact: Float64, moved: Iterable[Float64]) -> float:
    """What rounding the input does to the result: the largest finite change.

    Args:
        exact: the truth.
        moved: the truth for inputs moved by half a unit in the last place.
    """
    largest = 0.0
    for result in moved:
        with np.errstate(invalid="ignore"):
            change = np.abs(result - exact)
        largest = max(largest, float(np.max(change, initial=0.0, where=np.isfinite(change))))
    return largest


def nudged(x: npt.NDArray[Any], dtype: np.dtype) -> Iterator[Float64]:
    """x with each element moved by half a unit in the last place, up and down in turn.

    Of doubles there are several, with other signs: their truth is rounded no less than they are, and by how much
    shows in how it scatters.
    """
    half = float(limits(dtype).eps) / 2
    exact = x.astype(np.float64)
    for period in _PERIODS if dtype == np.float64 else _PERIODS[:1]:
        moved = exact.copy()
        flat = moved.reshape(-1)
        up = np.arange(flat.size) % (2 * period) < period
        flat *= np.where(up, 1 + half, 1 - half)
        yield moved


#: After how many elements the signs of the nudges change.
_PERIODS = (1, 2, 3, 5)
