"""Interpretation: from a base tensor forward through the graph, each value's form or the reason why it has none."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from normgraph import algebra, axes, foreign
from normgraph.atoms import Absolute, Base, Clamp, Foreign
from normgraph.axes import Axis, Dimension, Layout, SplitNeeded
from normgraph.errors import NotRepresentable
from normgraph.facts import OLDEST_OPSET, SIGNS_OF_INVALID_NODES, Facts
from normgraph.forms import Form, Scope
from normgraph.transfer import transfer_of

#: An interpretation visits at most this many nodes; no normalization is as long.
MAXIMAL_NODES = 400
#: A value so many nodes from the base isn't followed further; the longest normalization known is 27 nodes long.
MAXIMAL_DISTANCE = 48
#: Likewise where not even a statistic has been taken by then.
MAXIMAL_APPROACH = 16
#: Beyond this many roots within roots a value is that of a further norm, which has a base of its own.
MAXIMAL_DEPTH = 2
#: A base tensor's axes are split at most this many times.
MAXIMAL_SPLITS = 8
#: Where an operand has no form, the reason is looked for so many nodes before.
MAXIMAL_LOOKBACK = 6

_HALF_WIDENED = frozenset({ir.DataType.FLOAT, ir.DataType.DOUBLE})
#: The types that hold all numbers of a type.
_WIDER = {
    ir.DataType.BFLOAT16: _HALF_WIDENED,
    ir.DataType.FLOAT16: _HALF_WIDENED,
    ir.DataType.FLOAT: frozenset({ir.DataType.DOUBLE}),
}


@dataclass(frozen=True)
class Unknown:
    """A value that has no form.

    Attributes:
        rule: the stable code of what stands in the way.
        reason: the same as a sentence.
        node: the node that makes the value.
        operands: the forms of those operands that have one.
    """

    rule: str
    reason: str
    node: ir.Node
    operands: tuple[Form, ...]


@dataclass(frozen=True)
class Interpretation:
    """All that was found out starting from one base tensor.

    Attributes:
        base: the base tensor.
        layout: its axes, split as far as the reshapes behind it need.
        forms: the form of each value reached, in the order of the graph; the base comes first.
        unknowns: the nodes at which it ended.
        assumed: sizes that constants demand of dynamic axes.
        demanding: the nodes whose constants do, and the axes of which they demand it.
        foreign: the tensors known at run time only that were followed, by the numbers of their atoms.
    """

    base: ir.Value
    layout: Layout
    forms: dict[ir.Value, Form]
    unknowns: tuple[Unknown, ...]
    assumed: dict[Axis, int]
    demanding: dict[ir.Node, frozenset[Axis]]
    foreign: tuple[ir.Value, ...] = ()


def interpret(base: ir.Value, graph: ir.Graph, facts: Facts, *, with_foreign: bool = False) -> Interpretation | None:
    """Interpret what a graph computes from `base` alone and constants; None where the rank or opset forbids it.

    Args:
        base: the base tensor, made in the graph or captured from a graph around it.
        graph: the graph whose nodes are followed.
        facts: the facts about the model.
        with_foreign: follow factors and summands that are known at run time only, too, see `normgraph.foreign`.
    """
    shape = facts.shape(base)
    if shape is None or facts.opset < OLDEST_OPSET:
        return None
    layout = axes.fresh_layout(shape, 0, fresh=False)
    next_axis = len(shape)
    for _ in range(MAXIMAL_SPLITS):
        try:
            return _run(base, graph, layout, Scope(facts, next_axis, foreign={} if with_foreign else None))
        except SplitNeeded as needed:
            parts: Dimension = tuple(Axis(next_axis + i, size) for i, size in enumerate(needed.sizes))
            next_axis += len(parts)
            layout = axes.split_layout(layout, {needed.axis: parts})
    return None


def _run(base: ir.Value, graph: ir.Graph, layout: Layout, scope: Scope) -> Interpretation:
    facts = scope.facts
    forms = {base: Form(algebra.base(axes.axes_of(layout)), layout, facts.dtype(base))}
    unknowns: list[Unknown] = []
    lost: dict[ir.Value, Unknown] = {}
    queue: list[tuple[int, ir.Node, int]] = []
    queued: set[ir.Node] = set()
    demanding: dict[ir.Node, frozenset[Axis]] = {}
    positions = facts.positions

    def enqueue_readers(value: ir.Value, distance: int) -> None:
        for use in value.uses():
            reader = use.node
            if reader not in queued and reader.graph is graph and reader in positions:
                queued.add(reader)
                heapq.heappush(queue, (positions[reader], reader, distance))

    enqueue_readers(base, 1)
    visited = 0
    while queue and visited < MAXIMAL_NODES:
        _, node, distance = heapq.heappop(queue)
        visited += 1
        result = _form_of(node, base, forms, lost, scope)
        if scope.demanded:
            demanding[node] = frozenset(scope.demanded)
            scope.demanded.clear()
        if isinstance(result, Unknown):
            unknowns.append(result)
            lost.update((output, result) for output in node.outputs)
        elif result is not None and result.value.depth <= MAXIMAL_DEPTH:
            output = node.outputs[0]
            forms[output] = result
            if distance < MAXIMAL_APPROACH or (distance < MAXIMAL_DISTANCE and _has_statistic(result)):
                enqueue_readers(output, distance + 1)
    return Interpretation(base, layout, forms, tuple(unknowns), scope.assumed, demanding, tuple(scope.foreign or ()))


def _has_statistic(form: Form) -> bool:
    """Whether a statistic stands in the form, and not only the base, however often it was clamped or multiplied."""
    return any(
        not isinstance(atom, Base | Clamp | Absolute | Foreign) for monomial in form.value.terms for atom, _ in monomial
    )


def _form_of(
    node: ir.Node, base: ir.Value, forms: dict[ir.Value, Form], lost: dict[ir.Value, Unknown], scope: Scope
) -> Form | Unknown | None:
    """The form of the node's first output; None where the node reads shapes only or isn't arithmetic at all.

    Where an operand was lost before, the reason is what lost it.
    """
    transfer = transfer_of(node, scope.facts)
    if transfer is None:
        return None
    values = transfer.operands_of(node)
    if forms.keys().isdisjoint(values):
        return None
    operands: list[Form] = []
    try:
        for position, value in enumerate(values):
            if value is None:
                continue
            form = forms.get(value) or scope.constant(value) or _foreign(value, position, node, base, forms, scope)
            if form is None:
                return _without(value, node, _reached(values, forms), lost, scope.facts)
            operands.append(form)
        if not scope.foreign:
            return transfer.rule(node, operands, scope)
        polynomials = [form.value for form in operands]
        foreign.check_operands(node.op_type, polynomials, [scope.facts.shapes[value] for value in scope.foreign])
        result = transfer.rule(node, operands, scope)
        foreign.check_result(polynomials, result.value)
        return result
    except NotRepresentable as failure:
        return Unknown(failure.rule, str(failure), node, _reached(values, forms))
    except SIGNS_OF_INVALID_NODES as failure:
        reason = f"{node.op_type} doesn't fit its operands: {failure}"
        return Unknown("invalid-node", reason, node, _reached(values, forms))


def _foreign(
    value: ir.Value, position: int, node: ir.Node, base: ir.Value, forms: dict[ir.Value, Form], scope: Scope
) -> Form | None:
    """The form of an operand that is known at run time only, None where such aren't followed.

    It is of the base's type.  If a Cast has widened it before, the Cast is taken into what is interpreted.
    """
    reached = [form.value for form in _reached(node.inputs, forms)]
    if scope.foreign is None or not foreign.may_enter(node.op_type, position, reached):
        return None
    dtype, own = scope.facts.dtype(base), scope.facts.dtype(value)
    if own == dtype:
        return scope.met(value)
    producer = value.producer()
    if producer is None or producer.op_type != "Cast" or producer.domain or producer.graph is not node.graph:
        return None
    source = producer.inputs[0]
    if source is None or dtype is None or scope.facts.dtype(source) != dtype or own not in _WIDER.get(dtype, ()):
        return None
    met = scope.met(source)
    forms[value] = Form(met.value, met.layout, own)
    return forms[value]


def _reached(values: Sequence[ir.Value | None], forms: dict[ir.Value, Form]) -> tuple[Form, ...]:
    """The forms of those values that have one."""
    return tuple(forms[value] for value in values if value is not None and value in forms)


def _without(
    value: ir.Value, node: ir.Node, reached: tuple[Form, ...], lost: dict[ir.Value, Unknown], facts: Facts
) -> Unknown:
    """Why a node has no form one of whose operands has none."""
    earlier = _lost_before(value, lost, facts)
    if earlier is not None:
        return Unknown(earlier.rule, earlier.reason, earlier.node, reached + earlier.operands)
    what = f"'{value.name}', an operand of {node.op_type}"
    return Unknown("different-base", f"{what}, is neither constant nor computed from the input", node, reached)


def _lost_before(value: ir.Value, lost: dict[ir.Value, Unknown], facts: Facts) -> Unknown | None:
    """What lost the value, or what it was made of a few nodes before with nothing but constants."""
    for _ in range(MAXIMAL_LOOKBACK):
        if value in lost:
            return lost[value]
        node = value.producer()
        transfer = None if node is None else transfer_of(node, facts)
        operands = () if node is None or transfer is None else transfer.operands_of(node)
        varying = [operand for operand in operands if operand is not None and not facts.depends_on_shapes_only(operand)]
        if len(varying) != 1:
            return None
        value = varying[0]
    return None
