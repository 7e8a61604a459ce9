"""What is done to a normalized tensor with tensors that are known at run time only: y = γ·n(x) + c ± β.

Where a graph multiplies γ into the deviation's reciprocal beforehand, x·(r·γ) + (β − μ·r·γ), no node makes n(x) by
itself.  The normalization without γ and β is put there, and behind it what broadcasts them as the graph did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from normgraph.algebra import Polynomial
from normgraph.atoms import Foreign
from normgraph.axes import Layout
from normgraph.coefficients import Coefficient
from normgraph.facts import Facts
from normgraph.foreign import carries, foreigners, parted
from normgraph.forms import Form
from normgraph.interpret import Interpretation
from normgraph.norms import Norm
from normgraph.region import foreign_operands


@dataclass(frozen=True, slots=True)
class Operand:
    """A tensor known at run time only.

    Attributes:
        value: the tensor, of the base's type.
        layout: the axes of the base that its dimensions were broadcast along; it is aligned with the output as it is.
    """

    value: ir.Value
    layout: Layout


@dataclass(frozen=True, slots=True)
class Outer:
    """What stands behind the normalization.

    Attributes:
        gain: γ, None where there is none.
        shift: c, a constant beside γ; zero where there is none.
        bias: β, None where there is none.
        negative: whether β is subtracted.
    """

    gain: Operand | None
    shift: Coefficient
    bias: Operand | None
    negative: bool

    @property
    def operands(self) -> tuple[Operand, ...]:
        """γ and β, if they are there."""
        return tuple(operand for operand in (self.gain, self.bias) if operand is not None)


def core_of(value: Polynomial) -> Polynomial | None:
    """What of a value is computed from x and constants alone, without γ, the shift and β; None where it isn't such."""
    if not carries(value):
        return value
    parts = parted(value)
    return None if parts is None else parts.core


def outer_of(form: Form, interpretation: Interpretation) -> Outer | None:
    """What stands behind the core of a value, None where nothing does."""
    parts = parted(form.value) if carries(form.value) else None
    if parts is None:
        return None

    def operand(tensor: Foreign | None) -> Operand | None:
        return None if tensor is None else Operand(interpretation.foreign[tensor.number], tensor.layout)

    return Outer(operand(parts.gain), parts.shift, operand(parts.bias), parts.negative)


def without_applied(
    recognised: Mapping[ir.Value, Norm],
    regions: Mapping[ir.Value, Sequence[ir.Node]],
    interpretation: Interpretation,
    facts: Facts,
) -> dict[ir.Value, Norm]:
    """Those of the values that are normalizations in a way that only tensors known at run time show.

    Where a node within the region makes a norm already, what is applied behind that stays as it is.  Nor can a value be
    made anew whose γ or β would have to be moved to be broadcast against it, or that reads more than these.
    """
    forms, base = interpretation.forms, interpretation.base
    numbers = {value: {tensor.number for tensor in foreigners(forms[value].value)} for value in recognised}
    kept: dict[ir.Value, Norm] = {}
    for value, norm in recognised.items():
        made = {output for node in regions[value] for output in node.outputs}
        nearer = (other for other in recognised if other is not value and other in made)
        if any(numbers[other] < numbers[value] for other in nearer):
            continue
        read = {interpretation.foreign[number] for number in numbers[value]}
        aligned = all(_is_aligned(tensor.layout, forms[value].layout) for tensor in foreigners(forms[value].value))
        if aligned and foreign_operands(regions[value], base, facts) == read:
            kept[value] = norm
    return kept


def _is_aligned(layout: Layout, whole: Layout) -> bool:
    """Whether a tensor broadcasts against another so that its dimensions meet its own axes, and none is added."""
    pairs = zip(reversed(layout), reversed(whole), strict=False)
    return len(layout) <= len(whole) and all(own in ((), other) for own, other in pairs)
