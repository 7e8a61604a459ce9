"""Channel maps: scale·v + shift for a tensor v, as arrays that broadcast to it.

An affine map that is carried through an operator is carried by doing to its coefficients what the operator does to
the tensor: a Transpose transposes them, a Concat joins them, a Slice cuts them.  So they are kept as arrays
of the tensor's rank, of extent one along the dimensions in which they don't vary, batch and space as a rule.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from normgraph.affine import Affine
from normgraph.axes import Layout
from normgraph.coefficients import Coefficient, axes_of_coefficient, spread

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ChannelMap:
    """The map v ↦ scale·v + shift.

    Attributes:
        scale: float64, of the rank of v; each extent is one or that of v.
        shift: likewise.
    """

    scale: Float64
    shift: Float64

    @property
    def rank(self) -> int:
        """The rank of the tensors that it maps."""
        return self.scale.ndim

    @property
    def varying(self) -> frozenset[int]:
        """The dimensions along which scale or shift vary."""
        extents = (max(pair) for pair in zip(self.scale.shape, self.shift.shape, strict=True))
        return frozenset(dimension for dimension, extent in enumerate(extents) if extent != 1)

    @property
    def channels(self) -> int:
        """How many numbers scale and shift are over all dimensions along which either varies."""
        return math.prod(np.broadcast_shapes(self.scale.shape, self.shift.shape))

    @property
    def has_shift(self) -> bool:
        """Whether anything is added at all."""
        return bool(np.any(self.shift != 0))

    def is_same(self, other: ChannelMap) -> bool:
        """Whether another map has the same coefficients."""
        return np.array_equal(self.scale, other.scale) and np.array_equal(self.shift, other.shift)

    def vectors(self, dimension: int, extent: int) -> tuple[Float64, Float64] | None:
        """Scale and shift as vectors over one dimension, None where they vary along another or don't fit."""
        if not self.varying <= {dimension}:
            return None
        scale, shift = self.scale.reshape(-1), self.shift.reshape(-1)
        if {scale.size, shift.size} - {1, extent}:
            return None
        return np.broadcast_to(scale, extent), np.broadcast_to(shift, extent)


def identity(rank: int) -> ChannelMap:
    """The map that changes nothing."""
    return ChannelMap(np.ones((1,) * rank), np.zeros((1,) * rank))


def over_base(affine: Affine) -> ChannelMap | None:
    """An affine map over the dimensions of its base; None where it varies along an axis that the base hasn't got."""
    arrays = [_array(coefficient, affine.layout) for coefficient in (affine.scale, affine.shift)]
    scale, shift = arrays
    return None if scale is None or shift is None else ChannelMap(scale, shift)


def _array(coefficient: Coefficient, layout: Layout) -> Float64 | None:
    """A coefficient as an array over the dimensions of a layout, each of which carries some of its axes."""
    own = frozenset(axes_of_coefficient(coefficient))
    order = [axis for dimension in layout for axis in dimension]
    if not own <= frozenset(order):
        return None
    ascending = tuple(sorted(order, key=lambda axis: axis.index))
    array = spread(coefficient, ascending).transpose([ascending.index(axis) for axis in order])
    extents: list[int] = []
    full: list[int] = []
    position = 0
    for dimension in layout:
        present = array.shape[position : position + len(dimension)]
        position += len(dimension)
        if own.isdisjoint(dimension):
            full += [1] * len(dimension)
            extents.append(1)
            continue
        for axis, extent in zip(dimension, present, strict=True):
            size = extent if extent != 1 else axis.size.static
            if size is None:
                return None
            full.append(size)
        extents.append(int(np.prod(full[len(full) - len(dimension) :])))
    return np.broadcast_to(array, full).reshape(extents)


def shortest(array: Float64) -> Float64:
    """The array without leading dimensions of extent one; at least of rank one."""
    leading = next((i for i, extent in enumerate(array.shape[:-1]) if extent != 1), max(array.ndim - 1, 0))
    return array.reshape(array.shape[leading:] or (1,))


def fits(array: Float64, shape: Sequence[int]) -> bool:
    """Whether the array broadcasts to the shape and leaves it as it is."""
    try:
        return np.broadcast_shapes(array.shape, tuple(shape)) == tuple(shape)
    except ValueError:
        return False
