"""Transfer functions: what each ONNX operator does to a value of the algebra.

`TRANSFER` has one row per operator, with one small function that turns the forms of the operands into the form of the
result.  A rule raises `NotRepresentable` with the code of what stands in the way; it never guesses.  Rules only look at
operators of the default domain, at every opset since 7.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import onnx_ir as ir

from normgraph import algebra, axes
from normgraph.algebra import HALF, NotRepresentable, Polynomial
from normgraph.axes import Axis, Layout, Size
from normgraph.coefficients import coefficient
from normgraph.constants import attribute
from normgraph.facts import FLOATING, Facts
from normgraph.kernels import instance_normalization, layer_normalization
from normgraph.shapes import axes_of

#: Constants of more elements than this aren't read into the algebra.
MAXIMAL_CONSTANT = 1 << 22


@dataclass(frozen=True, slots=True)
class Form:
    """What a value is, in terms of the base tensor.

    Attributes:
        value: the polynomial.
        layout: which axes each dimension carries.
        dtype: the ONNX type in which the value is stored.
    """

    value: Polynomial
    layout: Layout
    dtype: ir.DataType | None


@dataclass
class Scope:
    """What the rules need besides their operands, for one interpretation.

    Attributes:
        facts: the facts about the graph.
        next_axis: the index of the next fresh axis.
        assumed: sizes that constants demand of dynamic axes of the base tensor.
    """

    facts: Facts
    next_axis: int
    assumed: dict[Axis, int] = field(default_factory=dict)

    def fresh(self, shape: Sequence[Size]) -> Layout:
        """A layout of fresh axes."""
        layout = axes.fresh_layout(shape, self.next_axis, fresh=True)
        self.next_axis += len(shape)
        return layout

    def aligned(self, a: Form, b: Form) -> tuple[Polynomial, Polynomial, Layout]:
        """Both values over the layout that they broadcast to."""
        if a.layout == b.layout:
            return a.value, b.value, a.layout
        try:
            result = axes.broadcast(a.layout, b.layout)
        except axes.Misaligned as misaligned:
            raise NotRepresentable("broadcast", str(misaligned)) from None
        for axis, size in result.assumed:
            if self.assumed.setdefault(axis, size) != size:
                raise NotRepresentable(
                    "broadcast", f"a dimension of size {axis.size} meets constants of different sizes"
                )
        return a.value.renamed(result.left), b.value.renamed(result.right), result.layout

    def expanded(self, form: Form, shape: Sequence[Size]) -> Form:
        """The form broadcast to a shape, its dimensions of size one to fresh axes; a dynamic one is assumed to fit."""
        padded = ((),) * (len(shape) - len(form.layout)) + form.layout
        grown = [
            axes.ONE if size == axes.size_of(dimension) else size
            for size, dimension in zip(shape, padded, strict=True)
        ]
        value, _, layout = self.aligned(form, Form(algebra.constant(0.0), self.fresh(grown), form.dtype))
        return Form(value, layout, form.dtype)

    def constant(self, value: ir.Value) -> Form | None:
        """The form of a value that doesn't depend on the base tensor, None where it isn't a constant."""
        known = self.facts.elements.get(value)
        if (
            known is not None
            and len(known.sizes) == 1
            and known.sizes[0] is not None
            and known.sizes[0].symbols
        ):
            size = known.sizes[0]
            polynomial = algebra.constant(float(size.factor))
            for symbol in size.symbols:
                polynomial = polynomial * algebra.extent(symbol)
            return Form(polynomial, ((),) * known.rank, self.facts.dtype(value))
        shape = self.facts.shape(value)
        if shape is None:
            return None
        if value in self.facts.uniform:
            return Form(
                algebra.constant(self.facts.uniform[value]), self.fresh(shape), self.facts.dtype(value)
            )
        if value in self.facts.expanded:
            source = self.constant(self.facts.expanded[value])
            return None if source is None else self.expanded(source, shape)
        if not self.facts.is_constant(value):
            return None
        if axes.product(shape).factor > MAXIMAL_CONSTANT:
            raise NotRepresentable("too-complex", f"the constant '{value.name}' is too large to reason about")
        array = self.facts.constant(value)
        if array is None or array.dtype.kind not in "fiuV" or not array.size:
            return None
        layout = self.fresh([Size(extent) for extent in array.shape])
        return Form(algebra.constant(coefficient(array, layout)), layout, self.facts.dtype(value))


Rule = Callable[[ir.Node, Sequence[Form], Scope], Form]


@dataclass(frozen=True, slots=True)
class Transfer:
    """A row of the table.

    Attributes:
        rule: the transfer function.
        operands: how many of the node's inputs are operands of the arithmetic, None for all; the others are shapes,
            axes and the like, which the rule asks the facts about.
    """

    rule: Rule
    operands: int | None = None

    def operands_of(self, node: ir.Node) -> Sequence[ir.Value | None]:
        """The inputs of the node that are operands."""
        return node.inputs if self.operands is None else node.inputs[: self.operands]


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
    return Form(a ** Fraction(exponent), layout, operands[0].dtype)


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
            raise NotRepresentable(
                "clamp", f"{node.op_type} compares with something that isn't one constant number"
            )
        return Form((value * sign).clamped(bound * sign) * sign, layout, operands[0].dtype)

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
            value = (value * sign).clamped(bound * sign) * sign
    return Form(value, operands[0].layout, operands[0].dtype)


def _reduction(finish: Callable[[Polynomial, frozenset[Axis], Polynomial], Polynomial]) -> Rule:
    """Reduce*: `finish` gets the value, the axes it is reduced over, and how many elements they span."""

    def rule(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
        form = operands[0]
        reduced = axes_of(node, scope.facts, len(form.layout))
        if reduced is None:
            raise NotRepresentable("axes", "the axes of the reduction are computed at run time")
        over = frozenset(axis for position in reduced for axis in form.layout[position])
        keep = attribute(node, "keepdims", 1)
        layout = tuple(
            () if position in reduced else dimension
            for position, dimension in enumerate(form.layout)
            if keep or position not in reduced
        )
        return Form(finish(form.value, over, _count(over)), layout, form.dtype)

    return rule


def _count(over: frozenset[Axis]) -> Polynomial:
    size = axes.product(axis.size for axis in over)
    count = algebra.constant(float(size.factor))
    for symbol in size.symbols:
        count = count * algebra.extent(symbol)
    return count


def _global_average(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
    form = operands[0]
    over = frozenset(axis for dimension in form.layout[2:] for axis in dimension)
    return Form(form.value.mean(axis=over), form.layout[:2] + ((),) * len(form.layout[2:]), form.dtype)


def _transpose(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
    form = operands[0]
    order = attribute(node, "perm") or range(len(form.layout))[::-1]
    return Form(form.value, axes.permute(form.layout, order), form.dtype)


def _reshape(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
    """Reshape, Flatten, Squeeze and Unsqueeze keep the elements in their order."""
    form = operands[0]
    shape = scope.facts.shape(node.outputs[0])
    if shape is None:
        raise NotRepresentable("shape", f"the shape that {node.op_type} makes isn't known")
    try:
        return Form(form.value, axes.reshape(form.layout, shape), form.dtype)
    except axes.Misaligned as misaligned:
        raise NotRepresentable("reshape", str(misaligned)) from None
    except axes.SplitNeeded as needed:
        if not needed.axis.fresh:
            raise
        raise NotRepresentable(
            "reshape", f"{node.op_type} splits a dimension that a constant brought along"
        ) from None


def _expand(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
    shape = scope.facts.shape(node.outputs[0])
    if shape is None:
        raise NotRepresentable("shape", "the shape that Expand makes isn't known")
    return scope.expanded(operands[0], shape)


def _tile(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
    """Tile repeats dimensions of size one as Expand does, and must leave the others alone."""
    form = operands[0]
    repeats = scope.facts.elements.get(node.inputs[1]) if node.inputs[1] is not None else None
    if repeats is None or len(repeats.sizes) != len(form.layout):
        raise NotRepresentable("shape", "how often Tile repeats isn't known")
    grown: list[Size] = []
    for dimension, size in zip(form.layout, repeats.sizes, strict=True):
        if size is None or (dimension and size != axes.ONE):
            raise NotRepresentable("broadcast", "Tile repeats a dimension that isn't of size one")
        grown.append(size)
    value, _, layout = scope.aligned(form, Form(algebra.constant(0.0), scope.fresh(grown), form.dtype))
    return Form(value, layout, form.dtype)


def _concat(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
    if len(operands) != 1:
        raise NotRepresentable("concat", "values are concatenated")
    return operands[0]


def _scaled(form: Form, scale: Form, bias: Form, dimension: int, scope: Scope) -> tuple[Form, Form]:
    """Per-channel scale and bias of a normalization operator, moved to the channels' dimension."""
    trailing = ((),) * (len(form.layout) - dimension - 1)
    return (
        Form(scale.value, scale.layout + trailing, scale.dtype),
        Form(bias.value, bias.layout + trailing, bias.dtype),
    )


def _affine(normalized: Form, gain: Form, bias: Form, scope: Scope) -> Form:
    a, b, layout = scope.aligned(normalized, gain)
    scaled = Form(a * b, layout, normalized.dtype)
    a, b, layout = scope.aligned(scaled, bias)
    return Form(a + b, layout, normalized.dtype)


def _batch_normalization(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
    """BatchNormalization with given statistics: (x − mean)·(variance + ε)^(−½)·scale + B, per channel."""
    # Before version 14 it is the outputs that are asked for which tell training from inference.
    statistics = scope.facts.opset < 14 and any(output.name for output in node.outputs[1:])
    if attribute(node, "training_mode", 0) or statistics:
        raise NotRepresentable("training-mode", "the BatchNormalization computes statistics of its batch")
    x, scale, bias, mean, variance = operands
    if any(len(parameter.layout) != 1 for parameter in operands[1:]):  # spatial = 0, before version 9
        raise NotRepresentable("spatial", "the BatchNormalization has a parameter for each position")
    epsilon = attribute(node, "epsilon", 1e-5)
    mean, variance = _scaled(x, mean, variance, 1, scope)
    scale, bias = _scaled(x, scale, bias, 1, scope)
    a, b, layout = scope.aligned(x, mean)
    centred = Form(a - b, layout, x.dtype)
    deviation = Form((variance.value + epsilon) ** -HALF, variance.layout, x.dtype)
    a, b, layout = scope.aligned(centred, deviation)
    return _affine(Form(a * b, layout, x.dtype), scale, bias, scope)


def _instance_normalization(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
    x, scale, bias = operands
    over = frozenset(axis for dimension in x.layout[2:] for axis in dimension)
    y = instance_normalization.definition(
        x.value, axes=over, epsilon=attribute(node, "epsilon", 1e-5), gain=1.0, bias=0.0
    )
    return _affine(Form(y, x.layout, x.dtype), *_scaled(x, scale, bias, 1, scope), scope)


def _layer_normalization(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
    x = operands[0]
    first = attribute(node, "axis", -1) % len(x.layout)
    over = frozenset(axis for dimension in x.layout[first:] for axis in dimension)
    y = layer_normalization.definition(
        x.value, axes=over, epsilon=attribute(node, "epsilon", 1e-5), gain=1.0, bias=0.0
    )
    zero = Form(algebra.constant(0.0), (), x.dtype)
    return _affine(Form(y, x.layout, x.dtype), operands[1], operands[2] if len(operands) > 2 else zero, scope)


#: Operator → its transfer function.
TRANSFER: dict[str, Transfer] = {
    "Abs": Transfer(_unary(lambda a: a.absolute())),
    "Add": Transfer(_binary(lambda a, b: a + b)),
    "BatchNormalization": Transfer(_batch_normalization),
    "Cast": Transfer(_cast),
    "CastLike": Transfer(_cast, operands=1),
    "Clip": Transfer(_clip, operands=1),
    "Concat": Transfer(_concat),
    "Div": Transfer(_binary(lambda a, b: a / b)),
    "Dropout": Transfer(_dropout, operands=1),
    "Expand": Transfer(_expand, operands=1),
    "Flatten": Transfer(_reshape),
    "GlobalAveragePool": Transfer(_global_average),
    "Identity": Transfer(_unary(lambda a: a)),
    "InstanceNormalization": Transfer(_instance_normalization),
    "LayerNormalization": Transfer(_layer_normalization),
    "Max": Transfer(_extremum(1)),
    "Min": Transfer(_extremum(-1)),
    "Mul": Transfer(_binary(lambda a, b: a * b)),
    "Neg": Transfer(_unary(lambda a: -a)),
    "Pow": Transfer(_power),
    "Reciprocal": Transfer(_unary(lambda a: a**-1)),
    "ReduceL2": Transfer(
        _reduction(lambda a, over, count: ((a**2).mean(axis=over) * count) ** HALF), operands=1
    ),
    "ReduceMean": Transfer(_reduction(lambda a, over, count: a.mean(axis=over)), operands=1),
    "ReduceSum": Transfer(_reduction(lambda a, over, count: a.mean(axis=over) * count), operands=1),
    "ReduceSumSquare": Transfer(
        _reduction(lambda a, over, count: (a**2).mean(axis=over) * count), operands=1
    ),
    "Relu": Transfer(_unary(lambda a: a.clamped(0.0))),
    "Reshape": Transfer(_reshape, operands=1),
    "Sqrt": Transfer(_unary(lambda a: a**HALF)),
    "Squeeze": Transfer(_reshape, operands=1),
    "Sub": Transfer(_binary(lambda a, b: a - b)),
    "Sum": Transfer(_sum),
    "Tile": Transfer(_tile, operands=1),
    "Transpose": Transfer(_transpose),
    "Unsqueeze": Transfer(_reshape, operands=1),
}

#: The operators whose readers make a statistic of their input.
REDUCTIONS = frozenset({"GlobalAveragePool", "ReduceL2", "ReduceMean", "ReduceSum", "ReduceSumSquare"})


#: The operators that move elements and change none.
LAYOUT_OPERATORS = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})


def transfer_of(node: ir.Node) -> Transfer | None:
    """The node's row of the table, None for an operator that the algebra knows nothing of."""
    return None if node.domain else TRANSFER.get(node.op_type)
