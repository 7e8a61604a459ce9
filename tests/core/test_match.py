"""Matching: what is chosen as base and output, what is told of what can't be replaced."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from normgraph.axes import size_of
from normgraph.match import Match, find
from normgraph.recognition import sorted_dimensions
from normgraph.remedies import REMEDIES
from tests.core.surveyed import f32, surveyed

X = "float[N, 4] x"


def norm(x: str, y: str, prefix: str = "") -> str:
    """LayerNormalization over the last axis from x to y."""
    p = prefix
    return (
        f"{p}m = ReduceMean({x}, last)  {p}d = Sub({x}, {p}m)  {p}q = Mul({p}d, {p}d)  {p}v = ReduceMean({p}q, last)  "
        f"{p}e = Add({p}v, eps)  {p}s = Sqrt({p}e)  {y} = Div({p}d, {p}s)"
    )


CONSTANTS: dict[str, Any] = {
    "last": [-1], "eps": np.float32(1e-5), "g": f32([1, 2, 3, 4]), "h": f32([4, 3, 2, 1]),
}  # fmt: skip


def matches(nodes: str, inputs: str = X, outputs: str = "float[N, K] y") -> Sequence[Match]:
    return surveyed(nodes, inputs, outputs=outputs, constants=CONSTANTS).findings.matches


def shown(found: Sequence[Match]) -> list[tuple[str | None, str | None]]:
    return [(match.base.name, match.output.name) for match in found]


CHOSEN = [
    pytest.param(norm("x", "y"), [("x", "y")], id="input"),
    pytest.param(f"h1 = Exp(x)  {norm('h1', 'y')}", [("h1", "y")], id="computed"),
    pytest.param(f"{norm('x', 'n')}  y = Mul(n, g)", [("x", "y")], id="with-gain"),
    pytest.param(f"{norm('x', 'n')}  y = Exp(n)", [("x", "n")], id="before-something-else"),
    pytest.param(f"{norm('x', 'n')}  y = Add(n, x)", [("x", "n")], id="before-the-residual"),
    pytest.param(f"{norm('x', 'n', 'a')}  {norm('n', 'y', 'b')}", [("x", "n"), ("n", "y")], id="one-after-another"),
    pytest.param(
        f"{norm('x', 'n', 'a')}  r = Add(n, x)  {norm('r', 'y', 'b')}",
        [("x", "n"), ("r", "y")],
        id="through-a-residual",
    ),
    pytest.param(
        f"{norm('x', 'n')}  a = Mul(n, g)  b = Mul(n, h)  y = Max(a, b)", [("x", "a"), ("x", "b")], id="two-gains"
    ),
    pytest.param(f"{norm('x', 'n')}  a = Exp(n)  y = Mul(n, a)", [("x", "n")], id="read-twice"),
    pytest.param(f"t = Transpose(x)  {norm('t', 'n')}  y = Transpose(n)", [("t", "y")], id="transposed-back"),
    pytest.param(
        f"c = Cast<to=11>(x)  {norm('c', 'n').replace('eps', 'wide')}  y = Cast<to=1>(n)", [("x", "y")], id="widened"
    ),
    pytest.param(f"{norm('x', 'n')}  k = Shape(d)  y = Expand(n, k)", [("x", "y")], id="shape-of-an-inner-value"),
]


@pytest.mark.parametrize(("nodes", "expected"), CHOSEN)
def test_the_nearest_base_and_the_furthest_output_are_chosen(nodes: str, expected: list[tuple[str, str]]) -> None:
    found = surveyed(nodes, X, outputs="float[N, K] y", constants={**CONSTANTS, "wide": np.float64(1e-5)})
    assert shown(found.findings.matches) == expected
    assert all(match.obstacle is None for match in found.findings.matches)


@pytest.mark.parametrize(
    ("inputs", "gain", "rule"),
    [
        pytest.param("float[N, C, S] x", f32([[1], [2], [3], [4]]), "dynamic-axis", id="per-channel"),
        pytest.param("float[N, 4, S] x", f32([[1], [2], [3], [4]]), None, id="per-channel-of-four"),
        pytest.param("float[N, C, S] x", f32([1, 2, 3, 4]), None, id="over-the-statistics"),
    ],
)
def test_a_constant_that_may_broadcast_is_an_obstacle(inputs: str, gain: Any, rule: str | None) -> None:
    constants = {**CONSTANTS, "g": gain}
    found = surveyed(f"{norm('x', 'n')}  y = Mul(n, g)", inputs, outputs="float[N, K, L] y", constants=constants)
    (match,) = found.findings.matches
    assert shown([match]) == [("x", "y")]
    assert (None if match.obstacle is None else match.obstacle.rule) == rule


@pytest.mark.parametrize(
    ("behind", "assumed"),
    [
        pytest.param("y = Mul(n, g)", ((1, 4),), id="its-own-gain"),
        pytest.param("a = Exp(n)  b = Mul(x, g)  y = Add(a, b)", (), id="elsewhere"),
        pytest.param("a = Exp(x)  b = Mul(a, g)  y = Add(n, b)", (), id="beyond-what-is-followed"),
    ],
)
def test_what_a_constant_elsewhere_demands_of_a_size_is_not_assumed(
    behind: str, assumed: tuple[tuple[int, int], ...]
) -> None:
    (match,) = matches(f"{norm('x', 'n')}  {behind}", "float[N, S] x")
    assert match.assumed == assumed
    assert match.obstacle is None


NEEDED = [
    pytest.param(f"{norm('x', 'y')}  z = Neg(d)", ["d"], "inner-reader", id="inner-value-read"),
    pytest.param(f"{norm('x', 'y')}  z = Identity(v)", ["v"], "inner-reader", id="variance-read"),
    pytest.param(f"{norm('x', 'y')}  z = Add(m, s)", ["m", "s"], "inner-reader", id="two-values-read"),
    pytest.param(
        norm("x", "y").replace("v ", "z ").replace("(v,", "(z,"), ["z"], "graph-output", id="variance-is-an-output"
    ),
]


@pytest.mark.parametrize(("nodes", "values", "rule"), NEEDED)
def test_what_is_needed_outside_is_told(nodes: str, values: list[str], rule: str) -> None:
    (match,) = matches(nodes, outputs="float[N, K] y, float[N, K] z")
    assert shown([match]) == [("x", "y")]
    assert [needed.value.name for needed in match.needed] == values
    assert {needed.shortfall.rule for needed in match.needed} == {rule}
    assert match.shape_readers == ()
    assert all(needed.nodes[-1] is needed.value.producer() for needed in match.needed)


NEAR = [
    pytest.param(norm("x", "y").replace("Sqrt(e)", "Identity(e)"), "root", id="no-root"),
    pytest.param(norm("x", "y").replace("q = Mul(d, d)", "q = Mul(d, x)").replace("Sub(x, m)", "Sub(m, x)"), None,
                 id="negative-spread"),
    pytest.param(norm("x", "y").replace("Div(d, s)", "Div(s, d)"), "inverted", id="wrong-way-up"),
    pytest.param(norm("x", "y").replace("Div(d, s)", "Div(d, e)"), "root", id="variance-instead-of-deviation"),
    pytest.param(norm("x", "y").replace("Add(v, eps)", "Add(v, g)"), "epsilon-varies", id="epsilon-per-element"),
    pytest.param(norm("x", "y").replace("Add(v, eps)", "Add(v, x)"), None, id="something-else-for-epsilon"),
    pytest.param(norm("x", "y").replace("Div(d, s)", "Div(x, s)"), "half-centred", id="value-not-centred"),
]  # fmt: skip
UNRELATED = [
    pytest.param("m = ReduceMean(x, last)  y = Sub(x, m)", id="centred-only"),
    pytest.param("a = Softmax(x)  y = ReduceSum(a, last)", id="softmax"),
    pytest.param("y = LayerNormalization(x, g)", id="native-already"),
    pytest.param("y = ReduceL2(x, last)", id="length"),
    pytest.param("m = ReduceMean(g, last)  y = Sub(x, m)", id="mean-of-a-constant"),
]


@pytest.mark.parametrize(("nodes", "rule"), NEAR)
def test_near_miss_is_no_match_and_told_why(nodes: str, rule: str | None) -> None:
    found = surveyed(nodes, X, constants=CONSTANTS).findings
    assert found.matches == ()
    (miss, *others) = found.near_misses
    assert not others
    assert rule in (None, miss.shortfall.rule)


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        pytest.param(norm("x", "y").replace("Add(v, eps)", "Add(v, g)"), "at Add 'e', epsilon", id="epsilon"),
        pytest.param(norm("x", "y").replace("Mul(d, d)", "Pow(d, g)"), "at Pow 'q', ", id="exponent"),
        pytest.param(norm("x", "y").replace("Sqrt(e)", "Identity(e)"), "at Div 'y', ", id="only the whole shows it"),
    ],
)
def test_near_miss_names_the_node_at_which_it_goes_wrong(nodes: str, told: str) -> None:
    (miss,) = surveyed(nodes, X, constants=CONSTANTS).findings.near_misses
    assert miss.shortfall.reason.startswith(told)
    assert miss.shortfall.sentence == f"{miss.shortfall.reason}; {REMEDIES[miss.shortfall.rule]}"


def test_what_is_centred_over_other_axes_is_told_beside_the_norm_that_it_is() -> None:
    nodes = norm("x", "y").replace("ReduceMean(q, last)", "ReduceMean(q, both)")
    constants = CONSTANTS | {"both": [1, 2]}
    found = surveyed(nodes, "float[N, 3, 4] x", outputs="float[N, 3, 4] y", constants=constants).findings
    (match,) = found.matches
    assert (match.base.name, match.norm.kinds[0]) == ("d", "RMSNormalization")
    assert match.aside is not None
    assert match.aside.rule == "axes-differ"
    assert found.near_misses == ()
    assert [match.aside for match in matches(norm("x", "y"))] == [None]


@pytest.mark.parametrize("nodes", UNRELATED)
def test_nothing_is_said_of_the_unrelated(nodes: str) -> None:
    found = surveyed(nodes, X, constants=CONSTANTS).findings
    assert found.matches == ()
    assert found.near_misses == ()


def test_match_tells_where_it_stands() -> None:
    found = surveyed(f"{norm('x', 'n')}  y = Mul(n, g)", "float[N, S] x", constants=CONSTANTS)
    (match,) = found.findings.matches
    assert [node.op_type for node in match.nodes] == [
        "ReduceMean",
        "Sub",
        "Mul",
        "ReduceMean",
        "Add",
        "Sqrt",
        "Div",
        "Mul",
    ]
    assert match.axes == (1,)
    assert match.assumed == ((1, 4),)
    assert match.graph is found.model.graph
    assert match.norm.epsilon == float(np.float32(1e-5))
    assert sorted_dimensions(match.layout) == sorted_dimensions(match.output_layout)


def test_shape_readers_are_noted_once_for_each_value_read() -> None:
    nodes = f"{norm('x', 'y')}  z = Shape(d)  w = Shape(y)"
    (match,) = matches(nodes, outputs="float[N, K] y, int64[2] z, int64[2] w")
    assert [reader.outputs[0].name for reader in match.shape_readers] == ["z"]
    assert match.obstacle is None


def test_result_of_another_type_is_not_the_output() -> None:
    (match,) = matches(f"{norm('x', 'n')}  y = Cast<to=10>(n)", outputs="float16[N, K] y")
    assert match.output.name == "n"


def test_norm_of_an_input_of_unknown_rank_is_not_looked_for() -> None:
    assert matches(f"r = Reshape(x, k)  {norm('r', 'y')}", f"{X}, int64[K] k") == ()


def test_subgraph_is_searched_by_itself() -> None:
    nodes = (
        f"h1 = Exp(x)  y = If<then_branch = t () => (float[N, 4] p) {{ {norm('h1', 'p')} }}, "
        "else_branch = e () => (float[N, 4] r) { r = Neg(h1) }>(c)"
    )
    found = surveyed(nodes, f"{X}, bool c", constants=CONSTANTS)
    assert found.findings.matches == ()
    branch = found.values["p"].producer().graph  # type: ignore[union-attr]
    assert branch is not None
    assert shown(find(branch, found.facts).matches) == [("h1", "p")]


INNER = "m = ReduceMean<axes=[-1]>(x)  d = Sub(x, m)  q = Mul(d, d)  v = ReduceMean<axes=[-1]>(q)  e = Add(v, eps)"
RATE = f"{INNER}  s = Sqrt(e)  r = Reciprocal(s)"
GAIN_WITHIN = f"{RATE}  k = Mul(r, z)  a = Mul(x, k)  b = Mul(m, k)  y = Sub(a, b)"
GAIN_ON_X = f"{RATE}  k = Mul(r, z)  a = Mul(x, k)  b = Mul(m, r)  y = Sub(a, b)"
GAIN_SQUARED = f"{RATE}  i = Mul(r, z)  k = Mul(i, z)  a = Mul(x, k)  b = Mul(m, k)  y = Sub(a, b)"
GAIN_OVER = f"{RATE}  k = Div(r, z)  a = Mul(x, k)  b = Mul(m, k)  y = Sub(a, b)"
GAIN_CLIPPED = f"{RATE}  i = Mul(r, z)  k = Relu(i)  a = Mul(x, k)  b = Mul(m, k)  y = Sub(a, b)"
GAIN_TAKEN_AWAY = f"{RATE}  i = Mul(r, z)  k = Sub(i, i)  a = Mul(x, k)  b = Mul(m, r)  y = Sub(a, b)"
BEHIND = f"{INNER}  s = Sqrt(e)  r = Reciprocal(s)  a = Mul(x, r)  b = Mul(m, r)  n = Sub(a, b)  y = Mul(n, z)"


def branching(outside: str, inside: str) -> str:
    """The nodes, some of them inside of a branch."""
    other = "else_branch = other () => (float[N, K] u) { u = Identity(x) }"
    return f"{outside}  y = If(c)<then_branch = one () => (float[N, K] t) {{ {inside} }}, {other}>"


ACROSS = branching(f"{INNER}  s = Sqrt(e)", "t = Div(d, s)")


@pytest.mark.parametrize(
    ("nodes", "told", "remedy"),
    [
        pytest.param(GAIN_ON_X, "at Mul 'k', 'z', an operand of Mul, is neither", "behind", id="gain-on-x-alone"),
        pytest.param(GAIN_SQUARED, "at Mul 'k', two gains known at run time only are", "behind", id="gain-squared"),
        pytest.param(GAIN_OVER, "at Div 'k', 'z', an operand of Div, is neither", "make it a constant", id="gain-over"),
        pytest.param(GAIN_CLIPPED, "at Relu 'k', a gain or bias known at run time only", "behind", id="gain-clipped"),
        pytest.param(GAIN_TAKEN_AWAY, "at Sub 'k', a gain or bias known at run time", "behind", id="gain-taken-away"),
        pytest.param(ACROSS, "the deviation 's' is taken outside of the branch", "outside of it", id="across-a-border"),
    ],
)
def test_foreign_operand_is_named_with_what_would_change_it(nodes: str, told: str, remedy: str) -> None:
    found = surveyed(nodes, f"{X}, float[K] z, bool c", constants={"eps": f32(1e-5)}).findings
    (miss,) = found.near_misses
    assert found.matches == ()
    assert miss.shortfall.rule == "different-base"
    assert told in miss.shortfall.sentence
    assert remedy in miss.shortfall.sentence


@pytest.mark.parametrize(
    "nodes",
    [
        pytest.param(BEHIND, id="gain-behind"),
        pytest.param(branching(f"{INNER}  s = Sqrt(e)  n = Div(d, s)", "t = Mul(n, z)"), id="all-outside"),
    ],
)
def test_what_would_change_it_does(nodes: str) -> None:
    found = surveyed(nodes, f"{X}, float[K] z, bool c", constants={"eps": f32(1e-5)}).findings
    assert [match.output.name for match in found.matches] == ["n"]
    assert found.near_misses == ()


SIZES = [
    pytest.param("N, K", "K", ("K",), id="one-dimension"),
    pytest.param("N, K", "N, 1", ("N", "1"), id="the-other-dimension"),
    pytest.param("N, K", "M, K", ("N", "K"), id="a-dynamic-size-of-its-own"),
    pytest.param("5, K", "M, 1", ("5", "1"), id="a-dynamic-size-for-a-static-one"),
    pytest.param("N, K", "1", ("1",), id="one-number"),
]
OTHER_SIZES = [
    pytest.param("N, K", "5, 1", "a dimension of size N meets a tensor known at run time only of size 5", id="static"),
    pytest.param("1, K", "M, K", "is neither constant", id="larger"),
    pytest.param("N, K", "1, 1, K", "is neither constant", id="of-a-higher-rank"),
]


@pytest.mark.parametrize(("x", "gain", "taken"), SIZES)
def test_gain_known_at_run_time_is_applied_behind_the_norm(x: str, gain: str, taken: tuple[str, ...]) -> None:
    found = surveyed(GAIN_WITHIN, f"float[{x}] x, float[{gain}] z", constants={"eps": f32(1e-5)}).findings
    (match,) = found.matches
    assert match.outer is not None
    assert (match.norm.gain, match.norm.bias, match.outer.shift, match.outer.bias) == (1.0, 0.0, 0.0, None)
    (operand,) = match.operands
    assert operand.value.name == "z"
    assert tuple(str(size_of(dimension)) for dimension in operand.layout) == taken
    assert match.assumed == ()
    assert found.near_misses == ()


@pytest.mark.parametrize(("x", "gain", "told"), OTHER_SIZES)
def test_gain_that_might_make_the_result_larger_is_not(x: str, gain: str, told: str) -> None:
    found = surveyed(GAIN_WITHIN, f"float[{x}] x, float[{gain}] z", constants={"eps": f32(1e-5)}).findings
    assert found.matches == ()
    (miss,) = found.near_misses
    assert told in miss.shortfall.reason


def test_gain_of_unknown_rank_is_not_applied() -> None:
    nodes = f"z = Reshape(u, t)  {GAIN_WITHIN}"
    found = surveyed(nodes, f"{X}, float[L] u, int64[T] t", constants={"eps": f32(1e-5)}).findings
    assert found.matches == ()
    (miss,) = found.near_misses
    assert (miss.shortfall.rule, miss.node.outputs[0].name) == ("shape", "k")
    assert "'z' is known at run time only, and so is its rank" in miss.shortfall.reason


def test_widened_gain_is_taken_from_before_its_cast() -> None:
    within = re.sub(r"\bx\b", "h", GAIN_WITHIN).replace("Mul(r, z)", "Mul(r, w)").replace("y = Sub", "u = Sub")
    nodes = f"h = Cast<to=1>(x)  w = Cast<to=1>(z)  {within}  y = Cast<to=10>(u)"
    found = surveyed(nodes, "float16[N, 4] x, float16[4] z", constants={"eps": f32(1e-5)}).findings
    (match,) = found.matches
    assert (match.base.name, match.output.name) == ("x", "y")
    assert [operand.value.name for operand in match.operands] == ["z"]
    assert "w" in [node.outputs[0].name for node in match.nodes]


def test_deviation_read_in_a_branch_for_something_else_is_no_near_miss() -> None:
    nodes = branching(f"{INNER}  s = Sqrt(e)", "t = Mul(z, s)").replace("u = Identity(x)", "u = Identity(z)")
    assert surveyed(nodes, f"{X}, float[N, K] z, bool c", constants={"eps": f32(1e-5)}).findings.near_misses == ()
