"""Plans as records: which linear operators take in an affine map, and what their weights become."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from normgraph.affine import Affine
from normgraph.constants import Array
from normgraph.diagnosis import Shortfall
from normgraph.folding.linear import Linear
from normgraph.folding.linear_operator import Fill
from normgraph.folding.moves import Edit


@dataclass(frozen=True, eq=False)
class Change:
    """New weights for a linear operator, in the type in which they are stored.

    Attributes:
        linear: the operator.
        weight: its weight. It is held from now on: once the plan is carried out, it is part of the model.
        bias: its bias in the shape that it takes; None where it is zero and there was none.
        fill: what a Pad before it pads with and how far, in place of its own padding with zeros; None to leave that.
        copied: whether a copy of the operator gets the weights, since something else needs the operator as it is.
    """

    linear: Linear
    weight: Array
    bias: Array | None
    fill: Fill | None = None
    copied: bool = False

    @property
    def added_nodes(self) -> int:
        """How many nodes the change makes: an Add for a bias that has no place yet, a Pad."""
        return (self.bias is not None and self.linear.row.bias is None and self.linear.addition is None) + (
            self.fill is not None
        )


@dataclass(frozen=True)
class Region:
    """A part of the graph that computes the same before and after a fold; see `normgraph.region.Rewritable`.

    Attributes:
        base: the tensor from which it is computed.
        output: the tensor that must stay the same.
        nodes: its nodes.
        graph: the graph that it is in.
        channel: the dimension of the output that its channels run along, None where there is none.
    """

    base: ir.Value
    output: ir.Value
    nodes: tuple[ir.Node, ...]
    graph: ir.Graph | None
    channel: int | None = None
    assumed: tuple[tuple[int, int], ...] = ()
    axes: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class FoldPlan:
    """An affine map and what it folds into; all of its changes are made, or none.

    Attributes:
        affine: the map.
        direction: "backward" into the operators before the map, "forward" into those behind it, "duplicate" into a copy
            of the one before it.
        changes: the operators that take it in, at least one.
        edits: constants of passages that change on the way.
        regions: what has to be proven to stay the same.
        channels: how many channels the map has; None where that isn't told.
    """

    affine: Affine
    direction: str
    changes: tuple[Change, ...]
    edits: tuple[Edit, ...]
    regions: tuple[Region, ...]
    channels: int | None = None

    @property
    def nodes(self) -> frozenset[ir.Node]:
        """Every node that takes part."""
        return frozenset(node for region in self.regions for node in region.nodes)

    @property
    def doomed(self) -> tuple[ir.Node, ...]:
        """The nodes that nothing reads once the plan is carried out."""
        return self.affine.nodes


@dataclass(frozen=True)
class Refusal:
    """A map that can't be folded this way.

    Attributes:
        nodes: the nodes that compute it.
        base: what it maps.
        direction: the way.
        shortfall: why.
        affine: the map; None for the gain of a norm.
    """

    nodes: tuple[ir.Node, ...]
    base: ir.Value
    direction: str
    shortfall: Shortfall
    affine: Affine | None = None


@dataclass(frozen=True, eq=False)
class Ahead:
    """All that takes in a map of a value, on every way.

    Attributes:
        changes: the operators.
        edits: constants of passages that change on the way.
        regions: what has to be proven to stay the same.
    """

    changes: tuple[Change, ...]
    edits: tuple[Edit, ...]
    regions: tuple[Region, ...]
