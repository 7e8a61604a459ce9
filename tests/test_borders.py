"""Norms in the branches of an If and in the bodies of a Loop or a Scan, and those that a border cuts in two."""

import numpy as np
import onnx
import onnx.parser
import pytest

import normgraph
from tests.optimizing import nodes_of
from tests.running import run

HEAD = """<ir_version: 10, opset_import: ["" : 17]> g (float[2, 3, 8] x, bool flag) => (float[2, 3, 8] y)
<float e = {1e-5}, int64 n = {2}, bool once = {1},
 float[8] gamma = {1.0, 0.5, -1.0, 2.0, 1.5, 3.0, 0.25, -2.0},
 float[8] beta = {1.0, -1.0, 0.5, 0.0, 2.0, -2.0, 0.25, 4.0}>
"""
MEAN = "m = ReduceMean<axes=[-1]>({x})  "
CENTRE = "d = Sub({x}, m)  "
VARIANCE = "q = Mul(d, d)  v = ReduceMean<axes=[-1]>(q)  "
ROOT = "s = Add(v, e)  r = Sqrt(s)  "
DIVIDE = "t = Div(d, r)  "
AFFINE = "g = Mul(t, gamma)  {a} = Add(g, beta)  "
WHOLE = MEAN + CENTRE + VARIANCE + ROOT + DIVIDE + AFFINE


def model_of(nodes: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(HEAD + "{ " + nodes + " }")


def branch(inside: str, *, before: str = "", behind: str = "y = Identity(z)") -> str:
    """The nodes inside of a branch, which makes a, from x; the other branch takes x's negative."""
    inside, before, behind = (text.format(x="x", a="a") for text in (inside, before, behind))
    return (
        f"{before} z = If(flag)<then_branch = yes () => (float[a0, a1, a2] a) {{ {inside} }}, "
        f"else_branch = no () => (float[b0, b1, b2] b) {{ b = Neg(x) }}>  {behind}"
    )


def loop(inside: str, *, before: str = "") -> str:
    """The nodes inside of a body, which makes a, from what it carries, h."""
    inside, before = inside.format(x="h", a="a"), before.format(x="x")
    body = f"step (int64 i, bool c, float[2, 3, 8] h) => (bool o, float[2, 3, 8] a) {{ o = Identity(c)  {inside} }}"
    return f"{before} y = Loop(n, once, x)<body = {body}>"


def scan(inside: str) -> str:
    """The nodes inside of a body, which makes a, from what is scanned, h."""
    body = f"step (float[3, 8] h) => (float[3, 8] a) {{ {inside.format(x='h', a='a')} }}"
    return f"y = Scan<num_scan_inputs = 1, body = {body}>(x)"


NESTED = f"w = If(flag)<then_branch = a () => (float[3, 8] b) {{ {WHOLE.format(x='h', a='b')} }}, "
NESTED += "else_branch = c () => (float[3, 8] k) { k = Neg(h) }>  a = Identity(w)"

INSIDE = [
    pytest.param(branch(WHOLE), "LayerNormalization", 17, id="in a branch"),
    pytest.param(loop(WHOLE), "LayerNormalization", 17, id="in the body of a Loop"),
    pytest.param(scan(WHOLE), "LayerNormalization", 17, id="in the body of a Scan"),
    pytest.param(scan(NESTED.replace("{", "{{").replace("}", "}}")), "LayerNormalization", 17, id="in both"),
    pytest.param(
        loop(WHOLE.replace("{x}", "x").replace("{a}", "k") + "{a} = Add(k, h)"),
        "LayerNormalization",
        17,
        id="of what is captured",
    ),
    pytest.param(branch(AFFINE, before=WHOLE.partition("g = ")[0]), "LayerNormalization", 17, id="gained inside"),
    pytest.param(
        branch(CENTRE + VARIANCE + ROOT + DIVIDE + AFFINE, before=MEAN),
        "RMSNormalization",
        23,
        id="centred by a mean from outside",
    ),
    pytest.param(
        loop(CENTRE + VARIANCE + ROOT + DIVIDE + AFFINE, before=MEAN), "RMSNormalization", 23, id="by another's mean"
    ),
]


@pytest.mark.parametrize(("nodes", "kind", "opset"), INSIDE)
def test_norm_inside_is_fused_with_what_it_captures(nodes: str, kind: str, opset: int) -> None:
    model = model_of(nodes)
    result = normgraph.optimize(model)
    after = result.to_proto()
    onnx.checker.check_model(after)
    assert [(site.kind, site.status) for site in result.report.sites] == [(kind, "fused")]
    assert len(nodes_of(after, kind)) == 1
    assert after.opset_import[0].version == opset
    fed = [
        {"x": np.random.default_rng(seed).standard_normal((2, 3, 8)).astype(np.float32), "flag": np.asarray(flag)}
        for seed, flag in enumerate((True, False, True))
    ]
    for old, new in zip(run(model, fed), run(after, fed), strict=True):
        np.testing.assert_allclose(new["y"], old["y"], rtol=1e-4, atol=1e-5)
    assert normgraph.optimize(after).to_proto() == after


DIVIDED = DIVIDE + "{a} = Mul(t, gamma)"
CUT = [
    pytest.param(branch(DIVIDED, before=MEAN + CENTRE + VARIANCE + ROOT), "Sqrt 'r'", "Div 't'", id="deviation before"),
    pytest.param(
        branch(ROOT + DIVIDED, before=MEAN + CENTRE + VARIANCE), "ReduceMean 'v'", "Div 't'", id="variance before"
    ),
    pytest.param(
        loop(DIVIDE + "{a} = Add(t, h)", before=MEAN + CENTRE + VARIANCE + ROOT),
        "Sqrt 'r'",
        "Div 't'",
        id="before a Loop",
    ),
    pytest.param(
        branch(ROOT + "{a} = Identity(r)", before=MEAN + CENTRE + VARIANCE, behind="y = Div(d, z)"),
        "ReduceMean 'v'",
        "Div 'y'",
        id="root inside",
    ),
    pytest.param(
        branch(
            VARIANCE + "{a} = Identity(v)", before=MEAN + CENTRE, behind="s = Add(z, e)  r = Sqrt(s)  y = Div(d, r)"
        ),
        "Identity 'a'",
        "Div 'y'",
        id="variance inside",
    ),
    pytest.param(
        branch(VARIANCE + ROOT + "{a} = Identity(r)", before=MEAN + CENTRE, behind="y = Div(d, z)"),
        "Identity 'a'",
        "Div 'y'",
        id="deviation inside",
    ),
]


@pytest.mark.parametrize(("nodes", "at", "divides"), CUT)
def test_norm_that_a_border_cuts_has_its_one_reason(nodes: str, at: str, divides: str) -> None:
    (site,) = normgraph.explain(model_of(nodes)).sites
    assert (site.status, site.rule) == ("near_miss", "different-base")
    assert str(site.reason).startswith(f"at {at}, ")
    assert divides in str(site.reason)
    assert "inside of the branch or body, or outside of it" in str(site.reason)


#: Statistics that pass a border and divide nothing that they were taken of.
UNRELATED = [
    pytest.param(
        branch("{a} = Identity(r)", before=MEAN + CENTRE + VARIANCE + ROOT, behind="y = Add(x, z)"), id="added"
    ),
    pytest.param(
        branch(VARIANCE + ROOT + "{a} = Identity(r)", before=MEAN + CENTRE, behind="k = Exp(x)  y = Div(k, z)"),
        id="of another tensor",
    ),
]


@pytest.mark.parametrize("nodes", UNRELATED)
def test_nothing_is_said_of_a_deviation_that_divides_nothing(nodes: str) -> None:
    assert normgraph.explain(model_of(nodes)).sites == ()
