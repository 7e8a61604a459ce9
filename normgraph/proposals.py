"""Proposals: rewrites that are proven and not made yet, for whoever judges them by something else than being right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from normgraph.diagnosis import Shortfall
from normgraph.extraction import Fragment


@dataclass(frozen=True)
class Proposal:
    """A rewrite that is proven and not made yet.

    Attributes:
        name: what a person calls the site.
        output: the name of the tensor that it makes anew.
        kind: the operator that it becomes.
        pair: makes the nodes as they are and what is to replace them, each as a model of its own with the same inputs;
            raises `NotExtractable` where they can't be cut out.
    """

    name: str
    output: str
    kind: str
    pair: Callable[[], tuple[Fragment, Fragment]]


#: Judges the rewrites proposed for a model: for each the reason why it isn't to be made, or None.
Judge = Callable[[ir.Model, Sequence[Proposal]], Sequence[Shortfall | None]]


def consent(model: ir.Model, proposals: Sequence[Proposal]) -> Sequence[Shortfall | None]:
    """Have nothing against any of them."""
    return [None] * len(proposals)
