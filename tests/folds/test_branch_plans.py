"""Which terms of a sum become one operator, and how the sum is made without the others."""

import numpy as np
import pytest

from normgraph.folding.branches import parallel_plans
from normgraph.folding.changes import Store
from normgraph.folding.merging import MergePlan, apply_merge
from normgraph.rewrite import Names
from tests.core.surveyed import Surveyed, f32, surveyed

CONSTANTS = {
    "w": f32(np.ones((4, 4, 3, 3))), "v": f32(np.ones((4, 4, 1, 1))), "half": f32(np.ones((4, 2, 1, 1))),
    "m": f32(np.ones((4, 4))), "n": f32(np.eye(4)), "stack": f32(np.ones((1, 4, 4))), "k": f32([1, 2, 3, 4]),
    "e": f32([[[1]], [[2]], [[3]], [[4]]]),
}  # fmt: skip
X = "float[N, 4, 5, 5] x, float[N, 4, 5, 5] z, float[1, 4, 1, 1] u, float[4, 4, 1, 1] fed"
ROWS = "float[N, 3, 4] x"
A, B, C = "a = Conv<pads = [1, 1, 1, 1]>(x, w)", "b = Conv(x, v)", "c = Conv(x, v)"


def plans_of(nodes: str, inputs: str = X) -> tuple[list[MergePlan], Surveyed]:
    read = {name: array for name, array in CONSTANTS.items() if f", {name}" in nodes}
    found = surveyed(nodes, inputs, outputs="y", constants=read)
    return list(parallel_plans(found.model.graph, found.facts)), found


@pytest.mark.parametrize(
    ("nodes", "inputs", "kept", "gone"),
    [
        pytest.param(f"{A}  {B}  y = Add(a, b)", X, "a", ["b"], id="the larger stays"),
        pytest.param(f"{B}  {A}  y = Add(b, a)", X, "a", ["b"], id="the larger stays, wherever it stands"),
        pytest.param(f"{A}  {B}  {C}  s = Add(c, a)  y = Add(s, b)", X, "a", ["b", "c"], id="in the graph's order"),
        pytest.param(f"{A}  {B}  s = Add(a, b)  y = Add(s, z)", X, "a", ["b"], id="an inner sum is no sum of its own"),
        pytest.param(f"{A}  {B}  y = Add(a, b)  d = Relu(b)", X, "a", ["b"], id="read by what nothing needs"),
        pytest.param(f"{A}  {B}  h = Conv(x, fed)  s = Add(h, a)  y = Add(s, b)", X, "a", ["b"],
                     id="beside one whose weight is fed"),
        pytest.param(f"{A}  {B}  h = Conv<group = 2>(x, half)  s = Add(h, a)  y = Add(s, b)", X, "a", ["b"],
                     id="beside one in groups"),
        pytest.param("a = MatMul(x, m)  b = MatMul(x, n)  h = MatMul(x, stack)  s = Add(a, h)  y = Add(s, b)", ROWS,
                     "b", ["a"], id="beside a stack of matrices"),
        pytest.param(f"{A}  b = Mul(x, e)  y = Add(a, b)", X, "a", ["b"], id="a map of the input"),
    ],
)  # fmt: skip
def test_terms_become_one(nodes: str, inputs: str, kept: str, gone: list[str]) -> None:
    (plan,), _ = plans_of(nodes, inputs)
    assert plan.change.linear.node.outputs[0].name == kept
    assert [absorbed[0].outputs[0].name for absorbed in plan.absorbed] == gone


@pytest.mark.parametrize(
    ("nodes", "inputs"),
    [
        pytest.param(f"{A}  y = Add(a, z)", X, id="one"),
        pytest.param(f"{A}  y = Sum(a)", X, id="one, in a sum of one"),
        pytest.param(f"{A}  {B}  s = Add(a, b)  y = Relu(x)", X, id="in a sum that nothing needs"),
        pytest.param("a = MatMul(x, m)  b = Gemm(x, n)  y = Add(a, b)", "float[N, 4] x", id="of two kinds"),
        pytest.param(f"{A}  b = Relu(x)  y = Add(a, b)", X, id="one and no map"),
        pytest.param(
            "a = MatMul(x, m)  b = MatMul(x, n)  y = Add(a, b)", "int32[N, 4] x, int32[4, 4] m", id="integers"
        ),
    ],
)
def test_terms_stay_apart(nodes: str, inputs: str) -> None:
    assert plans_of(nodes, inputs)[0] == []


@pytest.mark.parametrize(
    ("nodes", "bypassed", "cut", "narrowed"),
    [
        pytest.param(f"{A}  {B}  y = Add(a, b)", {"y": "a"}, {}, [], id="all of it"),
        pytest.param(f"{A}  {B}  y = Sum(a, b, z)", {}, {"y": "a z"}, [], id="a Sum that keeps two"),
        pytest.param(f"{A}  {B}  s = Add(a, b)  y = Add(s, z)", {"s": "a"}, {}, [], id="an inner sum"),
        pytest.param(f"{A}  {B}  s = Add(u, b)  y = Add(s, a)", {"s": "u"}, {}, [], id="all but the term"),
        pytest.param(f"{A}  {B}  s = Add(b, x)  y = Add(s, a)", {"y": "a"}, {}, ["s"], id="an inner sum altogether"),
        pytest.param(f"{A}  {B}  s = Sum(u, b, e)  y = Add(s, a)", {}, {"s": "u e"}, ["s"],
                     id="an inner Sum that may broadcast less"),
        pytest.param(f"{A}  {B}  s = Add(u, b)  t = Add(s, e)  y = Add(t, a)", {"s": "u"}, {}, ["t"],
                     id="a sum of one that may broadcast less"),
        pytest.param(f"{A}  {B}  s = Sum(u, b, e)  t = Add(s, e)  y = Add(t, a)", {}, {"s": "u e"}, ["s", "t"],
                     id="sums one within the other"),
    ],
)  # fmt: skip
def test_a_sum_is_made_without_terms(
    nodes: str, bypassed: dict[str, str], cut: dict[str, str], narrowed: list[str]
) -> None:
    (plan,), found = plans_of(nodes)
    assert {each.value.name: each.instead[0].inputs[each.instead[1]].name for each in plan.bypasses} == bypassed  # type: ignore[union-attr]
    assert sorted(value.name or "" for value in plan.narrowed) == narrowed
    assert {node.outputs[0].name for node in plan.replaced}.isdisjoint(cut)
    apply_merge(plan, Store(Names(found.model)))
    for name, kept in cut.items():
        assert [value.name for value in found.values[name].producer().inputs if value] == kept.split()  # type: ignore[union-attr]
    assert [each.node.outputs[0].name for each in plan.cuts] == list(cut)
    for name in narrowed:
        assert found.values[name].shape is None
