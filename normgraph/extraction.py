"""Small models cut out of a graph: a region, or what is to replace it, as models that can be run by themselves."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper

from normgraph.axes import Size
from normgraph.constants import Array
from normgraph.errors import NormgraphError
from normgraph.facts import Facts
from normgraph.lowering import INPUT, Replacement
from normgraph.match import Match
from normgraph.model_io.walk import subgraphs_of
from normgraph.region import Rewritable
from normgraph.widening import FLOATS, in_double

DOUBLE = int(ir.DataType.DOUBLE)
#: Constants of so many elements are held once only where they are made doubles: as arrays, not in a model too.
_LARGE = 1 << 16
#: What fragments call the base tensor, and what a replacement makes.
BASE, RESULT = "x", "y"


class NotExtractable(NormgraphError):
    """A region that can't be made a model of its own."""


#: Name, ONNX element type and shape of an input.
Input = tuple[str, int, tuple[Size, ...]]


@dataclass(frozen=True)
class Fragment:
    """A model of one output, computed from the base tensor.

    Attributes:
        model: the model; its first input is the base tensor.
        inputs: the inputs, whose sizes the model itself leaves open; those behind the first matter for their
            shapes only.
        output: the name of the output.
        sources: what the inputs are called in the graph that it was cut out of; empty where that isn't told.
        constants: inputs of the model beside those, with what they are always to be fed.
    """

    model: onnx.ModelProto
    inputs: tuple[Input, ...]
    output: str
    sources: tuple[str, ...] = ()
    constants: Mapping[str, Array] = field(default_factory=dict)

    def key(self) -> bytes:
        """The same bytes for fragments that are the same computation with the same constants."""
        interface = repr((self.inputs, self.output)).encode()
        constants = b"".join(array.tobytes() for array in self.constants.values())
        return interface + bytes(self.model.SerializeToString(deterministic=True)) + constants

    def in_double(self) -> Fragment:
        """The same computation with every floating tensor a double; large constants are left to be fed."""
        model = onnx.ModelProto(ir_version=self.model.ir_version, opset_import=self.model.opset_import)
        graph, own = model.graph, self.model.graph
        graph.name = own.name
        for part in ("node", "input", "output"):
            getattr(graph, part).extend(getattr(own, part))
        constants: dict[str, Array] = {}
        for tensor in own.initializer:
            if tensor.data_type in FLOATS and math.prod(tensor.dims) >= _LARGE:
                constants[tensor.name] = np.asarray(numpy_helper.to_array(tensor), np.float64)
                graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
            else:
                graph.initializer.append(tensor)
        inputs = tuple((n, DOUBLE if t in FLOATS else t, shape) for n, t, shape in self.inputs)
        return Fragment(in_double(model), inputs, self.output, constants=constants)

    def small_inputs(self, axes: Sequence[int], least: int) -> tuple[Input, ...]:
        """The inputs, smaller where no constant gives a size: a few rows prove as much as many.

        Args:
            axes: the dimensions of the base tensor that keep their sizes whatever the constants say.
            least: the least size that a static dimension is given.
        """
        (name, element_type, shape), *others = self.inputs
        free = self.free_dimensions(axes)
        small = (Size(min(size.factor, least + i)) if i in free else size for i, size in enumerate(shape))
        return ((name, element_type, tuple(small)), *others)

    def free_dimensions(self, axes: Sequence[int] = (), aside: Collection[str] = ()) -> frozenset[int]:
        """The static dimensions of the base tensor whose sizes no constant gives, so that any size would do.

        Args:
            axes: dimensions that aren't free whatever the constants say.
            aside: the names of constants that aren't asked.
        """
        (_, _, shape), *others = self.inputs
        if others:  # their sizes belong together in ways that only the nodes know
            return frozenset()
        asked = (tensor for tensor in self.model.graph.initializer if tensor.name not in aside)
        told = {size for tensor in asked for size in _sizes_in(tensor)}
        static = {i for i, size in enumerate(shape) if not size.symbols and size.factor not in told}
        return frozenset(static - set(axes))


def _sizes_in(tensor: onnx.TensorProto) -> list[int]:
    """The sizes that a constant gives: those of its dimensions, and its elements where it may be a shape."""
    integral = tensor.data_type in (onnx.TensorProto.INT64, onnx.TensorProto.INT32) and len(tensor.dims) <= 1
    return [*tensor.dims, *(numpy_helper.to_array(tensor).reshape(-1).tolist() if integral else ())]


def original_fragment(region: Rewritable, facts: Facts) -> Fragment:
    """The nodes from a region's base to its output, with the constants and the shape arithmetic that they need.

    Values are named after the order in which they are met, so that regions that are written alike make the same
    model, whatever they are called and wherever they stand.

    Raises:
        NotExtractable: a node holds a subgraph, or something is read whose shape or type isn't known.
    """
    nodes: set[ir.Node] = set()
    others: dict[ir.Value, None] = {}
    pending = [region.output]
    while pending:
        value = pending.pop()
        if value is region.base or not value.name:
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
    inputs = tuple(_described(value, names.of(value), facts) for value in (region.base, *others))
    output = _described(region.output, names.of(region.output), facts)
    domains = {"", *(node.domain for node in ordered)}
    opsets = {domain: version for domain, version in facts.opsets.items() if domain in domains}
    fragment = _fragment(protos, _renumbered(inputs), output, names.constants.values(), opsets)
    return replace(fragment, sources=tuple(value.name or "" for value in (region.base, *others)))


class _Names:
    """Names for the values of a fragment, and the constants among them."""

    def __init__(self, base: ir.Value, others: Iterable[ir.Value]) -> None:
        self._names = {base: BASE}
        for value in others:
            self._names[value] = f"shaped{len(self._names)}"
        self.constants: dict[str, onnx.TensorProto] = {}

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
            self.constants[name] = numpy_helper.from_array(np.asarray(array, order="C"), name)
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
    match: Match, replacement: Replacement, facts: Facts, opset: int, *, made: int | None = None
) -> Fragment:
    """The steps of a replacement as a model, at this version of the default domain.

    Args:
        match: what is replaced.
        replacement: what it is replaced with.
        facts: the facts about the graph.
        opset: the version.
        made: the position of the needed value of the match that is the model's output; None for the match's own.
    """
    value = match.output if made is None else match.needed[made].value
    names = {INPUT: BASE, replacement.name_of(made): RESULT}

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
    constants = [numpy_helper.from_array(a, name_of(name)) for name, a in replacement.constants.items()]
    inputs = _renumbered((_described(match.base, BASE, facts),))
    domains = {step.domain for step in replacement.steps}
    opsets = {domain: version for domain, version in facts.opsets.items() if domain in domains} | {"": opset}
    return _fragment(nodes, inputs, _described(value, RESULT, facts), constants, opsets)


def _described(value: ir.Value, name: str, facts: Facts) -> Input:
    dtype, shape = facts.dtype(value), facts.shape(value)
    if dtype is None or shape is None or not value.name:
        raise NotExtractable(f"the type or shape of '{value.name}' isn't known")
    return name, int(dtype), shape


def _fragment(
    nodes: Sequence[onnx.NodeProto],
    inputs: tuple[Input, ...],
    output: Input,
    constants: Iterable[onnx.TensorProto],
    opsets: Mapping[str, int],
) -> Fragment:
    graph = helper.make_graph(
        list(nodes),
        "fragment",
        [helper.make_tensor_value_info(n, t, [None] * len(shape)) for n, t, shape in inputs],
        [helper.make_tensor_value_info(output[0], output[1], [None] * len(output[2]))],
        list(constants),
    )
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    model = helper.make_model(graph, opset_imports=imports)
    model.ir_version = min(model.ir_version, helper.find_min_ir_version_for(imports, ignore_unknown=True))
    return Fragment(model, inputs, output[0])
