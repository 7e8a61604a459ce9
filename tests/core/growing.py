"""Graphs that grow node by node from one input, every shape known as they grow, so that all of them are valid.

The random generator is the caller's: Hypothesis's own, which can shrink a failing graph, or a seeded one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Exact = npt.NDArray[np.float64]
Shape = tuple[int, ...]

# Extents are few, so that they often coincide: what is told apart by size alone is to be mistaken.
EXTENTS = (1, 2, 2, 3, 4, 4, 6)
# Since when the axes of an operator are an input.
_AXES_ARE_INPUT_SINCE = {"ReduceSum": 13, "Squeeze": 13, "Unsqueeze": 13}


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
        shapes: the shape of every floating value that depends on x, the input first.
        fed: the shapes of further inputs, which are double and static.
    """

    random: Random
    opset: int
    shape: Shape
    declared: tuple[int | str, ...]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, npt.NDArray[np.generic]] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    fed: dict[str, Shape] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shapes["x"] = self.shape

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.random.random() < probability

    def emit(self, operator: str, inputs: Sequence[str], *, outputs: int = 1, **attributes: Any) -> str:
        """Add a node; the name of its first output."""
        stem = f"{operator.lower()}{len(self.nodes)}"
        names = [stem, *(f"{stem}_{i}" for i in range(1, outputs))]
        self.nodes.append(helper.make_node(operator, list(inputs), names, name=stem, **attributes))
        return stem

    def value(self, operator: str, inputs: Sequence[str], shape: Shape, *, outputs: int = 1, **attributes: Any) -> str:
        """Add a node whose output depends on x and has this shape."""
        name = self.emit(operator, inputs, outputs=outputs, **attributes)
        self.shapes[name] = shape
        return name

    def constant(self, array: npt.ArrayLike) -> str:
        """Add a constant, as an initializer or as a node."""
        found = np.asarray(array)
        if self.chance(0.3) and (self.opset >= 9 or found.dtype == np.float64):
            return self.emit("Constant", [], value=numpy_helper.from_array(found))
        name = f"c{len(self.constants)}"
        self.constants[name] = found
        return name

    def feed(self, shape: Shape) -> str:
        """Add an input of this shape."""
        name = f"fed{len(self.fed)}"
        self.fed[name] = shape
        return name

    def integers(self, values: Sequence[int]) -> str:
        """Add a vector of integers."""
        return self.constant(np.asarray(values, np.int64))

    def over(self, operator: str, name: str, axes: Sequence[int], shape: Shape, **attributes: Any) -> str:
        """Add an operator over axes, which stand in its attribute or its input, as the opset has it."""
        if self.opset >= _AXES_ARE_INPUT_SINCE.get(operator, 18):
            return self.value(operator, [name, self.integers(axes)], shape, **attributes)
        return self.value(operator, [name], shape, axes=list(axes), **attributes)

    def any_value(self) -> str:
        """A value to go on from, rather a late one than an early one."""
        names = list(self.shapes)
        return names[max(self.random.randrange(len(names)), self.random.randrange(len(names)))]

    def any_fitting(self, shape: Shape) -> str:
        """A value that broadcasts with this shape; x or what has it, at the least."""
        return self.random.choice([name for name, other in self.shapes.items() if fit(shape, other)])

    def extent(self, name: str, position: int) -> str:
        """One extent of a value, as a vector of one integer, in one of the ways of asking for it."""
        rank = len(self.shapes[name])
        kind = self.random.randrange(4)
        if kind == 0 and self.opset >= 15:
            return self.emit("Shape", [name], start=position, end=position + 1)
        shape = self.emit("Shape", [name])
        if kind == 1 and self.opset >= 10:
            start = position - rank
            return self.emit("Slice", [shape, self.integers([start]), self.integers([start + 1 or 99])])
        if kind == 2:
            return self.emit("Gather", [shape, self.integers([position - rank])])
        scalar = self.emit("Gather", [shape, self.constant(np.asarray(position, np.int64))])
        if self.opset >= 13:
            return self.emit("Unsqueeze", [scalar, self.integers([0])])
        return self.emit("Unsqueeze", [scalar], axes=[0])

    def computed_shape(self, target: Shape) -> str:
        """A vector of these sizes, taken from the shapes of values where they can be."""
        parts: list[str] = []
        for size in target:
            sources = [(name, i) for name, shape in self.shapes.items() for i, n in enumerate(shape) if n == size]
            computed = sources and self.chance(0.7)
            parts.append(self.extent(*self.random.choice(sources)) if computed else self.integers([size]))
        return self.emit("Concat", parts, axis=0) if parts else self.integers([])

    def model(self, outputs: Sequence[str] = ()) -> onnx.ModelProto:
        """The graph as a model; without outputs named its output is its last value, of which nothing is declared."""
        names = outputs or [next(reversed(self.shapes))]
        ranks = {name: [None] * len(self.shapes[name]) if outputs else None for name in names}
        graph = helper.make_graph(
            self.nodes,
            "random",
            [
                helper.make_tensor_value_info("x", TensorProto.DOUBLE, self.declared),
                *(helper.make_tensor_value_info(name, TensorProto.DOUBLE, shape) for name, shape in self.fed.items()),
            ],
            [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ranks[name]) for name in names],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        model.ir_version = 8
        return model


def fit(a: Shape, b: Shape) -> bool:
    """Whether two shapes broadcast."""
    return all(m == n or 1 in (m, n) for m, n in zip(a[::-1], b[::-1], strict=False))


def any_axes(random: Random, rank: int) -> list[int]:
    """Some axes, at least one, each of either sign."""
    axes = [axis for axis in range(rank) if random.random() < 0.5] or [random.randrange(rank)]
    return [axis - rank if random.random() < 0.5 else axis for axis in axes]


def weights(random: Random, shape: Shape) -> Exact:
    """Random quarters, which every type holds; sometimes one number everywhere."""
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
        behind = shape[random.randrange(len(shape) + 1) :]
        found = tuple(size if random.random() < 0.7 else 1 for size in behind)
        if kind > 0.75:  # it makes the value larger
            found = tuple(
                random.choice(EXTENTS) if size == 1 else kept for size, kept in zip(behind, found, strict=True)
            )
    return graph.constant(weights(random, found)), np.broadcast_shapes(shape, found)


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
