"""Transfer functions of comparisons, of what combines them, and of the choice between two values."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir as ir

from normgraph.algebra import Polynomial
from normgraph.conditions import chosen
from normgraph.forms import Form, Rule, Scope


def condition(operation: Callable[[Polynomial, Polynomial], Polynomial]) -> Rule:
    """The rule of an operator on two values that makes a condition."""

    def rule(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
        a, b, layout = scope.aligned(*operands)
        return Form(operation(a, b), layout, ir.DataType.BOOL)

    return rule


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
