"""Proposals: rewrites that are proven and not made yet, for whoever judges them by something else than being right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from normgraph.diagnosis import Shortfall
from normgraph.fragments import Fragment


@dataclass(frozen=True)
class Way:
    """A way to make a rewrite.

    Attributes:
        kind: the operator that it becomes.
        pair: makes the nodes as they are and what is to replace them, each as a model of its own with the same inputs;
            raises `NotExtractable` where they can't be cut out.
    """

    kind: str
    pair: Callable[[], tuple[Fragment, Fragment]]


@dataclass(frozen=True)
class Proposal:
    """A rewrite that is proven and not made yet.

    Attributes:
        name: what a person calls the site.
        output: the name of the tensor that it makes anew.
        told: the names of the outputs under which the report tells of it; operators that are merged have their own.
        way: the way in which it is made unless another is chosen.
        others: finds and proves the others that there are, the best first; it takes as long as proofs do.
    """

    name: str
    output: str
    told: tuple[str, ...]
    way: Way
    others: Callable[[], Sequence[Way]] = tuple


#: Judges the rewrites proposed for a model: for each the way that is chosen, where 0 is `way` and 1 the first of
#: `others`; or the reason why it isn't to be made.
Judge = Callable[[ir.Model, Sequence[Proposal]], Sequence[int | Shortfall]]


def consent(model: ir.Model, proposals: Sequence[Proposal]) -> Sequence[int | Shortfall]:
    """Have all of them made as proposed."""
    return [0] * len(proposals)
