"""Random small graphs over the operators that have a transfer function, with the shape arithmetic that feeds them."""

import math
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

from tests.core import random_linear
from tests.core.growing import EXTENTS, Graph, any_axes, operand, regrouped, weights

OPSETS = (7, 8, 10, 11, 12, 13, 15, 17, 18, 20, 22, 23)
EXPONENTS = (2.0, 2.0, 0.5, -0.5, -1.0, 3.0, 1.0, 0.0, -2.0, 1.5, 4.0, 5.0, 0.75)
REDUCTIONS = (
    "ReduceMean",
    "ReduceMean",
    "ReduceMean",
    "ReduceSum",
    "ReduceSumSquare",
    "ReduceL2",
    "ReduceL1",
    "ReduceMax",
    "ReduceMin",
)
COMPARISONS = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
MAXIMAL_ELEMENTS = 600
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)


def _binary(graph: Graph) -> None:
    a = graph.any_value()
    shape = graph.shapes[a]
    if graph.chance(0.6):
        b = graph.any_fitting(shape)
        shape = np.broadcast_shapes(shape, graph.shapes[b])
    else:
        b, shape = operand(graph, shape)
    operands = [a, b] if graph.chance(0.7) else [b, a]
    graph.value(graph.random.choice(["Add", "Sub", "Mul", "Div"]), operands, shape)


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
    operator = graph.random.choice(REDUCTIONS)
    keep = graph.chance(0.6)
    if shape and graph.chance(0.85):
        axes = any_axes(graph.random, len(shape))
        over = {axis % len(shape) for axis in axes}
        found = tuple(1 if i in over else size for i, size in enumerate(shape) if keep or i not in over)
        graph.over(operator, a, axes, found, keepdims=int(keep))
    elif graph.opset >= 18 and graph.chance(0.5):
        graph.value(operator, [a], shape, keepdims=int(keep), noop_with_empty_axes=1)
    else:
        graph.value(operator, [a], (1,) * len(shape) if keep else (), keepdims=int(keep))


def _centred(graph: Graph) -> None:
    """x − E[x]: the beginning of a norm."""
    a = graph.any_value()
    shape = graph.shapes[a]
    if shape:
        axis = graph.random.randrange(len(shape))
        mean = graph.over("ReduceMean", a, [axis], (*shape[:axis], 1, *shape[axis + 1 :]))
        graph.value("Sub", [a, mean], shape)


def _transpose(graph: Graph) -> None:
    a = graph.any_value()
    shape = graph.shapes[a]
    order = list(range(len(shape)))
    graph.random.shuffle(order)
    if not order or graph.chance(0.3):
        graph.value("Transpose", [a], shape[::-1])
    else:
        graph.value("Transpose", [a], tuple(shape[i] for i in order), perm=order)


def _reshape(graph: Graph) -> None:
    a = graph.any_value()
    shape = graph.shapes[a]
    target = regrouped(graph.random, shape)
    if graph.chance(0.4):
        graph.value("Reshape", [a, graph.computed_shape(target)], target)
        return
    kept = [i < len(shape) and shape[i] == size and graph.chance(0.4) for i, size in enumerate(target)]
    written = [0 if keep else size for keep, size in zip(kept, target, strict=True)]
    if target and graph.chance(0.5):
        written[graph.random.randrange(len(target))] = -1
    graph.value("Reshape", [a, graph.integers(written)], target)


def _flatten(graph: Graph) -> None:
    a = graph.any_value()
    shape = graph.shapes[a]
    if shape:
        axis = graph.random.randrange(len(shape) + 1)
        found = (math.prod(shape[:axis]), math.prod(shape[axis:]))
        negative = graph.opset >= 11 and graph.chance(0.5) and axis < len(shape)
        graph.value("Flatten", [a], found, axis=axis - len(shape) if negative else axis)


def _squeeze(graph: Graph) -> None:
    a = graph.any_value()
    shape = graph.shapes[a]
    ones = [i for i, size in enumerate(shape) if size == 1]
    if not ones or graph.chance(0.2):
        graph.value("Squeeze", [a], tuple(size for size in shape if size != 1))
        return
    chosen = [i for i in ones if graph.chance(0.7)] or ones[:1]
    found = tuple(size for i, size in enumerate(shape) if i not in chosen)
    graph.over("Squeeze", a, _signed(graph, chosen, len(shape)), found)


def _unsqueeze(graph: Graph) -> None:
    a = graph.any_value()
    shape = graph.shapes[a]
    if len(shape) <= 4:
        rank = len(shape) + graph.random.randint(1, 2)
        axes = sorted(graph.random.sample(range(rank), rank - len(shape)))
        rest = iter(shape)
        found = tuple(1 if i in axes else next(rest) for i in range(rank))
        graph.over("Unsqueeze", a, _signed(graph, axes, rank), found)


def _signed(graph: Graph, axes: list[int], rank: int) -> list[int]:
    """The axes, some of them negative; the reference evaluator takes these one by one while they are an attribute."""
    return [i - rank if graph.opset >= 13 and graph.chance(0.5) else i for i in axes]


def _expand(graph: Graph) -> None:
    a = graph.any_value()
    shape, random = graph.shapes[a], graph.random
    if graph.opset < 8:
        return
    if graph.chance(0.5):
        b = graph.any_fitting(shape)
        graph.value("Expand", [a, graph.emit("Shape", [b])], np.broadcast_shapes(shape, graph.shapes[b]))
        return
    grown = tuple(random.choice(EXTENTS) if size == 1 else random.choice([1, size]) for size in shape)
    grown = (random.choice(EXTENTS), *grown) if graph.chance(0.3) else grown
    target = graph.computed_shape(grown) if graph.chance(0.5) else graph.integers(grown)
    graph.value("Expand", [a, target], np.broadcast_shapes(shape, grown))


def _tile(graph: Graph) -> None:
    a = graph.any_value()
    shape = graph.shapes[a]
    repeats = [graph.random.choice(EXTENTS) if size == 1 or graph.chance(0.1) else 1 for size in shape]
    if shape:
        found = tuple(size * times for size, times in zip(shape, repeats, strict=True))
        graph.value("Tile", [a, graph.integers(repeats)], found)


def _bounded(graph: Graph) -> None:
    a = graph.any_value()
    shape, random = graph.shapes[a], graph.random
    low, high = random.choice([-1.0, 0.0, 1e-5, 0.5]), random.choice([0.75, 2.0])
    if graph.chance(0.6):
        operands = [a]
        if graph.opset >= 8:
            operands.append(graph.constant(np.asarray(random.choice([low, high]))))
            random.shuffle(operands)
        if graph.opset >= 8 and graph.chance(0.2):
            operands.append(graph.constant(np.asarray(0.25)))
        graph.value(random.choice(["Max", "Min"]), operands, shape)
        return
    bounds: dict[str, Any] = {name: bound for name, bound in (("min", low), ("max", high)) if graph.chance(0.6)}
    if graph.opset < 11:
        graph.value("Clip", [a], shape, **bounds)
        return
    names = [graph.constant(np.asarray(bounds[name])) if name in bounds else "" for name in ("min", "max")]
    graph.value("Clip", [a, *names], shape)


def _sum(graph: Graph) -> None:
    a = graph.any_value()
    shape = graph.shapes[a]
    partners = [name for name, other in graph.shapes.items() if other == shape]
    graph.value("Sum", [a, *graph.random.choices(partners, k=graph.random.randrange(3))], shape)


def _cast(graph: Graph) -> None:
    """To another floating type and back."""
    a = graph.any_value()
    there = graph.emit("Cast", [a], to=graph.random.choice(FLOATS))
    if graph.opset >= 15 and graph.chance(0.3):
        graph.value("CastLike", [there, graph.constant(np.zeros(1))], graph.shapes[a])
    else:
        graph.value("Cast", [there], graph.shapes[a], to=TensorProto.DOUBLE)


def _passed_on(graph: Graph) -> None:
    a = graph.any_value()
    shape = graph.shapes[a]
    if shape and graph.chance(0.3):
        graph.value("Concat", [a], shape, axis=graph.random.randrange(len(shape)))
    elif graph.opset >= 12:
        inputs = [a, "", graph.constant(np.asarray(False))] if graph.chance(0.5) else [a]
        graph.value("Dropout", inputs, shape, outputs=graph.random.randint(1, 2))
    elif graph.opset >= 10:
        graph.value("Dropout", [a], shape, ratio=0.5)


def _counted(graph: Graph) -> None:
    """A value multiplied or divided by an extent, or by a number of elements."""
    a, b = graph.any_value(), graph.any_value()
    kind = graph.random.randrange(4)
    scalar = False
    if graph.shapes[b] and kind < 2:
        count = graph.extent(b, graph.random.randrange(len(graph.shapes[b])))
    elif graph.shapes[b] and kind == 2:
        scalar = graph.chance(0.5)
        count = graph.emit("ReduceProd", [graph.emit("Shape", [b])], keepdims=int(not scalar))
    else:
        count, scalar = graph.emit("Size", [b]), True
    number = graph.emit("Cast", [count], to=TensorProto.DOUBLE)
    shape = graph.shapes[a] if scalar else np.broadcast_shapes(graph.shapes[a], (1,))
    graph.value(graph.random.choice(["Mul", "Div"]), [a, number], shape)


def _filled(graph: Graph) -> None:
    """A value combined with a tensor as large as another value that is one number everywhere."""
    a = graph.any_value()
    if graph.opset < 9:
        return
    b = graph.any_fitting(graph.shapes[a])
    fill = numpy_helper.from_array(np.asarray([graph.random.choice([0.0, 1.0, 0.5])]))
    filled = graph.emit("ConstantOfShape", [graph.emit("Shape", [b])], value=fill)
    shape = np.broadcast_shapes(graph.shapes[a], graph.shapes[b])
    graph.value(graph.random.choice(["Add", "Mul", "Max"]), [a, filled], shape)


def _guarded(graph: Graph) -> None:
    """A choice that is always the same, or that makes no difference: as exporters guard a division."""
    a = graph.any_value()
    shape = graph.shapes[a]
    if graph.opset < 16 or not shape:  # from when the comparisons and Where take everything
        return
    tests = [test for test in (_of_sign(graph, a), _of_range(graph, a)) if graph.chance(0.7)]
    if not tests:
        return
    test = graph.emit(graph.random.choice(["And", "Or"]), tests) if len(tests) > 1 else tests[0]
    axis = graph.random.randrange(len(shape))
    mean = graph.over("ReduceMean", a, [axis], (*shape[:axis], 1, *shape[axis + 1 :]))
    first, second = graph.value("Sub", [a, mean], shape), graph.constant(np.asarray(graph.random.choice([0.0, 1.0])))
    if graph.chance(0.3):
        test = graph.emit("Not", [test])
    operands = [first, second] if graph.chance(0.4) else [second, first]
    graph.value("Where", [test, *operands], shape)


def _of_sign(graph: Graph, name: str) -> str:
    """Whether a square, perhaps with something added, is less than a number or equal to it."""
    square = graph.emit("Mul", [name, name])
    if graph.chance(0.5):
        square = graph.emit("Add", [square, graph.constant(np.asarray(0.25))])
    number = graph.constant(np.asarray(graph.random.choice([0.0, 0.0, -1.0])))
    operands = [square, number] if graph.chance(0.6) else [number, square]
    return graph.emit(graph.random.choice(COMPARISONS), operands)


def _of_range(graph: Graph, name: str) -> str:
    """Whether the largest and the smallest value along the last axis are the same."""
    ends = [graph.over(operator, name, [-1], (*graph.shapes[name][:-1], 1)) for operator in ("ReduceMax", "ReduceMin")]
    graph.random.shuffle(ends)
    return graph.emit("Equal", ends)


def _native(graph: Graph) -> None:
    """One of the native norms that have a transfer function, or a pooling."""
    a = graph.any_value()
    shape, random = graph.shapes[a], graph.random
    kinds = ["LayerNormalization"] * (graph.opset >= 17 and len(shape) > 0)
    kinds += ["RMSNormalization"] * (graph.opset >= 23 and len(shape) > 0)
    kinds += ["BatchNormalization"] * (graph.opset >= 15 and len(shape) > 1)
    kinds += ["InstanceNormalization", "GlobalAveragePool"] * (len(shape) > 2)
    kind = random.choice(kinds) if kinds else None
    if kind == "GlobalAveragePool":
        graph.value(kind, [a], shape[:2] + (1,) * (len(shape) - 2))
    elif kind in ("LayerNormalization", "RMSNormalization"):
        axis = random.randrange(len(shape))
        parameters = [graph.constant(weights(random, shape[axis:])) for _ in range(random.randint(1, 2))]
        parameters = parameters[:1] if kind == "RMSNormalization" else parameters
        graph.value(kind, [a, *parameters], shape, axis=random.choice([axis, axis - len(shape)]), epsilon=0.5)
    elif kind is not None:
        arrays = [weights(random, shape[1:2]) for _ in range(2 if kind == "InstanceNormalization" else 3)]
        if kind == "BatchNormalization":
            arrays.append(np.abs(weights(random, shape[1:2])) + 0.25)
        graph.value(kind, [a, *(graph.constant(array) for array in arrays)], shape, epsilon=0.5)


#: What may grow next, and how often it is chosen.
PRODUCTIONS: Mapping[Callable[[Graph], None], int] = {
    _binary: 5,
    _unary: 2,
    _power: 2,
    _reduction: 4,
    _centred: 2,
    _transpose: 2,
    _reshape: 3,
    _flatten: 1,
    _squeeze: 1,
    _unsqueeze: 1,
    _expand: 2,
    _tile: 1,
    _bounded: 1,
    _sum: 1,
    _cast: 1,
    _passed_on: 1,
    _counted: 1,
    _filled: 1,
    _guarded: 2,
    _native: 1,
    random_linear.multiplied: 2,
    random_linear.contracted: 1,
    random_linear.windowed: 1,
    random_linear.power_by_logarithm: 1,
}
_CHOICES = tuple(production for production, count in PRODUCTIONS.items() for _ in range(count))


def grow(random: Random, longest: int = 10) -> Graph:
    """A graph of up to about `longest` operators on an input of its own."""
    rank = random.choice([1, 2, 2, 3, 3, 4])
    shape = tuple(random.choice(EXTENTS) for _ in range(rank))
    declared = tuple(f"d{i}" if random.random() < 0.3 else size for i, size in enumerate(shape))
    graph = Graph(random, random.choice(OPSETS), shape, declared)
    grow_on(graph, random.randint(1, longest))
    return graph


def grow_on(graph: Graph, operators: int) -> None:
    """Let the graph grow by about this many operators."""
    for _ in range(operators):
        graph.random.choice(_CHOICES)(graph)
        last = next(reversed(graph.shapes))
        if math.prod(graph.shapes[last]) > MAXIMAL_ELEMENTS and last != "x":
            del graph.shapes[last]  # it stays, and nothing reads it
