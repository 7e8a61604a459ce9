"""Normalizations in random spellings: algebraic identities applied at random to the definition, layouts shuffled.

Every spelling is the same value as the definition, so that each has to be found.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tests.core.growing import Exact, Graph, Shape

# As float32 holds them, so that the operators can.
EPSILONS = tuple(float(np.float32(epsilon)) for epsilon in (1e-5, 1e-6, 1e-3, 1e-12, 0.5))


@dataclass(frozen=True)
class Written:
    """A normalization as it was written.

    Attributes:
        output: the name of the normalized value.
        epsilon: ε in units of x², as the definition has it.
        centred: whether the mean is subtracted.
    """

    output: str
    epsilon: float
    centred: bool


@dataclass(frozen=True)
class Writer:
    """Writes one normalization into a graph, every step in one of its spellings.

    Attributes:
        graph: the graph, static but for x.
        source: what is normalized.
        axes: the axes of the statistics, ascending.
        at_run_time: whether gains and biases are fed, now and then along other axes too.
    """

    graph: Graph
    source: str
    axes: tuple[int, ...]
    at_run_time: bool = False

    def shape(self, name: str) -> Shape:
        """The shape of a value or of a constant."""
        graph = self.graph
        if name in graph.shapes:
            return graph.shapes[name]
        if name in graph.constants:
            return graph.constants[name].shape
        if name in graph.fed:
            return graph.fed[name]
        node = next(node for node in graph.nodes if name in node.output)
        return tuple(node.attribute[0].t.dims)

    def one_of(self, *spellings: Callable[[], str]) -> str:
        """One of the spellings."""
        return self.graph.random.choice(spellings)()

    def binary(self, operator: str, a: str, b: str) -> str:
        """An operator on two values that broadcast."""
        return self.graph.value(operator, [a, b], np.broadcast_shapes(self.shape(a), self.shape(b)))

    def unary(self, operator: str, a: str) -> str:
        """An operator on one value."""
        return self.graph.value(operator, [a], self.shape(a))

    def number(self, value: float) -> str:
        """A constant number, in one of the shapes that mean the same."""
        rank = self.graph.random.randrange(len(self.graph.shapes[self.source]) + 1)
        return self.graph.constant(np.full((1,) * rank, float(value)))

    def add(self, a: str, b: str) -> str:
        """a + b."""
        return self.one_of(
            lambda: self.binary("Add", a, b),
            lambda: self.binary("Add", b, a),
            lambda: self.binary("Sub", a, self.negative(b)),
        )

    def negative(self, a: str) -> str:
        """−a."""
        return self.one_of(
            lambda: self.unary("Neg", a),
            lambda: self.binary("Mul", a, self.number(-1.0)),
            lambda: self.binary("Sub", self.number(0.0), a),
            lambda: self.binary("Div", a, self.number(-1.0)),
        )

    def subtract(self, a: str, b: str) -> str:
        """a − b."""
        return self.one_of(
            lambda: self.binary("Sub", a, b),
            lambda: self.binary("Sub", a, b),
            lambda: self.binary("Add", a, self.negative(b)),
            lambda: self.negative(self.binary("Sub", b, a)),
        )

    def multiply(self, a: str, b: str) -> str:
        """a · b."""
        return self.one_of(lambda: self.binary("Mul", a, b), lambda: self.binary("Mul", b, a))

    def square(self, a: str) -> str:
        """a²."""
        return self.one_of(
            lambda: self.binary("Mul", a, a),
            lambda: self.binary("Pow", a, self.number(2.0)),
            lambda: self.binary("Mul", self.negative(a), self.negative(a)),
            lambda: self.binary("Pow", self.unary("Abs", a), self.number(2.0)),
            lambda: self.unary("Abs", self.binary("Mul", a, a)),
        )

    def kept(self, a: str) -> str:
        """The value itself, more often than not by way of something that undoes itself."""
        return self.one_of(
            lambda: a,
            lambda: a,
            lambda: a,
            lambda: self.unary("Identity", a),
            lambda: self.unary("Neg", self.unary("Neg", a)),
            lambda: self.binary("Mul", a, self.number(1.0)),
            lambda: self.binary("Add", a, self.number(0.0)),
            lambda: self.binary("Div", self.binary("Mul", a, self.number(4.0)), self.number(4.0)),
            lambda: self.turned(a),
            lambda: self.reshaped(a),
        )

    def turned(self, a: str) -> str:
        """The value transposed there and back."""
        shape = self.shape(a)
        order = list(range(len(shape)))
        self.graph.random.shuffle(order)
        there = self.graph.value("Transpose", [a], tuple(shape[i] for i in order), perm=order)
        return self.graph.value("Transpose", [there], shape, perm=[order.index(i) for i in range(len(order))])

    def reshaped(self, a: str) -> str:
        """The value in another shape and back."""
        shape = self.shape(a)
        position = self.graph.random.randrange(len(shape))
        there = self.graph.over("Unsqueeze", a, [position], (*shape[:position], 1, *shape[position:]))
        return self.graph.value("Reshape", [there, self.target(shape)], shape)

    def target(self, shape: Shape) -> str:
        """A shape to reshape to, whose extents are the source's or one; what is dynamic is asked for."""
        graph = self.graph
        dynamic = {i for i, name in enumerate(graph.declared) if self.source == "x" and isinstance(name, str)}
        asked = [i in dynamic or graph.chance(0.3) for i in range(len(shape))]
        if not any(ask and size != 1 for ask, size in zip(asked, shape, strict=True)):
            return graph.integers(shape)
        parts = [
            graph.extent(self.source, i) if ask and size != 1 else graph.integers([size])
            for i, (ask, size) in enumerate(zip(asked, shape, strict=True))
        ]
        return graph.emit("Concat", parts, axis=0)

    def mean(self, a: str) -> str:
        """E[a], of extent one along the axes."""
        count = math.prod(self.shape(a)[axis] for axis in self.axes)
        return self.one_of(
            lambda: self.reduced("ReduceMean", a, self.axes),
            lambda: self.reduced("ReduceMean", a, self.axes),
            lambda: self.binary("Div", self.reduced("ReduceSum", a, self.axes), self.number(count)),
            lambda: self.binary("Mul", self.number(1 / count), self.reduced("ReduceSum", a, self.axes)),
            lambda: self.reduced("ReduceSum", self.binary("Div", a, self.number(count)), self.axes),
            lambda: self.one_by_one(a),
            lambda: self.negative(self.reduced("ReduceMean", self.negative(a), self.axes)),
            lambda: self.by_product(a),
            lambda: self.by_window(a),
        )

    def by_product(self, a: str) -> str:
        """E[a] as a product with a column of 1/n, or as an Einsum; plainly where that can't be written."""
        shape, last = self.shape(a), len(self.shape(a)) - 1
        if self.axes != (last,) or not last or isinstance(self.graph.declared[-1], str):
            return self.reduced("ReduceMean", a, self.axes)
        count, kept = shape[last], (*shape[:last], 1)
        if self.graph.opset < 12 or self.graph.chance(0.5):
            return self.graph.value("MatMul", [a, self.graph.constant(np.full((count, 1), 1 / count))], kept)
        letters = "abcdefgh"[: last + 1]
        weights = self.graph.constant(np.full(count, 1 / count))
        equation = f"{letters},{letters[-1]}->{letters[:-1]}"
        dropped = self.graph.value("Einsum", [a, weights], shape[:last], equation=equation)
        return self.graph.over("Unsqueeze", dropped, [last], kept)

    def by_window(self, a: str) -> str:
        """E[a] by a window that covers the axes: of a pooling or a Conv; plainly where there is none."""
        shape, last = self.shape(a), len(self.shape(a))
        if self.axes == tuple(range(1, last)) and self.graph.chance(0.5):  # one channel is put in before
            kept = (shape[0], *(1 for _ in self.axes))
            wide = self.graph.over("Unsqueeze", a, [1], (shape[0], 1, *shape[1:]))
            pooled = self.graph.value("GlobalAveragePool", [wide], (shape[0], 1, *kept[1:]))
            return self.graph.over("Squeeze", pooled, [1], kept)
        if last < 3 or min(self.axes) < 2:
            return self.reduced("ReduceMean", a, self.axes)
        kept = tuple(1 if i in self.axes else size for i, size in enumerate(shape))
        kernel = [shape[i] if i in self.axes else 1 for i in range(2, last)]
        if len(self.axes) == last - 2 and self.graph.chance(0.4):
            return self.graph.value("GlobalAveragePool", [a], kept)
        if self.graph.chance(0.4) and not isinstance(self.graph.declared[1], str):
            weights = self.graph.constant(np.full((shape[1], 1, *kernel), 1 / math.prod(kernel)))
            return self.graph.value("Conv", [a, weights], kept, group=shape[1])
        return self.graph.value("AveragePool", [a], kept, kernel_shape=kernel)

    def one_by_one(self, a: str) -> str:
        """E[E[a]], an axis at a time."""
        axes = list(self.axes)
        self.graph.random.shuffle(axes)
        for axis in axes:
            a = self.reduced("ReduceMean", a, (axis,))
        return a

    def reduced(self, operator: str, a: str, axes: Sequence[int]) -> str:
        """A reduction that keeps the dimensions, or drops them and brings them back."""
        shape = self.shape(a)
        signed = [axis - len(shape) if self.graph.chance(0.5) else axis for axis in axes]
        kept = tuple(1 if i in axes else size for i, size in enumerate(shape))
        if self.graph.chance(0.7):
            return self.graph.over(operator, a, signed, kept, keepdims=1)
        left = tuple(size for i, size in enumerate(shape) if i not in axes)
        dropped = self.graph.over(operator, a, signed, left, keepdims=0)
        if self.graph.chance(0.5):
            return self.graph.over("Unsqueeze", dropped, sorted(axes), kept)
        return self.graph.value("Reshape", [dropped, self.target(kept)], kept)

    def variance(self, x: str, mean: str, centred: str) -> str:
        """E[(x − E[x])²], perhaps bounded by what bounds it anyway."""
        variance = self.one_of(
            lambda: self.mean(self.square(centred)),
            lambda: self.mean(self.square(centred)),
            lambda: self.subtract(self.mean(self.square(x)), self.square(mean)),
            lambda: self.mean(self.multiply(x, centred)),
            lambda: self.mean(self.multiply(self.subtract(x, self.mean(x)), centred)),
        )
        return self.bounded(variance)

    def bounded(self, a: str) -> str:
        """The bound of zero that a mean of squares has anyway."""
        return self.one_of(
            lambda: a,
            lambda: a,
            lambda: self.binary("Max", a, self.number(0.0)) if self.graph.opset >= 8 else a,
            lambda: self.unary("Relu", a),
            lambda: self.unary("Abs", a),
            lambda: self.where_positive(a),
        )

    def where_positive(self, a: str) -> str:
        """The value where it is positive, else zero: all of it, for a mean of squares."""
        if self.graph.opset < 11:
            return a
        test = self.graph.emit("Greater", [a, self.number(0.0)])  # no value to compute with
        return self.graph.value("Where", [test, a, self.number(0.0)], self.shape(a))

    def divided(self, a: str, spread: str) -> str:
        """a / √spread."""
        return self.one_of(
            lambda: self.binary("Div", a, self.root(spread)),
            lambda: self.multiply(a, self.inverse_root(spread)),
            lambda: self.multiply(a, self.inverse_root(spread)),
        )

    def root(self, a: str) -> str:
        """√a."""
        return self.one_of(
            lambda: self.unary("Sqrt", a),
            lambda: self.unary("Sqrt", a),
            lambda: self.binary("Pow", a, self.number(0.5)),
            lambda: self.by_logarithm(a, 0.5),
        )

    def inverse_root(self, a: str) -> str:
        """1 / √a."""
        return self.one_of(
            lambda: self.binary("Pow", a, self.number(-0.5)),
            lambda: self.unary("Reciprocal", self.root(a)),
            lambda: self.binary("Div", self.number(1.0), self.root(a)),
            lambda: self.root(self.unary("Reciprocal", a)),
            lambda: self.binary("Pow", self.root(a), self.number(-1.0)),
            lambda: self.by_logarithm(a, -0.5),
        )

    def by_logarithm(self, a: str, exponent: float) -> str:
        """e^(p·log a), which is a^p for positive a."""
        return self.unary("Exp", self.multiply(self.unary("Log", a), self.number(exponent)))

    def parameter(self, values: Exact) -> str:
        """γ or β, which vary along the axes only; leading dimensions of one may be left out."""
        shape = values.shape
        if self.at_run_time and self.graph.chance(0.3):  # it may vary along all axes whose sizes are known
            whole = zip(self.graph.shapes[self.source], self.graph.declared, strict=True)
            shape = tuple(size if isinstance(known, int) and self.graph.chance(0.6) else 1 for size, known in whole)
        lead = next((i for i, size in enumerate(shape) if size != 1), len(shape))
        cut = shape[self.graph.random.randint(0, lead) :]
        return self.graph.feed(cut) if self.at_run_time else self.graph.constant(values.reshape(cut))


def write(graph: Graph, x: str, axes: tuple[int, ...], *, centred: bool, at_run_time: bool = False) -> Written:
    """Write a normalization of x over the axes into the graph, with or without gain and bias.

    If these are known at run time only, what is written is the normalization as far as they stand within.
    """
    writer, random = Writer(graph, x, axes, at_run_time), graph.random
    epsilon = random.choice(EPSILONS)
    shape = tuple(size if i in axes else 1 for i, size in enumerate(graph.shapes[x]))
    gain = _parameter(graph, shape) if at_run_time or graph.chance(0.7) else None
    bias = _parameter(graph, shape) if centred and graph.chance(0.7) else None
    mean = writer.kept(writer.mean(x)) if centred else None
    value = x if mean is None else writer.kept(writer.subtract(x, mean))
    spread = writer.bounded(writer.mean(writer.square(x))) if mean is None else writer.variance(x, mean, value)
    spread = writer.kept(writer.add(writer.kept(spread), writer.number(epsilon)))
    if (
        mean is not None and gain is not None and bias is not None and graph.chance(0.5 if at_run_time else 0.3)
    ):  # TensorFlow's
        rate = writer.multiply(writer.inverse_root(spread), writer.parameter(gain))
        shift = writer.subtract(writer.parameter(bias), writer.multiply(mean, rate))
        return Written(writer.kept(writer.add(writer.multiply(x, rate), shift)), epsilon, centred)
    early = gain is not None and (at_run_time or graph.chance(0.3))
    if early and gain is not None:
        value = writer.multiply(value, writer.parameter(gain))
    value = writer.divided(value, spread)
    if gain is not None and not early:
        value = writer.multiply(value, writer.parameter(gain))
    if bias is not None and not at_run_time:
        value = writer.add(value, writer.parameter(bias))
    return Written(writer.kept(writer.kept(value)), epsilon, centred)


def _parameter(graph: Graph, shape: Shape) -> Exact:
    """One number, or numbers along all axes; never zero, and seldom one."""
    shape = shape if graph.chance(0.8) else (1,) * len(shape)
    values = [graph.random.choice([-1, 1]) * graph.random.randint(3, 12) / 4 for _ in range(math.prod(shape))]
    return np.array(values).reshape(shape)
