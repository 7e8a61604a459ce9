"""Diagnosis: why a value that looks like a normalization isn't one of the table.

One reason for each value, the decisive one: `DIAGNOSES` lists what may be wrong, the most telling first.

This module knows nothing of ONNX.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from normgraph.algebra import HALF, Polynomial
from normgraph.atoms import UNIT, Base, Clamp, Exponent, Extent, Logarithm, Mean, Monomial, Sum
from normgraph.coefficients import close
from normgraph.errors import NotRepresentable
from normgraph.norms import NORMS, atoms_of
from normgraph.remedies import REMEDIES


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Why something that looks like a normalization isn't one, or isn't rewritten.

    Attributes:
        rule: the stable code, a key of `REMEDIES`.
        reason: the same as a sentence, with the figures.
        remedy: what would change it, where more can be said than the rule does.
    """

    rule: str
    reason: str
    remedy: str = ""

    @property
    def sentence(self) -> str:
        """What stands in the way, and what would change it."""
        return f"{self.reason}; {self.remedy or REMEDIES[self.rule]}"


def looks_normalized(value: Polynomial) -> bool:
    """Whether the base tensor is in the value, beside a root or a reciprocal of a statistic of its spread."""
    factors = [factor for monomial in value.terms for factor in monomial]
    divided = any(is_divisor(atom, exponent) for atom, exponent in factors)
    return divided and _contains_base(value)


def is_divisor(atom: object, exponent: Exponent) -> bool:
    """Whether the factor is a root, a reciprocal or a logarithm of a mean of some power of x above the first."""
    if exponent.denominator == 1 and exponent > 0 and not isinstance(atom, Logarithm):
        return False
    if isinstance(atom, Mean):
        statistics = [atom]
    else:
        statistics = _statistics(atom.of) if isinstance(atom, Sum | Clamp | Logarithm) else []
    return any(e > 1 for mean in statistics for a, e in mean.of if isinstance(a, Base))


def _contains_base(value: Polynomial) -> bool:
    return any(
        isinstance(atom, Base) or (isinstance(atom, Clamp | Sum) and _contains_base(atom.of))
        for atom in atoms_of(value)
    )


def _statistics(value: Polynomial) -> list[Mean]:
    """The means of x or its powers in the value, also those within its compound atoms."""
    found: list[Mean] = []
    for atom in atoms_of(value):
        if isinstance(atom, Mean):
            found.append(atom)
        elif not isinstance(atom, Base) and hasattr(atom, "of"):
            found.extend(_statistics(atom.of))
    return found


def _divisors(value: Polynomial) -> list[tuple[Mean | Sum | Clamp, Exponent]]:
    factors = {factor for monomial in value.terms for factor in monomial}
    return [(a, e) for a, e in factors if isinstance(a, Mean | Sum | Clamp) and is_divisor(a, e)]


def begins_to_fail(value: Polynomial, shortfall: Shortfall) -> bool:
    """Whether what is said of a normalization holds of this part of it already, or once something is divided by it."""
    check = _IN_PART.get(shortfall.rule)
    if check is None:
        return False
    if check(value) == shortfall.reason:
        return True
    try:
        return check(value**-1) == shortfall.reason
    except NotRepresentable:
        return False


def _inverted(value: Polynomial) -> str | None:
    for monomial in value.terms:
        for atom, exponent in monomial:
            negative_base = isinstance(atom, Base) and exponent < 0
            if negative_base or (isinstance(atom, Sum) and exponent == -1 and _contains_base(atom.of)):
                return "the deviation is divided by the centred value, not the centred value by the deviation"
    return None


def _wrong_spread(value: Polynomial) -> str | None:
    powers = {e for mean in _statistics(value) for a, e in mean.of if isinstance(a, Base)} - {1, 2}
    return f"the spread is the mean of x to the power {min(powers)}, not of its square" if powers else None


def _wrong_power(value: Polynomial) -> str | None:
    spread = _wrong_spread(value)
    if spread is not None:
        return spread
    degree = max((_degree(monomial) for monomial in value.terms), default=0)
    return f"what is divided is of degree {degree} in x, not x itself" if degree > 1 else None


def _different_axes(value: Polynomial) -> str | None:
    sets = {mean.over for mean in _statistics(value)}
    if len(sets) < 2:
        return None
    described = sorted(
        "[" + ", ".join(str(axis.index) for axis in sorted(s, key=lambda a: a.index)) + "]" for s in sets
    )
    shown = " and ".join(described)
    return f"the statistics are taken over different axes of the input: {shown}"


def _epsilon_outside(value: Polynomial) -> str | None:
    for atom, exponent in _divisors(value):
        if isinstance(atom, Sum) and exponent == -1:
            roots = [e for m in atom.of.terms for a, e in m if is_divisor(a, e) and e.denominator == 2]
            epsilon = atom.of.terms.get(UNIT)
            if roots and epsilon is not None:
                shown = f"{epsilon:.6g} " if isinstance(epsilon, float) else ""
                return f"epsilon {shown}is added to the standard deviation, not to the variance"
    return None


def _wrong_root(value: Polynomial) -> str | None:
    for _, exponent in _divisors(value):
        if exponent != -HALF:
            return f"the value is multiplied by the variance to the power {exponent}, not −1/2"
    return None


def _varying_epsilon(value: Polynomial) -> str | None:
    for atom, _ in _divisors(value):
        epsilon = atom.of.terms.get(UNIT) if isinstance(atom, Sum) else None
        if epsilon is not None and not isinstance(epsilon, float):
            return "epsilon isn't one number: it differs along an axis"
        if isinstance(epsilon, float) and epsilon < 0:
            return f"epsilon is negative ({epsilon:.6g})"
    return None


def _half_centred(value: Polynomial) -> str | None:
    numerator = {
        frozenset((a, e) for a, e in m if not is_divisor(a, e) and not isinstance(a, Extent)): c
        for m, c in value.terms.items()
    }
    x = next((c for m, c in numerator.items() if any(isinstance(a, Base) for a, _ in m)), None)
    mean = next((c for m, c in numerator.items() if len(m) == 1 and isinstance(next(iter(m))[0], Mean)), None)
    centred = mean is not None
    for atom, _ in _divisors(value):
        if not isinstance(atom, Sum):
            continue
        centred_spread = any(
            isinstance(a, Mean) and e == 2 and all(isinstance(b, Base) for b, _ in a.of)
            for m in atom.of.terms
            for a, e in m
        )
        if centred_spread and not centred:
            return "the mean is subtracted before the variance is taken, but not from the value that is divided"
        if centred and not centred_spread:
            return "the mean is subtracted from the value, but what it is divided by isn't the centred variance"
        if centred and isinstance(x, float) and isinstance(mean, float) and not close(x, -mean):
            return f"the mean is subtracted {-mean / x:.6g} times from what is divided, not once"
    return None


def _degree(monomial: Monomial) -> Exponent:
    """The degree in x outside the divisor."""
    return sum(e for a, e in monomial if isinstance(a, Base) or (isinstance(a, Mean) and not is_divisor(a, e)))


def _clamped(value: Polynomial) -> str | None:
    for atom in atoms_of(value):
        if isinstance(atom, Clamp):
            return f"a statistic is bounded by {atom.minimum:.6g}, which no operator's epsilon does"
        if isinstance(atom, Sum):
            nested = _clamped(atom.of)
            if nested is not None:
                return nested
    return None


def _remainder(value: Polynomial) -> str | None:
    formulas = dict.fromkeys(row.text for row in NORMS)
    return f"what is computed isn't any of: {'; '.join(formulas)}"


#: What may be wrong, the most telling first.
DIAGNOSES: tuple[tuple[str, Callable[[Polynomial], str | None]], ...] = (
    ("inverted", _inverted),
    ("clamp", _clamped),
    ("epsilon-outside", _epsilon_outside),
    ("power", _wrong_power),
    ("axes-differ", _different_axes),
    ("epsilon-varies", _varying_epsilon),
    ("root", _wrong_root),
    ("half-centred", _half_centred),
    ("not-a-normalization", _remainder),
)

#: What is to be seen in a part of the value already, before anything is divided.
_IN_PART: Mapping[str, Callable[[Polynomial], str | None]] = {
    "axes-differ": _different_axes,
    "clamp": _clamped,
    "epsilon-outside": _epsilon_outside,
    "epsilon-varies": _varying_epsilon,
    "power": _wrong_spread,
}


def diagnose(value: Polynomial) -> Shortfall:
    """The decisive reason why a value that looks like a normalization isn't one of the table."""
    for rule, check in DIAGNOSES:
        reason = check(value)
        if reason is not None:
            return Shortfall(rule, reason)
    raise AssertionError("the last diagnosis always applies")
