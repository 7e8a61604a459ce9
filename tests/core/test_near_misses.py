"""Near misses: which of several reasons is told, at which node, and what would change it."""

import pytest

from normgraph.near_misses import MAXIMAL_LOOKAHEAD, UNTELLING
from normgraph.remedies import REMEDIES
from tests.core.surveyed import f32, surveyed
from tests.core.test_match import GAIN_CLIPPED, GAIN_ON_X, GAIN_OVER, GAIN_SQUARED, INNER, RATE, X

ROOT = f"{INNER}  s = Sqrt(e)"
CONSTANT = REMEDIES["different-base"]
BEHIND = "make it a constant, or multiply by it behind the normalization: ((x − mean)·r)·γ"
FED = f"{X}, float[K] z"


def told(nodes: str, inputs: str = FED) -> list[tuple[str, str, str, str]]:
    """Of each near miss the statistic, the node at which it goes wrong, the rule and what would change it."""
    found = surveyed(nodes, inputs, constants={"eps": f32(1e-5), "three": f32(3)}).findings
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
    ],
)
def test_what_would_change_it_fits_what_is_known_at_run_time(nodes: str, node: str, remedy: str) -> None:
    ((_, at, rule, change),) = told(nodes)
    assert (at, rule, change) == (node, "different-base", remedy)


@pytest.mark.parametrize(
    ("nodes", "rule"),
    [
        pytest.param(f"{GAIN_SQUARED}  h = Mul(x, r)", "half-centred", id="wrong-beside-two-gains"),
        pytest.param(f"{RATE}  k = Pow(r, three)  y = Mul(d, k)", "root", id="wrong-root"),
    ],
)
def test_what_is_wrong_in_itself_comes_first(nodes: str, rule: str) -> None:
    assert rule not in UNTELLING
    assert [found for _, _, found, _ in told(nodes)] == [rule]


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
