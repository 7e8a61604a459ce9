"""What random graphs are made of: linear operators that may be means, and powers by way of logarithms."""

import numpy as np

from tests.core.growing import EXTENTS, Exact, Graph, Shape


def multiplied(graph: Graph) -> None:
    """A product with an even matrix, with one that is even but for its diagonal, or of rows and columns."""
    a = graph.any_value()
    shape, random = graph.shapes[a], graph.random
    if not shape:
        return
    kind, width = random.randrange(4), random.choice([1, shape[-1], random.choice(EXTENTS)])
    weights = _even(graph, (shape[-1], width))
    if len(shape) == 2 and kind == 0 and graph.opset >= 11:  # where C may be left out
        turned = graph.chance(0.5)
        matrix = graph.constant(weights.T if turned else weights)
        graph.value("Gemm", [a, matrix], (shape[0], width), transB=int(turned), alpha=random.choice([1.0, 0.5]))
    elif len(shape) > 1 and kind == 1:
        rows = random.choice([1, shape[-2]])
        matrix = graph.constant(_even(graph, (rows, shape[-2])))
        graph.value("MatMul", [matrix, a], (*shape[:-2], rows, shape[-1]))
    elif kind == 2:
        row = graph.over("Unsqueeze", a, [len(shape) - 1], (*shape[:-1], 1, shape[-1]))
        column = graph.over("Unsqueeze", a, [len(shape)], (*shape, 1))
        graph.value("MatMul", [row, column], (*shape[:-1], 1, 1))
    elif graph.chance(0.2):
        graph.value("MatMul", [a, graph.constant(_even(graph, (shape[-1],)))], shape[:-1])
    else:
        graph.value("MatMul", [a, graph.constant(weights)], (*shape[:-1], width))


def _even(graph: Graph, shape: Shape) -> Exact:
    """An even array; if it is a square, perhaps with another diagonal; and perhaps with one element that differs."""
    found = np.full(shape, graph.random.choice([1.0, 0.5, -0.25]))
    if len(shape) == 2 and shape[0] == shape[1] and graph.chance(0.5):
        found += np.eye(shape[0]) * graph.random.choice([1.0, -0.5])
    if graph.chance(0.15):
        found[tuple(graph.random.randrange(extent) for extent in shape)] += 1.0
    return found


def contracted(graph: Graph) -> None:
    """An Einsum of one value, with itself or with even weights."""
    a = graph.any_value()
    shape, random = graph.shapes[a], graph.random
    if graph.opset < 12 or len(shape) > 3:
        return
    names = "abc"[: len(shape)]
    kept = "".join(random.sample(names, random.randint(0, len(names))))
    found = tuple(shape[names.index(name)] for name in kept)
    if not names or graph.chance(0.4):
        graph.value("Einsum", [a], found, equation=f"{names}->{kept}")
    elif graph.chance(0.5) or any(isinstance(size, str) for size in graph.declared):  # a dimension of one is broadcast
        graph.value("Einsum", [a, a], found, equation=f"{names},{names}->{kept}")
    else:
        weights = graph.constant(_even(graph, (shape[-1], 2)))
        graph.value("Einsum", [a, weights], (*found, 2), equation=f"{names},{names[-1]}z->{kept}z")


def windowed(graph: Graph) -> None:
    """A convolution or pooling whose window covers dimensions from end to end, or nearly."""
    a = graph.any_value()
    shape, random = graph.shapes[a], graph.random
    if len(shape) < 3:
        return
    channels, spatial = shape[1], shape[2:]
    kernel = [1 if graph.chance(0.3) else extent for extent in spatial]
    kernel = [max(1, width - 1) if graph.chance(0.1) else width for width in kernel]
    found = tuple(extent - width + 1 for extent, width in zip(spatial, kernel, strict=True))
    kind = random.randrange(3)
    if kind == 0:
        graph.value("AveragePool", [a], (*shape[:2], *found), kernel_shape=kernel)
    elif kind == 1:
        weights = graph.constant(_even(graph, (channels, 1, *kernel)))
        graph.value("Conv", [a, weights], (*shape[:2], *found), group=channels, kernel_shape=kernel)
    else:
        outputs = random.choice([1, 2, channels])
        weights = graph.constant(_even(graph, (outputs, channels, *kernel)))
        graph.value("Conv", [a, weights], (shape[0], outputs, *found), kernel_shape=kernel)


def power_by_logarithm(graph: Graph) -> None:
    """e^(q·log p), for p that is a square and something, or anything."""
    a = graph.any_value()
    shape, random = graph.shapes[a], graph.random
    inner = graph.value("Mul", [a, a], shape) if graph.chance(0.7) else a
    if graph.chance(0.7):
        inner = graph.value("Add", [inner, graph.constant(np.asarray(0.25))], shape)
    if shape and graph.chance(0.3):
        shape = (*shape[:-1], 1)
        logarithm = graph.over("ReduceLogSum", inner, [-1] if graph.opset > 10 else [len(shape) - 1], shape)
    else:
        logarithm = graph.value("Log", [inner], shape)
    exponent = graph.constant(np.asarray(random.choice([0.5, -0.5, 2.0, 1.0])))
    scaled = graph.value("Mul", [logarithm, exponent], shape)
    if graph.chance(0.3):
        scaled = graph.value("Add", [scaled, graph.constant(np.asarray(0.5))], shape)
    graph.value("Exp", [scaled], shape)
