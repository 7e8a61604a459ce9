"""Small models cut out of a graph: a region, or what is to replace it, as models that can be run by themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper

from normgraph.axes import Size, size_of
from normgraph.constants import Array
from normgraph.errors import NormgraphError
from normgraph.facts import Facts
from normgraph.fragments import Fragment, Input, fragment_of
from normgraph.lowering import INPUT, Replacement
from normgraph.match import Match
from normgraph.model_io.walk import subgraphs_of
from normgraph.outer import Operand
from normgraph.region import Rewritable

#: What fragments call the base tensor, and what a replacement makes.
BASE, RESULT = "x", "y"


class NotExtractable(NormgraphError):
    """A region that can't be made a model of its own."""


def original_fragment(region: Rewritable, facts: Facts, operands: Sequence[Operand] = ()) -> Fragment:
    """The nodes from a region's base to its output, with the constants and the shape arithmetic that they need.

    Values are named after the order in which they are met, so that regions that are written alike make the same
    model, whatever they are called and wherever they stand.

    Args:
        region: the region.
        facts: the facts about the model.
        operands: the tensors known at run time only that it reads; inputs of the fragment, right behind the base.

    Raises:
        NotExtractable: a node holds a subgraph, or something is read whose shape or type isn't known.
    """
    return cut_out(region, facts, operands=operands)[0]


def cut_out(
    region: Rewritable,
    facts: Facts,
    places: Mapping[str, int] = MappingProxyType({}),
    operands: Sequence[Operand] = (),
) -> tuple[Fragment, tuple[ir.Node, ...]]:
    """The same, and the nodes of the graph in the order of the model's.

    Args:
        region: the region.
        facts: the facts about the graph.
        places: operators of which some operands, by the first of them, are left to be fed where they are constant and
            floating and no single number.
        operands: as above.

    Raises:
        NotExtractable: as above.
    """
    nodes: set[ir.Node] = set()
    others: dict[ir.Value, None] = dict.fromkeys(operand.value for operand in operands)
    pending = [region.output]
    while pending:
        value = pending.pop()
        if value is region.base or not value.name or value in others:
            continue
        node = value.producer()
        if facts.is_constant(value):
            continue
        if node is None or node not in facts.positions or node.graph is not region.graph:
            others[value] = None
        elif node not in region.nodes and not facts.depends_on_shapes_only(value):
            others[value] = None
        elif node not in nodes:
            if subgraphs_of(node):
                raise NotExtractable(f"{node.op_type} '{node.name}' in the region holds a subgraph")
            nodes.add(node)
            pending.extend(operand for operand in node.inputs if operand is not None)
    ordered = sorted(nodes, key=facts.positions.__getitem__)
    names = _Names(region.base, others)
    protos = [_serialized(node, names, facts) for node in ordered]
    read = _operands_described(region.base, operands, facts)
    inputs = (*read, *(_described(value, names.of(value), facts) for value in list(others)[len(operands) :]))
    output = _described(region.output, names.of(region.output), facts)
    domains = {"", *(node.domain for node in ordered)}
    opsets = {domain: version for domain, version in facts.opsets.items() if domain in domains}
    fragment = fragment_of(protos, _renumbered(inputs), output, names.constants, opsets, places)
    sources = tuple(value.name or "" for value in (region.base, *others))
    return replace(fragment, sources=sources), tuple(ordered)


class _Names:
    """Names for the values of a fragment, and the constants among them."""

    def __init__(self, base: ir.Value, others: Iterable[ir.Value]) -> None:
        self._names = {base: BASE}
        for value in others:
            self._names[value] = _name_of_input(len(self._names))
        self.constants: dict[str, Array] = {}

    def of(self, value: ir.Value | None) -> str:
        if value is None or not value.name:
            return ""
        return self._names.setdefault(value, f"v{len(self._names)}")

    def of_constant(self, value: ir.Value, facts: Facts) -> str:
        name = self.of(value)
        if name not in self.constants:
            array = facts.constant(value)
            if array is None:
                raise NotExtractable(f"the constant '{value.name}' can't be read")
            self.constants[name] = np.asarray(array, order="C")
        return name


def _serialized(node: ir.Node, names: _Names, facts: Facts) -> onnx.NodeProto:
    proto = onnx.NodeProto(op_type=node.op_type, domain=node.domain)
    for value in node.inputs:
        constant = value is not None and facts.is_constant(value) and value.name
        proto.input.append(names.of_constant(value, facts) if constant and value is not None else names.of(value))
    proto.output.extend(names.of(value) for value in node.outputs)
    while proto.output and not proto.output[-1]:
        del proto.output[-1]
    proto.attribute.extend(ir.serde.serialize_attribute(attr) for attr in node.attributes.values())
    return proto


def _renumbered(inputs: tuple[Input, ...]) -> tuple[Input, ...]:
    """Dynamic sizes named after the order in which they are met."""
    symbols = dict.fromkeys(s for _, _, shape in inputs for size in shape for s in size.symbols)
    names = {symbol: f"s{number}" for number, symbol in enumerate(symbols)}
    return tuple(
        (name, element_type, tuple(Size(size.factor, tuple(names[s] for s in size.symbols)) for size in shape))
        for name, element_type, shape in inputs
    )


def replacement_fragment(
    match: Match,
    replacement: Replacement,
    facts: Facts,
    opset: int,
    *,
    made: int | None = None,
    places: Mapping[str, int] = MappingProxyType({}),
) -> Fragment:
    """The steps of a replacement as a model, at this version of the default domain.

    Args:
        match: what is replaced.
        replacement: what it is replaced with.
        facts: the facts about the graph.
        opset: the version.
        made: the position of the needed value of the match that is the model's output; None for the match's own.
        places: as for `cut_out`.
    """
    value = match.output if made is None else match.needed[made].value
    positions = {operand.value: position for position, operand in enumerate(match.operands, 1)}
    names = {INPUT: BASE, replacement.name_of(made): RESULT}
    names.update((name, _name_of_input(positions[value])) for name, value in replacement.operands.items())

    def name_of(name: str) -> str:
        return names.get(name, f"replacement/{name}")

    nodes = [
        helper.make_node(
            step.operator,
            [name_of(name) for name in step.inputs],
            [name_of(name) for name in (step.output, *step.further)],
            domain=step.domain,
            **dict[str, Any](step.attributes),
        )
        for step in replacement.steps
    ]
    constants = {name_of(name): np.asarray(a, order="C") for name, a in replacement.constants.items()}
    inputs = _renumbered(_operands_described(match.base, match.operands, facts))
    domains = {step.domain for step in replacement.steps}
    opsets = {domain: version for domain, version in facts.opsets.items() if domain in domains} | {"": opset}
    return fragment_of(nodes, inputs, _described(value, RESULT, facts), constants, opsets, places)


def _name_of_input(position: int) -> str:
    """What fragments call an input behind the base tensor."""
    return f"shaped{position}"


def _operands_described(base: ir.Value, operands: Sequence[Operand], facts: Facts) -> tuple[Input, ...]:
    """The base and what else is read at run time, whose dynamic sizes are those of the base that they broadcast to."""
    first = _described(base, BASE, facts)
    shapes = (tuple(map(size_of, operand.layout)) for operand in operands)
    return (first, *((_name_of_input(position), first[1], shape) for position, shape in enumerate(shapes, 1)))


def _described(value: ir.Value, name: str, facts: Facts) -> Input:
    dtype, shape = facts.dtype(value), facts.shape(value)
    if dtype is None or shape is None or not value.name:
        raise NotExtractable(f"the type or shape of '{value.name}' isn't known")
    return name, int(dtype), shape
