"""Foreign tensors: factors and summands of a normalization that are neither constant nor computed from x.

TensorFlow's x·(r·γ) + (β − μ·r·γ) with γ known at run time only is γ·n(x) + β.  In the algebra γ and β are atoms of
which nothing is known.  What is computed with them is followed only as long as each product has at most one of them as
a plain factor, and none gets lost, so that what is read off holds for all their values: also for zero, and whatever
they are computed from themselves.

This module knows nothing of ONNX but the names of its operators.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from normgraph.algebra import Polynomial
from normgraph.atoms import UNIT, Base, Foreign, Monomial
from normgraph.axes import ONE, Axis, Layout, Size, size_of
from normgraph.coefficients import Coefficient
from normgraph.errors import NotRepresentable

#: The operators through which a foreign tensor is followed: sums, and products in which it is a factor; …
FOLLOWED = frozenset({"Add", "Cast", "Div", "Identity", "Mul", "Neg", "Sub", "Sum", "Transpose"})
#: Those of them at which a foreign tensor may be met.
ENTERED = frozenset({"Add", "Div", "Mul", "Sub", "Sum"})
#: … and, where it is sure to be as large as what it was broadcast against, those that count elements.
COUNTING = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze"})


def atom(number: int, shape: Sequence[Size], first_index: int) -> Foreign:
    """A foreign tensor of this shape, its axes fresh."""
    layout: Layout = tuple(
        () if size == ONE else (Axis(first_index + position, size, fresh=True, yields=True),)
        for position, size in enumerate(shape)
    )
    return Foreign(number, layout)


def polynomial(tensor: Foreign) -> Polynomial:
    """The tensor as a polynomial."""
    return Polynomial({frozenset([(tensor, 1)]): 1.0})


def foreigners(value: Polynomial) -> frozenset[Foreign]:
    """The foreign tensors in the terms of a polynomial."""
    return frozenset(atom for monomial in value.terms for atom, _ in monomial if isinstance(atom, Foreign))


def carries(value: Polynomial) -> bool:
    """Whether a foreign tensor stands in the polynomial."""
    return any(isinstance(atom, Foreign) for monomial in value.terms for atom, _ in monomial)


def may_enter(operator: str, position: int, others: Sequence[Polynomial]) -> bool:
    """Whether a foreign operand at this position is followed, beside these values that are computed from x.

    A factor is followed wherever x is multiplied by it, a summand only where something has been divided by a deviation
    already: what is added to x itself mostly makes another tensor.
    """
    if operator == "Mul":
        return True
    if operator == "Div":
        return position == 0
    return operator in ENTERED and any(_has_divisor(value) for value in others)


def _has_divisor(value: Polynomial) -> bool:
    return any(exponent < 0 for monomial in value.terms for _, exponent in monomial)


def check_operands(operator: str, operands: Sequence[Polynomial], shapes: Sequence[Sequence[Size]]) -> None:
    """Refuse what isn't linear in the foreign tensors among the operands.

    Args:
        operator: what is done with them.
        operands: its operands.
        shapes: the shapes of the foreign tensors, by their numbers.

    Raises:
        NotRepresentable: the operator isn't one that they are followed through.
    """
    carrying = [carries(value) for value in operands]
    if not any(carrying):
        return
    tensors = foreigners(operands[0])
    sizes_are_sure = all(tuple(map(size_of, tensor.layout)) == tuple(shapes[tensor.number]) for tensor in tensors)
    if operator not in FOLLOWED and not (operator in COUNTING and sizes_are_sure):
        raise NotRepresentable("different-base", f"a gain or bias known at run time only goes into {operator}")
    if operator == "Div" and carrying[1]:
        raise NotRepresentable("different-base", "a tensor known at run time only is divided by")
    if operator == "Mul" and all(carrying):
        raise NotRepresentable("different-base", "two gains known at run time only are multiplied within")


def check_result(operands: Sequence[Polynomial], result: Polynomial) -> None:
    """Refuse a result in which a foreign tensor of the operands got lost.

    Raises:
        NotRepresentable: the sum doesn't depend on it any more.
    """
    before = {tensor.number for value in operands for tensor in foreigners(value)}
    if before != {tensor.number for tensor in foreigners(result)}:
        raise NotRepresentable("different-base", "a gain or bias known at run time only is taken away again")


@dataclass(frozen=True, slots=True)
class Parted:
    """A value as γ·core + shift ± β.

    Attributes:
        core: what is computed from x and constants alone; where there is a γ, divided by it.
        gain: γ, None where there is none.
        shift: what is added beside β where there is a γ.
        bias: β, None where there is none.
        negative: whether β is subtracted.
    """

    core: Polynomial
    gain: Foreign | None
    shift: Coefficient
    bias: Foreign | None
    negative: bool


def parted(value: Polynomial) -> Parted | None:
    """The value as γ·core + shift ± β, or None where it isn't one."""
    parts: dict[Foreign | None, dict[Monomial, Coefficient]] = {}
    for monomial, coefficient in value.terms.items():
        found = [factor for factor in monomial if isinstance(factor[0], Foreign)]
        if len(found) > 1 or any(exponent != 1 for _, exponent in found):
            return None
        tensor = found[0][0] if found else None
        assert tensor is None or isinstance(tensor, Foreign)
        parts.setdefault(tensor, {})[monomial - frozenset(found)] = coefficient
    own = parts.pop(None, {})
    gains = [tensor for tensor, terms in parts.items() if any(_has_base(monomial) for monomial in terms)]
    biases = [tensor for tensor in parts if tensor not in gains]
    if len(gains) > 1 or len(biases) > 1 or (gains and own.keys() - {UNIT}):
        return None
    gain, bias = (gains[0] if gains else None), (biases[0] if biases else None)
    factor = 0.0 if bias is None else parts[bias].get(UNIT, 0.0)
    if bias is not None and (len(parts[bias]) != 1 or factor not in (1.0, -1.0)):
        return None
    if gain is not None and bias is not None and gain.number == bias.number:
        return None
    core = Polynomial(own if gain is None else parts[gain])
    return Parted(core, gain, 0.0 if gain is None else own.get(UNIT, 0.0), bias, factor == -1.0)


def _has_base(monomial: Monomial) -> bool:
    return any(isinstance(atom, Base) for atom, _ in monomial)
