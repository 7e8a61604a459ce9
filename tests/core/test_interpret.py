"""Interpretation: how far it follows a graph, and what it says where it ends."""

import pytest

from normgraph.interpret import MAXIMAL_APPROACH, MAXIMAL_DISTANCE, MAXIMAL_NODES, Interpretation, interpret
from tests.core.surveyed import Constants, f32, surveyed


def interpreted(
    nodes: str, inputs: str = "float[2, 12] x", base: str = "x", constants: Constants | None = None
) -> Interpretation:
    found = surveyed(nodes, inputs, constants=constants)
    interpretation = interpret(found.values[base], found.model.graph, found.facts)
    assert interpretation is not None
    return interpretation


def reached(interpretation: Interpretation) -> list[str | None]:
    return [value.name for value in interpretation.forms]


def test_forms_stand_in_the_order_of_the_graph() -> None:
    found = interpreted("a = Neg(x)  b = Abs(x)  c = Add(a, b)  y = Mul(c, x)")
    assert reached(found) == ["x", "a", "b", "c", "y"]
    assert not found.unknowns


def test_base_may_stand_in_the_middle() -> None:
    found = interpreted("h = Exp(x)  a = Neg(h)  y = Add(a, h)", base="h")
    assert reached(found) == ["h", "a", "y"]


def test_what_only_reads_shapes_is_passed_over() -> None:
    found = interpreted("a = Neg(x)  s = Shape(a)  y = Expand(a, s)")
    assert reached(found) == ["x", "a", "y"]
    assert not found.unknowns


def test_reason_goes_with_what_depends_on_what_was_lost() -> None:
    found = interpreted("a = Sqrt(x)  c = Neg(x)  y = Add(c, a)")
    assert reached(found) == ["x", "c"]
    assert {(unknown.rule, unknown.node.op_type) for unknown in found.unknowns} == {("sign", "Sqrt")}


def test_reshapes_split_the_axes_of_the_base() -> None:
    nodes = "a = Reshape(x, s)  b = ReduceMean(a, i)  c = Sub(a, b)  y = Reshape(c, t)"
    found = interpreted(nodes, constants={"s": [2, 3, 4], "i": [-1], "t": [2, 12]})
    assert [[axis.size.static for axis in dimension] for dimension in found.layout] == [[2], [3, 4]]
    assert reached(found) == ["x", "a", "b", "c", "y"]
    assert found.forms[next(reversed(found.forms))].layout == found.layout


def test_axes_may_be_split_again_and_again() -> None:
    nodes = "a = Reshape(x, s)  b = Reshape(a, t)  y = Reshape(b, u)"
    found = interpreted(nodes, constants={"s": [4, 6], "t": [2, 2, 6], "u": [2, 2, 3, 2]})
    assert reached(found) == ["x", "a", "b", "y"]
    assert sum(len(dimension) for dimension in found.layout) == 4


def test_reshape_of_what_a_constant_brought_along_ends_there_only() -> None:
    nodes = "a = Add(x, c)  y = Reshape(a, s)  z = Neg(x)"
    found = interpreted(nodes, "float[2, 1] x", constants={"c": f32([1, 2, 3, 4]), "s": [2, 2, 2]})
    assert reached(found) == ["x", "a", "z"]
    assert [unknown.rule for unknown in found.unknowns] == ["reshape"]


def test_wide_graphs_are_followed_so_far() -> None:
    readers = " ".join(f"a{i} = Neg(x)" for i in range(MAXIMAL_NODES + 50))
    assert len(interpreted(readers).forms) == MAXIMAL_NODES + 1


@pytest.mark.parametrize(
    ("step", "limit"),
    [
        pytest.param("a{next} = Neg(a{this})", MAXIMAL_APPROACH, id="nothing was taken of the base"),
        pytest.param("a{next} = Relu(a{this})", MAXIMAL_APPROACH, id="it was clamped"),
        pytest.param("m{next} = ReduceMean(a{this}, i)  a{next} = Sub(a{this}, m{next})", MAXIMAL_DISTANCE, id="means"),
    ],
)
def test_rows_of_nodes_are_followed_so_far(step: str, limit: int) -> None:
    steps = " ".join(step.format(this=i, next=i + 1) for i in range(2 * MAXIMAL_DISTANCE))
    found = interpreted(f"a0 = Identity(x) {steps}", constants={"i": [-1]})
    assert [name for name in reached(found) if name and name.startswith("a")] == [f"a{i}" for i in range(limit)]


def test_graph_is_followed_within_itself() -> None:
    nodes = (
        "a = Neg(x)  y = If<then_branch = t () => (float[2, 12] p) { p = Neg(a) }, "
        "else_branch = e () => (float[2, 12] q) { b = Abs(a)  q = Add(b, a) }>(c)"
    )
    found = surveyed(nodes, "float[2, 12] x, bool c")
    outer = interpret(found.values["x"], found.model.graph, found.facts)
    assert outer is not None
    assert reached(outer) == ["x", "a"]
    branch = found.values["q"].producer().graph  # type: ignore[union-attr]
    assert branch is not None
    inner = interpret(found.values["a"], branch, found.facts)
    assert inner is not None
    assert reached(inner) == ["a", "b", "q"]


@pytest.mark.parametrize(
    ("nodes", "inputs", "opset"),
    [
        pytest.param("y = Neg(x)", "float x, float[K] k", 18, id="scalar-is-fine"),
        pytest.param("y = Neg(x)", "float[N, M] x", 18, id="dynamic-is-fine"),
    ],
)
def test_rank_is_all_that_is_needed(nodes: str, inputs: str, opset: int) -> None:
    found = surveyed(nodes, inputs, opset=opset)
    assert interpret(found.values["x"], found.model.graph, found.facts) is not None


def test_nothing_is_said_of_unknown_ranks_and_of_old_opsets() -> None:
    unknown = surveyed("r = Reshape(x, k)  y = Neg(r)", "float[4] x, int64[K] k")
    assert interpret(unknown.values["r"], unknown.model.graph, unknown.facts) is None
    old = surveyed("y = Neg(x)", "float[4] x", opset=6)
    assert interpret(old.values["x"], old.model.graph, old.facts) is None


@pytest.mark.usefixtures("invalid_graphs")
def test_invalid_node_ends_the_interpretation_with_a_reason() -> None:
    found = interpreted("y = Transpose<perm=[0, 1, 2, 3]>(x)  z = Neg(x)")
    assert reached(found) == ["x", "z"]
    assert [unknown.rule for unknown in found.unknowns] == ["invalid-node"]
