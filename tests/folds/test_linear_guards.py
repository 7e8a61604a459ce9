"""What is no linear operator with constant weights, and what is no bias of one."""

import numpy as np
import onnx_ir as ir
import pytest

from normgraph.folding.convolutions import conv_outputs, convolution
from normgraph.folding.linear import Linear, linear_of
from normgraph.folding.linear_operator import Weights
from normgraph.folding.precision import rounded
from tests.core.surveyed import f32, surveyed

W, C = f32(np.eye(4)), f32([1, 2, 3, 4])
MATMUL, BIASED = "h = MatMul(x, w)", "h = Gemm(x, w, c)"
INPUTS = "float[2, 4] x, float[4] t, int32[2, 4] n, float[1, 4] row, float[4, 4] fed"
BY_ZERO = "q = Div(one, zero)  v = Cast<to = 1>(q)"


def linear(nodes: str, outputs: str, constants: dict[str, np.ndarray], blank: int | None = None) -> Linear | None:
    """What makes h, as a linear operator, one of its inputs left out."""
    found = surveyed(nodes, INPUTS, outputs=outputs, constants=constants)
    node = found.values["h"].producer()
    assert node is not None
    if blank is not None:
        node.replace_input_with(blank, None)
    return linear_of(node, found.facts, with_addition=True)


@pytest.mark.parametrize(
    ("nodes", "constants", "blank"),
    [
        pytest.param("h = MatMul(x)", {}, None, id="without weights"),
        pytest.param(MATMUL, {"w": W}, 0, id="data left out"),
        pytest.param(MATMUL, {"w": W}, 1, id="weights left out"),
        pytest.param("h = MatMul(v, w)", {"w": W, "v": W}, None, id="constant altogether"),
        pytest.param("h = MatMul(x, v) v = Exp(w)", {"w": W}, None, id="weights that are computed after it"),
        pytest.param("h = MatMul(x, fed)", {}, None, id="weights that are fed"),
        pytest.param(
            f"{BY_ZERO}  h = MatMul(x, v)",
            {"one": np.ones((4, 4), np.int64), "zero": np.zeros((4, 4), np.int64)},
            None,
            id="weights that can't be computed",
        ),
        pytest.param("h = MatMul(x, w)", {"w": np.full((4, 4), "w")}, None, id="weights that are texts"),
        pytest.param("h = Gemm(x, w, t)", {"w": W}, None, id="a bias that is fed"),
        pytest.param("h = MatMul(n, w)", {"w": W.astype(np.int32)}, None, id="integers"),
        pytest.param("u = Opaque(x) h = MatMul(u, w)", {"w": W}, None, id="of no known shape"),
    ],
)
def test_is_not_linear(nodes: str, constants: dict[str, np.ndarray], blank: int | None) -> None:
    assert linear(nodes, "h", constants, blank) is None


def test_what_is_added_is_its_bias_only_where_that_is_asked_for() -> None:
    found = surveyed(f"{MATMUL} y = Add(h, c)", INPUTS, outputs="y", constants={"w": W, "c": C})
    for asked in (False, True):
        told = linear_of(found.values["h"].producer(), found.facts, with_addition=asked)
        assert told is not None
        assert (told.addition is not None) is asked


def test_its_bias_may_be_left_out() -> None:
    with_bias, without = (linear(BIASED, "h", {"w": W, "c": C}, blank) for blank in (None, 2))
    assert with_bias is not None
    assert with_bias.has_bias
    assert without is not None
    assert not without.has_bias


@pytest.mark.parametrize(
    ("nodes", "outputs", "expected"),
    [
        pytest.param(f"{MATMUL} y = Add(h, c)", "y", True, id="a constant"),
        pytest.param(f"{MATMUL} y = Add(c, h)", "y", True, id="a constant first"),
        pytest.param(f"{MATMUL} y = Add(h, c) z = Neg(h)", "y, z", False, id="read elsewhere"),
        pytest.param(f"{MATMUL} y = Add(h, c) z = Neg(h)", "y", True, id="read by what nothing needs"),
        pytest.param(f"{MATMUL} y = Add(h, h)", "y", False, id="added to itself"),
        pytest.param(f"{MATMUL} y = Add(h, c)", "y, h", False, id="an output"),
        pytest.param(f"{MATMUL} y = Sub(h, c)", "y", False, id="another operator"),
        pytest.param(f"{MATMUL} y = custom.Add(h, c)", "y", False, id="another domain's operator"),
        pytest.param(f"{MATMUL} y = Add(h, t)", "y", False, id="fed"),
        pytest.param(f"{MATMUL} y = Sum(h, c, t)", "y", False, id="a constant and something else"),
        pytest.param("h = MatMul(row, w) y = Add(h, rows)", "y", False, id="more rows"),
        pytest.param(f"{MATMUL} y = Add(h, planes)", "y", False, id="more dimensions"),
        pytest.param(f"{BIASED} y = Add(h, c)", "y", False, id="an operator with a bias of its own"),
    ],
)
def test_what_is_added_to_it_is_its_bias(nodes: str, outputs: str, expected: bool) -> None:
    found = linear(nodes, outputs, {"w": W, "c": C, "rows": f32(np.ones((3, 4))), "planes": f32(np.ones((2, 1, 4)))})
    assert found is not None
    assert (found.addition is not None) is expected


@pytest.mark.parametrize(
    ("nodes", "kept"),
    [pytest.param(BIASED, True, id="in place of one that is stored"), pytest.param(MATMUL, False, id="beside none")],
)
def test_a_bias_of_zero_is_stored_where_there_was_one(nodes: str, kept: bool) -> None:
    found = linear(nodes, "h", {"w": W, "c": C})
    assert found is not None
    stored = rounded(found, Weights(np.eye(4), np.zeros((1, 4))))
    assert isinstance(stored, tuple)
    assert (stored[1] is not None) is kept


@pytest.mark.parametrize(
    ("rank", "biases", "expected"),
    [
        pytest.param(4, 4, True, id="one for each channel"),
        pytest.param(4, 1, True, id="one for all, as where there is none"),
        pytest.param(4, 3, False, id="too few"),
        pytest.param(3, 4, False, id="a kernel of another rank"),
    ],
)
def test_a_convolution_has_a_number_for_each_output_channel(rank: int, biases: int, expected: bool) -> None:
    weights = Weights(np.ones((4, 2, 3, 3)), np.zeros(biases))
    found = convolution(conv_outputs)(ir.Node("", "Conv", []), weights, rank)
    assert (found is not None) is expected
