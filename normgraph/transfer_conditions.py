"""Transfer functions of comparisons, of what combines them, and of the choice between two values."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir as ir

from normgraph.algebra import Polynomial
from normgraph.conditions import chosen
from normgraph.errors import NotRepresentable
from normgraph.forms import Form, Rule, Scope


def condition(operation: Callable[[Polynomial, Polynomial], Polynomial]) -> Rule:
    """The rule of an operator on two conditions."""

    def rule(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
        a, b, layout = scope.aligned(*operands)
        return Form(operation(a, b), layout, ir.DataType.BOOL)

    return rule


def comparison(operation: Callable[[Polynomial, Polynomial], Polynomial]) -> Rule:
    """The rule of an operator that compares two values.

    Where x is lost in one of them, or in their difference, what is left of it is the rounding: E[x − E[x]] isn't quite
    zero, and may have either sign.  Nothing is said of that.
    """

    def rule(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
        a, b, layout = scope.aligned(*operands)
        computed = [f for v, f in zip(node.inputs, operands, strict=True) if v is not None and not _is_exact(v, scope)]
        cancelled = any(form.value.constant is not None for form in computed)
        if cancelled or (computed and not (a - b).terms and node.inputs[0] is not node.inputs[1]):
            raise NotRepresentable("condition", f"what {node.op_type} finds depends on how its operands were rounded")
        return Form(operation(a, b), layout, ir.DataType.BOOL)

    return rule


def _is_exact(value: ir.Value, scope: Scope) -> bool:
    """Whether nothing of the value is lost to rounding: a constant, a shape, or v − v, which is zero if v is finite."""
    node = value.producer()
    if node is not None and node.op_type == "Sub" and not node.domain and node.inputs[0] is node.inputs[1]:
        return True
    return scope.facts.depends_on_shapes_only(value)


def negation(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
    """Not: [¬a] = 1 − a."""
    return Form(1 - operands[0].value, operands[0].layout, ir.DataType.BOOL)


def where(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
    """Where: the second operand where the first is true, else the third, all three broadcast."""
    test, first, second = operands
    a, b, layout = scope.aligned(first, second)
    a, c, whole = scope.aligned(Form(a, layout, first.dtype), test)
    b, _, _ = scope.aligned(Form(b, layout, second.dtype), test)
    return Form(chosen(c, a, b), whole, first.dtype)
