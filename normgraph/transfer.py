"""Transfer functions: what each ONNX operator does to a value of the algebra.

`TRANSFER` has one row per operator, with one small function that turns the forms of the operands into the form of
the result.  A rule raises `NotRepresentable` with the code of what stands in the way; it never guesses.  Rules only
look at operators of the default domain, at every opset since 7.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import onnx_ir as ir

from normgraph import conditions
from normgraph import transfer_conditions as choice
from normgraph import transfer_contraction as contraction
from normgraph import transfer_layout as layout
from normgraph import transfer_native as native
from normgraph.algebra import HALF, Polynomial
from normgraph.axes import Axis, Layout, Size, product
from normgraph.bounds import is_nonnegative
from normgraph.constants import attribute
from normgraph.errors import NotRepresentable
from normgraph.exponentials import exponential, logarithm
from normgraph.facts import FLOATING, Facts
from normgraph.forms import Form, Rule, Scope
from normgraph.shapes import axes_of


@dataclass(frozen=True, slots=True)
class Transfer:
    """A row of the table.

    Attributes:
        rule: the transfer function.
        operands: how many of the node's inputs are operands of the arithmetic, None for all; the others are shapes,
            axes and the like, which the rule asks the facts about.
        applies: whether a node is one that the rule knows something of; None for all.
    """

    rule: Rule
    operands: int | None = None
    applies: Callable[[ir.Node, Facts], bool] | None = None

    def operands_of(self, node: ir.Node) -> Sequence[ir.Value | None]:
        """The inputs of the node that are operands."""
        return node.inputs[: self.operands]


def _binary(operation: Callable[[Polynomial, Polynomial], Polynomial]) -> Rule:
    def rule(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
        a, b, layout = scope.aligned(*operands)
        return Form(operation(a, b), layout, operands[0].dtype)

    return rule


def _unary(operation: Callable[[Polynomial], Polynomial]) -> Rule:
    def rule(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
        return Form(operation(operands[0].value), operands[0].layout, operands[0].dtype)

    return rule


def _sum(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
    total = operands[0]
    for operand in operands[1:]:
        a, b, layout = scope.aligned(total, operand)
        total = Form(a + b, layout, total.dtype)
    return total


def _power(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
    a, b, layout = scope.aligned(*operands)
    exponent = b.constant
    if not isinstance(exponent, float) or not math.isfinite(exponent):
        raise NotRepresentable("exponent", "the exponent isn't one constant number")
    return Form(a**exponent, layout, operands[0].dtype)


def _cast(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
    """A cast between floating types is the identity up to rounding; what it costs is for the evidence to show."""
    target = scope.facts.dtype(node.outputs[0])
    if target not in FLOATING or operands[0].dtype not in FLOATING:
        raise NotRepresentable("integer-base", "the value passes through a type that isn't floating")
    return Form(operands[0].value, operands[0].layout, target)


def _dropout(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        training = scope.facts.constant(node.inputs[2])
        if training is None or bool(training.reshape(-1)[0]):
            raise NotRepresentable("training-mode", "the Dropout is in training mode")
    return operands[0]


def _bounded(value: Polynomial, bound: float, sign: int) -> Polynomial:
    """max(a, c) or min(a, c); min(a, c) = −max(−a, −c), and 1/max(1/a, 1/c) for a = p^(−q) with p not negative."""
    if sign < 0 < bound < math.inf and len(value.terms) == 1:
        ((monomial, factor),) = value.terms.items()
        atom, exponent = next(iter(monomial)) if len(monomial) == 1 else (None, 0)
        if atom is not None and exponent < 0 and is_nonnegative(atom) and isinstance(factor, float) and factor > 0:
            return (value**-1).clamped(1 / bound) ** -1
    return (value * sign).clamped(bound * sign) * sign


def _extremum(sign: int) -> Rule:
    """max(a, c) and min(a, c) with a constant c; min(a, c) = −max(−a, −c)."""

    def rule(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
        if len(operands) == 1:
            return operands[0]
        if len(operands) > 2:
            raise NotRepresentable("clamp", f"{node.op_type} compares more than two values")
        a, b, layout = scope.aligned(*operands)
        value, bound = (a, b.constant) if isinstance(b.constant, float) else (b, a.constant)
        if not isinstance(bound, float):
            raise NotRepresentable("clamp", f"{node.op_type} compares with something that isn't one constant number")
        return Form(_bounded(value, bound, sign), layout, operands[0].dtype)

    return rule


def _clip(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
    value = operands[0].value
    for position, name, sign in ((1, "min", 1), (2, "max", -1)):
        bound: float | None = attribute(node, name)
        if len(node.inputs) > position and node.inputs[position] is not None:
            array = scope.facts.constant(node.inputs[position])
            if array is None:
                raise NotRepresentable("clamp", "the bounds of the Clip aren't constant")
            bound = float(array.reshape(-1)[0])
        if bound is not None and bound * sign > -3.4e38:  # the attributes' defaults stand for no bound
            value = _bounded(value, bound, sign)
    return Form(value, operands[0].layout, operands[0].dtype)


def _reduction(finish: Callable[[Polynomial, frozenset[Axis], Polynomial], Polynomial]) -> Rule:
    """Reduce*: `finish` gets the value, the axes it is reduced over, and how many elements they span."""

    def rule(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
        form = operands[0]
        reduced = axes_of(node, scope.facts, len(form.layout))
        if reduced is None:
            raise NotRepresentable("axes", "the axes of the reduction are computed at run time")
        over, layout, size = _reduced(form.layout, reduced, bool(attribute(node, "keepdims", 1)))
        return Form(finish(form.value, over, scope.count(size)), layout, form.dtype)

    return rule


@lru_cache(maxsize=1024)
def _reduced(layout: Layout, reduced: tuple[int, ...], keep: bool) -> tuple[frozenset[Axis], Layout, Size]:
    """The axes of the dimensions that are reduced, the layout that is left, and how many elements become one."""
    over = frozenset(axis for position in reduced for axis in layout[position])
    left = tuple(
        () if position in reduced else dimension
        for position, dimension in enumerate(layout)
        if keep or position not in reduced
    )
    return over, left, product(axis.size for axis in over)


def _leads_to(*operators: str, forward: bool) -> Callable[[ir.Node, Facts], bool]:
    """Whether a node has one of these operators behind or before it, with nothing between but a factor or a summand."""

    def applies(node: ir.Node, facts: Facts) -> bool:
        near = [node]
        for _ in range(3):
            if forward:
                near = [reader for each in near for reader in each.outputs[0].consumers()]
            else:
                near = [p for each in near for v in each.inputs if v is not None and (p := v.producer()) is not None]
            if any(each.op_type in operators for each in near):
                return True
            near = [each for each in near if each.op_type in _BETWEEN][:4]
        return False

    return applies


#: What may stand between a logarithm and the exponential that undoes it.
_BETWEEN = frozenset({"Add", "Cast", "Div", "Identity", "Mul", "Neg", "Sub"})

#: Operator → its transfer function.
TRANSFER: dict[str, Transfer] = {
    "Abs": Transfer(_unary(lambda a: a.absolute())),
    "Add": Transfer(_binary(lambda a, b: a + b)),
    "And": Transfer(choice.condition(conditions.both)),
    "AveragePool": Transfer(contraction.average_pool, applies=contraction.is_whole_window),
    "BatchNormalization": Transfer(native.batch_normalization),
    "Cast": Transfer(_cast),
    "CastLike": Transfer(_cast, operands=1),
    "Clip": Transfer(_clip, operands=1),
    "Concat": Transfer(layout.concat),
    "Conv": Transfer(contraction.convolution, applies=contraction.is_even_window),
    "Div": Transfer(_binary(lambda a, b: a / b)),
    "Dropout": Transfer(_dropout, operands=1),
    "Einsum": Transfer(contraction.einsum, applies=contraction.is_plain_einsum),
    "Equal": Transfer(choice.comparison(conditions.equal)),
    "Exp": Transfer(_unary(exponential), applies=_leads_to("Log", "ReduceLogSum", forward=False)),
    "Expand": Transfer(layout.expand, operands=1),
    "Flatten": Transfer(layout.reshape),
    "Gemm": Transfer(contraction.general_matrix_product, applies=contraction.is_matrix_mean),
    "GlobalAveragePool": Transfer(contraction.global_average),
    "Greater": Transfer(choice.comparison(conditions.greater)),
    "GreaterOrEqual": Transfer(choice.comparison(lambda a, b: 1 - conditions.greater(b, a))),
    "Identity": Transfer(_unary(lambda a: a)),
    "InstanceNormalization": Transfer(native.instance_normalization),
    "LayerNormalization": Transfer(native.layer_normalization),
    "Less": Transfer(choice.comparison(lambda a, b: conditions.greater(b, a))),
    "LessOrEqual": Transfer(choice.comparison(lambda a, b: 1 - conditions.greater(a, b))),
    "Log": Transfer(_unary(logarithm), applies=_leads_to("Exp", forward=True)),
    "MatMul": Transfer(contraction.matrix_product, applies=contraction.is_matrix_mean),
    "Max": Transfer(_extremum(1)),
    "Min": Transfer(_extremum(-1)),
    "Mul": Transfer(_binary(lambda a, b: a * b)),
    "Neg": Transfer(_unary(lambda a: -a)),
    "Not": Transfer(choice.negation),
    "Or": Transfer(choice.condition(conditions.either)),
    "Pow": Transfer(_power),
    "RMSNormalization": Transfer(native.rms_normalization),
    "Reciprocal": Transfer(_unary(lambda a: a**-1)),
    "ReduceL1": Transfer(_reduction(lambda a, over, count: a.absolute().mean(axis=over) * count), operands=1),
    "ReduceL2": Transfer(_reduction(lambda a, over, count: ((a**2).mean(axis=over) * count) ** HALF), operands=1),
    "ReduceLogSum": Transfer(
        _reduction(lambda a, over, count: logarithm(a.mean(axis=over) * count)),
        operands=1,
        applies=_leads_to("Exp", forward=True),
    ),
    "ReduceMax": Transfer(_reduction(lambda a, over, count: a.maximum(axis=over)), operands=1),
    "ReduceMean": Transfer(_reduction(lambda a, over, count: a.mean(axis=over)), operands=1),
    "ReduceMin": Transfer(_reduction(lambda a, over, count: -(-a).maximum(axis=over)), operands=1),
    "ReduceSum": Transfer(_reduction(lambda a, over, count: a.mean(axis=over) * count), operands=1),
    "ReduceSumSquare": Transfer(_reduction(lambda a, over, count: (a**2).mean(axis=over) * count), operands=1),
    "Relu": Transfer(_unary(lambda a: a.clamped(0.0))),
    "Reshape": Transfer(layout.reshape, operands=1),
    "Sqrt": Transfer(_unary(lambda a: a**HALF)),
    "Squeeze": Transfer(layout.reshape, operands=1),
    "Sub": Transfer(_binary(lambda a, b: a - b)),
    "Sum": Transfer(_sum),
    "Tile": Transfer(layout.tile, operands=1),
    "Transpose": Transfer(layout.transpose),
    "Unsqueeze": Transfer(layout.reshape, operands=1),
    "Where": Transfer(choice.where),
}

#: The operators that may make a statistic of their input.
REDUCTIONS = frozenset(
    ("AveragePool Conv Einsum Gemm GlobalAveragePool MatMul ReduceL1 ReduceL2 ReduceMean ReduceSum "
     "ReduceSumSquare").split()
)  # fmt: skip

#: The operators that move elements and change none.
LAYOUT_OPERATORS = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})


def transfer_of(node: ir.Node, facts: Facts) -> Transfer | None:
    """The node's row of the table, None for an operator that the algebra knows nothing of."""
    row = TRANSFER.get(node.op_type)
    if row is None or node.domain or (row.applies is not None and not row.applies(node, facts)):
        return None
    return row


def is_reduction(node: ir.Node, facts: Facts) -> bool:
    """Whether the node makes a statistic of its input."""
    return node.op_type in REDUCTIONS and transfer_of(node, facts) is not None
