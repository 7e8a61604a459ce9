"""Rewriting: put a replacement into the graph and take out what nothing needs any more."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import onnx_ir as ir

from normgraph.constants import Array
from normgraph.facts import Facts, graphs_of
from normgraph.lowering import INPUT, OUTPUT, Replacement
from normgraph.match import Match

#: The metadata of a node that normgraph made: the names of the nodes in whose place it stands.
PROVENANCE = "normgraph.replaces"
#: The IR version since which an initializer needn't be an input as well.
STANDALONE_INITIALIZERS = 4


class Names:
    """Names for new nodes and values that nothing in the model has yet."""

    def __init__(self, model: ir.Model) -> None:
        self._taken = set(_names_in(model))

    def unique(self, wanted: str) -> str:
        """`wanted` itself, or with the first number behind it that makes it unique; taken from now on."""
        name, count = wanted, 0
        while name in self._taken:
            count += 1
            name = f"{wanted}_{count}"
        self._taken.add(name)
        return name


def _names_in(model: ir.Model) -> Iterator[str]:
    for graph in graphs_of(model):
        yield from graph.initializers
        for node in graph:
            if node.name:
                yield node.name
            yield from (value.name for value in node.outputs if value.name)
        yield from (value.name for value in graph.inputs if value.name)


def apply(match: Match, replacement: Replacement, site: str, facts: Facts, names: Names) -> list[ir.Node]:
    """Replace a match; its region stays behind without readers, for `remove_dead` to take.

    Matches are to be replaced from the last to the first, so that the base of one may be the output of another.

    Returns:
        The new nodes.
    """
    output, last = match.output, match.output.producer()
    assert last is not None
    assert last.graph is not None
    graph = last.graph
    values: dict[str, ir.Value] = {INPUT: match.base, **replacement.operands}
    for name, array in replacement.constants.items():
        stored = _stored_constant(match, array, facts)
        if stored is not None and replacement.provides and not stored.is_initializer():
            stored = None  # it may stand behind the place where it would be read
        values[name] = stored or new_initializer(graph, f"{site}.{name}", array, names)
    replaced = ", ".join(origins_of(match.nodes))
    made: list[ir.Node] = []
    for step in replacement.steps:
        node = ir.node(
            step.operator,
            [values[name] for name in step.inputs],
            dict(step.attributes),
            domain=step.domain,
            name=names.unique(f"{site}/{step.operator}"),
            metadata_props={PROVENANCE: replaced},
            num_outputs=1 + len(step.further),
        )
        node.meta[PROVENANCE] = True
        dtype = facts.dtype(match.base)
        if dtype is not None and step.output == OUTPUT:
            node.outputs[0].dtype = dtype
        for name, result in zip((step.output, *step.further), node.outputs, strict=True):
            result.name = names.unique(f"{output.name}/{name}") if name != OUTPUT else output.name
            values[name] = result
        made.append(node)
    for reader in match.shape_readers:
        for position, operand in enumerate(reader.inputs):
            if operand is not None and operand.producer() in match.nodes:
                reader.replace_input_with(position, match.base)
    # What is needed elsewhere may be needed earlier than the output.
    graph.insert_before(match.nodes[0] if replacement.provides else last, made)
    take_over(output, values[OUTPUT], names)
    for position, name in replacement.provides.items():
        take_over(match.needed[position].value, values[name], names)
    return made


def label_of(node: ir.Node) -> str:
    """What a node is called: its name, else its operator and its output."""
    return node.name or f"{node.op_type}:{node.outputs[0].name}"


def stood_for(nodes: Iterable[ir.Node]) -> tuple[str, ...]:
    """What the nodes are called; in place of one that was just made, what the nodes are called that it stands for."""
    return tuple(
        dict.fromkeys(
            name for node in nodes for name in (_provenance(node) if PROVENANCE in node.meta else (label_of(node),))
        )
    )


def _provenance(node: ir.Node) -> tuple[str, ...]:
    return tuple(filter(None, node.metadata_props.get(PROVENANCE, "").split(", ")))


def origins_of(nodes: Iterable[ir.Node]) -> tuple[str, ...]:
    """What the nodes are called, and what they stand for; a node that was just made is nothing but that."""
    found: dict[str, None] = {}
    for node in nodes:
        found.update(dict.fromkeys((*stood_for((node,)), *_provenance(node))))
    return tuple(found)


def take_over(old: ir.Value, new: ir.Value, names: Names) -> None:
    """Let one value stand for another everywhere, under its name and with what is declared of it."""
    name = old.name
    new.shape, new.type, new.doc_string = old.shape, old.type or new.type, old.doc_string
    new.metadata_props.update(old.metadata_props)
    new.meta.update(old.meta)
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    old.name = names.unique(f"{name}/replaced")
    new.name = name


def _is_stored(value: ir.Value, facts: Facts) -> bool:
    """Whether a value is a constant, and computed from constants alone: a CastLike also reads what has the type."""
    producer = value.producer()
    if not facts.is_constant(value) or producer is None:
        return facts.is_constant(value)
    return all(operand is None or _is_stored(operand, facts) for operand in producer.inputs)


def _stored_constant(match: Match, array: Array, facts: Facts) -> ir.Value | None:
    """A constant that the region reads already and that is just this array."""
    for node in match.nodes:
        for value in node.inputs:
            if value is None or not _is_stored(value, facts) or facts.shape(value) is None:
                continue
            if [size.static for size in facts.shapes[value]] != list(array.shape):
                continue
            stored = facts.constant(value)
            if stored is not None and stored.dtype == array.dtype and np.array_equal(stored, array):
                return value
    return None


def new_initializer(graph: ir.Graph, name: str, array: Array, names: Names) -> ir.Value:
    """A new initializer of the graph, under this name or the first free one like it."""
    unique = names.unique(name)
    tensor = ir.Tensor(np.asarray(array, order="C"), name=unique)
    value = ir.Value(name=unique, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.register_initializer(value)
    return value


def admit_initializers(model: ir.Model) -> None:
    """Raise the IR version to 4 where initializers aren't inputs of their graphs, as all had to be before it."""
    if (model.ir_version or STANDALONE_INITIALIZERS) >= STANDALONE_INITIALIZERS:
        return
    if any(not value.is_graph_input() for graph in graphs_of(model) for value in graph.initializers.values()):
        model.ir_version = STANDALONE_INITIALIZERS


def forget(values: Iterable[ir.Value | None]) -> None:
    """Remove constants that nothing reads any more: initializers, Constant nodes, and what was computed from them."""
    pending = [value for value in values if value is not None]
    while pending:
        value = pending.pop()
        if value.uses() or value.is_graph_output() or value.is_graph_input():
            continue
        producer = value.producer()
        if value.is_initializer() and value.graph is not None and value.name:
            value.graph.initializers.pop(value.name, None)
        elif producer is not None and producer.graph is not None and len(producer.outputs) == 1:
            operands = [operand for operand in producer.inputs if operand is not None]
            producer.graph.remove(producer, safe=True)
            pending.extend(operands)


def remove_dead(nodes: Iterable[ir.Node], positions: Mapping[ir.Node, int]) -> list[ir.Node]:
    """Remove those of the nodes that nothing reads, and what was only there for them; other dead nodes stay.

    Args:
        nodes: the regions that were replaced.
        positions: the nodes' places in their graphs.

    Returns:
        The removed nodes.
    """
    queue = [(-positions[node], index, node) for index, node in enumerate(dict.fromkeys(nodes))]
    heapq.heapify(queue)
    queued = {node for _, _, node in queue}
    removed: list[ir.Node] = []
    while queue:  # the last node first, so that all readers of a node are judged before it
        _, _, node = heapq.heappop(queue)
        graph = node.graph
        if graph is None or any(value.uses() or value.is_graph_output() for value in node.outputs):
            continue
        operands = [value for value in node.inputs if value is not None]
        graph.remove(node, safe=True)
        removed.append(node)
        for value in operands:
            producer = value.producer()
            if producer is not None and producer not in queued and producer in positions:
                queued.add(producer)
                heapq.heappush(queue, (-positions[producer], len(queued), producer))
            else:
                forget([value] if value.is_initializer() else [])
    return removed
