"""What a linear operator is to a fold: which of its inputs play which part, and how its weights take in a map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx_ir as ir

from normgraph.diagnosis import Shortfall
from normgraph.folding.channel_map import ChannelMap, Float64


@dataclass(frozen=True, slots=True)
class Fill:
    """What stands in the place of a convolution's own padding.

    Attributes:
        value: the number that is padded.
        begin: how far, at the beginning of each axis of space.
        end: likewise at the end.
    """

    value: float
    begin: tuple[int, ...]
    end: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Weights:
    """The constants of a linear operator, in float64, and what else decides about them.

    Attributes:
        weight: W, in the operator's own layout.
        bias: w, of the output's rank and broadcasting to it.
        fill: what the operator's padding has to be for these weights, where that is no longer zero.
        space: the size of the data operand along each dimension from its third on; None where it isn't known.
    """

    weight: Float64
    bias: Float64
    fill: Fill | None = None
    space: tuple[int | None, ...] = ()


#: How a map goes into weights: (node, weights, map over the output or the data operand) → new weights, or why not.
Absorb = Callable[[ir.Node, Weights, ChannelMap], Weights | Shortfall]


@dataclass(frozen=True, slots=True)
class LinearOperator:
    """A row of the table.

    Attributes:
        data: the input that the operator is linear in.
        weight: the input that must be constant.
        bias: the input with the bias, None where the operator has none.
        effective: the weights as they enter the arithmetic, attributes like alpha and beta included; None where the
            node isn't of the row's kind.  The bias comes as it is stored, as zero where there is none.
        behind: the weights after a map of the output.
        before: the weights before which a map of the data operand stands.
        stored: the bias in the shape in which the operator, or an Add behind it, takes it.
        channels: the axes of the weight along the channels of input and output.
        axis: the axis of the output that its channels run along, counted from the end if negative; None if it depends.
    """

    data: int
    weight: int
    bias: int | None
    effective: Callable[[ir.Node, Weights, int], Weights | None]
    behind: Absorb
    before: Absorb
    stored: Callable[[Float64], Float64]
    channels: tuple[int, ...]
    axis: int | None


def layout_of(operator: str) -> Shortfall:
    """The reason where a map varies along something else than the channels of an operator."""
    return Shortfall("layout", f"it doesn't vary along the channels of {operator} alone")


def along(vector: Float64, rank: int, axis: int) -> Float64:
    """A vector as an array of this rank that varies along one axis."""
    return vector.reshape([-1 if position == axis else 1 for position in range(rank)])
