"""Graphs that are one normalization in a random spelling: of x as it is, transposed, or parted into groups."""

from dataclasses import replace
from random import Random

from tests.core.growing import Graph
from tests.core.random_graphs import COMPARISONS, OPSETS
from tests.core.random_norms import Written, write


def spelled(random: Random, *, at_run_time: bool = False) -> tuple[Graph, Written]:
    """A graph that is one normalization, perhaps of a transposed or reshaped input."""
    rank = random.choice([2, 3, 3, 4])
    axes = tuple(range(random.randint(1, rank - 1), rank))
    if random.random() < 0.4:
        axes = tuple(sorted(random.sample(range(rank), random.randint(1, rank - 1))))
    shape = tuple(random.choice([2, 3, 4, 6] if i in axes else [1, 2, 3]) for i in range(rank))
    dynamic = [i not in axes and shape[i] > 1 and random.random() < 0.3 for i in range(rank)]
    declared = tuple(f"d{i}" if dynamic[i] else size for i, size in enumerate(shape))
    graph = Graph(random, random.choice(OPSETS[1:]), shape, declared)
    return graph, write(graph, "x", axes, centred=random.random() < 0.7, at_run_time=at_run_time)


def turned(random: Random) -> tuple[Graph, Written]:
    """A graph that is one normalization of its transposed input, perhaps transposed back."""
    rank = random.choice([2, 3, 4])
    shape = tuple(random.choice([2, 3, 4]) for _ in range(rank))
    graph = Graph(random, random.choice(OPSETS[1:]), shape, shape)
    order = random.sample(range(rank), rank)
    moved = graph.value("Transpose", ["x"], tuple(shape[i] for i in order), perm=order)
    axes = tuple(sorted(random.sample(range(rank), random.randint(1, rank - 1))))
    written = write(graph, moved, axes, centred=random.random() < 0.7)
    if random.random() < 0.5:
        return graph, written
    back = graph.value("Transpose", [written.output], shape, perm=[order.index(i) for i in range(rank)])
    return graph, replace(written, output=back)


def grouped(random: Random) -> tuple[Graph, Written]:
    """A graph that is one normalization within groups of channels, which come last."""
    groups, each = random.choice([2, 3]), random.choice([2, 4])
    space = tuple(random.choice([2, 3]) for _ in range(random.choice([1, 2])))
    shape = (random.choice([1, 2]), *space, groups * each)
    graph = Graph(random, random.choice(OPSETS[1:]), shape, shape)
    split = (*shape[:-1], groups, each)
    parted = graph.value("Reshape", ["x", graph.integers(split)], split)
    over = (*range(1, len(shape) - 1), len(shape))
    written = write(graph, parted, over, centred=random.random() < 0.7)
    back = graph.value("Reshape", [written.output, graph.integers(shape)], shape)
    return graph, replace(written, output=back)


def needed_elsewhere(random: Random) -> tuple[Graph, list[str]]:
    """A normalization of which some inner values are outputs, too: a mean, a deviation, what is centred."""
    graph, written = spelled(random)
    tests = {node.output[0] for node in graph.nodes if node.op_type in COMPARISONS}
    inner = [name for name in graph.shapes if name not in {"x", written.output, *tests}]
    return graph, [written.output, *random.sample(inner, min(len(inner), random.randint(1, 2)))]
