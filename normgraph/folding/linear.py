"""Linear operators: where their channels are, and how an affine map goes into their weights.

y = W·x + w is linear in x, so an affine map behind it goes into the weights: a·(W·x + w) + b = (a·W)·x + (a·w
+ b); and one before it does, too: W·(a·x + b) + w = (W·a)·x + (W·b + w). `LINEAR` has one row per operator and
operand that may be the constant one; everything is computed in float64 and rounded by the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from normgraph.constants import Array, stored_tensor
from normgraph.facts import Facts
from normgraph.folding.channel_map import Float64, shortest
from normgraph.folding.convolutions import (
    conv_before,
    conv_behind,
    conv_outputs,
    convolution,
    transposed_before,
    transposed_behind,
    transposed_outputs,
)
from normgraph.folding.linear_operator import LinearOperator, Weights
from normgraph.folding.products import EinsumRules, GemmRules, MatMulRules, gemm_effective, matmul_effective
from normgraph.folding.sums import is_addition


def _vector(bias: Float64) -> Float64:
    return bias.reshape(-1)


def _gemm(data: int, rules: GemmRules) -> LinearOperator:
    return LinearOperator(data, 1 - data, 2, gemm_effective, rules.behind, rules.before, shortest, (0, 1), -1 - data)


def _matmul(data: int, rules: MatMulRules) -> LinearOperator:
    return LinearOperator(
        data, 1 - data, None, matmul_effective, rules.behind, rules.before, shortest, (-2, -1), -1 - data
    )


def _einsum(rules: EinsumRules) -> LinearOperator:
    data = rules.data
    return LinearOperator(data, 1 - data, None, rules.effective, rules.behind, rules.before, shortest, (), None)


#: Operator → its rows, one for each operand that may be the constant one.
LINEAR: Mapping[str, tuple[LinearOperator, ...]] = {
    "Conv": (LinearOperator(0, 1, 2, convolution(conv_outputs), conv_behind, conv_before, _vector, (0, 1), 1),),
    "ConvTranspose": (
        LinearOperator(
            0, 1, 2, convolution(transposed_outputs), transposed_behind, transposed_before, _vector, (0, 1), 1
        ),
    ),
    "Einsum": (_einsum(EinsumRules(0)), _einsum(EinsumRules(1))),
    "Gemm": (
        _gemm(0, GemmRules("transA", "transB", right=True)),
        _gemm(1, GemmRules("transB", "transA", right=False)),
    ),
    "MatMul": (_matmul(0, MatMulRules(right=True)), _matmul(1, MatMulRules(right=False))),
}


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear operator with constant weights.

    Attributes:
        node: the node.
        row: its row of the table.
        outline: the weights as they enter the arithmetic, but for their numbers: W has only its shape.
        dtype: the type in which they are stored.
        load: reads W and makes of it what enters the arithmetic.
        addition: the Add, or Sum of two, behind it that adds a constant, where the operator has no bias of its own.
    """

    node: ir.Node
    row: LinearOperator
    outline: Weights
    dtype: np.dtype
    load: Callable[[], Float64]
    addition: ir.Node | None = None

    def weights(self) -> Weights:
        """The weights as they enter the arithmetic; they are read anew each time, so ask for them last and once."""
        return replace(self.outline, weight=self.load())

    @property
    def data(self) -> ir.Value:
        """The operand that the operator is linear in."""
        value = self.node.inputs[self.row.data]
        assert value is not None
        return value

    @property
    def nodes(self) -> tuple[ir.Node, ...]:
        """The operator, and the Add that is its bias."""
        return (self.node,) if self.addition is None else (self.node, self.addition)

    @property
    def output(self) -> ir.Value:
        """What it computes, with its bias."""
        return self.nodes[-1].outputs[0]

    @property
    def channel(self) -> int | None:
        """The dimension of the output that its channels run along."""
        return None if self.row.axis is None else self.row.axis % self.outline.bias.ndim

    @property
    def has_bias(self) -> bool:
        """Whether a bias is stored anywhere."""
        position = self.row.bias
        if position is None:
            return self.addition is not None
        return len(self.node.inputs) > position and self.node.inputs[position] is not None


def linear_of(node: ir.Node | None, facts: Facts, *, with_addition: bool = False) -> Linear | None:
    """The node as a linear operator with constant weights, or None.

    Args:
        node: the node.
        facts: the facts about the model.
        with_addition: take an Add of a constant behind an operator without bias for its bias.
    """
    if node is None or node.domain:
        return None
    for row in LINEAR.get(node.op_type, ()):
        found = with_row(node, row, facts)
        if found is not None:
            return _with_addition(found, facts) if with_addition and row.bias is None else found
    return None


def with_row(node: ir.Node, row: LinearOperator, facts: Facts) -> Linear | None:
    """The node as a linear operator of this row, or None."""
    if len(node.inputs) <= max(row.data, row.weight):
        return None
    data, weight, shape = node.inputs[row.data], node.inputs[row.weight], facts.shape(node.outputs[0])
    if data is None or weight is None or shape is None or facts.is_constant(data) or not facts.is_constant(weight):
        return None
    extents, dtype = _stored_as(weight, facts)
    bias = node.inputs[row.bias] if row.bias is not None and len(node.inputs) > row.bias else None
    added = facts.constant(bias) if bias is not None else np.zeros(1, np.float64)
    if extents is None or dtype is None or added is None or dtype.kind not in "fV":
        return None
    own = added.astype(np.float64)
    space = tuple(size.static for size in (facts.shape(data) or ())[2:])
    outline = row.effective(node, Weights(np.broadcast_to(np.float64(0), extents), own, space=space), len(shape))

    def load() -> Float64:
        stored = facts.constant(weight)
        assert stored is not None, "what is stored can be read"
        effective = row.effective(node, Weights(stored.astype(np.float64), own), len(shape))
        assert effective is not None, "only the shape decides"
        return effective.weight

    return None if outline is None else Linear(node, row, outline, dtype, load)


def _stored_as(weight: ir.Value, facts: Facts) -> tuple[tuple[int, ...] | None, np.dtype | None]:
    """Shape and type of a constant, without reading it where it is stored; None for both where it can't be had."""
    shape, dtype = facts.shape(weight), facts.dtype(weight)
    if shape is not None and dtype is not None and stored_tensor(weight) is not None:
        return tuple(size.factor for size in shape), dtype.numpy()
    array = facts.constant(weight)
    return (None, None) if array is None else (array.shape, array.dtype)


def _with_addition(linear: Linear, facts: Facts) -> Linear:
    """The operator with the constant that an Add adds to its output, where that is all the output is there for."""
    output = linear.node.outputs[0]
    uses = [use for use in output.uses() if use.node not in facts.dead]
    addition = uses[0].node if len(uses) == 1 and not output.is_graph_output() else None
    if not is_addition(addition) or len(addition.inputs) != 2:
        return linear
    constant: Array | None = facts.constant(addition.inputs[1 - uses[0].idx])
    before, after = facts.shape(output), facts.shape(addition.outputs[0])
    if constant is None or before is None or before != after:
        return linear
    bias = constant.astype(np.float64).reshape((1,) * (len(before) - constant.ndim) + constant.shape)
    return replace(linear, outline=replace(linear.outline, bias=bias), addition=addition)
