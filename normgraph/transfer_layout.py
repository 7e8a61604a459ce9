"""Transfer functions of the operators that move elements and change none."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from normgraph import algebra, axes
from normgraph.axes import Size
from normgraph.constants import attribute
from normgraph.errors import NotRepresentable
from normgraph.forms import Form, Scope


def transpose(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
    """Transpose: y's dimension i is x's dimension perm[i]."""
    form = operands[0]
    order = attribute(node, "perm") or range(len(form.layout))[::-1]
    return Form(form.value, axes.permute(form.layout, order), form.dtype)


def reshape(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
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
        raise NotRepresentable("reshape", f"{node.op_type} splits a dimension that a constant brought along") from None


def expand(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
    """Expand broadcasts to a shape."""
    shape = scope.facts.shape(node.outputs[0])
    if shape is None:
        raise NotRepresentable("shape", "the shape that Expand makes isn't known")
    return scope.expanded(operands[0], shape)


def tile(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
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


def concat(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
    """Concat of one value is that value."""
    if len(operands) != 1:
        raise NotRepresentable("concat", "values are concatenated")
    return operands[0]
