"""The atoms of the algebra: what the products of a polynomial are made of.

This module knows nothing of ONNX.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

from normgraph.axes import Axis, Layout
from normgraph.axes import axes_of as axes_of_layout

if TYPE_CHECKING:
    from normgraph.algebra import Polynomial

Axes = frozenset[Axis]
NO_AXES: Axes = frozenset()


class _Hashed:
    """Atoms are compared and hashed very often and are deep: keep the hash."""

    @cached_property
    def _hash(self) -> int:
        return hash(tuple(getattr(self, name) for name in self.__dataclass_fields__))  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True)
class Base(_Hashed):
    """The base tensor x, which varies along all of `axes`."""

    axes: Axes
    __hash__ = _Hashed.__hash__


@dataclass(frozen=True)
class Mean(_Hashed):
    """E_over[of]: the mean of a product of atoms, none of them constant along all of `over`."""

    over: Axes
    of: Monomial
    __hash__ = _Hashed.__hash__

    @cached_property
    def axes(self) -> Axes:
        """The axes along which the atom may vary."""
        return axes_of_monomial(self.of) - self.over


@dataclass(frozen=True)
class Sum(_Hashed):
    """A sum of at least two terms that stands under a power other than a small whole one."""

    of: Polynomial
    __hash__ = _Hashed.__hash__

    @cached_property
    def axes(self) -> Axes:
        """The axes along which the atom may vary."""
        return self.of.axes


@dataclass(frozen=True)
class Clamp(_Hashed):
    """max(of, minimum), where `of` isn't known to be above or below."""

    of: Polynomial
    minimum: float
    __hash__ = _Hashed.__hash__

    @cached_property
    def axes(self) -> Axes:
        """The axes along which the atom may vary."""
        return self.of.axes


@dataclass(frozen=True)
class Absolute(_Hashed):
    """|of|, where the sign of `of` isn't known; its even powers are those of `of`."""

    of: Polynomial
    __hash__ = _Hashed.__hash__

    @cached_property
    def axes(self) -> Axes:
        """The axes along which the atom may vary."""
        return self.of.axes


@dataclass(frozen=True)
class Maximum(_Hashed):
    """max_over[of]: the largest value along `over`, along all of which `of` may vary."""

    over: Axes
    of: Polynomial
    __hash__ = _Hashed.__hash__

    @cached_property
    def axes(self) -> Axes:
        """The axes along which the atom may vary."""
        return self.of.axes - self.over


@dataclass(frozen=True)
class Vanishes(_Hashed):
    """[of = 0]: one where `of` is zero and zero elsewhere, where neither is known to be everywhere."""

    of: Polynomial
    __hash__ = _Hashed.__hash__

    @cached_property
    def axes(self) -> Axes:
        """The axes along which the atom may vary."""
        return self.of.axes


@dataclass(frozen=True)
class Logarithm(_Hashed):
    """log(of), where `of` isn't known to be constant."""

    of: Polynomial
    __hash__ = _Hashed.__hash__

    @cached_property
    def axes(self) -> Axes:
        """The axes along which the atom may vary."""
        return self.of.axes


@dataclass(frozen=True)
class Extent(_Hashed):
    """A positive whole number that is known at run time only: the extent of a dynamic dimension."""

    symbol: str
    axes: Axes = field(default=NO_AXES, init=False)
    __hash__ = _Hashed.__hash__


@dataclass(frozen=True)
class Foreign(_Hashed):
    """A tensor that isn't computed from x, nor constant: its elements are known at run time only.

    Attributes:
        number: which tensor of an interpretation it is.
        layout: the axes that its dimensions were broadcast along, from the last to as many as it has.
    """

    number: int
    layout: Layout
    __hash__ = _Hashed.__hash__

    @cached_property
    def axes(self) -> Axes:
        """The axes along which the atom may vary."""
        return frozenset(axes_of_layout(self.layout))


#: A rational exponent; a whole one is an int, with which Python reckons ten times as fast as with a Fraction.
Exponent = int | Fraction
Atom = Base | Mean | Sum | Clamp | Absolute | Maximum | Vanishes | Logarithm | Extent | Foreign
#: A product of atoms, each with its exponent; no exponent is zero.
Monomial = frozenset[tuple[Atom, Exponent]]
UNIT: Monomial = frozenset()


def exact(value: float | Fraction) -> Exponent:
    """The number as an exponent."""
    rational = value if isinstance(value, int | Fraction) else Fraction(value)
    return rational.numerator if rational.denominator == 1 else rational


def exponents_of_product(left: Monomial, right: Monomial) -> dict[Atom, Exponent]:
    """∏ a^e · ∏ a^f = ∏ a^(e+f), as {a: e + f}; an exponent may be zero."""
    exponents = dict(left)
    for atom, exponent in right:
        present = exponents.get(atom)
        exponents[atom] = exponent if present is None else exact(present + exponent)
    return exponents


def axes_of_monomial(monomial: Monomial) -> Axes:
    """The axes along which the product may vary."""
    return NO_AXES.union(*(atom.axes for atom, _ in monomial))


def depth_of(atom: Atom) -> int:
    """How deep sums stand under powers within an atom."""
    if isinstance(atom, Mean):
        return max((depth_of(factor) for factor, _ in atom.of), default=0)
    inner: Polynomial | None = getattr(atom, "of", None)
    return 0 if inner is None else 1 + inner.depth


def mean_of(over: Axes, of: Monomial) -> Mean:
    """E_A[E_B[m]] = E_{A∪B}[m]; only axes along which m varies count."""
    effective = over & axes_of_monomial(of)
    if len(of) == 1:
        ((atom, exponent),) = of
        if isinstance(atom, Mean) and exponent == 1:
            return Mean(effective | atom.over, atom.of)
    return Mean(effective, of)


def is_mean_square(monomial: Monomial) -> bool:
    """Whether the product is one mean of an even power."""
    if len(monomial) != 1:
        return False
    ((atom, exponent),) = monomial
    return exponent == 1 and isinstance(atom, Mean) and all(e.denominator == 1 and e % 2 == 0 for _, e in atom.of)


def is_root_mean(monomial: Monomial) -> bool:
    """Whether the product is one root of a mean of an even power, or one mean of absolute values."""
    if len(monomial) != 1:
        return False
    ((atom, exponent),) = monomial
    if isinstance(atom, Mean) and exponent == 1:
        return all(isinstance(inner, Absolute) for inner, _ in atom.of)
    return exponent == Fraction(1, 2) and is_mean_square(frozenset([(atom, 1)]))
