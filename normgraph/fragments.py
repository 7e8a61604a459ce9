"""Small models of one output, computed from the base tensor, whose weights may stand beside them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper

from normgraph.axes import Size
from normgraph.constants import Array
from normgraph.widening import FLOATS, in_double

DOUBLE = int(ir.DataType.DOUBLE)
#: Constants of so many elements are held once only where they are made doubles: as arrays, not in a model too.
_LARGE = 1 << 16

#: Name, ONNX element type and shape of an input.
Input = tuple[str, int, tuple[Size, ...]]


@dataclass(frozen=True)
class Fragment:
    """A model of one output, computed from the base tensor.

    Attributes:
        model: the model; its first input is the base tensor.
        inputs: the inputs, whose sizes the model itself leaves open; those behind the first are gains and biases known
            at run time only, or matter for their shapes only.
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
        constants = {name: array.astype(np.float64) for name, array in self.constants.items()}
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
        told.update(size for name, array in self.constants.items() if name not in aside for size in array.shape)
        static = {i for i, size in enumerate(shape) if not size.symbols and size.factor not in told}
        return frozenset(static - set(axes))


def _sizes_in(tensor: onnx.TensorProto) -> list[int]:
    """The sizes that a constant gives: those of its dimensions, and its elements where it may be a shape."""
    integral = tensor.data_type in (onnx.TensorProto.INT64, onnx.TensorProto.INT32) and len(tensor.dims) <= 1
    return [*tensor.dims, *(numpy_helper.to_array(tensor).reshape(-1).tolist() if integral else ())]


def fragment_of(
    nodes: Sequence[onnx.NodeProto],
    inputs: tuple[Input, ...],
    output: Input,
    constants: Mapping[str, Array],
    opsets: Mapping[str, int],
    places: Mapping[str, int] = MappingProxyType({}),
) -> Fragment:
    """A fragment of these nodes.

    Args:
        nodes: the nodes, in an order in which they can be computed.
        inputs: the inputs; the first is the base tensor.
        output: the output.
        constants: what the nodes read beside these, by name.
        opsets: the versions of the domains.
        places: operators of which some operands, by the first of them, are left to be fed where they are weights.
    """
    weights = weights_among(constants, [(node.domain, node.op_type, node.input) for node in nodes], places)
    graph = helper.make_graph(
        list(nodes),
        "fragment",
        [helper.make_tensor_value_info(n, t, [None] * len(shape)) for n, t, shape in inputs],
        [helper.make_tensor_value_info(output[0], output[1], [None] * len(output[2]))],
        [numpy_helper.from_array(array, name) for name, array in constants.items() if name not in weights],
    )
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    model = helper.make_model(graph, opset_imports=imports)
    model.ir_version = min(model.ir_version, helper.find_min_ir_version_for(imports, ignore_unknown=True))
    for name, array in weights.items():
        add_input(model, name, array)
    return Fragment(model, inputs, output[0], constants=weights)


def weights_among(
    constants: Mapping[str, Array], nodes: Iterable[tuple[str, str, Sequence[str]]], places: Mapping[str, int]
) -> dict[str, Array]:
    """The constants that are weights: floating, no single number, and read in the places of such alone.

    Args:
        constants: the constants, by their names.
        nodes: what reads them: the domain of each node, its operator, and the names of its operands.
        places: of each operator that has such places the first.
    """
    found = {name: a for name, a in constants.items() if a.size > 1 and _element_type(a) in FLOATS}
    for domain, operator, operands in nodes:
        first = len(operands) if domain else places.get(operator, len(operands))
        for name in operands[:first]:
            found.pop(name, None)
    return found


def add_input(model: onnx.ModelProto, name: str, weight: Array) -> None:
    """Declare a weight as an input of any size, behind the others."""
    described = model.graph.input.add(name=name).type.tensor_type
    described.elem_type = _element_type(weight)
    for _ in weight.shape:
        described.shape.dim.add()


def _element_type(array: Array) -> int:
    return int(ir.DataType.from_numpy(array.dtype))


def without_epsilons(model: onnx.ModelProto) -> bytes:
    """A model's bytes, epsilons of BatchNormalizations aside: each is a number beside the weights."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    for node in bare.graph.node:
        if node.op_type == "BatchNormalization" and not node.domain:
            others = [attribute for attribute in node.attribute if attribute.name != "epsilon"]
            del node.attribute[:]
            node.attribute.extend(others)
    return bytes(bare.SerializeToString(deterministic=True))
