"""What holds of a graph's values whatever is fed to it: shapes, types, constants, integer arithmetic on shapes.

One pass over the nodes in their order, independent of any base tensor.  It follows the shape arithmetic that exporters
write (Shape, Gather, Slice, Concat, …), which ONNX's own shape inference doesn't carry through, and reads no weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
import onnx_ir as ir

from normgraph.axes import ONE, Size, product, static_size
from normgraph.constants import (
    FOLDERS,
    Array,
    Constants,
    attribute,
    described,
    is_foldable,
    stored_tensor,
    tensor_of_constant,
)
from normgraph.elements import ELEMENT_RULES, MAXIMAL_TRACKED, Elements, stored_elements
from normgraph.inference import infer_shapes
from normgraph.model_io.walk import subgraphs_of
from normgraph.shapes import SHAPE_RULES, Shape, axes_of
from normgraph.types import infer_type

#: Before this opset operators broadcast in ways of their own; nothing is concluded from the nodes of such a model.
OLDEST_OPSET = 7
#: What a rule raises on a node that isn't valid; to say so is for a runtime.
SIGNS_OF_INVALID_NODES: tuple[type[Exception], ...] = (ArithmeticError, IndexError, TypeError, ValueError)
#: Up to which each floating type holds every whole number.
WHOLE_NUMBERS = {
    ir.DataType.BFLOAT16: 1 << 8,
    ir.DataType.FLOAT16: 1 << 11,
    ir.DataType.FLOAT: 1 << 24,
    ir.DataType.DOUBLE: 1 << 53,
}
FLOATING = frozenset(WHOLE_NUMBERS)
_INTEGERS = frozenset(dtype for dtype in ir.DataType if dtype.is_integer())


@dataclass(frozen=True)
class Facts:
    """Facts about the values of a graph and of the graphs around it.

    Attributes:
        shapes: shape of each value whose rank is known.
        dtypes: element type of values of which the model itself doesn't declare it.
        elements: the elements of small integer tensors, as sizes.
        uniform: tensors of any shape, also one known at run time only, all of whose elements are the same number.
        expanded: constants expanded to a shape known at run time only, and what they were before.
        positions: each node's place in the order of its graph.
        dead: the nodes on which no output of their graph depends.
        constants: the constants, computed when asked for.
        opsets: the version of each operator domain that the model imports.
        owners: the node that holds each subgraph.
    """

    shapes: dict[ir.Value, Shape] = field(default_factory=dict)
    dtypes: dict[ir.Value, ir.DataType] = field(default_factory=dict)
    elements: dict[ir.Value, Elements] = field(default_factory=dict)
    uniform: dict[ir.Value, float] = field(default_factory=dict)
    expanded: dict[ir.Value, ir.Value] = field(default_factory=dict)
    positions: dict[ir.Node, int] = field(default_factory=dict)
    dead: set[ir.Node] = field(default_factory=set)
    constants: Constants = field(default_factory=Constants)
    opsets: dict[str, int] = field(default_factory=dict)
    owners: dict[ir.Graph, ir.Node] = field(default_factory=dict)
    _symbols: list[int] = field(default_factory=lambda: [0])

    def is_constant(self, value: ir.Value | None) -> bool:
        """Whether the value is the same in every run."""
        return value in self.constants.known

    def depends_on_shapes_only(self, value: ir.Value) -> bool:
        """Whether the value is computed from constants and shapes, never from the elements of another tensor."""
        if value in self.constants.known or value in self.elements:
            return True
        return value in self.uniform or value in self.expanded

    def constant(self, value: ir.Value | None) -> Array | None:
        """The elements of a constant, else None."""
        return self.constants.array(value)

    @cached_property
    def opset(self) -> int:
        """The version of the default domain, under either of its names; 0 if the model doesn't import it."""
        return self.opsets.get("", self.opsets.get("ai.onnx", 0))

    def dtype(self, value: ir.Value) -> ir.DataType | None:
        """The element type of a value, None where neither the model nor the schemas tell."""
        return value.dtype or self.dtypes.get(value)

    def shape(self, value: ir.Value) -> Shape | None:
        """The shape of a value, None where its rank is unknown."""
        return self.shapes.get(value)

    def integers(self, value: ir.Value | None) -> tuple[int, ...] | None:
        """The elements of an integer tensor where all are static, else None."""
        if value is None:
            return None
        known = self.elements.get(value)
        if known is None:
            array = self.constant(value)
            integral = array is not None and array.dtype.kind == "i" and array.size <= MAXIMAL_TRACKED
            return tuple(int(e) for e in array.reshape(-1)) if array is not None and integral else None
        if any(e is None or e.symbols for e in known.sizes):
            return None
        return tuple(e.factor for e in known.sizes if e is not None)

    def new_symbol(self) -> Size:
        """A size of which nothing is known."""
        self._symbols[0] += 1
        return Size(1, (f"?{self._symbols[0]}",))


def survey(model: ir.Model) -> Facts:
    """The facts about all graphs of a model whose functions are inlined.

    Subgraphs are entered at the node that holds them, so what they capture is known there.
    """
    facts = Facts(opsets=dict(model.opset_imports))
    _survey_graph(model.graph, facts)
    return facts


def graphs_of(model: ir.Model) -> Iterator[ir.Graph]:
    """The main graph and every subgraph, outer ones first, in the order of their nodes."""
    pending = [model.graph]
    while pending:
        graph = pending.pop(0)
        yield graph
        for node in graph:
            pending.extend(subgraphs_of(node))


def _survey_graph(graph: ir.Graph, facts: Facts) -> None:
    for value in graph.inputs:
        _declare(value, facts)
    for value in graph.initializers.values():
        tensor = stored_tensor(value)
        if tensor is None:
            _declare(value, facts)
        else:
            _note_stored(value, tensor, facts)
    unread: list[ir.Node] = []
    for position, node in enumerate(graph):
        facts.positions[node] = position
        for subgraph in subgraphs_of(node):
            facts.owners[subgraph] = node
            _survey_graph(subgraph, facts)
        try:
            _survey_node(node, facts)
        except SIGNS_OF_INVALID_NODES:
            for output in node.outputs:
                _declare(output, facts)
        for value in node.outputs:
            if value.uses():
                break
        else:
            unread.append(node)
    _note_dead(unread, facts)


def _note_dead(nodes: Iterable[ir.Node], facts: Facts) -> None:
    """Note which of the nodes no output of their graph depends on, and whatever only such nodes read."""
    pending = list(nodes)
    while pending:
        node = pending.pop()
        if node not in facts.dead and _is_dead(node, facts):
            facts.dead.add(node)
            pending.extend(p for value in node.inputs if value is not None and (p := value.producer()) is not None)


def _is_dead(node: ir.Node, facts: Facts) -> bool:
    """Whether all that reads the node is dead, and none of its values is an output of the graph."""
    for value in node.outputs:
        if value.is_graph_output() or any(use.node not in facts.dead for use in value.uses()):
            return False
    return True


def _note_stored(value: ir.Value, tensor: ir.TensorProtocol, facts: Facts) -> None:
    """Note what is known of a tensor that the model stores."""
    extents, dtype = described(tensor)
    facts.constants.known.add(value)
    facts.dtypes[value] = dtype
    facts.shapes[value] = _static_shape(extents)
    if len(extents) <= 1 and math.prod(extents) <= MAXIMAL_TRACKED and dtype in _INTEGERS:
        facts.elements[value] = stored_elements(tensor, extents, dtype)


@lru_cache(maxsize=4096)
def _static_shape(extents: tuple[int, ...]) -> Shape:
    """The shape of these extents; equal ones are the same object, whose comparison costs nothing."""
    return tuple(map(static_size, extents))


def _survey_node(node: ir.Node, facts: Facts) -> None:
    operator, outputs, is_standard = node.op_type, node.outputs, not node.domain
    if operator == "Constant" and is_standard:
        tensor = tensor_of_constant(node)
        if tensor is not None:
            _note_stored(outputs[0], tensor, facts)
        return
    for position, output in enumerate(outputs):
        if output.dtype is None:
            dtype = infer_type(node, position, facts)
            if dtype is not None:
                facts.dtypes[output] = dtype
    if operator == "If" and is_standard:
        _note_branches(node, facts)
    followed = is_standard and facts.opset >= OLDEST_OPSET
    shape_rule = SHAPE_RULES.get(operator) if followed else None
    if followed:
        _note_values(node, facts)
    inferred: Sequence[Shape | None] = (shape_rule(node, facts) if shape_rule else None) or ()
    if not inferred and any(output.shape is None and output not in facts.shapes for output in outputs):
        inferred = infer_shapes(node, facts, facts.opsets) or ()
    for position, output in enumerate(outputs):
        shape = inferred[position] if position < len(inferred) else None
        if shape is not None:
            facts.shapes[output] = _possible(shape if output.shape is None else _refined(shape, output), facts)
        elif output not in facts.shapes:
            _declare(output, facts)


def _note_values(node: ir.Node, facts: Facts) -> None:
    """What is known of the elements of the node's output."""
    operator, inputs, known = node.op_type, node.inputs, facts.constants.known
    # The first operand tells of most nodes already that they aren't constant.
    may_be_constant = not inputs or inputs[0] is None or inputs[0] in known
    if may_be_constant and is_foldable(node) and all(value is None or value in known for value in inputs):
        known.add(node.outputs[0])
    if operator == "CastLike":
        _note_cast_like(node, facts)
    element_rule = ELEMENT_RULES.get(operator)
    found = element_rule(node, facts) if element_rule else None
    if found is not None:
        _note_elements(node, found, facts)
    if operator in _FILLING:
        _note_uniform(node, facts)
    if facts.uniform and (operator in _ELEMENTWISE or operator == "ReduceSum"):
        _note_uniform_result(node, facts)


def _note_elements(node: ir.Node, found: Elements, facts: Facts) -> None:
    output = node.outputs[0]
    facts.elements[output] = found
    facts.shapes[output] = (static_size(len(found.sizes)),) * found.rank
    static = [size.factor for size in found.sizes if size is not None and not size.symbols]
    if len(static) == len(found.sizes) and output not in facts.constants.known:
        array = np.asarray(static, _stored_type(node, facts)).reshape((len(static),) * found.rank)
        facts.constants.provide(output, array)


def _stored_type(node: ir.Node, facts: Facts) -> np.dtype:
    """The type of a tensor whose elements were found out; shapes are 64 bits wide."""
    dtype = facts.dtype(node.outputs[0])
    return np.dtype(np.int64) if dtype is None else dtype.numpy()


def _note_cast_like(node: ir.Node, facts: Facts) -> None:
    """CastLike asks its second operand for nothing but its type, so the result of a constant is constant."""
    dtype, array = facts.dtype(node.outputs[0]), None
    if node.inputs[0] is not None and facts.shape(node.inputs[0]) is not None:
        sizes = product(facts.shapes[node.inputs[0]])
        array = facts.constant(node.inputs[0]) if not sizes.symbols and sizes.factor <= MAXIMAL_TRACKED else None
    if dtype is not None and array is not None:
        facts.constants.provide(node.outputs[0], array.astype(dtype.numpy()))


def _note_branches(node: ir.Node, facts: Facts) -> None:
    """What an If makes has the type and the sizes in which its branches agree."""
    for position, output in enumerate(node.outputs):
        made = [branch.outputs[position] for branch in subgraphs_of(node)]
        types = {facts.dtype(value) for value in made}
        dtype = types.pop() if len(types) == 1 else None
        if dtype is not None and output.dtype is None:
            facts.dtypes[output] = dtype
        shapes = [facts.shape(value) for value in made]
        known = [shape for shape in shapes if shape is not None]
        if len(known) == len(shapes) and len({len(shape) for shape in known}) == 1:
            columns = zip(*known, strict=True)
            facts.shapes[output] = tuple(c[0] if len(set(c)) == 1 else facts.new_symbol() for c in columns)


#: Operators that make tensors that are one number everywhere, or pass such on.
_FILLING = frozenset({"Cast", "ConstantOfShape", "Expand", "Identity", "Reshape", "Squeeze", "Unsqueeze"})


def _note_uniform(node: ir.Node, facts: Facts) -> None:
    """ConstantOfShape and Expand make tensors that are one number everywhere, whatever their shape at run time."""
    output = node.outputs[0]
    if node.op_type == "ConstantOfShape":
        fill = attribute(node, "value")
        facts.uniform[output] = 0.0 if fill is None else float(fill.numpy().reshape(-1)[0])
    elif node.inputs[0] is not None:
        source = node.inputs[0]
        if source in facts.uniform:
            dtype = facts.dtype(output)  # a Cast rounds
            number = np.float64(facts.uniform[source])
            facts.uniform[output] = float(number if dtype is None else number.astype(dtype.numpy()))
        elif node.op_type == "Expand" and facts.shape(source) is not None:
            array = facts.constant(source) if product(facts.shapes[source]) == ONE else None
            if array is not None:
                facts.uniform[output] = float(array.reshape(-1)[0])
            elif facts.is_constant(source):
                facts.expanded[output] = source


#: Operators whose result is the same number everywhere where their operands are.
_ELEMENTWISE = frozenset(
    ("Abs Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Max Min Mul Neg Not Or Pow Reciprocal Sqrt "
     "Sub").split()
)  # fmt: skip


def _note_uniform_result(node: ir.Node, facts: Facts) -> None:
    """What is computed from uniform tensors and single numbers is uniform, and so is its sum over a known number."""
    if facts.uniform.keys().isdisjoint(node.inputs):
        return
    output, dtype = node.outputs[0], facts.dtype(node.outputs[0])
    if dtype is None or output in facts.constants.known:
        return
    if node.op_type in _ELEMENTWISE:
        numbers = [_number(value, facts) for value in node.inputs]
        if all(number is not None for number in numbers):
            with np.errstate(all="ignore"):
                found = FOLDERS[node.op_type](node, numbers)  # type: ignore[arg-type]
            facts.uniform[output] = float(found.astype(dtype.numpy()))
    elif node.op_type == "ReduceSum" and node.inputs[0] is not None and node.inputs[0] in facts.uniform:
        shape, number = facts.shape(node.inputs[0]), facts.uniform[node.inputs[0]]
        axes = None if shape is None else axes_of(node, facts, len(shape))
        count = None if shape is None or axes is None else product(shape[axis] for axis in axes).static
        # Such a sum is exact in every order.
        if count is not None and number.is_integer() and abs(number) * count <= WHOLE_NUMBERS.get(dtype, 0):
            facts.uniform[output] = number * count


def _number(value: ir.Value | None, facts: Facts) -> Array | None:
    """The one number that all elements of a tensor are, in its type; None where that isn't known."""
    dtype = None if value is None else facts.dtype(value)
    if value in facts.uniform and dtype is not None:
        return np.asarray(facts.uniform[value], dtype.numpy())
    shape = None if value is None else facts.shape(value)
    array = facts.constant(value) if shape is not None and product(shape) == ONE else None
    return None if array is None else array.reshape(())


def _declare(value: ir.Value, facts: Facts) -> None:
    """Take over what the model declares of a value."""
    if value.shape is None:
        return
    sizes = []
    for dim in value.shape:
        if isinstance(dim, int):
            # Some exporters write -1 for a dynamic size.
            sizes.append(static_size(dim) if dim >= 0 else facts.new_symbol())
        else:
            sizes.append(Size(1, (dim.value,)) if dim.value else facts.new_symbol())
    facts.shapes[value] = tuple(sizes)


def _refined(shape: Shape, value: ir.Value) -> Shape:
    """The inferred shape, with static sizes that only the model's declaration knows."""
    for size in shape:
        if size.symbols and _is_unknown(size):
            break
    else:
        return shape
    declared = value.shape
    if declared is None or len(declared) != len(shape):
        return shape
    return tuple(
        static_size(dim) if isinstance(dim, int) and dim >= 0 and _is_unknown(size) else size
        for size, dim in zip(shape, declared, strict=True)
    )


def _possible(shape: Shape, facts: Facts) -> Shape:
    """The shape; of a size that comes out negative, as where a window is larger than what it goes over, nothing."""
    for size in shape:
        if size.factor < 0:
            return tuple(size if size.factor >= 0 else facts.new_symbol() for size in shape)
    return shape


def _is_unknown(size: Size) -> bool:
    return size.factor == 1 and len(size.symbols) == 1 and size.symbols[0].startswith("?")
