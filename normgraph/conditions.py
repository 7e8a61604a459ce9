"""Conditions: values of the algebra that are one where something holds and zero elsewhere, and choices by them.

This module knows nothing of ONNX.
"""

from __future__ import annotations

from collections.abc import Sequence

from normgraph.algebra import Polynomial, constant
from normgraph.atoms import Axes, Base, Maximum, Mean, Monomial, Vanishes
from normgraph.bounds import lower_bound
from normgraph.errors import NotRepresentable


def equal(a: Polynomial, b: Polynomial) -> Polynomial:
    """[a = b] = [a − b = 0]."""
    return _vanishes(a - b)


def greater(a: Polynomial, b: Polynomial) -> Polynomial:
    """[a > b], which is 1 − [a − b = 0] where a ≥ b is known.

    Raises:
        NotRepresentable: neither a ≥ b nor a ≤ b is known.
    """
    difference = a - b
    if lower_bound((-difference).terms) >= 0:
        return constant(0.0)
    if lower_bound(difference.terms) >= 0:
        return 1 - _vanishes(difference)
    raise NotRepresentable("condition", "which of two values is the greater depends on the data")


def _vanishes(value: Polynomial) -> Polynomial:
    """[p = 0], which is [a = 0] for p = c·a^e with a mean a and a positive e."""
    if len(value.terms) == 1:
        ((monomial, factor),) = value.terms.items()
        ((atom, exponent), *others) = monomial or ((None, 0),)
        if isinstance(atom, Mean) and exponent > 0 and not others and isinstance(factor, float):
            return Polynomial({frozenset([(atom, 1)]): 1.0}).vanishes()
    return value.vanishes()


def both(a: Polynomial, b: Polynomial) -> Polynomial:
    """[a ∧ b] = a·b."""
    return a * b


def either(a: Polynomial, b: Polynomial) -> Polynomial:
    """[a ∨ b] = a + b − a·b."""
    return a + b - a * b


def chosen(condition: Polynomial, if_true: Polynomial, if_false: Polynomial) -> Polynomial:
    """The first value where the condition is one, the second where it is zero.

    Where both are equal wherever the condition is one, the second is the value everywhere: [x = 0]·0 + [x ≠ 0]·x = x.
    Likewise the first, where they are equal wherever it is zero.

    Raises:
        NotRepresentable: the choice depends on the data, and matters.
    """
    if isinstance(condition.constant, float):
        return if_true if condition.constant else if_false
    if any(_equal_where_zero(p, if_true, if_false) for p in _zeros(condition)):
        return if_false
    if any(_equal_where_zero(p, if_true, if_false) for p in _zeros(1 - condition)):
        return if_true
    # A quotient is spared where its divisor is zero: [p ≠ 0]·q/p.
    if not if_true.terms and any(_divides(p, if_false) for p in _zeros(condition)):
        return if_false * (1 - condition)
    if not if_false.terms and any(_divides(p, if_true) for p in _zeros(1 - condition)):
        return if_true * condition
    raise NotRepresentable("condition", "which of two values is taken depends on the data")


def _zeros(condition: Polynomial) -> Sequence[Polynomial]:
    """The values pᵢ of a condition ∏ [pᵢ = 0]; none where it isn't such a product."""
    if len(condition.terms) != 1:
        return ()
    ((monomial, factor),) = condition.terms.items()
    atoms = [atom for atom, exponent in monomial if isinstance(atom, Vanishes) and exponent > 0]
    return [atom.of for atom in atoms] if factor == 1.0 and len(atoms) == len(monomial) else ()


def _equal_where_zero(p: Polynomial, a: Polynomial, b: Polynomial) -> bool:
    """Whether p = 0 implies a = b.

    It does for a − b = k·p, for a − b = k·pᵉ with a mean p, and for p = max_A x − min_A x where a − b is zero for x
    constant along A.
    """
    difference = a - b
    mean = _one_mean(p)
    if mean is not None and all(
        dict(monomial).get(mean, 0) > 0 and all(e > 0 for _, e in monomial) for monomial in difference.terms
    ):
        return True
    leading, factor = next(iter(p.terms.items()))
    other = difference.terms.get(leading, 0.0)
    if isinstance(factor, float) and isinstance(other, float) and (p * (other / factor)).close_to(difference):
        return True
    return not _levelled(difference, _axes_of_range(p)).terms


def _divides(p: Polynomial, value: Polynomial) -> bool:
    """Whether p is one mean, and every term of the value is divided by a power of it."""
    atom = _one_mean(p)
    exponents = [dict(monomial).get(atom, 0) for monomial in value.terms] if atom is not None else []
    return bool(exponents) and all(exponent < 0 for exponent in exponents)


def _one_mean(p: Polynomial) -> Mean | None:
    """The atom, if the value is a mean of something and nothing else."""
    if len(p.terms) != 1:
        return None
    ((monomial, factor),) = p.terms.items()
    ((atom, exponent), *others) = monomial or ((None, 0),)
    return atom if isinstance(atom, Mean) and exponent == 1 and factor == 1.0 and not others else None


def _axes_of_range(p: Polynomial) -> Axes:
    """A where the value is k·(max_A x − min_A x) = k·(max_A x + max_A −x), else none."""
    found = [next(iter(monomial)) for monomial in p.terms if len(monomial) == 1]
    factors = set(p.terms.values())
    if len(found) != len(p.terms) or len(found) != 2 or len(factors) != 1:
        return frozenset()
    (first, e), (second, f) = found
    if not (isinstance(first, Maximum) and isinstance(second, Maximum) and e == f == 1 and first.over == second.over):
        return frozenset()
    return first.over if _is_base(first.of) and second.of == -first.of else frozenset()


def _is_base(value: Polynomial) -> bool:
    """Whether the value is x or −x."""
    if len(value.terms) != 1:
        return False
    ((monomial, factor),) = value.terms.items()
    return (
        factor in (1.0, -1.0) and all(isinstance(atom, Base) and e == 1 for atom, e in monomial) and len(monomial) == 1
    )


def _levelled(value: Polynomial, over: Axes) -> Polynomial:
    """The value for x constant along these axes: E_A[xⁿ] = xⁿ for A among them."""
    result = constant(0.0)
    for monomial, factor in value.terms.items():
        product = constant(factor)
        for atom, exponent in monomial:
            inner = _of_base(atom.of) if isinstance(atom, Mean) and atom.over <= over else None
            if inner is not None and exponent.denominator == 1:
                product = product * Polynomial({inner: 1.0}) ** exponent
            else:
                product = product * Polynomial({frozenset([(atom, exponent)]): 1.0})
        result = result + product
    return result


def _of_base(monomial: Monomial) -> Monomial | None:
    """The product itself, if it is a power of x."""
    return monomial if all(isinstance(atom, Base) for atom, _ in monomial) else None
