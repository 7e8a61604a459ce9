"""Logarithms, and the exponentials that undo them: a power written as e^(q·log p).

This module knows nothing of ONNX.
"""

from __future__ import annotations

import math

import numpy as np

from normgraph.algebra import Polynomial, constant
from normgraph.atoms import Logarithm
from normgraph.bounds import lower_bound
from normgraph.coefficients import apply
from normgraph.errors import NotRepresentable


def logarithm(value: Polynomial) -> Polynomial:
    """log(value)."""
    if isinstance(value.constant, float) and value.constant > 0:
        return constant(math.log(value.constant))
    return Polynomial({frozenset([(Logarithm(value), 1)]): 1.0})


def exponential(value: Polynomial) -> Polynomial:
    """e^value for a sum of logarithms of what isn't negative: e^(c + Σ q·log p) = e^c · ∏ p^q.

    Raises:
        NotRepresentable: the value is no such sum.
    """
    result = constant(1.0)
    for monomial, factor in value.terms.items():
        atom, exponent = next(iter(monomial), (None, 1))
        if not monomial:
            result = result * constant(apply(np.exp, factor))
        elif _undoes(atom) and len(monomial) == exponent == 1 and isinstance(factor, float):
            assert isinstance(atom, Logarithm)
            result = result * atom.of**factor
        else:
            raise NotRepresentable("exponent", "an exponential is taken of what is no sum of logarithms")
    return result


def _undoes(atom: object) -> bool:
    """Whether the exponential of the atom is what is inside: log p is defined where p isn't negative."""
    return isinstance(atom, Logarithm) and lower_bound(atom.of.terms) >= 0
