"""Borders: a statistic that is taken on one side of the border of an If, a Loop or a Scan, and divides on the other.

A region lies in one graph. What of it stands in another can't be replaced with it, and the reason is told.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from normgraph.atoms import Base, Mean
from normgraph.diagnosis import Shortfall, is_divisor
from normgraph.facts import Facts
from normgraph.forms import Form
from normgraph.interpret import Interpretation
from normgraph.transfer import transfer_of

#: What is made of a statistic is followed at most so many nodes.
MAXIMAL_FOLLOWED = 16
_ROOTS = frozenset({"Sqrt", "Pow", "ReduceL2"})
_ONE_SIDE = "compute the whole normalization inside of the branch or body, or outside of it"


def across_borders(interpretation: Interpretation, facts: Facts) -> Iterator[tuple[ir.Node, Shortfall]]:
    """The first statistic that meets x only beyond a border: what makes it, and why it can't be replaced."""
    near = _near(interpretation)
    for value, form in interpretation.forms.items():
        producer = value.producer()
        if producer is None or value is interpretation.base or not _is_statistic(form):
            continue
        divides = _is_divisor(form)
        meeting = _meeting(value, near, facts, rooted=divides)
        if meeting is not None:
            named = f"{meeting.op_type} '{meeting.name or meeting.outputs[0].name}'"
            what = f"the {'deviation' if divides else 'variance'} '{value.name}' is taken"
            side = f"outside of the branch or body in which {named} reads it"
            if value.is_graph_output():
                side = f"inside of a branch or body, and {named} divides outside of it"
            elif meeting.graph is producer.graph or not divides:
                side = f"on one side of the border of a branch or body, and its root, or {named}, on the other"
            yield producer, Shortfall("different-base", f"{what} {side}", _ONE_SIDE)
            return


def _near(interpretation: Interpretation) -> set[ir.Value]:
    """Values with x in them, centred or not, and what the base was made of."""
    base = interpretation.base
    found = {value for value, form in interpretation.forms.items() if _holds_base(form)}
    producer = base.producer()
    return found | {value for value in (() if producer is None else producer.inputs) if value is not None}


def _holds_base(form: Form) -> bool:
    return any(isinstance(atom, Base) and e == 1 for monomial in form.value.terms for atom, e in monomial)


def _is_divisor(form: Form) -> bool:
    return any(is_divisor(atom, e) for monomial in form.value.terms for atom, e in monomial)


def _is_statistic(form: Form) -> bool:
    """Whether it is made of means of squares, x itself aside."""
    if _holds_base(form):
        return False
    atoms = [atom for monomial in form.value.terms for atom, _ in monomial]
    squares = any(e > 1 for atom in atoms if isinstance(atom, Mean) for a, e in atom.of if isinstance(a, Base))
    return squares or _is_divisor(form)


def _meeting(value: ir.Value, near: set[ir.Value], facts: Facts, *, rooted: bool) -> ir.Node | None:
    """The node at which x is divided by what a statistic becomes beyond a border."""
    producer = value.producer()
    assert producer is not None
    pending = [(value, rooted, False)]
    seen: set[ir.Node] = set()
    while pending and len(seen) < MAXIMAL_FOLLOWED:
        current, under_root, crossed = pending.pop(0)
        made = current.producer()
        for use in current.uses():
            node = use.node
            beyond = crossed or (made is not None and node.graph is not made.graph)
            if node in seen or (not beyond and current is not value):
                continue
            if not beyond and node.graph is producer.graph:
                continue  # on this side it is followed by the interpretation
            seen.add(node)
            others = {operand for operand in node.inputs if operand is not None} - {current}
            if under_root and node.op_type in ("Div", "Mul") and not near.isdisjoint(others):
                return node
            if transfer_of(node, facts) is not None:
                pending += [(output, under_root or node.op_type in _ROOTS, True) for output in node.outputs]
        outer = _outer(current, facts)
        if outer is not None:
            pending.append((outer, under_root, True))
    return None


def _outer(value: ir.Value, facts: Facts) -> ir.Value | None:
    """What a value that leaves a branch or a body is called outside."""
    graph = value.graph
    owner = facts.owners.get(graph) if graph is not None and value.is_graph_output() else None
    if owner is None or graph is None:
        return None
    position = list(graph.outputs).index(value) - (owner.op_type == "Loop")  # whose body tells first whether to go on
    return owner.outputs[position] if 0 <= position < len(owner.outputs) else None
