"""Plans: which linear operators take in an affine map, and what their weights become.

One search for all pairs of operators: from an affine map it goes backward, or forward, through the passages of
`normgraph.folding.passages` until it stands at rows of `normgraph.folding.linear.LINEAR` on every way, and
asks these for new weights. They are composed in float64 and rounded once.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import onnx_ir as ir

from normgraph.affine import AFFINE_OPERATORS, Affine, affine_maps, continues_affine, leads_to_scale
from normgraph.constants import Array
from normgraph.diagnosis import Shortfall
from normgraph.facts import FLOATING, Facts
from normgraph.folding.channel_map import ChannelMap, identity, over_base
from normgraph.folding.linear import LINEAR, Linear, linear_of
from normgraph.folding.linear_operator import Absorb, Fill
from normgraph.folding.moves import Edit, called
from normgraph.folding.normalizations import normalization_of
from normgraph.folding.passages import passage_of
from normgraph.folding.plan import Ahead, Change, FoldPlan, Refusal, Region
from normgraph.folding.precision import rounded
from normgraph.interpret import interpret

BACKWARD, FORWARD, DUPLICATE, COMPOSE = "backward", "forward", "duplicate", "compose"
#: A map is carried through at most this many passages.
MAXIMAL_PASSAGES = 64
#: Pad takes its sizes as inputs since this opset.
PADS_ARE_INPUTS = 11


def plans_for(
    direction: str, graph: ir.Graph, facts: Facts, taken: Container[ir.Node] = frozenset()
) -> Iterator[FoldPlan | Refusal]:
    """What can be folded in a direction, and what can't, in the order of the graph.

    Args:
        direction: where maps are folded to.
        graph: the graph.
        facts: the facts about the model.
        taken: nodes of which nothing is folded, since they belong to other normalizations.
    """
    covered: set[ir.Node] = set()
    plan_of = _forward_plan if direction == FORWARD else partial(_backward_plan, direction=direction)
    bases: set[ir.Value] = set()
    for node in graph:
        if node in covered or node in facts.dead or node.domain or node.op_type not in AFFINE_OPERATORS:
            continue
        base = next((v for v in node.inputs if v is not None and not facts.depends_on_shapes_only(v)), None)
        if base is None or base in bases or facts.dtype(base) not in FLOATING or not leads_to_scale(base, facts):
            continue
        if direction not in (FORWARD, COMPOSE) and continues_affine(base, facts):
            continue
        bases.add(base)
        interpretation = interpret(base, graph, facts)
        if interpretation is None:
            continue
        refusal: Refusal | None = None
        maps = affine_maps(interpretation, facts, rearranged=True)
        for affine in reversed(maps):
            if not affine.is_normalization or not covered.isdisjoint(affine.nodes):
                continue
            if affine.base.producer() in taken or any(node in taken for node in affine.nodes):
                continue
            result = plan_of(affine, facts)
            if isinstance(result, FoldPlan):
                covered.update(affine.nodes)
                yield result
                break
            refusal = refusal or Refusal(affine.nodes, affine.base, direction, result, affine)
        else:
            if refusal is not None:
                yield refusal


@dataclass
class _Walk:
    """What a search has come across.

    Attributes:
        changes: the linear operators, each with the way that led to it.
        edits: constants of passages that change.
        passed: the passages.
        duplicates: whether an operator may be copied that something else reads.
        composes: whether a BatchNormalization takes the map in, too.
    """

    facts: Facts
    duplicates: bool = False
    composes: bool = False
    changes: list[tuple[Change, tuple[ir.Node, ...]]] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    passed: dict[ir.Node, None] = field(default_factory=dict)

    def readers(self, value: ir.Value) -> list[ir.Node]:
        """The nodes that read a value's elements; what only asks for its shape gets the same from any map of it."""
        return [node for node in value.consumers() if node not in self.facts.dead and not reads_shape(node)]

    def enter(self, node: ir.Node) -> Shortfall | None:
        """Note a passage; none is entered twice, since two maps would meet in it."""
        if node in self.passed:
            return Shortfall("layout", f"it would reach {called(node)} on two ways")
        if len(self.passed) >= MAXIMAL_PASSAGES:
            return Shortfall("no-neighbour", "no linear operator stands near it")
        self.passed[node] = None
        return None

    def take(
        self, linear: Linear, absorb: Absorb, channel_map: ChannelMap, way: tuple[ir.Node, ...], *, copied: bool = False
    ) -> Shortfall | None:
        """Note a linear operator's new weights, or say why it can't have them or why they can't be stored."""
        if any(change.linear.node is linear.node for change, _ in self.changes):
            return Shortfall("layout", f"it would reach {called(linear.node)} on two ways")
        found = _absorbed(linear, absorb, channel_map)
        if isinstance(found, Shortfall):
            return found
        weight, bias, fill = found
        self.changes.append((Change(linear, weight, bias, fill, copied), way))
        return None


def _absorbed(
    linear: Linear, absorb: Absorb, channel_map: ChannelMap
) -> tuple[Array, Array | None, Fill | None] | Shortfall:
    """The weight and the bias of a linear operator with a map in them, and what it has to pad with."""
    weights = absorb(linear.node, linear.weights(), channel_map)
    if isinstance(weights, Shortfall):
        return weights
    stored = rounded(linear, weights)
    return stored if isinstance(stored, Shortfall) else (*stored, weights.fill)


def reads_shape(node: ir.Node) -> bool:
    """Whether a node asks for nothing but the shape of its operand."""
    return node.op_type in ("Shape", "Size") and not node.domain


def _backward_plan(affine: Affine, facts: Facts, direction: str) -> FoldPlan | Shortfall:
    """The plan that takes the map into what computes its base."""
    channel_map = over_base(affine)
    if channel_map is None:
        return Shortfall("layout", "it varies along an axis that what it maps hasn't got")
    walk = _Walk(facts, direction == DUPLICATE, direction == COMPOSE)
    shortfall = _back(affine.base, channel_map, frozenset(affine.nodes), walk)
    if shortfall is not None:
        return shortfall
    nodes = _in_order({*affine.nodes, *walk.passed, *(change.linear.node for change, _ in walk.changes)}, facts)
    first = min((change.linear for change, _ in walk.changes), key=lambda linear: facts.positions[linear.node])
    over = _over_output(affine, channel_map)
    channel = next(iter(over.varying)) if over is not None and len(over.varying) == 1 else None
    region = Region(first.data, affine.output, nodes, first.node.graph, channel)
    changes = tuple(change for change, _ in walk.changes)
    return FoldPlan(affine, direction, changes, tuple(walk.edits), (region,), _channels(channel_map, changes, facts))


def _channels(channel_map: ChannelMap, changes: tuple[Change, ...], facts: Facts) -> int | None:
    """How many channels a map scales: those that differ, or all of the one operator that takes it in."""
    if channel_map.varying:
        return channel_map.channels
    (linear, *others) = (change.linear for change in changes)
    shape, dimension = facts.shape(linear.output), linear.channel
    return None if others or shape is None or dimension is None else shape[dimension].static


def _back(value: ir.Value, channel_map: ChannelMap, readers: frozenset[ir.Node], walk: _Walk) -> Shortfall | None:
    """Take a map of a value into what makes it; `readers` are all that may read it."""
    producer = value.producer()
    if producer is None:
        return Shortfall("no-neighbour", f"'{value.name}' is fed, not made by anything linear")
    linear = linear_of(producer, walk.facts)
    if linear is None and walk.composes:
        linear = normalization_of(producer, walk.facts)
    passage = passage_of(producer)
    if linear is None and (passage is None or passage.backward is None):
        return _no_neighbour(producer)
    needed = _needed_elsewhere(value, producer, readers, walk)
    copied = needed is not None and walk.duplicates and linear is not None and not walk.passed
    if needed is not None and not copied:
        return needed
    return (
        _into(linear, channel_map, walk, copied=copied)
        if linear is not None
        else _back_through(producer, value, channel_map, walk)
    )


def _into(linear: Linear, channel_map: ChannelMap, walk: _Walk, *, copied: bool) -> Shortfall | None:
    return walk.take(linear, linear.row.behind, channel_map, (), copied=copied)


def _needed_elsewhere(value: ir.Value, producer: ir.Node, readers: frozenset[ir.Node], walk: _Walk) -> Shortfall | None:
    """Whether something else needs a value as it is."""
    if value.is_graph_output():
        return Shortfall("graph-output", f"'{value.name}', which {called(producer)} makes, is an output of the graph")
    others = [node for node in walk.readers(value) if node not in readers]
    if not others:
        return None
    reason = f"{called(others[0])} reads '{value.name}' too, which {called(producer)} makes"
    copies = producer.op_type in LINEAR and not walk.passed
    remedy = "`--duplicate` folds into a copy of that" if copies else "it would fold if nothing else read that"
    return Shortfall("inner-reader", reason, remedy)


def _back_through(producer: ir.Node, value: ir.Value, channel_map: ChannelMap, walk: _Walk) -> Shortfall | None:
    """Carry a map backward through a passage."""
    passage = passage_of(producer)
    assert passage is not None
    assert passage.backward is not None
    entered = walk.enter(producer)
    if entered is not None:
        return entered
    if any(operand is None or walk.facts.is_constant(operand) for operand in passage.data(producer)):
        return Shortfall("no-neighbour", f"{called(producer)} takes a constant in")
    outputs = [channel_map if output is value else identity(channel_map.rank) for output in producer.outputs]
    carried = passage.backward(producer, outputs, walk.facts)
    if isinstance(carried, Shortfall):
        return carried
    if carried.edit is not None:
        walk.edits.append(carried.edit)
    parts: dict[ir.Value, ChannelMap] = {}
    for operand, part in zip(passage.data(producer), carried.maps, strict=True):
        assert operand is not None
        if not parts.setdefault(operand, part).is_same(part):
            return Shortfall("layout", f"{called(producer)} reads '{operand.name}' twice, to be mapped in two ways")
    for operand, part in parts.items():
        shortfall = _back(operand, part, frozenset({producer}), walk)
        if shortfall is not None:
            return shortfall
    return None


#: Why an operator takes no map in, where there is more to say than that it isn't linear.
_OBSTACLES: Mapping[str, str] = {
    **dict.fromkeys(LINEAR, "has no constant weights"),
    "Add": "adds another tensor",
    "Mul": "multiplies by another tensor",
    "Sub": "subtracts another tensor",
    "Sum": "adds other tensors",
}


def _no_neighbour(node: ir.Node) -> Shortfall:
    """Why a node takes no map in."""
    obstacle = _OBSTACLES.get(node.op_type, "isn't linear")
    return Shortfall("no-neighbour", f"{called(node)} {obstacle}")


def _forward_plan(affine: Affine, facts: Facts) -> FoldPlan | Shortfall:
    """The plan that takes the map into all that reads it."""
    over = over_base(affine)
    if over is None:
        return Shortfall("layout", "it varies along an axis that what it maps hasn't got")
    channel_map = _over_output(affine, over)
    if channel_map is None:
        return Shortfall("layout", "its dimensions aren't those of what it maps")
    found = carried_forward(affine.output, channel_map, affine.nodes, affine.base, facts)
    if isinstance(found, Shortfall):
        return found
    added = sum(change.added_nodes for change in found.changes)
    if added > len(affine.nodes):
        return Shortfall("no-gain", f"folding would take {added} new nodes for the {len(affine.nodes)} that it saves")
    return FoldPlan(affine, FORWARD, found.changes, found.edits, found.regions)


def carried_forward(
    value: ir.Value, channel_map: ChannelMap, nodes: tuple[ir.Node, ...], base: ir.Value, facts: Facts
) -> Ahead | Shortfall:
    """Take a map of a value into all that reads it.

    Args:
        value: the result of the map.
        channel_map: the map.
        nodes: the nodes that compute it.
        base: what they compute it from.
        facts: the facts about the model.
    """
    walk = _Walk(facts)
    shortfall = _ahead(value, channel_map, (), walk)
    if shortfall is not None:
        return shortfall
    if not walk.changes:
        return Shortfall("no-neighbour", "nothing reads it")
    if facts.opset < PADS_ARE_INPUTS and any(change.fill is not None for change, _ in walk.changes):
        return Shortfall("padding", f"padding with another number than zero takes opset {PADS_ARE_INPUTS}")
    regions = tuple(
        Region(
            base,
            change.linear.output,
            _in_order({*nodes, *way, *change.linear.nodes}, facts),
            change.linear.node.graph,
            change.linear.channel,
        )
        for change, way in walk.changes
    )
    return Ahead(tuple(change for change, _ in walk.changes), tuple(walk.edits), regions)


def _over_output(affine: Affine, channel_map: ChannelMap) -> ChannelMap | None:
    """The map over the dimensions of its output: the base's, or where nodes in between rearrange them, theirs."""
    if affine.output_layout == affine.layout:
        return channel_map
    dimensions = {dimension: position for position, dimension in enumerate(affine.layout) if dimension}
    if any(dimension and dimension not in dimensions for dimension in affine.output_layout):
        return None
    order = [dimensions.get(dimension) for dimension in affine.output_layout]

    def turned(array: Array) -> Array:
        shape = [1 if position is None else array.shape[position] for position in order]
        kept = [position for position in order if position is not None]
        rest = [position for position in range(array.ndim) if position not in kept]
        return array.transpose([*kept, *rest]).reshape(shape)

    return ChannelMap(turned(channel_map.scale), turned(channel_map.shift))


def _ahead(value: ir.Value, channel_map: ChannelMap, way: tuple[ir.Node, ...], walk: _Walk) -> Shortfall | None:
    """Take a map of a value into all that reads it."""
    if value.is_graph_output():
        return Shortfall("no-neighbour", f"'{value.name}' is an output of the graph")
    for reader in dict.fromkeys(walk.readers(value)):
        linear = linear_of(reader, walk.facts, with_addition=True)
        passage = passage_of(reader)
        if linear is not None and linear.data is value:
            shortfall = walk.take(linear, linear.row.before, channel_map, way)
        elif passage is not None and passage.forward is not None and value in passage.data(reader):
            shortfall = _through(reader, value, channel_map, way, walk)
        else:
            shortfall = _no_neighbour(reader)
        if shortfall is not None:
            return shortfall
    return None


def _through(
    node: ir.Node, value: ir.Value, channel_map: ChannelMap, way: tuple[ir.Node, ...], walk: _Walk
) -> Shortfall | None:
    """Carry a map forward through a passage."""
    passage = passage_of(node)
    assert passage is not None
    assert passage.forward is not None
    entered = walk.enter(node)
    if entered is not None:
        return entered
    operands = passage.data(node)
    maps = [channel_map if operand is value else identity(channel_map.rank) for operand in operands]
    carried = passage.forward(node, maps, walk.facts)
    if isinstance(carried, Shortfall):
        return carried
    if carried.edit is not None:
        walk.edits.append(carried.edit)
    for output, part in zip(node.outputs, carried.maps, strict=True):
        if np.all(part.scale == 1) and not part.has_shift:
            continue
        shortfall = _ahead(output, part, (*way, node), walk)
        if shortfall is not None:
            return shortfall
    return None


def _in_order(nodes: set[ir.Node], facts: Facts) -> tuple[ir.Node, ...]:
    return tuple(sorted(nodes, key=facts.positions.__getitem__))
