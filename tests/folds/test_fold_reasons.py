"""Why a map is still there: what stands beside it, and which of the reasons that were found decides."""

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest

from normgraph.affine import affine_maps
from normgraph.diagnosis import Shortfall
from normgraph.folding.reasons import linear_ahead, linear_behind, varying, why_left, why_map_left
from normgraph.interpret import interpret
from tests.core.surveyed import Surveyed, f32, surveyed

CONSTANTS = {
    "w": f32(np.ones((4, 4, 1, 1))), "m": f32(np.eye(4)), "g": f32([1, 2, 3, 4]), "c": f32([0, 1, 2, 3]),
    "some": f32([1, 1, 0, 1]), "k": np.asarray([1, 2, -3, 4], np.int8), "s": f32(0.5),
    "first": f32([[[2]], [[3]], [[4]], [[5]]]), "second": f32([[[1]], [[2]], [[3]], [[4]]]),
    "third": f32([[1], [2], [3], [4]]),
}  # fmt: skip
FED = "float[N, 4, 2, 2] x, float[4, 4, 1, 1] fed, float[4, 4] matrix, float[4] bias, float[N, 4] rows"


def found_in(nodes: str, *, inputs: str = FED, opset: int = 18) -> Surveyed:
    read = {name: array for name, array in CONSTANTS.items() if f", {name}" in nodes or f"({name}," in nodes}
    return surveyed(nodes, inputs, constants=read, opset=opset)


def made_by(found: Surveyed, name: str) -> ir.Node:
    node = found.values[name].producer()
    assert node is not None
    return node


@pytest.mark.parametrize(
    ("nodes", "inputs", "says", "remedy"),
    [
        pytest.param("y = Mul(x, g)", f"{FED}, float[4] g", "it is an input of the graph too", True, id="overridable"),
        pytest.param("y = Mul(x, bias)", FED, "it is fed by the caller", False, id="fed"),
        pytest.param("q = DequantizeLinear(k, s)  y = Mul(x, q)", FED, "it is quantized: DequantizeLinear 'q' makes it",
                     True, id="quantized"),
        pytest.param("q = Relu(bias)  y = Mul(x, q)", FED, "it is computed at run time by Relu 'q'", False,
                     id="computed"),
    ],
)  # fmt: skip
def test_a_value_is_not_constant_for_a_reason(nodes: str, inputs: str, says: str, remedy: bool) -> None:
    value = made_by(found_in(nodes, inputs=inputs), "y").inputs[1]
    assert value is not None
    found = varying("it", value)
    assert found.rule == "not-constant"
    assert says in found.sentence
    assert bool(found.remedy) is remedy


TRANSPOSES = "  ".join(f"t{i + 1} = Transpose<perm = [0, 1, 3, 2]>(t{i})" for i in range(16))


@pytest.mark.parametrize(
    ("nodes", "value", "expected"),
    [
        pytest.param("h = Conv(x, w)  y = Relu(h)", "h", True, id="Conv"),
        pytest.param("h = Conv(x, fed)  y = Relu(h)", "h", True, id="Conv whose weight is fed"),
        pytest.param("h = Conv(x, w)  i = Identity(h)  y = Relu(i)", "i", True, id="behind a passage"),
        pytest.param("h = Conv(x, w)  r = Relu(h)  y = Relu(r)", "r", False, id="behind an activation"),
        pytest.param("h = custom.Conv(x, w)  y = Relu(h)", "h", False, id="another domain's Conv"),
        pytest.param("y = Relu(x)", "x", False, id="nothing"),
        pytest.param(f"t0 = Conv(x, w)  {TRANSPOSES}  y = Relu(t15)", "t15", True, id="behind as many as are followed"),
        pytest.param(f"t0 = Conv(x, w)  {TRANSPOSES}  y = Relu(t16)", "t16", False, id="behind more than that"),
    ],
)
def test_a_linear_operator_stands_behind(nodes: str, value: str, expected: bool) -> None:
    assert (linear_behind(found_in(nodes).values[value]) is not None) is expected


def test_nothing_stands_behind_what_is_left_out() -> None:
    found = found_in("h = Identity(x)  y = Relu(h)")
    made_by(found, "h").replace_input_with(0, None)
    assert linear_behind(found.values["h"]) is None


@pytest.mark.parametrize(
    ("nodes", "value", "expected"),
    [
        pytest.param("y = Conv(x, w)", "x", True, id="Conv"),
        pytest.param("i = Identity(x)  y = Conv(i, w)", "x", True, id="ahead of a passage"),
        pytest.param("r = Relu(x)  i = Identity(x)  y = Conv(i, w)", "x", True, id="one of two readers"),
        pytest.param("r = Relu(x)  y = Conv(r, w)", "x", False, id="ahead of an activation"),
        pytest.param("y = custom.Conv(x, w)", "x", False, id="another domain's Conv"),
        pytest.param("a = Add(x, second)  y = Conv(a, w)", "x", False, id="ahead of what passes nothing forward"),
        pytest.param("a = Reshape(rows, bias)  y = MatMul(a, m)", "bias", False, id="as the shape of something else"),
        pytest.param(f"t0 = Identity(x)  {TRANSPOSES}  y = Conv(t15, w)", "t0", True, id="of as many as are followed"),
        pytest.param(f"t0 = Identity(x)  {TRANSPOSES}  y = Conv(t16, w)", "t0", False, id="of more than that"),
    ],
)
def test_a_linear_operator_stands_ahead(nodes: str, value: str, expected: bool) -> None:
    assert (linear_ahead(found_in(nodes).values[value]) is not None) is expected


NORM = "BatchNormalization({0}, g, c, c, g)"
NEAR = "before it, a"
NEAREST = (Shortfall("no-neighbour", "a"), Shortfall("no-neighbour", "b"))


@pytest.mark.parametrize(
    ("nodes", "opset", "rule", "says"),
    [
        pytest.param(f"n = {NORM.format('x')}  y = Relu(n)", 18, "no-neighbour", NEAR, id="beside nothing"),
        pytest.param("n, a, b = BatchNormalization<training_mode = 1>(x, g, c, c, g)  y = Relu(n)", 18,
                     "training-mode", "", id="in training mode"),
        pytest.param("n, a, b, d, e = BatchNormalization(x, g, c, c, g)  y = Relu(n)", 13, "training-mode", "",
                     id="with further outputs, before there was a mode"),
        pytest.param(f"n = {NORM.format('x')}  y = Relu(n)", 13, "no-neighbour", NEAR, id="before there was a mode"),
        pytest.param("n = BatchNormalization(x, g, bias, c, g)  y = Relu(n)", 18, "not-constant", "its bias 'bias'",
                     id="a shift that is fed"),
        pytest.param("n = BatchNormalization<epsilon = 0.0>(x, g, c, c, some)  y = Relu(n)", 18, "parameter-range",
                     "the variance of channel 2", id="a variance of zero"),
        pytest.param("n = BatchNormalization(x, g, c, c, some)  y = Relu(n)", 18, "no-neighbour", NEAR,
                     id="a variance of zero, and an epsilon"),
        pytest.param("n = BatchNormalization(x, g, c, c)  y = Relu(n)", 18, "no-neighbour", NEAR,
                     id="without a variance"),
        pytest.param(f"h = Conv(x, fed)  n = {NORM.format('h')}  y = Relu(n)", 18, "not-constant",
                     "the weight 'fed' of Conv 'h'", id="behind a weight that is fed"),
        pytest.param(f"h = Conv(x, w, bias)  n = {NORM.format('h')}  y = Relu(n)", 18, "not-constant",
                     "the bias 'bias' of Conv 'h'", id="behind a bias that is fed"),
        pytest.param(f"h = Conv(x, w, c)  n = {NORM.format('h')}  y = Relu(n)", 18, "no-neighbour", NEAR,
                     id="behind what is constant"),
        pytest.param(f"h = Conv(x)  n = {NORM.format('h')}  y = Relu(n)", 18, "no-neighbour", NEAR,
                     id="behind a Conv without a weight"),
        pytest.param(f"n = {NORM.format('x')}  a = Relu(n)  y = Conv(n, fed)", 18, "not-constant", "'fed' of Conv 'y'",
                     id="before a weight that is fed"),
        pytest.param(f"n = {NORM.format('x')}  a = Conv(n, w)  y = Conv(n, fed)", 18, "not-constant",
                     "'fed' of Conv 'y'", id="before two, the weight of one of which is fed"),
        pytest.param(f"n = {NORM.format('x')}  y = Mul(n, bias)", 18, "no-neighbour", NEAR, id="before a product"),
        pytest.param(f"n = {NORM.format('x')}  y = custom.Conv(n, fed)", 18, "no-neighbour", NEAR,
                     id="before another domain's Conv"),
        pytest.param(f"n = {NORM.format('rows')}  y = MatMul(matrix, n)", 18, "no-neighbour", NEAR,
                     id="the weight of a product"),
    ],
)  # fmt: skip
def test_what_decides_about_a_norm_that_is_left(nodes: str, opset: int, rule: str, says: str) -> None:
    found = found_in(nodes, opset=opset)
    told = why_left(made_by(found, "n"), NEAREST, found.facts)
    assert told.rule == rule
    assert says in told.reason


def test_a_weight_that_is_left_out_is_no_reason() -> None:
    found = found_in(f"h = Conv(x, w)  n = {NORM.format('h')}  y = Relu(n)")
    made_by(found, "h").replace_input_with(1, None)
    assert why_left(made_by(found, "n"), NEAREST, found.facts).rule == "no-neighbour"


@pytest.mark.parametrize(
    ("tried", "rule", "reason"),
    [
        pytest.param((), "no-neighbour", "its value can't be followed as a map per channel", id="nothing"),
        pytest.param(NEAREST[:1], "no-neighbour", "a", id="one way"),
        pytest.param(NEAREST, "no-neighbour", "before it, a; behind it, b", id="both ways"),
        pytest.param((*NEAREST, Shortfall("layout", "c")), "layout", "c", id="more than that nothing stands near"),
    ],
)
def test_of_what_was_tried_what_tells_most_decides(tried: tuple[Shortfall, ...], rule: str, reason: str) -> None:
    found = found_in(f"n = {NORM.format('x')}  y = Relu(n)")
    told = why_left(made_by(found, "n"), tried, found.facts)
    assert (told.rule, told.reason) == (rule, reason)


@pytest.mark.parametrize(
    ("nodes", "rule", "apart"),
    [
        pytest.param("a = Mul(x, g)  b = Add(a, c)  y = Mul(b, g)", "no-neighbour", True, id="two scales"),
        pytest.param("a = Mul(x, g)  b = Add(a, c)  y = Mul(b, g)", "layout", False, id="another reason"),
        pytest.param("a = Mul(x, g)  y = Add(a, c)", "no-neighbour", False, id="one scale"),
        pytest.param("a = Mul(x, first)  b = Add(a, second)  y = Mul(b, second)", "no-neighbour", False,
                     id="channels first"),
        pytest.param("a = Mul(x, third)  b = Add(a, c)  y = Mul(b, g)", "no-neighbour", False,
                     id="along two dimensions"),
    ],
)  # fmt: skip
def test_scales_in_a_row_stay_apart_where_no_norm_could_hold_them(nodes: str, rule: str, apart: bool) -> None:
    found = found_in(nodes, inputs="float[N, 4, 4, 4] x")
    interpretation = interpret(found.values["x"], found.model.graph, found.facts)
    assert interpretation is not None
    affine = affine_maps(interpretation, found.facts)[-1]
    told = why_map_left(affine, (replace(NEAREST[0], rule=rule),), found.facts)
    assert told.rule == rule
    assert ("its 2 scales stay apart, since they run along dimension 3" in told.reason) is apart
    assert ("stay apart" in told.reason) is apart


def test_a_weight_beside_a_map_decides_before_what_was_tried() -> None:
    found = found_in("h = Conv(x, fed)  a = Mul(h, first)  y = Add(a, second)")
    interpretation = interpret(found.values["h"], found.model.graph, found.facts)
    assert interpretation is not None
    told = why_map_left(affine_maps(interpretation, found.facts)[-1], NEAREST, found.facts)
    assert (told.rule, "'fed' of Conv 'h'" in told.reason) == ("not-constant", True)
