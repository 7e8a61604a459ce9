"""Affine maps per channel: where a graph computes scale·x + shift with constants, in whatever nodes.

An inference-mode BatchNormalization is one, and so are its decompositions into Sub, Div, Mul and Add and the chains of
several: in the algebra they are the polynomials of degree one without statistics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

import onnx_ir as ir

from normgraph.atoms import UNIT, Base
from normgraph.axes import ONE, Axis, Layout, axes_of, product
from normgraph.coefficients import Coefficient, axes_of_coefficient
from normgraph.facts import Facts
from normgraph.forms import Form
from normgraph.interpret import Interpretation
from normgraph.region import escapes, region_of
from normgraph.rewrite import label_of
from normgraph.transfer import LAYOUT_OPERATORS

#: The operators that affine maps are written with; what reads a value begins one only through these.
AFFINE_OPERATORS = frozenset({"Add", "BatchNormalization", "Cast", "Div", "Identity", "Mul", "Neg", "Sub", "Sum"})

#: A scale is looked for at most this many nodes behind a value.
MAXIMAL_LENGTH = 16
#: Of the values that an interpretation reaches, this many are looked at.
MAXIMAL_VALUES = 48


@dataclass(frozen=True)
class Affine:
    """output = scale·base + shift.

    Attributes:
        base: the tensor that is mapped.
        output: the result, of the base's type.
        scale: over whatever axes it varies along.
        shift: likewise.
        layout: the axes of the base's dimensions.
        output_layout: those of the output's.
        nodes: the nodes between, in the order of the graph.
        operands: of each node the position of an input that depends on the base.
    """

    base: ir.Value
    output: ir.Value
    scale: Coefficient
    shift: Coefficient
    layout: Layout
    output_layout: Layout
    nodes: tuple[ir.Node, ...]
    operands: tuple[int, ...]

    @property
    def axes(self) -> frozenset[Axis]:
        """The axes along which scale or shift vary."""
        return frozenset({*axes_of_coefficient(self.scale), *axes_of_coefficient(self.shift)})

    @property
    def is_normalization(self) -> bool:
        """Whether it is what a BatchNormalization leaves: such an operator, or a scale per channel."""
        return not isinstance(self.scale, float) or any(node.op_type == "BatchNormalization" for node in self.nodes)


def coefficients_of(form: Form) -> tuple[Coefficient, Coefficient] | None:
    """Scale and shift, if the form is affine in the base."""
    scale: Coefficient | None = None
    shift: Coefficient = 0.0
    for monomial, value in form.value.terms.items():
        if monomial == UNIT:
            shift = value
            continue
        if scale is not None or len(monomial) != 1:
            return None
        ((atom, exponent),) = monomial
        if not isinstance(atom, Base) or exponent != 1:
            return None
        scale = value
    return (0.0 if scale is None else scale, shift)


def affine_maps(interpretation: Interpretation, facts: Facts, *, rearranged: bool = False) -> list[Affine]:
    """The values that are affine maps of the base and close off their region, the furthest last.

    Args:
        interpretation: starting from the base.
        facts: the facts about the model.
        rearranged: take values, too, whose elements are those of the base in another order or shape.
    """
    base, forms, layout = interpretation.base, interpretation.forms, interpretation.layout
    elements = sorted(axis.index for axis in axes_of(layout))
    found: list[Affine] = []
    for value, form in islice(forms.items(), MAXIMAL_VALUES):
        producer = value.producer()
        if producer is None or value is base or form.dtype != forms[base].dtype:
            continue
        same = form.layout == layout
        if not same and not (rearranged and sorted(axis.index for axis in axes_of(form.layout)) == elements):
            continue
        if producer.op_type in LAYOUT_OPERATORS:  # it moves elements and maps none
            continue
        coefficients = coefficients_of(form)
        if coefficients is None:
            continue
        nodes = region_of(base, value, forms, facts)
        outside = escapes(nodes, base, forms, facts)
        outside.pop(value, None)
        if not outside:
            operands = tuple(next(i for i, v in enumerate(node.inputs) if v in forms) for node in nodes)
            found.append(Affine(base, value, *coefficients, layout, form.layout, nodes, operands))
    return found


def leads_to_scale(value: ir.Value, facts: Facts) -> bool:
    """Whether an affine map with a scale per channel may begin at the value: cheap, asked before interpreting anything.

    Follows the readers through operators of such maps until one multiplies by more than one number.
    """
    if len(value.uses()) > MAXIMAL_LENGTH:  # all of them would have to be nodes of the map
        return False
    pending, seen = [value], set[ir.Node]()
    while pending and len(seen) < MAXIMAL_LENGTH:
        current = pending.pop()
        for use in current.uses():
            node = use.node
            if node in seen or node.domain or node.op_type not in AFFINE_OPERATORS | LAYOUT_OPERATORS:
                continue
            seen.add(node)
            others = [v for v in node.inputs if v is not None and v is not current]
            if not all(facts.depends_on_shapes_only(other) for other in others):
                continue
            if node.op_type == "BatchNormalization":
                return True
            if node.op_type in ("Mul", "Div") and any(product(facts.shapes.get(v, ())) != ONE for v in others):
                return True
            pending.append(node.outputs[0])
    return False


def continues_affine(base: ir.Value, facts: Facts) -> bool:
    """Whether the value is itself made by an affine map that only goes on behind it, so that none begins there."""
    producer = base.producer()
    if producer is None or producer.domain or producer.op_type not in AFFINE_OPERATORS or len(base.uses()) != 1:
        return False
    operands = [value for value in producer.inputs if value is not None]
    return sum(not facts.depends_on_shapes_only(value) for value in operands) == 1


def names_of(nodes: Mapping[ir.Node, None] | tuple[ir.Node, ...]) -> tuple[str, ...]:
    """The names of nodes, for people."""
    return tuple(label_of(node) for node in nodes)
