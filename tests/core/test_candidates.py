"""Dominators: what everything that a value is computed from has passed through."""

import random
from itertools import pairwise

import onnx_ir as ir
import pytest

from normgraph.candidates import Dominators
from normgraph.facts import survey


def random_graph(seed: int, length: int) -> ir.Graph:
    """Additions of two values made before, mostly of late ones, so that chains get long and meet again."""
    source = random.Random(seed)
    values = [ir.Value(name=name, shape=ir.Shape([4]), type=ir.TensorType(ir.DataType.FLOAT)) for name in ("x", "y")]
    nodes: list[ir.Node] = []
    for number in range(length):
        reach = source.choice((1, 3, len(values)))
        operands = [values[-source.randint(1, min(reach, len(values)))] for _ in range(source.choice((1, 2)))]
        nodes.append(ir.node("Add" if len(operands) == 2 else "Neg", operands, name=f"n{number}"))
        values.append(nodes[-1].outputs[0])
    return ir.Graph(values[:2], [values[-1]], nodes=nodes, opset_imports={"": 17})


def passed_on_every_way(graph: ir.Graph) -> dict[ir.Value, set[ir.Value]]:
    """Each value with what every way from an input of the graph to it passes through: by the definition."""
    found: dict[ir.Value, set[ir.Value]] = {value: {value} for value in graph.inputs}
    for node in graph:
        operands = [found[value] for value in node.inputs if value is not None]
        found[node.outputs[0]] = {node.outputs[0]} | set.intersection(*operands)
    return found


@pytest.mark.parametrize("seed", range(30))
def test_dominators_are_what_every_way_passes(seed: int) -> None:
    graph = random_graph(seed, length=100)
    dominators = Dominators(graph, survey(ir.Model(graph, ir_version=8)))
    expected = passed_on_every_way(graph)
    for node in graph:
        found = list(dominators.above(node.outputs[0]))
        assert set(found) == expected[node.outputs[0]]
        assert all(farther in expected[nearer] for nearer, farther in pairwise(found))
