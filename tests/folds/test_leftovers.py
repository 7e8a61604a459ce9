"""What counts as a map per channel that is left: maps written out, and factors that aren't constant as yet."""

import re
from collections.abc import Mapping

import numpy as np
import pytest

from normgraph.affine import affine_maps
from normgraph.diagnosis import Shortfall
from normgraph.facts import survey
from normgraph.folding.leftovers import leftovers
from normgraph.interpret import interpret
from tests.core.surveyed import Surveyed, f32, surveyed

CONSTANTS = {
    "w": f32(np.eye(4)), "g": f32([1, 2, 3, 4]), "wide": f32(np.ones((3, 6, 4))), "one": f32([2]),
    "row": f32([[[1, 2, 3, 4]]]), "table": f32(np.arange(24).reshape(6, 4)), "c": f32([0, 1, 2, 3]), "half": f32(0.5),
    "t": f32(range(1, 7)), "k": np.asarray([1, 2, -3, 4], np.int8), "s": f32(0.5), "numbers": np.eye(4, dtype=np.int32),
    "m": np.arange(4, dtype=np.int32), "column": f32([[1], [2], [3], [4]]),
}  # fmt: skip
X = "float[N, 6, 4] x"
GAIN, ROW, TABLE = f"{X}, float[4] g", f"{X}, float[1, 1, 4] row", f"{X}, float[6, 4] table"


def found_in(nodes: str, inputs: str) -> Surveyed:
    read = {name: array for name, array in CONSTANTS.items() if re.search(rf"[(, ]{name}[,)]", nodes)}
    return surveyed(nodes, inputs, constants=read)


PRODUCT = "h = MatMul(x, w)  "


@pytest.mark.parametrize(
    ("nodes", "inputs", "expected"),
    [
        pytest.param(f"{PRODUCT}y = Mul(h, g)", GAIN, ["y"], id="behind a product"),
        pytest.param(f"{PRODUCT}y = Mul(g, h)", GAIN, ["y"], id="on the left"),
        pytest.param(f"{PRODUCT}y = Div(h, g)", GAIN, ["y"], id="a divisor"),
        pytest.param(f"{PRODUCT}y = Mul(h, row)", ROW, ["y"], id="of the same rank"),
        pytest.param("h = Mul(x, g)  y = MatMul(h, w)", GAIN, ["h"], id="before a product"),
        pytest.param(f"q = DequantizeLinear(k, s)  {PRODUCT}y = Mul(h, q)", X, ["y"], id="quantized"),
        pytest.param("y = BatchNormalization(x, g, g, g, g)", f"{X}, float[4] v", ["y"], id="a BatchNormalization"),
        pytest.param(f"{PRODUCT}y = Add(h, g)", GAIN, [], id="a summand"),
        pytest.param(f"{PRODUCT}y = custom.Mul(h, g)", GAIN, [], id="another domain's product"),
        pytest.param("y = custom.BatchNormalization(x, g, g, g, g)", X, [], id="another domain's normalization"),
        pytest.param(f"{PRODUCT}u = Mul(h, g)  y = Relu(h)", GAIN, [], id="that nothing needs"),
        pytest.param(f"{PRODUCT}u = Relu(g)  y = Mul(h)", GAIN, [], id="a product of one"),
        pytest.param("h = MatMul(n, numbers)  y = Mul(h, m)", "int32[6, 4] n, int32[4] m", [], id="of integers"),
        pytest.param("h = Mul(wide, g)  y = MatMul(h, w)", "float[4] g", [], id="of a constant"),
        pytest.param("h = Mul(v, g)  y = MatMul(h, w)", "float[4] v, float[4] g", [], id="of a vector"),
        pytest.param("h = Mul(v, row)  y = MatMul(h, w)", "float[6, 4] v, float[1, 1, 4] row", [], id="of higher rank"),
        pytest.param(f"{PRODUCT}y = Mul(h, one)", f"{X}, float[1] one", [], id="one number"),
        pytest.param(f"{PRODUCT}y = Mul(h, table)", TABLE, [], id="along two dimensions"),
        pytest.param(f"{PRODUCT}y = Mul(h, g)", f"{X}, float[M] g", [], id="of unknown length"),
        pytest.param("r = Relu(x)  y = Mul(r, g)", GAIN, [], id="beside nothing linear"),
        pytest.param(f"{PRODUCT}y = Mul(h, g)", X, [], id="constant"),
        pytest.param(f"{PRODUCT}y = Mul(h, v)", f"{X}, float[4] v", [], id="fed"),
        pytest.param(f"u = Relu(c)  {PRODUCT}y = Mul(h, u)", X, [], id="computed at run time"),
        pytest.param(f"q = DequantizeLinear(fed, s)  {PRODUCT}y = Mul(h, q)", f"{X}, int8[4] fed", [],
                     id="of something fed"),
    ],
)  # fmt: skip
def test_factors_that_are_not_constant_as_yet_are_told(nodes: str, inputs: str, expected: list[str]) -> None:
    found = found_in(nodes, inputs)
    assert [fold.output for fold in leftovers(found.model, {}, (), found.facts)] == expected


def test_a_factor_of_what_has_no_known_rank_is_not_told() -> None:
    found = found_in("h = Mul(x, g)  y = MatMul(h, w)", GAIN)
    assert len(leftovers(found.model, {}, (), found.facts)) == 1
    del found.facts.shapes[found.values["x"]]
    assert leftovers(found.model, {}, (), found.facts) == []


MAP = "a = Mul(r, g)  b = Add(a, c)  y = Relu(b)"


@pytest.mark.parametrize(
    ("nodes", "inputs", "expected"),
    [
        pytest.param(f"r = Relu(x)  {MAP}", X, ["b"], id="scale and shift"),
        pytest.param("r = MatMul(x, w)  a = Mul(r, g)  y = Relu(a)", X, ["a"], id="a scale behind a product"),
        pytest.param("r = Relu(x)  a = Mul(r, g)  y = MatMul(a, w)", X, ["a"], id="a scale before a product"),
        pytest.param(f"r = MatMul(x, w)  {MAP}", X, ["b"], id="scale and shift behind a product"),
        pytest.param(f"r = Relu(x)  {MAP}", "float[N, 4] x", ["b"], id="of rows"),
        pytest.param("r = Relu(x)  a = Mul(r, g)  y = Relu(a)", X, [], id="a scale alone"),
        pytest.param(f"r = Relu(x)  {MAP}", "float[4] x", [], id="of a vector"),
        pytest.param("r = Relu(x)  a = Mul(r, table)  b = Add(a, c)  y = Relu(b)", X, [], id="along two dimensions"),
        pytest.param("r = Relu(x)  a = Mul(r, half)  b = Add(a, c)  y = Relu(b)", X, [], id="one number and a shift"),
        pytest.param("r = Relu(x)  n = BatchNormalization(r, g, c, c, g)  a = Mul(n, column)  y = Relu(a)",
                     "float[N, 4, 6] x", ["n"], id="behind a BatchNormalization"),
    ],
)  # fmt: skip
def test_maps_that_are_written_out_are_told_where_they_look_like_norms(
    nodes: str, inputs: str, expected: list[str]
) -> None:
    found = found_in(nodes, inputs)
    interpretation = interpret(found.values["r"], found.model.graph, found.facts)
    assert interpretation is not None
    maps = affine_maps(interpretation, found.facts)
    assert maps
    assert [fold.output for fold in leftovers(found.model, {}, maps, found.facts)] == expected


def test_a_map_is_told_that_was_part_of_one_which_is_gone() -> None:
    found = found_in(f"r = MatMul(x, w)  {MAP}", X)
    interpretation = interpret(found.values["r"], found.model.graph, found.facts)
    assert interpretation is not None
    maps = affine_maps(interpretation, found.facts)
    assert [affine.output.name for affine in maps] == ["a", "b"]
    found.model.graph.outputs[0] = found.values["a"]
    for name in ("y", "b"):
        found.model.graph.remove(found.values[name].producer())  # type: ignore[arg-type]
    assert [fold.output for fold in leftovers(found.model, {}, maps, survey(found.model))] == ["a"]


LAYOUT = Shortfall("layout", "of one kind or another")
GAIN_REFUSED, NORM_REFUSED = {("y", "gain"): LAYOUT}, {("y", "backward"): LAYOUT}


@pytest.mark.parametrize(
    ("nodes", "refused", "rules"),
    [
        pytest.param("y = LayerNormalization(x, g)", GAIN_REFUSED, ["layout"], id="a gain that was to go on"),
        pytest.param("y = LayerNormalization(x, g)", {}, [], id="a gain that nobody asked about"),
        pytest.param("y = Relu(x)", GAIN_REFUSED, [], id="no norm"),
        pytest.param("y = BatchNormalization(x, t, t, t, t)", NORM_REFUSED, ["layout"], id="a BatchNormalization"),
        pytest.param("y = BatchNormalization(x, t, t, t, t)", {}, ["no-neighbour"], id="that nobody asked about"),
    ],
)
def test_what_was_refused_is_told(nodes: str, refused: Mapping[tuple[str, str], Shortfall], rules: list[str]) -> None:
    found = found_in(nodes, X)
    assert [fold.rule for fold in leftovers(found.model, refused, (), found.facts)] == rules
