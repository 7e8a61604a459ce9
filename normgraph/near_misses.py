"""Near misses: statistics that look like part of a normalization and aren't, and the node at which it goes wrong."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

import onnx_ir as ir

from normgraph.atoms import Base, Mean
from normgraph.borders import across_borders
from normgraph.diagnosis import Shortfall, begins_to_fail, diagnose, is_divisor, looks_normalized
from normgraph.facts import Facts
from normgraph.foreign import foreigners
from normgraph.forms import Form
from normgraph.interpret import Interpretation, Unknown
from normgraph.norms import recognise
from normgraph.transfer import is_reduction, transfer_of

#: A root is looked for at most this many nodes behind a statistic that couldn't be followed further.
MAXIMAL_LOOKAHEAD = 16
#: Rules that say little: any other reason for the same statistic is given instead.
UNTELLING = frozenset({"different-base", "not-a-normalization"})
_ROOTS = frozenset({"Sqrt", "Pow", "ReduceL2"})
#: What may become of a gain that is known at run time only.
_OF_FOREIGN = frozenset({"broadcast", "different-base", "shape"})
#: What would change it, where it is known more closely than the rule says.
_BEHIND = "make it a constant, or multiply by it behind the normalization: ((x − mean)·r)·γ"


@dataclass(frozen=True)
class NearMiss:
    """A statistic that looks like part of a normalization but isn't.

    Attributes:
        reduction: the node that makes the statistic.
        node: the node at which it goes wrong.
        shortfall: why.
    """

    reduction: ir.Node
    node: ir.Node
    shortfall: Shortfall


#: A node at which it goes wrong, and why.
Miss = tuple[ir.Node, Shortfall]


def most_telling(misses: Iterable[Miss]) -> Miss | None:
    """The first that says something, else the first."""
    return min(misses, key=lambda miss: miss[1].rule in UNTELLING, default=None)


def misses_in(interpretation: Interpretation, facts: Facts, matched: Collection[ir.Node] = ()) -> Iterator[Miss]:
    """The first value behind a statistic that looks normalized and isn't, and the nodes where it got lost.

    Args:
        interpretation: the forms.
        facts: the facts about the model.
        matched: nodes of normalizations, which need no explanation.
    """
    for value, form in interpretation.forms.items():
        producer = value.producer()
        if producer is None or producer in matched or value is interpretation.base:
            continue
        if looks_normalized(form.value) and recognise(form.value, interpretation.layout) is None:
            shortfall = diagnose(form.value)
            yield producer, _at(_origin(interpretation, shortfall) or producer, shortfall)
            break
    for unknown in (_norms_aside(each, interpretation) for each in interpretation.unknowns):
        if _lost_on_the_way(unknown, facts):
            remedy = _BEHIND if unknown.rule == "different-base" and _scales_divisor(unknown) else ""
            yield unknown.node, _at(unknown.node, Shortfall(unknown.rule, unknown.reason, remedy))
    yield from ((node, _at(node, shortfall)) for node, shortfall in across_borders(interpretation, facts))


def where_lost(miss: Miss, followed: Interpretation) -> Miss:
    """The same, or what becomes of a tensor known at run time only where the reason is nothing but that it is met.

    Args:
        miss: what stands in the way if such tensors aren't followed.
        followed: the interpretation that follows them.
    """
    node, shortfall = miss
    if shortfall.rule != "different-base" or shortfall.remedy != _BEHIND:
        return miss
    met = _foreign_in(form for value, form in followed.forms.items() if value.producer() is node)
    unknowns = (u for u in followed.unknowns if u.node is node or not met.isdisjoint(_foreign_in(u.operands)))
    lost = next((u for u in unknowns if u.rule in _OF_FOREIGN), None)
    return miss if lost is None else (lost.node, _at(lost.node, Shortfall(lost.rule, lost.reason, _BEHIND)))


def _foreign_in(forms: Iterable[Form]) -> set[int]:
    """Which tensors known at run time only the forms carry, by their numbers."""
    return {tensor.number for form in forms for tensor in foreigners(form.value)}


def _norms_aside(unknown: Unknown, interpretation: Interpretation) -> Unknown:
    """The same without operands that are norms, where it meets what isn't known: a gain behind them is in its place."""
    if unknown.rule != "different-base":
        return unknown
    others = (form for form in unknown.operands if recognise(form.value, interpretation.layout) is None)
    return replace(unknown, operands=tuple(others))


def _scales_divisor(unknown: Unknown) -> bool:
    """Whether a gain that isn't known meets 1/deviation before x does: x·(r·γ)."""
    factors = [f for form in unknown.operands for monomial in form.value.terms for f in monomial]
    plain = not any(isinstance(atom, Base) for atom, _ in factors)
    return unknown.node.op_type == "Mul" and plain and any(is_divisor(atom, e) and e < 0 for atom, e in factors)


def _origin(interpretation: Interpretation, shortfall: Shortfall) -> ir.Node | None:
    """The first node of whose result the diagnosis holds already, None where only the whole shows it."""
    values = (value for value, form in interpretation.forms.items() if begins_to_fail(form.value, shortfall))
    return next((value.producer() for value in values), None)


def _at(node: ir.Node, shortfall: Shortfall) -> Shortfall:
    """The same, with the name of the node."""
    name = node.name or node.outputs[0].name
    return replace(shortfall, reason=f"at {node.op_type} '{name}', {shortfall.reason}")


def _lost_on_the_way(unknown: Unknown, facts: Facts) -> bool:
    """Whether a statistic of the base went into a node that has no form, and a root is taken before or behind it."""
    factors = [factor for form in unknown.operands for monomial in form.value.terms for factor in monomial]
    if any(is_divisor(atom, exponent) for atom, exponent in factors):
        return True
    statistic = is_reduction(unknown.node, facts) or any(isinstance(atom, Mean) for atom, _ in factors)
    if not statistic:
        return False
    pending, seen = [unknown.node], set[ir.Node]()
    while pending and len(seen) < MAXIMAL_LOOKAHEAD:
        node = pending.pop(0)
        if node in seen or transfer_of(node, facts) is None:
            continue
        seen.add(node)
        if node.op_type in _ROOTS:
            return True
        pending.extend(reader for output in node.outputs for reader in output.consumers())
    return False


def causes(misses: Iterable[NearMiss]) -> list[NearMiss]:
    """The near misses without those that only come of others: an operand is foreign for what went wrong near by."""
    found = list(misses)
    nodes = {miss.node for miss in found}
    telling = {miss.node for miss in found if miss.shortfall.rule not in UNTELLING - {"not-a-normalization"}}
    return [
        miss
        for miss in found
        if miss.shortfall.rule != "different-base"
        or not (_comes_behind(miss.node, nodes - {miss.node}) or any(_comes_behind(n, {miss.node}) for n in telling))
    ]


def _comes_behind(node: ir.Node, others: set[ir.Node]) -> bool:
    """Whether what the node reads was made by one of the others, at most a few nodes before."""
    pending, seen = [node], set[ir.Node]()
    while others and pending and len(seen) < MAXIMAL_LOOKAHEAD:
        current = pending.pop(0)
        if current in others:
            return True
        if current not in seen:
            seen.add(current)
            pending.extend(p for v in current.inputs if v is not None and (p := v.producer()) is not None)
    return False
