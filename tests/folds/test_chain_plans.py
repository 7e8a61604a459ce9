"""Which operators that follow each other become one, and the rounding of what they become."""

import numpy as np
import pytest

from normgraph.diagnosis import Shortfall
from normgraph.folding.chains import chain_plans
from normgraph.folding.linear import linear_of
from normgraph.folding.linear_operator import Weights
from normgraph.folding.precision import rounded
from tests.core.surveyed import f32, surveyed

CONSTANTS = {
    "w": f32(np.ones((4, 16))), "v": f32(np.ones((16, 4))), "r": f32(np.ones((2, 4))), "s": f32(np.ones((4, 2))),
    "c": f32(range(16)), "wide": f32(np.ones((16, 4, 1, 1))), "point": f32(np.ones((4, 16, 1, 1))),
    "groups": f32(np.ones((16, 1, 3, 3))), "thin": f32(np.ones((16, 1, 1, 1))),
}  # fmt: skip
ROWS, IMAGE = "float[N, 4] x, float[N, 16] z, float[4, 5] t", "float[N, 4, 5, 5] x"


def plans_of(nodes: str, inputs: str, outputs: str = "y") -> list[list[str]]:
    read = {name: array for name, array in CONSTANTS.items() if f", {name}" in nodes or f"({name}," in nodes}
    found = surveyed(nodes, inputs, outputs=outputs, constants=read)
    plans = chain_plans(found.model.graph, found.facts)
    return [[node.outputs[0].name or "" for node in (*plan.absorbed[0], plan.change.linear.node)] for plan in plans]


@pytest.mark.parametrize(
    ("nodes", "inputs", "expected"),
    [
        pytest.param("a = MatMul(x, w)  y = MatMul(a, v)", ROWS, [["a", "y"]], id="products"),
        pytest.param("a = MatMul(x, w)  b = Add(a, c)  y = MatMul(b, v)", ROWS, [["a", "b", "y"]], id="a bias between"),
        pytest.param("a = MatMul(x, w)  d = Relu(a)  y = MatMul(a, v)", ROWS, [["a", "y"]],
                     id="read by what nothing needs"),
        pytest.param("a = MatMul(x, w)  b = MatMul(a, v)  e = MatMul(b, w)  y = MatMul(e, v)", ROWS,
                     [["a", "b"], ["e", "y"]], id="four in a row, two by two"),
        pytest.param("a = MatMul(x, w)  b = MatMul(a, v)  y = MatMul(b, s)", ROWS, [["a", "b"]],
                     id="three in a row, two of them at first"),
        pytest.param("a = Conv(x, wide)  y = Conv(a, point)", IMAGE, [["a", "y"]], id="convolutions"),
        pytest.param("a = MatMul(r, t)  y = MatMul(s, a)", ROWS, [], id="matrices from the left"),
        pytest.param("a = MatMul(x, w)  b = Add(a, z)  y = MatMul(b, v)", ROWS, [], id="something else added between"),
        pytest.param("a = Conv(x, thin)  y = Conv<group = 16>(a, groups)", "float[N, 1, 5, 5] x", [],
                     id="the second in groups"),
        pytest.param("a = MatMul(x, w)  y = Gemm(a, v)", ROWS, [], id="of two kinds"),
    ],
)  # fmt: skip
def test_operators_in_a_row_become_one(nodes: str, inputs: str, expected: list[list[str]]) -> None:
    assert plans_of(nodes, inputs) == expected


@pytest.mark.parametrize("outputs", ["y, a", "y, d"])
def test_an_operator_that_something_else_needs_stays(outputs: str) -> None:
    assert plans_of("a = MatMul(x, w)  d = Relu(a)  y = MatMul(a, v)", ROWS, outputs) == []


@pytest.mark.parametrize(
    ("weight", "dtype", "says"),
    [
        pytest.param(np.full((4, 4), np.inf), np.float32, "the variance isn't positive", id="infinite"),
        pytest.param(np.full((4, 4), 1e39), np.float32, "would reach 1e+39", id="beyond the type"),
        pytest.param(np.diag([1, 1, 1, 1e-7]), np.float16, "channel 3 of the weight", id="of too few digits"),
        pytest.param(np.diag([1.0, 1, 1, 0]), np.float16, None, id="a channel of zeros"),
        pytest.param(np.diag([1, 1, 1, 0.1]), np.float16, None, id="rounded"),
    ],
)
def test_weights_are_rounded_where_they_fit(weight: np.ndarray, dtype: type, says: str | None) -> None:
    element = {np.float32: "float", np.float16: "float16"}[dtype]
    found = surveyed("y = MatMul(x, w)", f"{element}[N, 4] x", constants={"w": np.eye(4, dtype=dtype)})
    linear = linear_of(found.values["y"].producer(), found.facts)
    assert linear is not None
    told = rounded(linear, Weights(weight, np.zeros((1, 4))))
    if says is None:
        assert isinstance(told, tuple)
        np.testing.assert_allclose(told[0], weight, rtol=1e-3)
    else:
        assert isinstance(told, Shortfall)
        assert says in told.reason
