"""Near misses: which of several reasons is told, at which node, and what would change it."""

from itertools import pairwise

import pytest

from normgraph.near_misses import MAXIMAL_LOOKAHEAD, UNTELLING
from normgraph.remedies import REMEDIES
from tests.core.surveyed import f32, surveyed
from tests.core.test_match import CONSTANTS, GAIN_CLIPPED, GAIN_ON_X, GAIN_OVER, GAIN_SQUARED, INNER, RATE, X, norm

ROOT = f"{INNER}  s = Sqrt(e)"
CONSTANT = REMEDIES["different-base"]
BEHIND = "make it a constant, or multiply by it behind the normalization: ((x − mean)·r)·γ"
FED = f"{X}, float[K] z, float[4] w, int64[T] t"


def told(nodes: str, inputs: str = FED) -> list[tuple[str, str, str, str]]:
    """Of each near miss the statistic, the node at which it goes wrong, the rule and what would change it."""
    found = surveyed(nodes, inputs, constants={"eps": f32(1e-5), "three": f32(3), "g": f32([1, 2, 3, 4])}).findings
    assert found.matches == ()
    return [
        (
            miss.reduction.outputs[0].name or "",
            miss.node.outputs[0].name or "",
            miss.shortfall.rule,
            miss.shortfall.remedy or REMEDIES[miss.shortfall.rule],
        )
        for miss in found.near_misses
    ]


@pytest.mark.parametrize(
    ("nodes", "node", "remedy"),
    [
        pytest.param(GAIN_ON_X, "k", BEHIND, id="gain-on-the-inverse"),
        pytest.param(GAIN_SQUARED, "k", BEHIND, id="two-gains"),
        pytest.param(GAIN_CLIPPED, "k", BEHIND, id="gain-clipped"),
        pytest.param(GAIN_OVER, "k", CONSTANT, id="inverse-over-a-gain"),
        pytest.param(f"{ROOT}  k = Mul(s, z)  y = Div(d, k)", "k", CONSTANT, id="gain-on-the-deviation"),
        pytest.param(f"{ROOT}  k = Add(s, z)  y = Div(d, k)", "k", CONSTANT, id="beside-the-deviation"),
        pytest.param(f"{INNER}  k = Add(v, z)  s = Sqrt(k)  y = Div(d, s)", "k", CONSTANT, id="beside-the-variance"),
        pytest.param(
            f"{INNER}  i = Reciprocal(m)  k = Mul(i, z)  s = Sqrt(k)  y = Div(d, s)", "k", CONSTANT, id="over-the-mean"
        ),
        pytest.param(f"{GAIN_CLIPPED}  o = Exp(q)", "k", BEHIND, id="gain-clipped-beside-the-square"),
        pytest.param(f"h = Add(x, w)  {GAIN_CLIPPED}", "k", BEHIND, id="gain-clipped-beside-a-sum"),
        pytest.param(f"h = Mul(x, w)  o = Relu(h)  {GAIN_CLIPPED}", "k", BEHIND, id="gain-clipped-beside-another"),
        pytest.param(GAIN_CLIPPED.replace("k =", "c = Cast<to=7>(i)  k ="), "k", BEHIND, id="gain-counted-and-clipped"),
    ],
)  # fmt: skip
def test_what_would_change_it_fits_what_is_known_at_run_time(nodes: str, node: str, remedy: str) -> None:
    ((_, at, rule, change),) = told(nodes)
    assert (at, rule, change) == (node, "different-base", remedy)


@pytest.mark.parametrize(
    "nodes",
    [
        pytest.param("h = Add(x, z)  s = Sqrt(h)  m = ReduceMean<axes=[-1]>(x)", id="root-of-no-statistic"),
        pytest.param(
            "o = Exp(x)  m = ReduceMean<axes=[-1]>(x)  k = Add(m, z)  h = Tanh(k)  y = Sqrt(h)", id="root-of-a-tanh"
        ),
        pytest.param(f"{RATE}  n = LayerNormalization(x, g)", id="native-norm-beside-a-deviation"),
        pytest.param(f"{RATE}  n = LayerNormalization(x, g)  y = Mul(n, z)", id="gain-behind-a-native-norm"),
        pytest.param("n = LayerNormalization(x, g)  y = Mul(n, x)", id="native-norm-times-its-input"),
    ],
)
def test_what_is_no_near_miss_is_not_told(nodes: str) -> None:
    assert told(nodes) == []


@pytest.mark.parametrize(
    "beside",
    [
        pytest.param("n = LayerNormalization(x, g)", id="native"),
        pytest.param("o = LayerNormalization(x, g)  n = Mul(o, z)", id="native-with-a-gain"),
        pytest.param(norm("x", "n", "o"), id="in-nodes"),
        pytest.param(f"{RATE}  a = Mul(x, r)  b = Mul(m, r)  n = Sub(a, b)", id="taken-apart"),
    ],
)
@pytest.mark.parametrize(
    ("last", "node", "rule"),
    [
        pytest.param("y = Div(jd, je)", "y", "root", id="without-a-root"),
        pytest.param("js = Sqrt(je)  jr = Div(js, z)  y = Mul(jd, jr)", "jr", "different-base", id="with-a-divisor"),
    ],
)
def test_norm_of_the_same_tensor_does_not_hide_a_near_miss(beside: str, last: str, node: str, rule: str) -> None:
    near = norm("x", "y", "j").replace("js = Sqrt(je)  y = Div(jd, js)", last)
    found = surveyed(f"{beside}  {near}", FED, constants=CONSTANTS).findings
    assert [(miss.node.outputs[0].name, miss.shortfall.rule) for miss in found.near_misses] == [(node, rule)]


@pytest.mark.parametrize(
    ("nodes", "rule"),
    [
        pytest.param(f"{GAIN_SQUARED}  h = Mul(x, r)", "half-centred", id="wrong-beside-two-gains"),
        pytest.param(f"{RATE}  k = Pow(r, three)  y = Mul(d, k)", "root", id="wrong-root"),
        pytest.param(f"{RATE}  h = Transpose(x)  y = Mul(r, h)", "broadcast", id="deviation-of-other-dimensions"),
        pytest.param(f"{RATE}  h = Transpose(r)  y = Mul(r, h)", "broadcast", id="deviations-of-all-pairs"),
        pytest.param("v = ReduceMean(x, t)  e = Add(v, eps)  s = Sqrt(e)  y = Div(x, s)", "axes", id="unknown-axes"),
    ],
)
def test_what_is_wrong_in_itself_comes_first(nodes: str, rule: str) -> None:
    assert rule not in UNTELLING
    assert [miss[2:] for miss in told(nodes)] == [(rule, REMEDIES[rule])]


def test_statistic_that_is_lost_is_told_where_a_root_is_near() -> None:
    """MAXIMAL_LOOKAHEAD nodes are looked at, the first of them the one that adds what isn't known."""

    def followed(length: int, last: str) -> list[tuple[str, str, str, str]]:
        names = [f"n{number}" for number in range(length)]
        steps = "  ".join(f"{new} = Neg({old})" for old, new in zip(["k", *names], names, strict=False))
        return told(f"h = Exp(x)  m = ReduceMean<axes=[-1]>(x)  k = Add(m, z)  {steps}  y = {last}({names[-1]})")

    near, far = MAXIMAL_LOOKAHEAD - 2, MAXIMAL_LOOKAHEAD - 1
    assert [at for _, at, _, _ in followed(near, "Sqrt")] == ["k"]
    assert followed(far, "Sqrt") == []
    assert followed(near, "Exp") == []


def test_gain_on_x_divided_within_a_norm_has_no_place_behind_it() -> None:
    nodes = f"{RATE}  a = Mul(x, r)  b = Mul(m, r)  n = Sub(a, b)  o = Mul(a, z)  jm = ReduceMean(x, last)"
    (miss,) = surveyed(nodes, FED, constants=CONSTANTS).findings.near_misses
    assert (miss.node.outputs[0].name, miss.shortfall.remedy) == ("o", "")


SPREAD = (
    "{0}m = ReduceMean({1}, last)  {0}d = Sub({1}, {0}m)  {0}q = Mul({0}d, {0}d)  {0}v = ReduceMean({0}q, last)  "
    "{0}e = Add({0}v, eps)"
)
FOREIGN_DIVISOR = "{0}s = Sqrt({0}e)  {0}k = Mul({0}s, z)  {1} = Div({0}d, {0}k)"
NO_ROOT = "{1} = Div({0}d, {0}e)"


@pytest.mark.parametrize(
    ("first", "second", "between", "nodes"),
    [
        pytest.param(FOREIGN_DIVISOR, NO_ROOT, 7, ["w"], id="foreign-before-near"),
        pytest.param(FOREIGN_DIVISOR, NO_ROOT, 8, ["ak", "w"], id="foreign-before-far"),
        pytest.param(FOREIGN_DIVISOR, FOREIGN_DIVISOR, 6, ["ak"], id="both-foreign-near"),
        pytest.param(FOREIGN_DIVISOR, FOREIGN_DIVISOR, 7, ["ak", "bk"], id="both-foreign-far"),
        pytest.param(NO_ROOT, FOREIGN_DIVISOR, 6, ["y"], id="foreign-behind"),
        pytest.param(NO_ROOT, NO_ROOT, 0, ["y", "w"], id="none-foreign"),
    ],
)
def test_what_is_foreign_is_not_told_beside_what_went_wrong_near_by(
    first: str, second: str, between: int, nodes: list[str]
) -> None:
    """Within MAXIMAL_LOOKAHEAD nodes, those of either norm among them."""
    names = ["y", *(f"n{number}" for number in range(between))]
    steps = "  ".join(f"{new} = Neg({old})" for old, new in pairwise(names))
    model = "  ".join([SPREAD.format("a", "x"), first.format("a", "y"), steps,
                       SPREAD.format("b", names[-1]), second.format("b", "w")])  # fmt: skip
    found = surveyed(model, f"{X}, float[K] z", constants=CONSTANTS).findings
    assert [miss.node.outputs[0].name for miss in found.near_misses] == nodes
