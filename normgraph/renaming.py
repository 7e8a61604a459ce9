"""Renaming: the axes that a constant brought along are replaced, within atoms, by those that they turned out to be.

This module knows nothing of ONNX.
"""

from __future__ import annotations

from normgraph.atoms import Absolute, Atom, Clamp, Foreign, Logarithm, Maximum, Mean, Monomial, Sum, Vanishes
from normgraph.axes import Renaming, split_layout
from normgraph.errors import NotRepresentable


def renamed(monomial: Monomial, renaming: Renaming) -> Monomial:
    """The product of atoms with the axes renamed.

    Raises:
        NotRepresentable: an axis that stands free in an atom would be called like one that is bound there.
    """
    return frozenset((_renamed_atom(atom, renaming), exponent) for atom, exponent in monomial)


def _renamed_atom(atom: Atom, renaming: Renaming) -> Atom:
    if isinstance(atom, Sum | Absolute | Vanishes | Logarithm):
        return type(atom)(atom.of.renamed(renaming))
    if isinstance(atom, Clamp):
        return Clamp(atom.of.renamed(renaming), atom.minimum)
    if isinstance(atom, Maximum):
        return Maximum(atom.over, atom.of.renamed(_outside(renaming, atom)))
    if isinstance(atom, Mean):
        return Mean(atom.over, renamed(atom.of, _outside(renaming, atom)))
    if isinstance(atom, Foreign):
        return Foreign(atom.number, split_layout(atom.layout, renaming))
    return atom


def _outside(renaming: Renaming, atom: Mean | Maximum) -> Renaming:
    """The renaming of the axes that the atom still has: its own are bound, and called inside as they always were."""
    free = {axis: renaming[axis] for axis in atom.axes if axis in renaming}
    if not atom.over.isdisjoint(part for dimension in free.values() for part in dimension):
        raise NotRepresentable(
            "broadcast", "a constant meets an axis over which the mean or the maximum beside it was taken"
        )
    return free
