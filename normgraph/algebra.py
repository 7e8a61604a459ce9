"""The algebra in which every spelling of a normalization is the same value.

A value reached from a base tensor x is a `Polynomial`: a sum of terms, each a constant coefficient times a product of
atoms with rational exponents.  Atoms are x itself, means over sets of axes (E_A[x], E_A[x²], …), sums that were raised
to a power which can't be multiplied out ((E_A[x²] − E_A[x]² + ε)^(−½)), values clamped from below, and the extents of
dynamic dimensions.  Sums, products, means and powers of polynomials are polynomials again; what isn't raises
`NotRepresentable`.

Every operation is pure, and equal values get equal polynomials wherever the rules of this module see it.  This module
knows nothing of ONNX.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from normgraph.atoms import (
    NO_AXES,
    UNIT,
    Absolute,
    Atom,
    Axes,
    Base,
    Clamp,
    Exponent,
    Extent,
    Maximum,
    Monomial,
    Sum,
    Vanishes,
    axes_of_monomial,
    depth_of,
    exact,
    exponents_of_product,
    is_mean_square,
    is_root_mean,
    mean_of,
)
from normgraph.axes import Axis, Renaming
from normgraph.bounds import is_nonnegative, lower_bound
from normgraph.coefficients import (
    TOLERANCE,
    Coefficient,
    LabelledArray,
    apply,
    axes_of_coefficient,
    close,
    combine,
    is_zero,
    mean_over,
    rename,
    smallest,
    sum_of,
)
from normgraph.errors import NotRepresentable
from normgraph.renaming import renamed

#: A polynomial of more terms than this is given up: no normalization comes near it.
MAXIMAL_TERMS = 48
#: Sums are multiplied out up to this power.
MAXIMAL_EXPANSION = 4
#: Of each operation the last so many results are kept: the normalizations of a model are mostly alike.
REMEMBERED = 1024

HALF = Fraction(1, 2)


@dataclass(frozen=True, eq=False)
class Polynomial:
    """A sum of terms: {product of atoms: coefficient}, no coefficient zero.

    Behaves as a number does under +, −, ×, ÷, integer and rational powers, ``numpy.sqrt`` and ``.mean``, so a reference
    kernel that is written in plain arithmetic runs on it unchanged.
    """

    terms: Mapping[Monomial, Coefficient]

    __array_priority__ = 1000

    @cached_property
    def axes(self) -> Axes:
        """The axes along which the value may vary."""
        coefficients = NO_AXES.union(*(axes_of_coefficient(c) for c in self.terms.values()))
        return coefficients.union(*(axes_of_monomial(m) for m in self.terms))

    @cached_property
    def depth(self) -> int:
        """How deep sums stand under powers within sums under powers."""
        return max((depth_of(atom) for monomial in self.terms for atom, _ in monomial), default=0)

    @property
    def constant(self) -> Coefficient | None:
        """The value as a constant, or None where it depends on an atom."""
        if not self.terms:
            return 0.0
        return self.terms.get(UNIT) if len(self.terms) == 1 else None

    @cached_property
    def is_small(self) -> bool:
        """Whether all coefficients are numbers, so that the polynomial is quickly hashed and takes little memory."""
        return all(isinstance(c, float) for c in self.terms.values())

    @cached_property
    def _hash(self) -> int:
        return hash(frozenset(self.terms.items()))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Polynomial) and self._hash == other._hash and self.terms == other.terms

    def close_to(self, other: Polynomial) -> bool:
        """Whether both have the same products of atoms with the same coefficients up to the tolerance."""
        if self.terms.keys() != other.terms.keys():
            return False
        return all(close(c, other.terms[m]) for m, c in self.terms.items())

    def __add__(self, other: Operand) -> Polynomial:
        right = _polynomial(other)
        return (_known_sum if self.is_small and right.is_small else _added)(self, right)

    def __neg__(self) -> Polynomial:
        return Polynomial({m: apply(np.negative, c) for m, c in self.terms.items()})

    def __sub__(self, other: Operand) -> Polynomial:
        right = _polynomial(other)
        return (_known_difference if self.is_small and right.is_small else _subtracted)(self, right)

    def __rsub__(self, other: Operand) -> Polynomial:
        return _polynomial(other) - self

    def __mul__(self, other: Operand) -> Polynomial:
        right = _polynomial(other)
        return (_known_product if self.is_small and right.is_small else _multiplied)(self, right)

    __radd__ = __add__
    __rmul__ = __mul__

    def __truediv__(self, other: Operand) -> Polynomial:
        return self * _polynomial(other) ** -1

    def __rtruediv__(self, other: Operand) -> Polynomial:
        return _polynomial(other) * self**-1

    def __pow__(self, exponent: int | float | Fraction) -> Polynomial:
        return (_known_power if self.is_small else _power)(self, exact(exponent))

    def mean(self, *, axis: Iterable[Axis], keepdims: bool = True) -> Polynomial:
        """E_axis[self]: E is linear; what doesn't vary along `axis` stands outside it, E_A E_B = E_{A∪B}.

        `keepdims` is there for the kernels' sake: labels make it meaningless here.
        """
        return (_known_average if self.is_small else _averaged)(self, frozenset(axis))

    def clamped(self, minimum: float) -> Polynomial:
        """max(self, minimum); the value itself where it is known not to be less."""
        if lower_bound(self.terms) >= minimum:
            return self
        if isinstance(self.constant, float):
            return constant(max(self.constant, minimum))
        if len(self.terms) == 1:  # max(c·p, b) = c·max(p, b/c) for positive c
            ((monomial, scale),) = self.terms.items()
            if isinstance(scale, float) and scale > 0:
                return _of_atom(Clamp(Polynomial({monomial: 1.0}), minimum / scale)) * scale
        return _of_atom(Clamp(self, minimum))

    def absolute(self) -> Polynomial:
        """|self|; without the bars where the sign is known."""
        if lower_bound(self.terms) >= 0:
            return self
        if lower_bound((-self).terms) >= 0:
            return -self
        return _of_atom(Absolute(self))

    def maximum(self, *, axis: Iterable[Axis]) -> Polynomial:
        """max_axis[self]; the value itself where it doesn't vary along `axis`."""
        over = frozenset(axis) & self.axes
        return _of_atom(Maximum(over, self)) if over else self

    def vanishes(self) -> Polynomial:
        """[self = 0]: one where the value is zero, zero elsewhere."""
        if not self.terms:
            return constant(1.0)
        if lower_bound(self.terms) > 0 or lower_bound((-self).terms) > 0:
            return constant(0.0)
        return _of_atom(Vanishes(self))

    def renamed(self, renaming: Renaming) -> Polynomial:
        """The polynomial with fresh axes replaced by the axes they turned out to be."""
        if not renaming or (not isinstance(self.constant, LabelledArray) and self.axes.isdisjoint(renaming)):
            return self
        return Polynomial({renamed(m, renaming): rename(c, renaming) for m, c in self.terms.items()})

    def __abs__(self) -> Polynomial:
        return self.absolute()

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *operands: Any, **options: Any) -> Polynomial:
        rule = _UFUNCS.get(ufunc.__name__)
        if rule is None or method != "__call__" or options:
            raise TypeError(f"numpy.{ufunc.__name__} has no meaning for polynomials; a kernel must do without it")
        return rule(*(_polynomial(operand) for operand in operands))


Operand = Polynomial | int | float

_UFUNCS: dict[str, Callable[..., Polynomial]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "negative": lambda a: -a,
    "sqrt": lambda a: a**HALF,
    "square": lambda a: a**2,
    "not_equal": lambda a, b: 1 - (a - b).vanishes(),
    "maximum": lambda a, b: a.clamped(b.terms.get(UNIT, 0.0)),
    "reciprocal": lambda a: a**-1,
}


@lru_cache(REMEMBERED)
def _number(value: float) -> Polynomial:
    return Polynomial({UNIT: value} if value else {})


def constant(value: Coefficient) -> Polynomial:
    """The polynomial that is this constant everywhere."""
    return _number(value) if isinstance(value, float) else Polynomial({UNIT: value})


def base(axes: Iterable[Axis]) -> Polynomial:
    """The base tensor x as a polynomial."""
    return _base(frozenset(axes))


@lru_cache(REMEMBERED)
def _base(axes: Axes) -> Polynomial:
    return _of_atom(Base(axes))


def extent(symbol: str) -> Polynomial:
    """The extent of a dynamic dimension."""
    return _of_atom(Extent(symbol))


def _of_atom(atom: Atom, exponent: Exponent = 1) -> Polynomial:
    return Polynomial({frozenset([(atom, exponent)]): 1.0})


def _polynomial(operand: Operand) -> Polynomial:
    return operand if isinstance(operand, Polynomial) else constant(float(operand))


def _accumulate(terms: dict[Monomial, Coefficient], monomial: Monomial, value: Coefficient) -> None:
    present = terms.get(monomial)
    total = value if present is None else sum_of(present, value, alone=not monomial)
    if is_zero(total):
        terms.pop(monomial, None)
    else:
        terms[monomial] = total


def _limited(terms: dict[Monomial, Coefficient]) -> Polynomial:
    if len(terms) > MAXIMAL_TERMS:
        raise NotRepresentable("too-complex", f"the value has more than {MAXIMAL_TERMS} terms")
    return Polynomial(terms)


def _added(left: Polynomial, right: Polynomial) -> Polynomial:
    terms = dict(left.terms)
    for monomial, value in right.terms.items():
        _accumulate(terms, monomial, value)
    return _limited(terms)


def _subtracted(left: Polynomial, right: Polynomial) -> Polynomial:
    return left + -right


def _multiplied(left: Polynomial, right: Polynomial) -> Polynomial:
    terms: dict[Monomial, Coefficient] = {}
    for left_monomial, a in left.terms.items():
        for right_monomial, b in right.terms.items():
            value = combine(np.multiply, a, b)
            for monomial, factor in _product(left_monomial, right_monomial).terms.items():
                _accumulate(terms, monomial, value if factor == 1.0 else combine(np.multiply, value, factor))
    return _limited(terms)


def _averaged(value: Polynomial, over: Axes) -> Polynomial:
    terms: dict[Monomial, Coefficient] = {}
    for monomial, weight in value.terms.items():
        varying = frozenset(factor for factor in monomial if not over.isdisjoint(factor[0].axes))
        if not varying:
            _accumulate(terms, monomial, mean_over(weight, over))
            continue
        if not over.isdisjoint(axes_of_coefficient(weight)):
            raise NotRepresentable("weighted-mean", "a mean is taken of values with different constant weights")
        mean = frozenset([(mean_of(over, varying), 1)])
        for product, factor in _product(monomial - varying, mean).terms.items():
            _accumulate(terms, product, combine(np.multiply, weight, factor))
    return _limited(terms)


def _product(left: Monomial, right: Monomial) -> Polynomial:
    """∏ a^e · ∏ a^f = ∏ a^(e+f); a sum whose exponent becomes a whole number is a polynomial again."""
    if not left or not right:
        return Polynomial({left or right: 1.0})
    exponents = exponents_of_product(left, right)
    result = Polynomial({frozenset((a, e) for a, e in exponents.items() if e and _inner(a, e) is None): 1.0})
    for atom, exponent in exponents.items():
        inner = _inner(atom, exponent)
        if inner is not None:
            result = result * _power(inner, exponent)
    return result


def _inner(atom: Atom, exponent: Exponent) -> Polynomial | None:
    """What is inside of an atom, if that to the power is a polynomial: (Σ)^n for whole n, |p|^n = p^n for even n."""
    if exponent.denominator != 1 or not 0 < exponent <= MAXIMAL_EXPANSION:
        return None
    if isinstance(atom, Sum) or (isinstance(atom, Absolute) and exponent % 2 == 0):
        return atom.of
    return None


def _power(value: Polynomial, exponent: Exponent) -> Polynomial:
    if exponent == 1:
        return value
    if exponent == 0:
        return constant(1.0)
    if not value.terms:
        if exponent > 0:
            return value
        raise NotRepresentable("division-by-zero", "a value that is zero everywhere is divided by")
    if len(value.terms) == 1:
        return _power_of_term(*next(iter(value.terms.items())), exponent)
    if exponent.denominator == 1 and 0 < exponent <= MAXIMAL_EXPANSION:
        result = value
        for _ in range(int(exponent) - 1):
            result = result * value
        return result
    scale, scaled = _normalized(value)
    return _of_atom(Sum(scaled), exponent) * constant(_raised(scale, exponent))


def _power_of_term(monomial: Monomial, value: Coefficient, exponent: Exponent) -> Polynomial:
    """(c·∏ a^e)^q = c^q · ∏ a^(e·q): for fractional q only where c and every factor are known not to be negative."""
    if exponent.denominator != 1:
        if smallest(value) < 0:
            raise NotRepresentable("sign", "a root is taken of something negative")
        for atom, power in monomial:
            if power.denominator == 1 and not is_nonnegative(atom):
                raise NotRepresentable("sign", "a root is taken of something that may have either sign")
    result = constant(_raised(value, exponent))
    for atom, power in monomial:
        total = exact(power * exponent)
        inner = _inner(atom, total)
        result = result * (_of_atom(atom, total) if inner is None else _power(inner, total))
    return result


def _raised(value: Coefficient, exponent: Exponent) -> Coefficient:
    if exponent < 0 and not np.all(value if isinstance(value, float) else value.values):
        raise NotRepresentable("division-by-zero", "a constant that is zero in some places is divided by")
    return apply(lambda array: np.asarray(np.power(array, float(exponent))), value)


_known_sum, _known_difference, _known_product, _known_power, _known_average = (
    lru_cache(REMEMBERED)(operation) for operation in (_added, _subtracted, _multiplied, _power, _averaged)
)


def _normalized(value: Polynomial) -> tuple[float, Polynomial]:
    """A positive scale and the rest of a sum: (c·E[x²] + …) = c·(E[x²] + …/c), so that scaled variances are one.

    Likewise for roots of them where none stands plain.
    """
    positive = {m: c for m, c in value.terms.items() if isinstance(c, float) and c > 0}
    leading = [c for m, c in positive.items() if is_mean_square(m)] or [
        c for m, c in positive.items() if is_root_mean(m)
    ]
    if len(leading) != 1:
        return 1.0, value
    scale = leading[0]
    return scale, Polynomial({m: _snapped(combine(np.divide, c, scale)) for m, c in value.terms.items()})


def _snapped(value: Coefficient) -> Coefficient:
    if isinstance(value, float) and abs(abs(value) - 1.0) <= TOLERANCE:
        return 1.0 if value > 0 else -1.0
    return value
