"""Bounds: what is known of the sign of a value, whatever the base tensor is.

Used are that even powers, roots, extents and means of what isn't negative aren't negative; Jensen's inequality
E[m²] ≥ E[m]²; and squares of sums.  This module knows nothing of ONNX.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations

from normgraph.atoms import Absolute, Atom, Clamp, Extent, Mean, Monomial, Sum, Vanishes, exponents_of_product
from normgraph.coefficients import TOLERANCE, Coefficient, close, smallest

Terms = Mapping[Monomial, Coefficient]


def lower_bound(terms: Terms) -> float:
    """A number that the sum of the terms is known never to be less than; −∞ where nothing is known."""
    bound = 0.0
    remaining = dict(terms)
    for monomial, c in terms.items():
        if not monomial:
            bound += smallest(c)
        elif smallest(c) >= 0 and _is_nonnegative_product(monomial):
            bound += smallest(c) * _least(monomial)
        elif not _outweighed(monomial, c, remaining):
            return 0.0 if _is_square(terms) else float("-inf")
    return bound


def _least(monomial: Monomial) -> float:
    """A number that a product which isn't negative is never less than: ∏ bᵢ^eᵢ for aᵢ ≥ bᵢ ≥ 0 and eᵢ ≥ 0."""
    least = 1.0
    for atom, exponent in monomial:
        bound = (
            lower_bound(atom.of.terms) if isinstance(atom, Sum) else atom.minimum if isinstance(atom, Clamp) else 0.0
        )
        if not bound > 0 or exponent < 0:
            return 0.0
        least *= bound ** float(exponent)
    return least


def is_nonnegative(atom: Atom) -> bool:
    """Whether the atom is known not to be negative."""
    if isinstance(atom, Mean):
        return _is_nonnegative_product(atom.of)
    if isinstance(atom, Clamp):
        return atom.minimum >= 0
    if isinstance(atom, Sum):
        return lower_bound(atom.of.terms) >= 0
    return isinstance(atom, Extent | Absolute | Vanishes)


def _is_nonnegative_product(monomial: Monomial) -> bool:
    return all(e.denominator != 1 or e % 2 == 0 or is_nonnegative(atom) for atom, e in monomial)


def _outweighed(monomial: Monomial, c: Coefficient, terms: dict[Monomial, Coefficient]) -> bool:
    """Whether −c·E[m]² stands beside +c'·E[m²] with c' ≥ c, which is then used up."""
    if len(monomial) != 1 or not isinstance(c, float):
        return False
    ((atom, exponent),) = monomial
    if not isinstance(atom, Mean) or exponent != 2:
        return False
    square = frozenset([(Mean(atom.over, frozenset((a, e * 2) for a, e in atom.of)), 1)])
    partner = terms.get(square)
    if partner is None or not smallest(partner) >= -c * (1 - TOLERANCE):
        return False
    del terms[square]
    return True


def _is_square(terms: Terms) -> bool:
    """Whether the sum is (Σ ±√cᵢ·mᵢ)² of two or three products: Σ cᵢ·mᵢ² ± 2·√(cᵢcⱼ)·mᵢmⱼ."""
    roots = {
        root: c
        for monomial, c in terms.items()
        if (root := _root(monomial)) is not None and isinstance(c, float) and c > 0
    }
    pairs = list(combinations(roots, 2))
    if not 2 <= len(roots) <= 3 or len(terms) != len(roots) + len(pairs):
        return False
    positive = True
    for a, b in pairs:
        cross = terms.get(_product(a, b))
        if not isinstance(cross, float) or not close(abs(cross), 2 * math.sqrt(roots[a] * roots[b])):
            return False
        positive ^= cross < 0
    return positive or len(roots) == 2


def _root(monomial: Monomial) -> Monomial | None:
    """The product whose square this is, if its exponents are even."""
    if any(e.denominator != 1 or e % 2 for _, e in monomial):
        return None
    return frozenset((atom, e // 2) for atom, e in monomial)


def _product(left: Monomial, right: Monomial) -> Monomial:
    return frozenset((atom, exponent) for atom, exponent in exponents_of_product(left, right).items() if exponent)
