"""Regions: the nodes between a base tensor and a value made from it, and who else reads what they make."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Protocol

import onnx_ir as ir

from normgraph.axes import Layout
from normgraph.facts import Facts
from normgraph.foreign import carries
from normgraph.forms import Form
from normgraph.transfer import transfer_of

_SHAPE_READERS = frozenset({"Shape", "Size"})


class Rewritable(Protocol):
    """A region that is to be replaced: what is computed in `nodes` from `base` (and constants) up to `output`."""

    @property
    def base(self) -> ir.Value:
        """The tensor from which it is computed."""

    @property
    def output(self) -> ir.Value:
        """The tensor that must stay the same."""

    @property
    def nodes(self) -> tuple[ir.Node, ...]:
        """The nodes, in the order of the graph."""

    @property
    def graph(self) -> ir.Graph | None:
        """The graph that it is in."""

    @property
    def assumed(self) -> tuple[tuple[int, int], ...]:
        """Sizes that constants demand of dynamic dimensions of the base: (dimension, size)."""

    @property
    def axes(self) -> tuple[int, ...]:
        """The dimensions of the base over which statistics are taken; none for a linear region."""


def region_of(
    base: ir.Value,
    output: ir.Value,
    forms: Mapping[ir.Value, Form],
    facts: Facts,
    known: Mapping[ir.Value, Iterable[ir.Node]] | None = None,
) -> tuple[ir.Node, ...]:
    """The nodes through which `output` is computed from `base`, in the order of the graph.

    Args:
        base: where the region begins.
        output: where it ends.
        forms: the values between.
        facts: the facts about the model.
        known: regions of some of these values, found before.
    """
    nodes: set[ir.Node] = set()
    pending = [output]
    while pending:
        value = pending.pop()
        node = value.producer()
        if value is base or node is None or node in nodes:
            continue
        if known is not None and value in known:
            nodes.update(known[value])
            continue
        nodes.add(node)
        transfer = transfer_of(node, facts)
        operands = node.inputs if transfer is None else transfer.operands_of(node)
        pending.extend(operand for operand in operands if operand is not None and operand in forms)
    return tuple(sorted(nodes, key=facts.positions.__getitem__))


def feeders_of(region: Iterable[ir.Node], base: ir.Value, facts: Facts) -> tuple[ir.Node, ...]:
    """The nodes outside of the region that only serve it: constants, shape arithmetic; they go when it goes.

    What the region reads beside the base and is made from other tensors stays: the replacement reads it, too.
    """
    doomed = set(region)
    foreign = foreign_operands(doomed, base, facts)
    queue: list[tuple[int, ir.Node]] = []
    queued = set(doomed)

    def enqueue_producers(node: ir.Node) -> None:
        for value in node.inputs:
            producer = None if value is None or value is base or value in foreign else value.producer()
            if producer is not None and producer not in queued and producer.graph is node.graph:
                queued.add(producer)
                heapq.heappush(queue, (-facts.positions[producer], producer))

    for node in tuple(doomed):
        enqueue_producers(node)
    feeders: list[ir.Node] = []
    while queue:  # the last node first, so that all readers of a node are judged before it
        _, node = heapq.heappop(queue)
        readers = {use.node for value in node.outputs for use in value.uses()} - facts.dead
        if readers <= doomed and not any(value.is_graph_output() for value in node.outputs):
            doomed.add(node)
            feeders.append(node)
            enqueue_producers(node)
    return tuple(reversed(feeders))


def _operands_of(region: Set[ir.Node], base: ir.Value) -> Iterator[ir.Value]:
    """What the region reads and doesn't make, the base aside."""
    for node in region:
        for value in node.inputs:
            if value is not None and value is not base and value.producer() not in region:
                yield value


def foreign_operands(region: Iterable[ir.Node], base: ir.Value, facts: Facts) -> frozenset[ir.Value]:
    """What the region reads that is known at run time only, the base aside."""
    return frozenset(v for v in _operands_of(frozenset(region), base) if not facts.depends_on_shapes_only(v))


def dead_readers(region: Iterable[ir.Node], facts: Facts) -> list[ir.Node]:
    """The nodes that read what the region makes, directly or not, and are read by nothing that matters."""
    found: dict[ir.Node, None] = {}
    pending = list(region)
    while pending:
        for value in pending.pop().outputs:
            for use in value.uses():
                if use.node in facts.dead and use.node not in found:
                    found[use.node] = None
                    pending.append(use.node)
    return list(found)


@dataclass(frozen=True)
class Escape:
    """A value made within a region that is needed outside of it.

    Attributes:
        value: the value.
        readers: the nodes outside that read it; none if it is only an output of the graph.
    """

    value: ir.Value
    readers: tuple[ir.Node, ...]

    def __str__(self) -> str:
        producer = self.value.producer()
        origin = f"'{self.value.name}'" + (f" (made by {producer.op_type})" if producer is not None else "")
        if self.value.is_graph_output():
            return f"{origin} is an output of the graph"
        reader = self.readers[0]
        return f"{origin} is also read by {reader.op_type} '{reader.name or reader.outputs[0].name}'"


def escapes(
    nodes: Iterable[ir.Node], base: ir.Value, forms: Mapping[ir.Value, Form], facts: Facts
) -> dict[ir.Value, Escape]:
    """The values made in the region that something outside needs, those aside that can be had from the base instead."""
    region = tuple(nodes)
    layout = forms[base].layout
    inside = {*region, *feeders_of(region, base, facts)}
    found: dict[ir.Value, Escape] = {}
    for node in region:
        for value in node.outputs:
            readers = tuple(u.node for u in value.uses() if u.node not in inside and u.node not in facts.dead)
            needed = tuple(reader for reader in readers if not reads_only_shape(reader, value, layout, forms))
            if needed or value.is_graph_output():
                found[value] = Escape(value, needed)
    return found


def reads_only_shape(reader: ir.Node, value: ir.Value, layout: Layout, forms: Mapping[ir.Value, Form]) -> bool:
    """Whether the reader asks for nothing but the shape, and the base has the same one.

    What a tensor known at run time only has been broadcast into may be larger.
    """
    if reader.op_type not in _SHAPE_READERS or reader.domain:
        return False
    form = forms.get(value)
    return form is not None and form.layout == layout and not carries(form.value)
