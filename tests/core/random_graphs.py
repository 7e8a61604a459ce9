"""Random small graphs over the operators that have a transfer function, with the shape arithmetic that feeds them.

A graph is grown node by node from one input, every shape known as it grows, so that all of them are valid. The random
generator is the caller's: Hypothesis's own, which can shrink a failing graph, or a seeded one.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Exact = npt.NDArray[np.float64]
Shape = tuple[int, ...]

OPSETS = (7, 8, 10, 11, 12, 13, 15, 17, 18, 20, 22, 23)
EXTENTS = (1, 2, 2, 3, 4, 4, 6)
EXPONENTS = (2.0, 2.0, 0.5, -0.5, -1.0, 3.0, 1.0, 0.0, -2.0, 1.5, 4.0, 5.0, 0.25)
MAXIMAL_ELEMENTS = 600
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)


@dataclass
class Graph:
    """A graph that is being grown.

    Attributes:
        random: decides everything.
        opset: the version of the operators.
        shape: that of the input x, which is double.
        declared: the same as the model says it, with names for dynamic dimensions.
        nodes: what has grown so far.
        constants: the initializers.
        shapes: the shape of every floating value that depends on x.
    """

    random: Random
    opset: int
    shape: Shape
    declared: tuple[int | str, ...]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, npt.NDArray[np.generic]] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)

    def emit(self, operator: str, inputs: Sequence[str], outputs: int = 1, **attributes: object) -> str:
        """Add a node; its first output's name."""
        names = [f"{operator.lower()}{len(self.nodes)}" + ("" if i == 0 else f"_{i}") for i in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names[0]

    def value(self, operator: str, inputs: Sequence[str], shape: Shape, outputs: int = 1, **attributes: object) -> str:
        """Add a node whose output depends on x and has this shape."""
        name = self.emit(operator, inputs, outputs, **attributes)
        self.shapes[name] = shape
        return name

    def constant(self, array: npt.ArrayLike) -> str:
        """Add a constant, as an initializer or as a node."""
        found = np.asarray(array)
        if self.random.random() < 0.3:
            return self.emit("Constant", [], value=numpy_helper.from_array(found))
        name = f"c{len(self.constants)}"
        self.constants[name] = found
        return name

    def integers(self, values: Sequence[int]) -> str:
        """Add a vector of integers."""
        return self.constant(np.asarray(values, np.int64))

    def any_value(self) -> str:
        """A value to go on from, rather a late one than an early one."""
        names = list(self.shapes)
        return names[max(self.random.randrange(len(names)), self.random.randrange(len(names)))]

    def any_axes(self, rank: int) -> list[int]:
        """Some axes, at least one of them, signed either way."""
        axes = [axis for axis in range(rank) if self.random.random() < 0.5] or [self.random.randrange(rank)]
        return [axis - rank if self.random.random() < 0.5 else axis for axis in axes]

    def model(self) -> onnx.ModelProto:
        """The graph as a model; its output is its last value."""
        graph = helper.make_graph(
            self.nodes,
            "random",
            [helper.make_tensor_value_info("x", TensorProto.DOUBLE, self.declared)],
            [onnx.ValueInfoProto(name=next(reversed(self.shapes)))],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        model.ir_version = 10
        return model


def weights(random: Random, shape: Shape) -> Exact:
    """Random numbers that are exact in every type; sometimes one number everywhere."""
    if random.random() < 0.25:
        return np.full(shape, random.choice([-2.0, 0.5, 1.0, 3.0, 1e-5]))
    return np.array([random.randint(-12, 12) / 4 for _ in range(math.prod(shape))], np.float64).reshape(shape)


def operand(graph: Graph, shape: Shape) -> tuple[str, Shape]:
    """A constant that broadcasts with this shape, and the shape that comes of it."""
    random = graph.random
    kind = random.random()
    if kind < 0.3:
        found: Shape = random.choice([(), (1,), (1,) * len(shape)])
    else:
        start = random.randrange(len(shape) + 1)
        found = tuple(size if random.random() < 0.7 else 1 for size in shape[start:])
        if kind > 0.75:
            found = tuple(random.choice(EXTENTS) if size == 1 else m for size, m in zip(shape[start:], found, strict=True))
    return graph.constant(weights(random, found)), np.broadcast_shapes(shape, found)


def _binary(graph: Graph) -> None:
    a = graph.any_value()
    shape = graph.shapes[a]
    partners = [name for name, other in graph.shapes.items() if _fit(shape, other)]
    if graph.random.random() < 0.6:
        b = graph.random.choice(partners)
        shape = np.broadcast_shapes(shape, graph.shapes[b])
    else:
        b, shape = operand(graph, shape)
    operands = [a, b] if graph.random.random() < 0.7 else [b, a]
    graph.value(graph.random.choice(["Add", "Sub", "Mul", "Div"]), operands, shape)


def _fit(a: Shape, b: Shape) -> bool:
    return all(m == n or 1 in (m, n) for m, n in zip(a[::-1], b[::-1], strict=False))


def _unary(graph: Graph) -> None:
    a = graph.any_value()
    operator = graph.random.choice(["Abs", "Neg", "Relu", "Sqrt", "Reciprocal", "Identity"])
    graph.value(operator, [a], graph.shapes[a])


def _power(graph: Graph) -> None:
    a = graph.any_value()
    exponent = np.full(graph.random.choice([(), (1,)]), graph.random.choice(EXPONENTS))
    shape = np.broadcast_shapes(graph.shapes[a], exponent.shape)
    graph.value("Pow", [a, graph.constant(exponent)], shape)


def _reduction(graph: Graph) -> None:
    a = graph.any_value()
    shape = graph.shapes[a]
    operator = graph.random.choice(["ReduceMean", "ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL2"])
    keep = graph.random.random() < 0.6
    inputs, attributes = [a], {"keepdims": int(keep)}
    axes = graph.any_axes(len(shape)) if shape and graph.random.random() < 0.85 else []
    if axes:
        if graph.opset >= (13 if operator == "ReduceSum" else 18):
            inputs.append(graph.integers(axes))
        else:
            attributes["axes"] = axes  # type: ignore[assignment]
    over = {axis % len(shape) for axis in axes} or set(range(len(shape)))
    if not axes and graph.opset >= 18 and operator in ("ReduceMean", "ReduceSum") and graph.random.random() < 0.5:
        attributes["noop_with_empty_axes"] = 1
        over, keep = set(), True
    found = tuple(1 if i in over else size for i, size in enumerate(shape) if keep or i not in over)
    graph.value(operator, inputs, found, **attributes)


def _centred(graph: Graph) -> None:
    """x − E[x], its square or the like: the beginnings of a norm."""
    a = graph.any_value()
    shape = graph.shapes[a]
    if not shape:
        return
    axis = graph.random.randrange(len(shape))
    inputs, attributes = ([a, graph.integers([axis])], {}) if graph.opset >= 18 else ([a], {"axes": [axis]})
    mean = graph.value("ReduceMean", inputs, (*shape[:axis], 1, *shape[axis + 1 :]), **attributes)
    graph.value("Sub", [a, mean], shape)


def _transpose(graph: Graph) -> None:
    a = graph.any_value()
    shape = graph.shapes[a]
    order = list(range(len(shape)))
    if not order or graph.random.random() < 0.3:
        graph.value("Transpose", [a], shape[::-1])
        return
    graph.random.shuffle(order)
    graph.value("Transpose", [a], tuple(shape[i] for i in order), perm=order)


def regrouped(random: Random, shape: Shape) -> Shape:
    """A shape of as many elements: neighbours merged, dimensions split, ones put in and taken out."""
    sizes = [size for size in shape if size != 1 or random.random() < 0.5]
    for _ in range(random.randrange(3)):
        kind = random.randrange(3)
        position = random.randrange(len(sizes) + 1)
        if kind == 0:
            sizes.insert(position, 1)
        elif kind == 1 and position + 1 < len(sizes):
            sizes[position : position + 2] = [sizes[position] * sizes[position + 1]]
        elif position < len(sizes):
            factor = random.choice([d for d in range(1, sizes[position] + 1) if sizes[position] % d == 0])
            sizes[position : position + 1] = [factor, sizes[position] // factor]
    return tuple(sizes)


def _reshape(graph: Graph) -> None:
    a = graph.any_value()
    shape, random = graph.shapes[a], graph.random
    target = regrouped(random, shape)
    written = [0 if i < len(shape) and shape[i] == size and random.random() < 0.4 else size for i, size in enumerate(target)]
    if target and random.random() < 0.5:
        written[random.randrange(len(target))] = -1
    if random.random() < 0.4:
        graph.value("Reshape", [a, _computed(graph, target)], target)
    else:
        graph.value("Reshape", [a, graph.integers(written)], target)


def _computed(graph: Graph, target: Shape) -> str:
    """A vector of these numbers, taken from the shapes of values where they can be."""
    parts: list[str] = []
    for size in target:
        sources = [(name, i) for name, shape in graph.shapes.items() for i, other in enumerate(shape) if other == size]
        if sources and graph.random.random() < 0.7:
            name, position = graph.random.choice(sources)
            parts.append(_extent(graph, name, position))
        else:
            parts.append(graph.integers([size]))
    return graph.emit("Concat", parts, axis=0) if parts else graph.integers([])


def _extent(graph: Graph, name: str, position: int) -> str:
    """One extent of a value, as a vector."""
    random, rank = graph.random, len(graph.shapes[name])
    kind = random.randrange(4)
    if kind == 0 and graph.opset >= 15:
        return graph.emit("Shape", [name], start=position, end=position + 1)
    shape = graph.emit("Shape", [name])
    if kind == 1 and graph.opset >= 10:
        return graph.emit("Slice", [shape, graph.integers([position - rank]), graph.integers([position - rank + 1 or 99])])
    if kind == 2:
        return graph.emit("Gather", [shape, graph.integers([position - rank])])
    scalar = graph.emit("Gather", [shape, graph.constant(np.asarray(position, np.int64))])
    return _unsqueezed(graph, scalar, [0])


def _unsqueezed(graph: Graph, name: str, axes: list[int]) -> str:
    if graph.opset >= 13:
        return graph.emit("Unsqueeze", [name, graph.integers(axes)])
    return graph.emit("Unsqueeze", [name], axes=axes)


def _flatten(graph: Graph) -> None:
    a = graph.any_value()
    shape = graph.shapes[a]
    axis = graph.random.randrange(len(shape) + 1)
    found = (math.prod(shape[:axis]), math.prod(shape[axis:]))
    if graph.opset >= 11 and graph.random.random() < 0.5 and axis < len(shape):
        axis -= len(shape)
    if shape:
        graph.value("Flatten", [a], found, axis=axis)


def _squeeze(graph: Graph) -> None:
    a = graph.any_value()
    shape = graph.shapes[a]
    ones = [i for i, size in enumerate(shape) if size == 1]
    if not ones or graph.random.random() < 0.2:
        graph.value("Squeeze", [a], tuple(size for size in shape if size != 1))
        return
    chosen = [i for i in ones if graph.random.random() < 0.7] or ones[:1]
    found = tuple(size for i, size in enumerate(shape) if i not in chosen)
    signed = [i - len(shape) if graph.opset >= 11 and graph.random.random() < 0.5 else i for i in chosen]
    if graph.opset >= 13:
        graph.value("Squeeze", [a, graph.integers(signed)], found)
    else:
        graph.value("Squeeze", [a], found, axes=signed)


def _unsqueeze(graph: Graph) -> None:
    a = graph.any_value()
    shape = graph.shapes[a]
    if len(shape) > 4:
        return
    rank = len(shape) + graph.random.randint(1, 2)
    axes = sorted(graph.random.sample(range(rank), rank - len(shape)))
    rest = iter(shape)
    found = tuple(1 if i in axes else next(rest) for i in range(rank))
    # The reference evaluator takes negative axes one after the other before they became an input.
    signed = [i - rank if graph.opset >= 13 and graph.random.random() < 0.5 else i for i in axes]
    graph.shapes[_unsqueezed(graph, a, signed)] = found


def _expand(graph: Graph) -> None:
    a = graph.any_value()
    shape, random = graph.shapes[a], graph.random
    if graph.opset < 8:
        return
    if random.random() < 0.5:
        b = random.choice([name for name, other in graph.shapes.items() if _fit(shape, other)])
        graph.value("Expand", [a, graph.emit("Shape", [b])], np.broadcast_shapes(shape, graph.shapes[b]))
        return
    grown = tuple(random.choice(EXTENTS) if size == 1 else random.choice([1, size]) for size in shape)
    grown = (random.choice(EXTENTS), *grown) if random.random() < 0.3 else grown
    target = _computed(graph, grown) if random.random() < 0.5 else graph.integers(grown)
    graph.value("Expand", [a, target], np.broadcast_shapes(shape, grown))


def _bounded(graph: Graph) -> None:
    a = graph.any_value()
    shape, random = graph.shapes[a], graph.random
    bounds = [random.choice([-1.0, 0.0, 1e-5, 0.5]), random.choice([0.75, 2.0])]
    if random.random() < 0.6:
        operands = [a, graph.constant(np.asarray(random.choice(bounds)))]
        random.shuffle(operands)
        if random.random() < 0.2 and graph.opset >= 8:
            operands.append(graph.constant(np.asarray(0.25)))
        graph.value(random.choice(["Max", "Min"]), operands, shape)
        return
    low, high = random.random() < 0.7, random.random() < 0.5
    if graph.opset >= 11:
        names = [graph.constant(np.asarray(bound)) if used else "" for bound, used in zip(bounds, (low, high), strict=True)]
        while names and not names[-1]:
            names.pop()
        graph.value("Clip", [a, *names], shape)
    else:
        chosen = {name: bound for name, bound, used in zip(("min", "max"), bounds, (low, high), strict=True) if used}
        graph.value("Clip", [a], shape, **chosen)


def _sum(graph: Graph) -> None:
    a = graph.any_value()
    shape = graph.shapes[a]
    partners = [name for name, other in graph.shapes.items() if other == shape]
    graph.value("Sum", [a, *graph.random.choices(partners, k=graph.random.randrange(3))], shape)


def _cast(graph: Graph) -> None:
    """To another floating type and back; tests of what is exact have both Casts lead to double."""
    a = graph.any_value()
    there = graph.value("Cast", [a], graph.shapes[a], to=graph.random.choice(FLOATS))
    del graph.shapes[there]
    graph.value("Cast", [there], graph.shapes[a], to=TensorProto.DOUBLE)


def _dropout(graph: Graph) -> None:
    a = graph.any_value()
    if graph.opset >= 12:
        inputs = [a, "", graph.constant(np.asarray(False))] if graph.random.random() < 0.5 else [a]
        graph.value("Dropout", inputs, graph.shapes[a], outputs=graph.random.randint(1, 2))
    elif graph.opset >= 10:
        graph.value("Dropout", [a], graph.shapes[a], ratio=0.5)


def _counted(graph: Graph) -> None:
    """A value divided or multiplied by an extent, or by the number of elements."""
    a = graph.any_value()
    b = graph.any_value()
    shape = graph.shapes[b]
    if shape and graph.random.random() < 0.7:
        count = _extent(graph, b, graph.random.randrange(len(shape)))
    else:
        count = graph.emit("Size", [b])
    if graph.random.random() < 0.2 and graph.shapes[a]:
        other = graph.emit("Shape", [a])
        count = graph.emit("ReduceProd", [other], keepdims=graph.random.randint(0, 1))
    number = graph.emit("Cast", [count], to=TensorProto.DOUBLE)
    found = np.broadcast_shapes(graph.shapes[a], (1,)) if not _is_scalar(graph, count) else graph.shapes[a]
    graph.value(graph.random.choice(["Mul", "Div"]), [a, number], found)


def _is_scalar(graph: Graph, name: str) -> bool:
    node = next(node for node in graph.nodes if name in node.output)
    keeps = all(attribute.i for attribute in node.attribute if attribute.name == "keepdims")
    return node.op_type == "Size" or (node.op_type == "ReduceProd" and not keeps)


def _filled(graph: Graph) -> None:
    """A value combined with a tensor that is one number everywhere, as large as another value."""
    a = graph.any_value()
    b = graph.random.choice([name for name, other in graph.shapes.items() if _fit(graph.shapes[a], other)])
    if graph.opset < 9:
        return
    fill = numpy_helper.from_array(np.asarray([graph.random.choice([0.0, 1.0, 0.5])]))
    filled = graph.emit("ConstantOfShape", [graph.emit("Shape", [b])], value=fill)
    shape = np.broadcast_shapes(graph.shapes[a], graph.shapes[b])
    graph.value(graph.random.choice(["Add", "Mul", "Max"]), [a, filled], shape)


def _native(graph: Graph) -> None:
    """One of the native norms that have a transfer function, or a pooling."""
    a = graph.any_value()
    shape, random = graph.shapes[a], graph.random
    kinds = ["LayerNormalization"] * (graph.opset >= 17 and len(shape) > 0)
    kinds += ["BatchNormalization"] * (graph.opset >= 15 and len(shape) > 1)
    kinds += ["InstanceNormalization", "GlobalAveragePool"] * (len(shape) > 2)
    if not kinds:
        return
    kind = random.choice(kinds)
    if kind == "GlobalAveragePool":
        graph.value(kind, [a], shape[:2] + (1,) * (len(shape) - 2))
    elif kind == "LayerNormalization":
        axis = random.randrange(len(shape))
        parameters = [graph.constant(weights(random, shape[axis:])) for _ in range(random.randint(1, 2))]
        signed = axis - len(shape) if random.random() < 0.5 else axis
        graph.value(kind, [a, *parameters], shape, axis=signed, epsilon=0.5)
    else:
        parameters = [weights(random, shape[1:2]) for _ in range(2 if kind == "InstanceNormalization" else 3)]
        if kind == "BatchNormalization":
            parameters.append(np.abs(weights(random, shape[1:2])) + 0.25)
        graph.value(kind, [a, *(graph.constant(array) for array in parameters)], shape, epsilon=0.5)


PRODUCTIONS: tuple[tuple[int, Callable[[Graph], None]], ...] = (
    (5, _binary),
    (2, _unary),
    (2, _power),
    (4, _reduction),
    (2, _centred),
    (2, _transpose),
    (3, _reshape),
    (1, _flatten),
    (1, _squeeze),
    (1, _unsqueeze),
    (2, _expand),
    (1, _bounded),
    (1, _sum),
    (1, _cast),
    (1, _dropout),
    (1, _counted),
    (1, _filled),
    (1, _native),
)
_CHOICES = tuple(production for weight, production in PRODUCTIONS for _ in range(weight))


def grow(random: Random, longest: int = 10) -> Graph:
    """A graph of up to about `longest` operators."""
    rank = random.choice([1, 2, 2, 3, 3, 4])
    shape = tuple(random.choice(EXTENTS) for _ in range(rank))
    declared = tuple(f"d{i}" if random.random() < 0.3 else size for i, size in enumerate(shape))
    graph = Graph(random, random.choice(OPSETS), shape, declared)
    graph.shapes["x"] = shape
    for _ in range(random.randint(1, longest)):
        random.choice(_CHOICES)(graph)
        last = next(reversed(graph.shapes))
        if math.prod(graph.shapes[last]) > MAXIMAL_ELEMENTS and last != "x":
            del graph.shapes[last]  # stays, and nothing reads it
    return graph
