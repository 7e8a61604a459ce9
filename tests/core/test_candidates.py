"""Candidates for the base of a norm: what everything that a statistic is computed from has passed through."""

import random
from itertools import pairwise

import numpy as np
import onnx_ir as ir
import pytest

from normgraph.candidates import NATIVE_STATISTICS, Candidates, Dominators
from normgraph.facts import survey
from tests.core.surveyed import f32, surveyed


def random_graph(seed: int, length: int) -> ir.Graph:
    """Additions of up to three values made before, mostly of late ones, so that chains get long and meet again."""
    source = random.Random(seed)
    values = [ir.Value(name=name, shape=ir.Shape([4]), type=ir.TensorType(ir.DataType.FLOAT)) for name in ("x", "y")]
    nodes: list[ir.Node] = []
    for number in range(length):
        reach = source.choice((1, 3, len(values)))
        operands = [values[-source.randint(1, min(reach, len(values)))] for _ in range(source.choice((1, 2, 3)))]
        nodes.append(ir.node(("Neg", "Add", "Sum")[len(operands) - 1], operands, name=f"n{number}"))
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


#: What may be made of a native norm, and the tensors of which that is one: the names of its candidates.
PART_OF_ANOTHER = [
    pytest.param("n = LayerNormalization(x, ones)  y = Mul(n, g)", "x", id="scaled"),
    pytest.param("n = RMSNormalization(x, ones)  r = Reshape(n, s)  y = Mul(r, g)", "x", id="reshaped-and-scaled"),
    pytest.param("n = LayerNormalization(x, ones)  y = Mul(n, z)", "x", id="scaled-at-run-time"),
    pytest.param("n = LayerNormalization(x, ones)  y = Mul(n, n)", "x", id="by-itself"),
    pytest.param("t = Transpose(x)  n = LayerNormalization(t, ones)  y = Add(n, g)", "t x", id="moved-before"),
    pytest.param("t = Reshape(x, s)  n = InstanceNormalization(t, one, one)  y = Exp(n)", "x", id="instance-of-moved"),
    pytest.param("n = InstanceNormalization(x, one, one)  y = Transpose(n)", "x", id="instance-moved"),
    pytest.param("n = InstanceNormalization(x, one, one)  y = Add(n, one)", "x", id="instance-shifted"),
]
ON_ITS_OWN = [
    pytest.param("y = LayerNormalization(x, ones)", id="output"),
    pytest.param("n = LayerNormalization(x, ones)  y = Exp(n)", id="something-else-behind"),
    pytest.param("n = RMSNormalization(x, ones)  y = MatMul(n, w)", id="matrix-behind"),
    pytest.param("t = Transpose(x)  n = LayerNormalization(t, ones)  y = Transpose(n)", id="only-moved"),
    pytest.param("n = LayerNormalization(x, ones)  e = Exp(x)  y = Max(n, e)", id="beside-what-is-unknown"),
    pytest.param("y = InstanceNormalization(x, one, one)", id="instance"),
    pytest.param("n = InstanceNormalization(x, one, one)  y = Softmax(n)", id="instance-and-something-else"),
]


def candidates(nodes: str) -> list[str | None]:
    """The names of the candidates of the one native norm."""
    constants = {"ones": f32([1] * 4), "one": f32([1] * 3), "g": f32([1, 2, 3, 4]), "s": [2, 3, 2, 2]}
    constants["w"] = f32([[1, 2], [3, 4], [5, 6], [7, 9]])
    found = surveyed(nodes, "float[2, 3, 4] x, float[2, 3, 4] z", opset=23, constants=constants)
    norms = [node for node in found.model.graph if node.op_type in NATIVE_STATISTICS]
    return [value.name for value in Candidates(found.model.graph, found.facts).of(norms[0])]


@pytest.mark.parametrize(("nodes", "expected"), PART_OF_ANOTHER)
def test_native_norm_is_looked_at_where_something_can_be_made_of_it(nodes: str, expected: str) -> None:
    assert candidates(nodes) == expected.split()


@pytest.mark.parametrize("nodes", ON_ITS_OWN)
def test_native_norm_on_its_own_is_left_alone(nodes: str) -> None:
    assert candidates(nodes) == []


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        pytest.param("y = Add(x, one)", ["y", "x"], id="with-a-constant"),
        pytest.param("h = Exp(x)  y = Conv(h, w, )", ["y", "h"], id="with-an-input-left-out"),
        pytest.param("y = Sum(x, z, x)", ["y"], id="of-two-tensors"),
        pytest.param("y = Exp(x)", ["y"], id="of-which-nothing-is-known"),
    ],
)
def test_only_what_is_computed_with_counts(nodes: str, expected: list[str]) -> None:
    constants = {"one": f32(1), "w": f32(np.full((1, 1, 2), 0.5))}
    found = surveyed(nodes, "float[2, 1, 4] x, float[2, 1, 4] z", constants=constants)
    dominators = Dominators(found.model.graph, found.facts)
    assert [value.name for value in dominators.above(found.values["y"])] == expected


INVALID = [
    pytest.param("y = LayerNormalization()", id="without-inputs"),
    pytest.param("y = InstanceNormalization(, one, one)", id="without-the-first-input"),
]


@pytest.mark.parametrize("nodes", INVALID)
@pytest.mark.usefixtures("invalid_graphs")
def test_invalid_norm_is_passed_over(nodes: str) -> None:
    found = surveyed(nodes, "float[2, 1, 4] x", constants={"one": f32([1])}).findings
    assert (found.matches, found.near_misses) == ((), ())
