"""Matching: which of several bases, outputs and matches are chosen where not everything can go."""

from typing import Any

import numpy as np
import pytest

from normgraph.match import Match
from tests.core.surveyed import f32, surveyed
from tests.core.test_match import CONSTANTS, RATE, norm

CHANNELS = f32([[1], [2], [3], [4]])
MORE: dict[str, Any] = {
    **CONSTANTS,
    "half": CHANNELS.astype(np.float16), "gc": CHANNELS, "double": CHANNELS.astype(np.float64), "two": f32(2),
    "none": f32(0), "wide": np.float64(1e-5), "ones": f32([1, 1]), "zeros": f32([0, 0]), "first": [0],
    "flat": [12], "rows": [3, 4], "cut": [6, 2, 2], "six": [6, 4], "blocks": [3, 2, 4],
    "centring": f32(np.eye(4) - 0.25), "weights": f32(np.arange(16).reshape(4, 4)), "mean": f32(np.full((1, 4), 0.25)),
    "groups": [3, 2, 15], "images": [3, 6, 5],
}  # fmt: skip
NORM = norm("x", "n")
WIDENED = f"c = Cast<to=1>(x)  {norm('c', 'n')}"
TWO = f"c = Cast<to=1>(x)  {norm('c', 'a', 'a')}  {norm('c', 'b', 'b')}"
DOUBLED = TWO.replace("Cast<to=1>", "Cast<to=11>").replace("eps", "wide")
OBSTRUCTED = "i = Mul(a, gc)  j = Cast<to=10>(i)"
TURNED = (
    "t = Transpose<perm=[1, 0]>(x)  m = ReduceMean(t, first)  d = Sub(t, m)  q = Mul(d, d)  v = ReduceMean(q, first)  "
    "e = Add(v, eps)  s = Sqrt(e)  i = Transpose<perm=[1, 0]>(d)  j = Transpose<perm=[1, 0]>(s)  n = Div(i, j)  "
    "y = Add(n, x)  z = Shape(i)"
)
GAIN_WITHIN = "k = Mul(r, w)  o = Mul(x, k)  p = Mul(m, k)  y = Sub(o, p)"
RMS = "q = Mul({0}, {0})  v = ReduceMean(q, last)  e = Add(v, eps)  s = Sqrt(e)  y = Div({0}, s)"
LAYERS = "r = Reshape(x, six)  l = LayerNormalization(r, g)  k = Reshape(l, blocks)  y = Mul(k, h)"
GROUPS = "r = Reshape(x, groups)  l = InstanceNormalization(r, ones, zeros)  y = Reshape(l, images)"


def told(match: Match) -> tuple[str | None, str | None, list[str | None]]:
    """From where to where, and what is needed of what is between."""
    return match.base.name, match.output.name, [needed.value.name for needed in match.needed]


# Nodes, inputs, outputs, and of each match base, output and what is needed.
CASES = [
    # --- outputs of one base
    pytest.param(
        f"{NORM}  r = Reshape(n, flat)  z = Neg(r)  k = Reshape(r, rows)  y = Mul(k, g)",
        "float[3, 4] x",
        "float[3, 4] y, float[12] z",
        [("x", "n", [])],
        id="nearer-where-all-of-it-goes",
    ),
    pytest.param(
        f"{NORM}  a = Mul(n, g)  b = Mul(n, h)  y = Max(a, b)",
        "float[N, 4] x",
        "float[N, 4] y, float[N, 4] d",
        [("x", "a", ["d"]), ("x", "b", ["d"])],
        id="both-with-an-inner-value",
    ),
    pytest.param(
        f"{NORM}  a = Mul(n, g)  r = Reshape(n, flat)  z = Neg(r)  k = Reshape(r, rows)  b = Mul(k, h)  y = Max(a, b)",
        "float[3, 4] x",
        "float[3, 4] y, float[12] z, float[3, 1] v",
        [("x", "a", ["v"]), ("x", "b", ["v", "r"])],
        id="inner-value-of-one-of-two",
    ),
    pytest.param(
        f"{NORM}  y = Shape(n)",
        "float[N, 4] x",
        "int64[2] y, float[N, 4] d",
        [("x", "n", ["d"])],
        id="of-which-the-shape-alone-is-read",
    ),
    pytest.param(
        f"{NORM}  y = Reshape(n, cut)",
        "float[2, 3, 4] x",
        "float[6, 2, 2] y",
        [("x", "n", [])],
        id="as-many-dimensions-of-other-elements",
    ),
    # --- native norms
    pytest.param(LAYERS, "float[3, 2, 4] x", "float[3, 2, 4] y", [("x", "y", [])], id="native-with-another-gain"),
    pytest.param(
        f"{LAYERS}  z = Neg(l)",
        "float[3, 2, 4] x",
        "float[3, 2, 4] y, float[6, 4] z",
        [],
        id="native-that-is-read-elsewhere",
    ),
    pytest.param(
        "l, i, j = LayerNormalization(x, g)  y = Mul(l, h)  z = Shape(i)",
        "float[N, 4] x",
        "float[N, 4] y, int64[2] z",
        [],
        id="native-of-which-another-output-is-read",
    ),
    pytest.param(
        "t = Transpose(x)  l = LayerNormalization(t, g)  y = Transpose(l)",
        "float[4, N] x",
        "float[4, N] y",
        [],
        id="native-between-transposes",
    ),
    pytest.param(GROUPS, "float[3, 6, 5] x", "float[3, 6, 5] y", [("x", "y", [])], id="native-of-groups"),
    pytest.param(
        f"{NORM}  l = LayerNormalization(x, g)  y = Add(n, l)",
        "float[N, 4] x",
        "float[N, 4] y",
        [("x", "n", [])],
        id="beside-one-operator",
    ),
    pytest.param(
        f"{NORM}  l = InstanceNormalization(x, ones, zeros)  y = Add(n, l)",
        "float[N, 2, 4] x",
        "float[N, 2, 4] y",
        [("x", "n", [])],
        id="beside-one-operator-for-instances",
    ),
    pytest.param(
        f"{NORM}  t = Transpose(x)  l = LayerNormalization(t, g)  u = Transpose(l)  y = Add(n, u)",
        "float[4, 4] x",
        "float[4, 4] y",
        [("x", "n", [])],
        id="beside-one-operator-between-transposes",
    ),
    pytest.param(
        "l = LayerNormalization(x, g)  y = Neg(l)",
        "float[N, 4] x",
        "float[N, 4] y",
        [("x", "y", [])],
        id="native-with-another-sign",
    ),
    # --- bases
    pytest.param(
        f"{WIDENED}  y = Cast<to=10>(n)",
        "float16[N, S] x",
        "float16[N, S] y, float[N, S] d",
        [("x", "y", ["d"])],
        id="the-first-of-two-that-need-as-much",
    ),
    pytest.param(
        TURNED, "float[N, M] x", "float[N, M] y, int64[2] z", [("x", "n", [])], id="farther-of-which-nothing-stays"
    ),
    pytest.param(
        f"{WIDENED}  b = Cast<to=10>(n)  y = Mul(b, half)",
        "float16[N, C, S] x",
        "float16[N, C, S] y",
        [("c", "n", [])],
        id="without-an-obstacle",
    ),
    pytest.param(
        f"{WIDENED}  b = Cast<to=10>(n)  y = Mul(b, half)",
        "float16[N, C, S] x",
        "float16[N, C, S] y, float[N, C, S] d",
        [("c", "n", ["d"])],
        id="without-an-obstacle-though-not-all-goes",
    ),
    pytest.param(
        f"{WIDENED}  b = Mul(n, gc)  y = Cast<to=10>(b)",
        "float16[N, C, S] x",
        "float16[N, C, S] y",
        [("x", "y", [])],
        id="the-first-of-two-with-an-obstacle",
    ),
    pytest.param(
        f"c = MatMul(x, centring)  {RMS.format('c')}",
        "float[N, 4] x",
        "float[N, 4] y",
        [("x", "y", [])],
        id="before-a-matrix-that-centres",
    ),
    pytest.param(
        f"c = MatMul(x, weights)  {RMS.format('c')}",
        "float[N, 4] x",
        "float[N, 4] y",
        [("c", "y", [])],
        id="behind-another-matrix",
    ),
    pytest.param(
        norm("x", "y").replace("m = ReduceMean(x, last)", "m = MatMul(mean, x)").replace("(q, last)", "(q, first)"),
        "float[4, N] x",
        "float[4, N] y",
        [("x", "y", [])],
        id="multiplied-by-a-matrix-from-the-left",
    ),
    pytest.param(
        f"c = Cast<to=1>(x)  h1 = Neg(c)  {norm('h1', 'n')}",
        "float16[N, 4] x",
        "float[N, 4] n",
        [("h1", "n", [])],
        id="behind-a-cast-that-is-read-once",
    ),
    pytest.param(
        f"{WIDENED}  y = Cast<to=6>(n)",
        "int32[N, 4] x",
        "int32[N, 4] y",
        [("c", "n", [])],
        id="no-whole-numbers",
    ),
    # --- matches of several bases that overlap
    pytest.param(
        f"{TWO}  y = Cast<to=10>(a)  z = Cast<to=10>(b)",
        "float16[N, S] x",
        "float16[N, S] y, float16[N, S] z, float[N, 1] bv",
        [("c", "a", []), ("x", "z", ["bv"])],
        id="nodes-that-have-gone",
    ),
    pytest.param(
        f"{TWO}  {OBSTRUCTED}",
        "float16[N, C, S] x",
        "float16[N, C, S] j, float[N, C, S] b",
        [("x", "j", ["c"]), ("c", "b", [])],
        id="nodes-told-of-before",
    ),
    pytest.param(
        f"x = Cast<to=1>(u)  {DOUBLED}  i = Mul(a, double)  j = Cast<to=1>(i)  y = Cast<to=10>(j)  z = Cast<to=1>(b)",
        "float16[N, C, S] u",
        "float16[N, C, S] y, float[N, C, S] z",
        [("u", "y", ["c"]), ("x", "z", [])],
        id="nodes-that-stay",
    ),
    # --- tensors known at run time only
    pytest.param(
        f"{RATE}  {GAIN_WITHIN}",
        "float[N, 4] x, float[4] w",
        "float[N, 4] y, float[N, 1] v",
        [("x", "y", ["v"])],
        id="gain-within",
    ),
    pytest.param(
        f"{RATE}  a = Mul(x, r)  b = Mul(m, r)  n = Sub(a, b)  {GAIN_WITHIN}",
        "float[N, 4] x, float[4] w",
        "float[N, 4] y, float[N, 4] n, float[N, 1] v",
        [("x", "n", ["m", "v", "r"])],
        id="gain-within-beside-the-norm",
    ),
    pytest.param(
        f"{RATE}  a = Mul(x, r)  b = Mul(m, r)  n = Sub(a, b)  {GAIN_WITHIN}",
        "float[N, 4] x, float[4] w",
        "float[N, 4] y, float[N, 4] n",
        [("x", "n", []), ("x", "y", [])],
        id="gain-within-where-all-of-it-goes",
    ),
    # --- optional inputs
    pytest.param(
        norm("x", "y").replace("(v,", "(w,").replace("e = ", "w = Clip(v, none, )  e = "),
        "float[N, 4] x",
        "float[N, 4] y",
        [("x", "y", [])],
        id="input-left-out",
    ),
]


@pytest.mark.parametrize(("nodes", "inputs", "outputs", "expected"), CASES)
def test_match_is_chosen(nodes: str, inputs: str, outputs: str, expected: list[tuple[str, str, list[str]]]) -> None:
    found = surveyed(nodes, inputs, outputs=outputs, constants=MORE).findings
    assert [told(match) for match in found.matches] == expected


def test_what_is_half_centred_beside_a_norm_is_not_said_of_the_norm() -> None:
    nodes = norm("x", "y").replace("d = Sub(x, m)", "k = Mul(m, two)  d = Sub(x, k)")
    found = surveyed(nodes, "float[N, 4] x", constants=MORE).findings
    assert [told(match) for match in found.matches] == [("d", "y", [])]
    assert [match.aside for match in found.matches] == [None]
    assert found.near_misses == ()
