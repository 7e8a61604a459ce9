"""Labelled axes: which axes of a base tensor each dimension of a value carries.

A value computed from a base tensor x has dimensions that are axes of x, merged, permuted, dropped or broadcast.  A
`Layout` writes that down: one tuple of elementary `Axis` labels per dimension, the empty tuple for a dimension of size
one.  Labels, not positions, decide whether two operands of a broadcast mean the same thing, so ``x[:, None] -
x[:, :, None]`` is refused where comparing shapes would let it pass.

This module knows nothing of ONNX.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from normgraph.errors import NormgraphError


@dataclass(frozen=True, slots=True)
class Size:
    """The extent of a dimension: ``factor`` times a product of symbols, each a positive integer unknown until run time.

    Attributes:
        factor: the static part, at least 0.
        symbols: the names of the dynamic factors, sorted; a name may stand more than once.
    """

    factor: int
    symbols: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Size) and self.factor == other.factor and self.symbols == other.symbols

    def __hash__(self) -> int:
        return hash((self.factor, self.symbols))

    @property
    def static(self) -> int | None:
        """The size as a number, or None where it depends on a symbol."""
        return None if self.symbols else self.factor

    def __mul__(self, other: Size) -> Size:
        if not self.symbols and not other.symbols:
            return Size(self.factor * other.factor)
        return Size(self.factor * other.factor, tuple(sorted(self.symbols + other.symbols)))

    def divided_by(self, other: Size) -> Size | None:
        """The exact quotient, or None where `other` isn't known to divide this size."""
        if other.factor == 0 or self.factor % other.factor:
            return None
        remaining = list(self.symbols)
        for symbol in other.symbols:
            if symbol not in remaining:
                return None
            remaining.remove(symbol)
        return Size(self.factor // other.factor, tuple(remaining))

    def __str__(self) -> str:
        parts = [str(self.factor)] if self.factor != 1 or not self.symbols else []
        return "*".join([*parts, *self.symbols])


@lru_cache(maxsize=4096)
def static_size(extent: int) -> Size:
    """The size of a dimension whose extent is known; equal ones are the same object, whose comparison costs nothing."""
    return Size(extent)


ONE = static_size(1)


def product(sizes: Iterable[Size]) -> Size:
    """The product of the sizes; ONE for none."""
    factor, symbols = 1, list[str]()
    for size in sizes:
        factor *= size.factor
        symbols.extend(size.symbols)
    return Size(factor, tuple(sorted(symbols))) if symbols else static_size(factor)


@dataclass(frozen=True, slots=True)
class Axis:
    """An elementary axis.

    Attributes:
        index: its place in the order of creation; the base tensor's own axes come first, in their order.
        size: its extent, never statically one.
        fresh: True for an axis that a constant brought along and that hasn't met an axis of the base tensor yet.
        yields: True for a fresh axis of a tensor known at run time only: if its size is dynamic, it may meet an axis of
            another size, of which nothing is demanded then.
    """

    index: int
    size: Size
    fresh: bool = False
    yields: bool = False

    def __hash__(self) -> int:
        # Of all that is remembered, most is about the first axes of some tensor: their sizes tell it apart.
        return self.index ^ self.size.factor << 4


Dimension = tuple[Axis, ...]
Layout = tuple[Dimension, ...]
Renaming = Mapping[Axis, Dimension]


class Misaligned(NormgraphError):
    """Two operands of a broadcast carry different axes in the same dimension."""


class SplitNeeded(NormgraphError):
    """A reshape cuts an elementary axis; interpretation has to start again with that axis split.

    Attributes:
        axis: the axis that is cut.
        sizes: the sizes of its parts, the slowest-varying first.
    """

    def __init__(self, axis: Axis, sizes: tuple[Size, ...]) -> None:
        super().__init__(f"axis {axis.index} of size {axis.size} is split into {', '.join(map(str, sizes))}")
        self.axis = axis
        self.sizes = sizes


def axes_of(layout: Layout) -> tuple[Axis, ...]:
    """All axes of the layout, the slowest-varying first."""
    return tuple(axis for dimension in layout for axis in dimension)


def size_of(dimension: Dimension) -> Size:
    """The extent of a dimension."""
    return product(axis.size for axis in dimension)


@lru_cache(maxsize=1024)
def _fresh_layout(shape: tuple[Size, ...], first_index: int, fresh: bool) -> Layout:
    return tuple(
        () if size == ONE else (Axis(first_index + position, size, fresh),) for position, size in enumerate(shape)
    )


def fresh_layout(shape: Sequence[Size], first_index: int, *, fresh: bool) -> Layout:
    """A layout of new axes for a tensor of this shape; dimensions of size one carry no axis.

    Equal ones are the same object, whose comparison costs nothing.
    """
    return _fresh_layout(tuple(shape), first_index, fresh)


def split_layout(layout: Layout, splits: Mapping[Axis, Dimension]) -> Layout:
    """The layout with each axis of `splits` replaced by its parts."""
    return tuple(tuple(part for axis in dimension for part in splits.get(axis, (axis,))) for dimension in layout)


@dataclass(frozen=True, slots=True)
class Broadcast:
    """The result of aligning two layouts, and which fresh axes of each operand turned out to be which axes.

    Attributes:
        assumed: pairs of a dynamic axis and the static size that a constant demands of it.
    """

    layout: Layout
    left: Renaming
    right: Renaming
    assumed: tuple[tuple[Axis, int], ...] = ()


@lru_cache(maxsize=1024)
def broadcast(left: Layout, right: Layout) -> Broadcast:
    """Align two layouts as multidirectional broadcasting does (ONNX "Broadcasting in ONNX", NumPy).

    Raises:
        Misaligned: a dimension carries different axes in the two operands, or an axis would appear in two dimensions.
    """
    if left == right:
        return Broadcast(left, {}, {})
    rank = max(len(left), len(right))
    renames: tuple[dict[Axis, Dimension], dict[Axis, Dimension]] = ({}, {})
    assumed: list[tuple[Axis, int]] = []
    dimensions: list[Dimension] = []
    for a, b in zip(_padded(left, rank), _padded(right, rank), strict=True):
        if a == b or not b:
            dimensions.append(a)
        elif not a:
            dimensions.append(b)
        elif len(b) == 1 and b[0].fresh and _gives_way(b[0], a):
            dimensions.append(_unify(b[0], a, renames[1], assumed))
        elif len(a) == 1 and a[0].fresh:
            dimensions.append(_unify(a[0], b, renames[0], assumed))
        else:
            raise Misaligned(f"a dimension of size {size_of(a)} meets a different axis of size {size_of(b)}")
    layout = tuple(dimensions)
    labels = axes_of(layout)
    if len(set(labels)) != len(labels):
        raise Misaligned("the same axis of the input would stand in two dimensions")
    return Broadcast(layout, renames[0], renames[1], tuple(assumed))


def _padded(layout: Layout, rank: int) -> Layout:
    return ((),) * (rank - len(layout)) + layout


def _gives_way(fresh: Axis, dimension: Dimension) -> bool:
    """Whether it is the fresh axis that is to be called like the others, and not the other way round."""
    return (fresh.yields and fresh.size.static is None) or not (len(dimension) == 1 and dimension[0].yields)


def _unify(
    fresh: Axis, dimension: Dimension, renames: dict[Axis, Dimension], assumed: list[tuple[Axis, int]]
) -> Dimension:
    size = size_of(dimension)
    if size != fresh.size and not (fresh.yields and fresh.size.symbols):
        static = None if fresh.yields else fresh.size.static
        if static is None or size.static is not None or len(dimension) != 1:
            met = "a tensor known at run time only" if fresh.yields else "a constant"
            raise Misaligned(f"a dimension of size {size} meets {met} of size {fresh.size}")
        assumed.append((dimension[0], static))
    renames[fresh] = dimension
    return dimension


def permute(layout: Layout, order: Sequence[int]) -> Layout:
    """The layout of a Transpose."""
    return tuple(layout[position] for position in order)


def reshape(layout: Layout, shape: Sequence[Size]) -> Layout:
    """The layout of a Reshape to `shape`, in row-major order.

    Raises:
        SplitNeeded: an axis is cut in two; its parts are in the exception.
        Misaligned: the axes can't be matched with the new shape.
    """
    pending = list(axes_of(layout))
    dimensions: list[Dimension] = []
    for size in shape:
        dimension: list[Axis] = []
        missing = size
        while missing != ONE:
            if not pending:
                raise Misaligned(f"a reshape to ({', '.join(map(str, shape))}) has more elements than its input")
            axis = pending.pop(0)
            rest = missing.divided_by(axis.size)
            if rest is None:
                inner = axis.size.divided_by(missing)
                if inner is None:
                    raise Misaligned(f"a reshape to ({', '.join(map(str, shape))}) regroups unrelated axes")
                raise SplitNeeded(axis, (missing, inner))
            dimension.append(axis)
            missing = rest
        dimensions.append(tuple(dimension))
    if pending:
        raise Misaligned(f"a reshape to ({', '.join(map(str, shape))}) has fewer elements than its input")
    return tuple(dimensions)
