"""Forms: what a value is in terms of a base tensor, and what the rules need to make one from others."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import onnx_ir as ir

from normgraph import algebra, axes, foreign
from normgraph.algebra import Polynomial
from normgraph.axes import Axis, Layout, Size
from normgraph.coefficients import coefficient
from normgraph.errors import NotRepresentable
from normgraph.facts import Facts

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
        foreign: the tensors known at run time only that were met, with their forms; None where such aren't followed.
        demanded: the axes of which a size was demanded since somebody last asked.
    """

    facts: Facts
    next_axis: int
    assumed: dict[Axis, int] = field(default_factory=dict)
    foreign: dict[ir.Value, Form] | None = None
    demanded: set[Axis] = field(default_factory=set)

    def fresh(self, shape: Sequence[Size]) -> Layout:
        """A layout of fresh axes."""
        layout = axes.fresh_layout(shape, self.next_axis, fresh=True)
        self.next_axis += len(shape)
        return layout

    def count(self, size: Size) -> Polynomial:
        """How many elements dimensions span whose product this is."""
        count = algebra.constant(float(size.factor))
        for symbol in size.symbols:
            count = count * algebra.extent(symbol)
        return count

    def aligned(self, a: Form, b: Form) -> tuple[Polynomial, Polynomial, Layout]:
        """Both values over the layout that they broadcast to."""
        if a.layout == b.layout:
            return a.value, b.value, a.layout
        try:
            result = axes.broadcast(a.layout, b.layout)
        except axes.Misaligned as misaligned:
            raise NotRepresentable("broadcast", str(misaligned)) from None
        for axis, size in result.assumed:
            self.demanded.add(axis)
            if self.assumed.setdefault(axis, size) != size:
                raise NotRepresentable(
                    "broadcast", f"a dimension of size {axis.size} meets constants of different sizes"
                )
        return a.value.renamed(result.left), b.value.renamed(result.right), result.layout

    def expanded(self, form: Form, shape: Sequence[Size]) -> Form:
        """The form broadcast to a shape, its dimensions of size one to fresh axes; a dynamic one is assumed to fit."""
        padded = ((),) * (len(shape) - len(form.layout)) + form.layout
        grown = [
            axes.ONE if size == axes.size_of(dimension) else size for size, dimension in zip(shape, padded, strict=True)
        ]
        value, _, layout = self.aligned(form, Form(algebra.constant(0.0), self.fresh(grown), form.dtype))
        return Form(value, layout, form.dtype)

    def met(self, value: ir.Value) -> Form:
        """The form of a tensor that is known at run time only, the same each time.

        Raises:
            NotRepresentable: its shape isn't known.
        """
        assert self.foreign is not None
        if value not in self.foreign:
            shape = self.facts.shape(value)
            if shape is None:
                raise NotRepresentable("shape", f"'{value.name}' is known at run time only, and so is its rank")
            tensor = foreign.atom(len(self.foreign), shape, self.next_axis)
            self.next_axis += len(shape)
            self.foreign[value] = Form(foreign.polynomial(tensor), tensor.layout, self.facts.dtype(value))
        return self.foreign[value]

    def constant(self, value: ir.Value) -> Form | None:
        """The form of a value that doesn't depend on the base tensor, None where it isn't a constant."""
        facts = self.facts
        known = facts.elements.get(value)
        if known is not None and len(known.sizes) == 1 and known.sizes[0] is not None and known.sizes[0].symbols:
            return Form(self.count(known.sizes[0]), ((),) * known.rank, facts.dtype(value))
        shape = facts.shapes.get(value)
        if shape is None:
            return None
        if value in facts.uniform:
            return Form(algebra.constant(facts.uniform[value]), self.fresh(shape), facts.dtype(value))
        if value in facts.expanded:
            source = self.constant(facts.expanded[value])
            return None if source is None else self.expanded(source, shape)
        if value not in facts.constants.known:
            return None
        if math.prod(size.factor for size in shape) > MAXIMAL_CONSTANT:
            raise NotRepresentable("too-complex", f"the constant '{value.name}' is too large to reason about")
        array = facts.constants.array(value)
        if array is None or array.dtype.kind not in "bfiuV" or not array.size:
            return None
        single = array.size == 1
        layout = ((),) * array.ndim if single else self.fresh(tuple(map(axes.static_size, array.shape)))
        return Form(algebra.constant(coefficient(array, layout)), layout, facts.dtype(value))


#: A transfer function: (node, forms of its operands, scope) → form of its first output.
Rule = Callable[[ir.Node, Sequence[Form], Scope], Form]
