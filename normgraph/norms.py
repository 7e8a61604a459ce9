"""The table of normalizations, and how a polynomial is read as one of them.

A row of the table is a reference kernel.  To recognise a value, its parameters (axes, ε, gain, bias) are read off the
polynomial, the kernel is run on the base tensor's polynomial with just these parameters, and the two polynomials are
compared.  So the kernel is the specification, and reading the parameters wrong can only miss.

This module knows nothing of ONNX but the names of its operators.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

import numpy as np

from normgraph.algebra import HALF, REMEMBERED, Polynomial, base, constant
from normgraph.atoms import UNIT, Absolute, Axes, Base, Clamp, Mean, Monomial, Sum
from normgraph.axes import Axis, Dimension, Layout, product, static_size
from normgraph.coefficients import TOLERANCE, Coefficient, LabelledArray, axes_of_coefficient, close, combine
from normgraph.kernels import (
    group_normalization,
    instance_normalization,
    layer_normalization,
    lp_normalization,
    mean_variance_normalization,
    rms_normalization,
)
from normgraph.kernels.arithmetic import Definition

#: How ε keeps a divisor d = √s from zero: √(s + ε), d + ε, max(d, ε) or √(max(s, ε)).
#: Without ε, a vector of zeros may be left alone.
Guard = Literal["within the root", "beside the root", "below the root", "below the square", "zero stays"]


@dataclass(frozen=True, slots=True)
class Norm:
    """A value recognised as a normalization of the base tensor.

    Attributes:
        kinds: the ONNX operators of which it is an instance, the most fitting first; at least one.
        over: the axes of the statistics.
        epsilon: ε, exactly as the graph's constants give it, in the units of the kernel.
        gain: γ, over whatever axes it varies along.
        bias: β, likewise.
        guard: how ε keeps the divisor from zero.
        power: p of the length that is divided by.
    """

    kinds: tuple[str, ...]
    over: Axes
    epsilon: float
    gain: Coefficient
    bias: Coefficient
    guard: Guard = "within the root"
    power: int = 2

    @property
    def affine_axes(self) -> frozenset[Axis]:
        """The axes along which gain or bias vary."""
        return frozenset({*axes_of_coefficient(self.gain), *axes_of_coefficient(self.bias)})

    @property
    def is_affine(self) -> bool:
        """Whether there is a gain or a bias."""
        return self.gain != 1.0 or self.bias != 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table.

    Attributes:
        kind: the ONNX operator.
        definition: the kernel.
        text: the formula, for people.
        admits: whether the operator can express a norm with these parameters on a tensor of this layout.
        guard: how ε stands in the formula.
        power: p of the length that is divided by.
    """

    kind: str
    definition: Definition
    text: str
    admits: Callable[[Norm, Layout], bool]
    guard: Guard = "within the root"
    power: int = 2


def _whole(norm: Norm, layout: Layout) -> bool:
    """The statistics are taken over whole dimensions."""
    return all(norm.over.isdisjoint(dimension) or norm.over.issuperset(dimension) for dimension in layout)


def _within_statistics(norm: Norm, layout: Layout) -> bool:
    """Whole dimensions, and gain and bias vary along these only."""
    return _whole(norm, layout) and norm.affine_axes <= norm.over


def _root_mean_square(norm: Norm, layout: Layout) -> bool:
    """As for LayerNormalization, but the operator has no bias."""
    return _within_statistics(norm, layout) and norm.bias == 0.0


def _per_channel(norm: Norm, layout: Layout) -> bool:
    """Whole dimensions, all but two of them; gain and bias vary along one of these two."""
    return _whole(norm, layout) and batch_and_channels(norm, layout) is not None


def batch_and_channels(norm: Norm, layout: Layout) -> tuple[int, int] | None:
    """The two dimensions outside of the statistics, the one along which gain and bias vary last; else None.

    Dimensions of size one are taken for them where there are too few.
    """
    outside = [i for i, dimension in enumerate(layout) if dimension and norm.over.isdisjoint(dimension)]
    single = [i for i, dimension in enumerate(layout) if not dimension]
    pair = sorted(outside + single[: max(0, 2 - len(outside))])
    channels = next((i for i in reversed(pair) if norm.affine_axes <= frozenset(layout[i])), None)
    if len(pair) != 2 or channels is None:
        return None
    return pair[0] + pair[1] - channels, channels


def _per_group(norm: Norm, layout: Layout) -> bool:
    """A batch dimension, the trailing part of the channels', all others; gain and bias vary along the channels."""
    found = batch_and_groups(norm, layout)
    return found is not None and norm.affine_axes <= frozenset(layout[found[1]])


def batch_and_groups(norm: Norm, layout: Layout) -> tuple[int, int] | None:
    """The dimension outside of the statistics, and the channels' one, a trailing part of which is inside; else None.

    The channels are the dimension that is cut, else the second.  A dimension of size one is the batch where there is no
    other.
    """
    over = norm.over
    cut = [i for i, d in enumerate(layout) if not over.isdisjoint(d) and not over.issuperset(d)] or [1]
    if len(layout) < 3 or len(cut) != 1 or channel_groups(norm, layout[cut[0]]) is None:
        return None
    outside = [i for i, d in enumerate(layout) if d and i != cut[0] and over.isdisjoint(d)]
    single = [i for i, d in enumerate(layout) if not d and i != cut[0]]
    batch = (outside or single)[:1]
    if cut[0] != 1 and outside and single:
        return None  # the same tensor without its dimensions of size one is tried as well
    return (batch[0], cut[0]) if batch and len(outside) <= 1 else None


def channel_groups(norm: Norm, channels: Dimension) -> tuple[Dimension, Dimension] | None:
    """A dimension's axes outside and inside of the statistics, where those outside come first; else None."""
    outside = tuple(axis for axis in channels if axis not in norm.over)
    inside = tuple(axis for axis in channels if axis in norm.over)
    return (outside, inside) if inside and channels == outside + inside else None


def _length(norm: Norm, layout: Layout) -> bool:
    """One whole dimension of known size, ε = 0, no bias, and not what an RMSNormalization looks like."""
    varies = not norm.over.isdisjoint(norm.affine_axes) and _is_trailing(norm, layout)
    return _scaled_length(norm, layout) and norm.gain != 1.0 and not varies


def _scaled_length(norm: Norm, layout: Layout) -> bool:
    """One whole dimension of known size, ε = 0, no bias: √(E[x²]) is the length but for a factor."""
    dimensions = [dimension for dimension in layout if not norm.over.isdisjoint(dimension)]
    plain = norm.epsilon == 0.0 and norm.bias == 0.0 and len(dimensions) == 1
    return plain and _whole(norm, layout) and _extent(norm) is not None


def _is_trailing(norm: Norm, layout: Layout) -> bool:
    """Whether nothing but the statistics' dimensions stands behind the first of them."""
    first = next(i for i, dimension in enumerate(layout) if not norm.over.isdisjoint(dimension))
    return all(norm.over.issuperset(dimension) for dimension in layout[first:])


def _unit_length(norm: Norm, layout: Layout) -> bool:
    """Whole dimensions, ε, no bias, and the gain makes of the mean the length: γ = n^(−1/p)."""
    count = _extent(norm)
    if count is None or not isinstance(norm.gain, float) or norm.epsilon == 0.0:
        return False
    unit = math.isclose(norm.gain * count ** (1 / norm.power), 1.0, rel_tol=TOLERANCE)
    return _whole(norm, layout) and unit and norm.bias == 0.0


def _extent(norm: Norm) -> int | None:
    """How many elements the statistics are taken of, None where that isn't known."""
    return product(axis.size for axis in norm.over).static


def _without_parameters(norm: Norm, layout: Layout) -> bool:
    """Whole dimensions, neither gain nor bias, and the operator's own ε, which stands outside of the root."""
    own = math.isclose(norm.epsilon, mean_variance_normalization.EPSILON, rel_tol=1e-3)
    return _whole(norm, layout) and not norm.is_affine and own


_STANDARDIZED = "gain·(x − E[x])·(E[x²] − E[x]² + ε)^(−½) + bias"
_SCALED = "gain·x·(E[x²] + ε)^(−½) + bias"
_BESIDE: Guard = "beside the root"
_BELOW: Guard = "below the root"
_BELOW_SQUARE: Guard = "below the square"
_STAYS: Guard = "zero stays"
_ZERO, _ZERO_L1 = "x·(Σx²)^(−½), or 0 for Σx² = 0", "x·(Σ|x|)^(−1), or 0 for Σ|x| = 0"

#: THE table: a new normalization is a kernel and a row here.  A norm is of every kind whose row admits it; among the
#: rows of one kernel the first fits best.
NORMS: tuple[Row, ...] = (
    Row("LayerNormalization", layer_normalization.definition, _STANDARDIZED, _within_statistics),
    Row("InstanceNormalization", instance_normalization.definition, _STANDARDIZED, _per_channel),
    Row("GroupNormalization", group_normalization.definition, _STANDARDIZED, _per_group),
    Row("LpNormalization", lp_normalization.definition, "x·(Σx²)^(−½)", _length),
    Row("RMSNormalization", rms_normalization.definition, _SCALED, _root_mean_square),
    Row("LpNormalization", lp_normalization.definition, "x·(Σx²)^(−½)", _scaled_length),
    Row(
        "MeanVarianceNormalization",
        mean_variance_normalization.definition,
        "(x − E[x])·((E[x²] − E[x]²)^(½) + ε)^(−1)",
        _without_parameters,
        "beside the root",
    ),
    Row("LpNormalization", lp_normalization.absolute_definition, "x·(Σ|x|)^(−1)", _length, power=1),
    Row("LpNormalization", lp_normalization.zero_keeping_definition, _ZERO, _scaled_length, _STAYS),
    Row("LpNormalization", lp_normalization.zero_keeping_absolute_definition, _ZERO_L1, _scaled_length, _STAYS, 1),
    *(
        Row("LpNormalization", definition, text, _unit_length, guard, power)
        for definition, text, guard, power in (
            (lp_normalization.bounded_definition, "x·max((Σx²)^(½), ε)^(−1)", _BELOW, 2),
            (lp_normalization.bounded_square_definition, "x·max(Σx², ε)^(−½)", _BELOW_SQUARE, 2),
            (lp_normalization.shifted_definition, "x·((Σx²)^(½) + ε)^(−1)", _BESIDE, 2),
            (lp_normalization.bounded_absolute_definition, "x·max(Σ|x|, ε)^(−1)", _BELOW, 1),
            (lp_normalization.absolute_definition, "x·(Σ|x| + ε)^(−1)", _BESIDE, 1),
        )
    ),
)


def recognise(value: Polynomial, layout: Layout) -> Norm | None:
    """The normalization that the value is of a base tensor of this layout, or None."""
    if all(len(monomial) != 2 for monomial in value.terms):  # x times one power, as _divided_base asks for
        return None
    outline = frozenset((m, c if isinstance(c, float) else c.axes) for m, c in value.terms.items())
    reading = _reading(outline, layout)
    if reading is None:
        return None
    gain, bias = value.terms[reading.leading], value.terms.get(UNIT, 0.0)
    equal: dict[Definition, bool] = {}
    found: list[Row] = []
    for row, plain in reading.rows:
        if any(row.kind == other.kind for other in found):
            continue
        if row.definition not in equal:
            equal[row.definition] = _is_scaled(value, plain, gain, bias)
        if equal[row.definition]:
            found.append(row)
    if not found:
        return None
    first, kinds = found[0], tuple(row.kind for row in found)
    return Norm(kinds, reading.over, reading.epsilon, gain, bias, first.guard, first.power)


#: The terms of a polynomial, of coefficients that are arrays no more than their axes.
_Outline = frozenset[tuple[Monomial, float | tuple[Axis, ...]]]


@dataclass(frozen=True, slots=True)
class _Reading:
    """What the outline of a value leaves open: which normalizations it may be, if its coefficients are right.

    Attributes:
        leading: the product whose coefficient is the gain: x itself, divided by a deviation.
        over: the axes of the statistics.
        epsilon: ε.
        rows: the rows that admit such a norm, each with its kernel run without gain and bias.
    """

    leading: Monomial
    over: Axes
    epsilon: float
    rows: tuple[tuple[Row, Polynomial], ...]


@lru_cache(REMEMBERED)
def _reading(outline: _Outline, layout: Layout) -> _Reading | None:
    """Which rows may hold for values of this outline, None for none: the norms of a model are mostly alike."""
    # No row asks for the elements of an array, but for its axes and whether it is this or that number.
    value = Polynomial({m: c if isinstance(c, float) else LabelledArray(c, _ANY) for m, c in outline})
    parameters = _parameters(value)
    if parameters is None:
        return None
    leading, x, over, epsilon = parameters
    if product(axis.size for axis in over).factor == 0:  # no operator takes a mean of nothing
        return None
    gain, bias = value.terms[leading], value.terms.get(UNIT, 0.0)
    products = value.terms.keys() - {UNIT}
    norms: dict[tuple[Guard, int], Norm] = {}
    rows: list[tuple[Row, Polynomial]] = []
    for row in NORMS:
        if _products(row, epsilon > 0) not in (None, len(products)):
            continue
        style = row.guard, row.power
        if style not in norms:  # what a row asks for is the same for every kind
            norms[style] = Norm((row.kind,), over, epsilon, gain, bias, row.guard, row.power)
        if row.admits(norms[style], layout):
            plain = _plain(row, x.axes, over, epsilon)
            if UNIT in plain.terms or products == plain.terms.keys():
                rows.append((row, plain))
    return _Reading(leading, over, epsilon, tuple(rows)) if rows else None


@cache
def _products(row: Row, guarded: bool) -> int | None:
    """Of how many products a row's kernel is the sum, with an ε or without; None where a number stands beside them."""
    axes = frozenset([Axis(0, static_size(2))])
    terms = row.definition(base(axes), axes=axes, epsilon=float(guarded), gain=1.0, bias=0.0).terms
    return None if UNIT in terms else len(terms)


@lru_cache(REMEMBERED)
def _plain(row: Row, axes: Axes, over: Axes, epsilon: float) -> Polynomial:
    """A row's kernel run on a base tensor of these axes, without gain and bias."""
    return row.definition(base(axes), axes=over, epsilon=epsilon, gain=1.0, bias=0.0)


#: The elements of an array of which only the axes are known; NaN equals nothing.
_ANY = np.full((), math.nan)


def _is_scaled(value: Polynomial, plain: Polynomial, gain: Coefficient, bias: Coefficient) -> bool:
    """Whether the value is gain·plain + bias."""
    if UNIT in plain.terms:
        return (plain * constant(gain) + constant(bias)).close_to(value)
    return all(close(value.terms[m], combine(np.multiply, gain, c)) for m, c in plain.terms.items())


def _parameters(value: Polynomial) -> tuple[Monomial, Base, Axes, float] | None:
    """The one product in which x itself is divided by a deviation, x, and the axes and the ε of the deviation."""
    found = [(m, *divided) for m in value.terms if (divided := _divided_base(m)) is not None]
    if len(found) != 1:
        return None
    leading, x, divisor = found[0]
    if isinstance(divisor, Mean):  # (E[x²])^(−½): there is no ε
        return leading, x, divisor.over, 0.0
    epsilon = divisor.minimum if isinstance(divisor, Clamp) else divisor.of.terms.get(UNIT, 0.0)
    over = _axes_of_spread(divisor.of, x)
    if over is None or not isinstance(epsilon, float) or not 0 <= epsilon < math.inf:
        return None
    return leading, x, over, epsilon


def _divided_base(monomial: Monomial) -> tuple[Base, Mean | Sum | Clamp] | None:
    """x and d where the product is x·d^e with e negative."""
    if len(monomial) != 2:
        return None
    first, second = monomial
    if not isinstance(first[0], Base):
        first, second = second, first
    (x, degree), (divisor, exponent) = first, second
    if isinstance(x, Base) and degree == 1 and isinstance(divisor, Mean | Sum | Clamp) and exponent in (-HALF, -1):
        return x, divisor
    return None


def _axes_of_spread(value: Polynomial, x: Base) -> Axes | None:
    """The axes of the one mean of x² or |x| in a sum, or under a root in it."""
    sizes = (frozenset([(x, 2)]), frozenset([(Absolute(base(x.axes)), 1)]))
    over = [atom.over for atom in atoms_of(value) if isinstance(atom, Mean) and atom.of in sizes]
    if not over:
        roots = [atom for atom in atoms_of(value) if isinstance(atom, Sum)]
        return _axes_of_spread(roots[0].of, x) if len(roots) == 1 else None
    return over[0] if len(over) == 1 else None


def atoms_of(value: Polynomial) -> Iterator[object]:
    """The atoms in the terms of a polynomial, those inside of other atoms aside."""
    return (atom for monomial in value.terms for atom, _ in monomial)
