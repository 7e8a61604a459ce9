"""Transfer functions of the operators that multiply and add up: means and sums that are written as linear operators.

A matrix of eighths takes the mean of eight elements, and so does a convolution or a pooling whose even window covers
the whole extent.  These operators are followed only where their constant operand is such a one, or where they add up
products of values that are themselves followed; any other linear operator stays opaque.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from normgraph import algebra, axes
from normgraph.axes import ONE, Layout, Size
from normgraph.constants import attribute
from normgraph.errors import NotRepresentable
from normgraph.facts import Facts
from normgraph.forms import Form, Scope

#: What stands for one dimension in the terms of a contraction.
Label = str | tuple[str, int]


def is_matrix_mean(node: ir.Node, facts: Facts) -> bool:
    """Whether a MatMul or Gemm has even weights, or multiplies rows by columns: [.., 1, n] by [.., n, 1]."""
    factors = node.inputs[:2]
    for value in factors:
        if facts.constants.weights(value) is not None:
            return True
    shapes = [None if value is None else facts.shape(value) for value in factors]
    a, b = shapes if len(shapes) == 2 else (None, None)
    if node.op_type == "Gemm" or a is None or b is None or len(a) < 2 or len(b) < 2:
        return False
    return a[-2] == ONE and b[-1] == ONE and not any(facts.is_constant(value) for value in node.inputs)


def _even(value: ir.Value | None, facts: Facts) -> bool:
    found = facts.constants.weights(value)
    return found is not None and found.own == 0.0


def is_plain_einsum(node: ir.Node, facts: Facts) -> bool:
    """Whether an Einsum adds up its operand, its square, or its products with even weights."""
    constants = [value for value in node.inputs if facts.is_constant(value)]
    return all(_even(value, facts) for value in constants) and len(set(node.inputs) - set(constants)) == 1


def is_even_window(node: ir.Node, facts: Facts) -> bool:
    """Whether a Conv has even weights and no bias."""
    return _even(node.inputs[1] if len(node.inputs) > 1 else None, facts) and all(v is None for v in node.inputs[2:])


def is_whole_window(node: ir.Node, facts: Facts) -> bool:
    """Whether the windows of an AveragePool cover dimensions from end to end, or single elements."""
    return _covered(node, attribute(node, "kernel_shape", ()), facts) is not None


def _covered(node: ir.Node, kernel: Sequence[int | None], facts: Facts) -> list[int] | None:
    """The dimensions that a window covers from end to end, the others being left as they are; None for all else."""
    shape = facts.shape(node.inputs[0]) if node.inputs and node.inputs[0] is not None else None
    rank = len(kernel)
    if shape is None or len(shape) != rank + 2 or not rank:
        return None
    strides, dilations = (attribute(node, name) or (1,) * rank for name in ("strides", "dilations"))
    if any(attribute(node, "pads") or ()) or attribute(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return None
    covered: list[int] = []
    for position, width in enumerate(kernel):
        if width == 1 and strides[position] == 1:
            continue
        if width is None or shape[position + 2].static != width or dilations[position] != 1:
            return None
        covered.append(position + 2)
    return covered


def contract(operands: Sequence[Form], terms: Sequence[Sequence[Label]], result: Sequence[Label], scope: Scope) -> Form:
    """Multiply values whose dimensions are named and add up along the names that aren't in the result, as Einsum does.

    Σ_k a_ik·b_kj = n·E_k[a_ik·b_kj] for n the extent of k.
    """
    summed = [name for name in dict.fromkeys(name for term in terms for name in term) if name not in result]
    order = [*result, *summed]
    if any(len(set(term)) != len(term) for term in terms):
        raise NotRepresentable("broadcast", "the diagonal of a value is taken")
    whole: Form | None = None
    for form, term in zip(operands, terms, strict=True):
        if len(form.layout) != len(term):
            raise NotRepresentable("invalid-node", "an operand has another rank than its term")
        dimensions = dict(zip(term, form.layout, strict=True))
        spread = Form(form.value, tuple(dimensions.get(name, ()) for name in order), form.dtype)
        if whole is None:
            whole = spread
        else:
            a, b, layout = scope.aligned(whole, spread)
            whole = Form(a * b, layout, whole.dtype)
    assert whole is not None
    over = frozenset(axis for dimension in whole.layout[len(result) :] for axis in dimension)
    count = scope.count(axes.product(_extent(name, operands, terms) for name in summed))
    return Form(whole.value.mean(axis=over) * count, whole.layout[: len(result)], operands[0].dtype)


def _extent(name: Label, operands: Sequence[Form], terms: Sequence[Sequence[Label]]) -> Size:
    """The extent of a named dimension: as a constant has it, else as it is."""
    sizes = [
        axes.size_of(dimension)
        for form, term in zip(operands, terms, strict=True)
        for label, dimension in zip(term, form.layout, strict=True)
        if label == name and dimension
    ]
    return next((size for size in sizes if size.static is not None), sizes[0] if sizes else ONE)


def matrix_product(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
    """MatMul: rows of the one by columns of the other; leading dimensions broadcast."""
    a, b = operands
    left: list[Label] = [("batch", i) for i in range(len(a.layout) - 2, 0, -1)]
    right: list[Label] = [("batch", i) for i in range(len(b.layout) - 2, 0, -1)]
    rows: list[Label] = ["row"] if len(a.layout) > 1 else []
    columns: list[Label] = ["column"] if len(b.layout) > 1 else []
    result = [*max(left, right, key=len), *rows, *columns]
    return _product(node, (a, b), ([*left, *rows, "inner"], [*right, "inner", *columns]), result, scope)


def general_matrix_product(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
    """Gemm: α·A'·B' + β·C for matrices A and B, transposed where it is said so."""
    first: list[Label] = ["inner", "row"] if attribute(node, "transA", 0) else ["row", "inner"]
    second: list[Label] = ["column", "inner"] if attribute(node, "transB", 0) else ["inner", "column"]
    found = _product(node, operands[:2], (first, second), ["row", "column"], scope)
    found = Form(found.value * attribute(node, "alpha", 1.0), found.layout, found.dtype)
    if len(operands) < 3:
        return found
    a, c, layout = scope.aligned(found, operands[2])
    return Form(a + c * attribute(node, "beta", 1.0), layout, found.dtype)


def _product(
    node: ir.Node, operands: Sequence[Form], terms: Sequence[Sequence[Label]], result: Sequence[Label], scope: Scope
) -> Form:
    """A product of matrices; that with d·I + e is d·x + e·n·E[x]."""
    for position, value in enumerate(node.inputs[:2]):
        weights = scope.facts.constants.weights(value)
        if weights is None or weights.own == 0.0:
            continue
        form, term = operands[1 - position], terms[1 - position]
        place = list(term).index("inner")
        square = operands[position].layout[0]
        expected = tuple(square if i == place else () for i in range(len(term)))
        if not form.layout[place]:
            raise NotRepresentable("invalid-node", f"the operands of {node.op_type} don't fit")
        value_of, _, layout = scope.aligned(form, Form(algebra.constant(0.0), expected, form.dtype))
        moved = list(term)
        moved[place] = next(name for name in terms[position] if name != "inner")
        mean = value_of.mean(axis=frozenset(layout[place])) * scope.count(axes.size_of(square))
        whole = Form(value_of * weights.own + mean * weights.others, layout, form.dtype)
        return contract([whole], [moved], result, scope)
    return contract(operands, terms, result, scope)


def einsum(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
    """Einsum with an explicit result; what ... stands for is aligned at its end."""
    equation = str(attribute(node, "equation", "")).replace(" ", "")
    left, arrow, right = equation.partition("->")
    parts = left.split(",")
    if not arrow or len(parts) != len(operands):
        raise NotRepresentable("shape", f"what Einsum computes isn't said: '{equation}'")
    terms = [_labels(part, len(form.layout)) for part, form in zip(parts, operands, strict=True)]
    longest = max((sum(isinstance(label, tuple) for label in term) for term in terms), default=0)
    return contract(operands, terms, _labels(right, longest + len(right.replace("...", ""))), scope)


def _labels(term: str, rank: int) -> list[Label]:
    before, dots, behind = term.partition("...")
    hidden = rank - len(before) - len(behind) if dots else 0
    return [*before, *(("batch", i) for i in range(hidden, 0, -1)), *behind]


def convolution(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
    """Conv with weights that are all w: w·Σ x over the window, and over the channels unless each has its own window."""
    x, weights = operands[0], scope.facts.constants.weights(node.inputs[1])
    shape = scope.facts.shape(node.inputs[1]) if node.inputs[1] is not None else None
    assert weights is not None
    assert shape is not None
    groups = attribute(node, "group", 1)
    outputs, inputs, *kernel = (size.factor for size in shape)
    covered = _covered(node, kernel, scope.facts)
    if covered is None or (groups != 1 and (outputs, inputs) != (groups, 1)):
        raise NotRepresentable("weighted-mean", "the window of the Conv doesn't cover what it moves over")
    reduced = [1, *covered] if groups == 1 else covered
    over = frozenset(axis for position in reduced for axis in x.layout[position])
    count = inputs * int(np.prod([kernel[position - 2] for position in covered], dtype=np.int64))
    channels: Layout = scope.fresh([Size(outputs)]) if groups == 1 else (x.layout[1],)
    layout = tuple(
        channels[0] if position == 1 else () if position in reduced else dimension
        for position, dimension in enumerate(x.layout)
    )
    return Form(x.value.mean(axis=over) * (weights.others * count), layout, x.dtype)


def average_pool(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
    """AveragePool whose window covers dimensions from end to end."""
    form = operands[0]
    covered = _covered(node, attribute(node, "kernel_shape", ()), scope.facts)
    assert covered is not None
    over = frozenset(axis for position in covered for axis in form.layout[position])
    layout = tuple(() if position in covered else dimension for position, dimension in enumerate(form.layout))
    return Form(form.value.mean(axis=over), layout, form.dtype)


def global_average(node: ir.Node, operands: Sequence[Form], scope: Scope) -> Form:
    """GlobalAveragePool: over all dimensions but the first two."""
    form = operands[0]
    over = frozenset(axis for dimension in form.layout[2:] for axis in dimension)
    return Form(form.value.mean(axis=over), form.layout[:2] + ((),) * len(form.layout[2:]), form.dtype)
