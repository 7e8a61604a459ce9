"""Constant coefficients: plain numbers, and float64 arrays over labelled axes.

A coefficient that is one number everywhere is kept as a float, so that a tensor full of 1e-5 and a scalar 1e-5 are the
same value.  Arithmetic aligns arrays by label, never by position.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from normgraph.axes import Axis, Dimension, Layout, Renaming
from normgraph.errors import NotRepresentable

FloatArray = npt.NDArray[np.float64]

#: Relative difference below which two coefficients are the same constant, written at float32 by different routes
#: (1/768 summed 768 times, say).  About 16 units in the last place of float32.
TOLERANCE = 2e-6
#: Relative difference that may be left by float64's own rounding.
ROUNDING = 1e-12
#: What is left of two constants that cancel is known to six digits if it is at least this part of them.
SIGNIFICANT = 1e-9


@dataclass(frozen=True, eq=False)
class LabelledArray:
    """A float64 array whose dimensions are axes in the order of their index; not uniform.

    Attributes:
        axes: one axis per dimension of `values`, ascending by index.
        values: the numbers; never written to.
    """

    axes: tuple[Axis, ...]
    values: FloatArray

    @cached_property
    def _identity(self) -> tuple[tuple[Axis, ...], bytes]:
        return self.axes, self.values.tobytes()

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, LabelledArray) and self._identity == other._identity)

    def __hash__(self) -> int:
        return hash(self._identity)


Coefficient = float | LabelledArray


def coefficient(values: npt.ArrayLike, dimensions: Iterable[Dimension]) -> Coefficient:
    """The coefficient of a constant array whose dimensions carry these axes.

    Args:
        values: any real array; converted to float64 as stored, without rounding.
        dimensions: the axes of each dimension of `values`; a dimension of several axes is reshaped into them.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size == 1:
        return array.item()
    if array.size and array.item(-1) == array.item(0) and (array == array.item(0)).all():
        return array.item(0)
    axes = tuple(axis for dimension in dimensions for axis in dimension)
    return _ordered(axes, array.reshape([_extent(axis, array, position) for position, axis in enumerate(axes)]))


def _extent(axis: Axis, array: FloatArray, position: int) -> int:
    size = axis.size.static
    return size if size is not None else array.shape[position]


def _ordered(axes: tuple[Axis, ...], array: FloatArray) -> LabelledArray:
    if all(a.index < b.index for a, b in pairwise(axes)):
        return LabelledArray(axes, np.ascontiguousarray(array))
    order = sorted(range(len(axes)), key=lambda position: axes[position].index)
    return LabelledArray(tuple(axes[position] for position in order), np.ascontiguousarray(array.transpose(order)))


def axes_of_coefficient(value: Coefficient) -> tuple[Axis, ...]:
    """The axes along which the coefficient varies."""
    return () if isinstance(value, float) else value.axes


#: What Python's own floats do just as NumPy's, and ten times as fast.
_ON_FLOATS: Mapping[Callable[..., FloatArray], Callable[..., float]] = {
    np.add: operator.add,
    np.multiply: operator.mul,
    np.negative: operator.neg,
}


def combine(operation: Callable[..., FloatArray], a: Coefficient, b: Coefficient) -> Coefficient:
    """`operation` applied element by element, aligned by label; a float where the result is uniform."""
    if isinstance(a, float) and isinstance(b, float):
        if operation in _ON_FLOATS:
            return _ON_FLOATS[operation](a, b)
        with np.errstate(all="ignore"):
            return float(operation(np.float64(a), np.float64(b)))
    if operation is np.multiply and (is_one(a) or is_one(b)):
        return b if is_one(a) else a
    axes, left, right = _aligned(a, b)
    with np.errstate(all="ignore"):
        values = operation(left, right)
    return collapse(LabelledArray(axes, values))


def _aligned(a: Coefficient, b: Coefficient) -> tuple[tuple[Axis, ...], FloatArray | float, FloatArray | float]:
    """The axes of both, at least one of which is an array, and the two as operands that broadcast over these axes."""
    if isinstance(a, float):
        return axes_of_coefficient(b), a, b if isinstance(b, float) else b.values
    if isinstance(b, float) or a.axes == b.axes:
        return a.axes, a.values, b if isinstance(b, float) else b.values
    axes = tuple(sorted({*a.axes, *b.axes}, key=lambda axis: axis.index))
    return axes, spread(a, axes), spread(b, axes)


def collapse(value: LabelledArray) -> Coefficient:
    """The array as a float if it is uniform."""
    values = value.values
    first = values.item(0) if values.size else 0.0
    if values.size and values.item(-1) != first:
        return value
    return first if (values == first).all() else value


def spread(value: Coefficient, axes: tuple[Axis, ...]) -> FloatArray:
    """The coefficient as an array that broadcasts over these axes, which include its own and ascend by index."""
    if isinstance(value, float):
        return np.full((1,) * len(axes), value)
    return value.values[tuple(slice(None) if axis in value.axes else np.newaxis for axis in axes)]


def over_dimensions(value: Coefficient, layout: Layout) -> FloatArray | None:
    """The coefficient as an array that broadcasts against a tensor of this layout, which has all of its axes.

    None where it varies along a part of a dimension whose size isn't known.
    """
    own = axes_of_coefficient(value)
    varying = [dimension if any(axis in own for axis in dimension) else () for dimension in layout]
    axes = tuple(axis for dimension in varying for axis in dimension)
    extents = {} if isinstance(value, float) else dict(zip(value.axes, value.values.shape, strict=True))
    sizes = [extents.get(axis, axis.size.static) for axis in axes]
    if any(size is None for size in sizes):
        return None
    ascending = tuple(sorted(axes, key=lambda axis: axis.index))
    array = spread(value, ascending).transpose([ascending.index(axis) for axis in axes])
    full = np.broadcast_to(array, [size for size in sizes if size is not None])
    known = dict(zip(axes, full.shape, strict=True))
    return full.reshape([int(np.prod([known[axis] for axis in dimension], dtype=np.int64)) for dimension in varying])


def apply(operation: Callable[[FloatArray], FloatArray], a: Coefficient) -> Coefficient:
    """`operation` applied to each element."""
    if isinstance(a, float) and operation in _ON_FLOATS:
        return _ON_FLOATS[operation](a)
    with np.errstate(all="ignore"):
        if isinstance(a, float):
            return float(operation(np.asarray(a)))
        return LabelledArray(a.axes, operation(a.values))


def mean_over(value: Coefficient, axes: frozenset[Axis]) -> Coefficient:
    """The coefficient averaged over those of its own axes that are in `axes`."""
    if isinstance(value, float) or axes.isdisjoint(value.axes):
        return value
    kept = tuple(axis for axis in value.axes if axis not in axes)
    positions = tuple(position for position, axis in enumerate(value.axes) if axis in axes)
    with np.errstate(all="ignore"):
        values = np.asarray(value.values.mean(axis=positions))
    return collapse(LabelledArray(kept, values)) if kept else float(values)


def rename(value: Coefficient, renaming: Renaming) -> Coefficient:
    """The coefficient with fresh axes replaced by the axes they turned out to be."""
    if isinstance(value, float) or not any(axis in renaming for axis in value.axes):
        return value
    dimensions = [renaming.get(axis, (axis,)) for axis in value.axes]
    axes = tuple(axis for dimension in dimensions for axis in dimension)
    if len(axes) == len(value.axes) == 1:
        return LabelledArray(axes, value.values)
    shape: list[int] = []
    for extent, dimension in zip(value.values.shape, dimensions, strict=True):
        shape.extend([extent] if len(dimension) == 1 else [axis.size.factor for axis in dimension])
    return _ordered(axes, value.values.reshape(shape))


def smallest(value: Coefficient) -> float:
    """The least element."""
    return value if isinstance(value, float) else float(value.values.min())


def is_one(value: Coefficient) -> bool:
    """Whether every element is exactly one."""
    return isinstance(value, float) and value == 1.0


def is_zero(value: Coefficient) -> bool:
    """Whether every element is exactly zero."""
    return isinstance(value, float) and value == 0.0


def close(a: Coefficient, b: Coefficient) -> bool:
    """Whether the two are the same constant up to TOLERANCE, element by element."""
    if a is b:
        return True
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= TOLERANCE * max(abs(a), abs(b))
    _, left, right = _aligned(a, b)
    if np.equal(left, right).all():  # the same numbers by the same route, mostly
        return True
    with np.errstate(all="ignore"):
        difference = np.abs(left - right)
        return bool(np.all(difference <= TOLERANCE * np.maximum(np.abs(left), np.abs(right))))


def sum_of(a: Coefficient, b: Coefficient, *, alone: bool = False) -> Coefficient:
    """a + b, and exactly zero where the two cancel up to TOLERANCE.

    Args:
        a: a constant.
        b: another.
        alone: whether they are summands, factors of nothing.  Then what is left of them may be an epsilon, however
            small it is beside them, and only ROUNDING is taken for zero.

    Raises:
        NotRepresentable: if `alone`, and float64 leaves too few digits of what is left.
    """
    total = combine(np.add, a, b)
    if alone:
        return _rest(a, b, total)
    if isinstance(a, float) and isinstance(b, float):
        return 0.0 if abs(a + b) <= TOLERANCE * max(abs(a), abs(b)) else total
    return 0.0 if close(a, apply(np.negative, b)) else total


def _rest(a: Coefficient, b: Coefficient, total: Coefficient) -> Coefficient:
    """What is left of two summands: their sum, or zero where that is rounding in every place."""
    if isinstance(a, float) and isinstance(b, float) and abs(a + b) >= SIGNIFICANT * max(abs(a), abs(b)):
        return total
    _, left, right = _aligned(a, b)
    with np.errstate(all="ignore"):
        rest, largest = np.abs(np.add(left, right)), np.maximum(np.abs(left), np.abs(right))
        rounding = rest <= ROUNDING * largest
        if np.all(rounding):
            return 0.0
        if np.any(~rounding & (rest < SIGNIFICANT * largest)):
            raise NotRepresentable("too-complex", "constants cancel, and what is left of them is lost beside them")
    return total
