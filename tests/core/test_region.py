"""Regions: what goes when a value is replaced, and what keeps it from going."""

import onnx_ir as ir
import pytest

from normgraph.interpret import interpret
from normgraph.region import dead_readers, escapes, feeders_of, region_of
from tests.core.surveyed import Surveyed, surveyed

X = "float[2, 4] x"
NORM = "m = ReduceMean(x, i)  d = Sub(x, m)  q = Mul(d, d)  v = ReduceMean(q, i)  s = Sqrt(v)  n = Div(d, s)"
CONSTANTS = {"i": [-1]}


def region(found: Surveyed, output: str) -> tuple[list[str | None], list[str | None], dict[str | None, str]]:
    """The outputs of the region's nodes, of its feeders, and what escapes from it with the reason."""
    base = found.values["x"]
    interpretation = interpret(base, found.model.graph, found.facts)
    assert interpretation is not None
    nodes = region_of(base, found.values[output], interpretation.forms, found.facts)
    outside = escapes(nodes, base, interpretation.forms, found.facts)
    return (
        [node.outputs[0].name for node in nodes],
        [node.outputs[0].name for node in feeders_of(nodes, base, found.facts)],
        {value.name: str(escape) for value, escape in outside.items()},
    )


def test_region_is_what_lies_between() -> None:
    found = surveyed(f"{NORM}  y = Neg(n)  z = Exp(x)", X, outputs="float[2, 4] y", constants=CONSTANTS)
    nodes, feeders, outside = region(found, "n")
    assert nodes == ["m", "d", "q", "v", "s", "n"]
    assert feeders == []
    assert list(outside) == ["n"]


FED = [
    pytest.param("h = Shape(x)  y = Expand(n, h)", ["h"], id="shape-for-itself"),
    pytest.param(
        "h = Shape(x)  g = Gather(h, i)  k = Cast<to=1>(g)  y = Mul(n, k)", ["h", "g", "k"], id="chain-of-shapes"
    ),
    pytest.param("c = Constant<value_float=2.0>()  y = Mul(n, c)", ["c"], id="constant-node"),
    pytest.param("h = Shape(n)  y = Expand(n, h)", ["h"], id="shape-of-an-inner-value"),
    pytest.param("c = Constant<value_float=2.0>()  y = Mul(x, c)", ["c"], id="constant-for-a-single-node"),
]
NOT_FED = [
    pytest.param("w = Mul(x, x)  y = CastLike(n, w)", [], id="value-of-which-the-type-alone-is-asked-for"),
    pytest.param("h = Shape(x)  y = Expand(n, h)  z = Cast<to=1>(h)", [], id="shape-for-others-too"),
    pytest.param("c = Constant<value_float=2.0>()  y = Mul(n, c)  z = Mul(x, c)", [], id="constant-for-others-too"),
]


@pytest.mark.parametrize(("nodes", "expected"), [*FED, *NOT_FED])
def test_what_only_serves_the_region_goes_with_it(nodes: str, expected: list[str]) -> None:
    outputs = "float[2, 4] y" + (", float[K] z" if "z =" in nodes else "")
    found = surveyed(f"{NORM}  {nodes}", X, outputs=outputs, constants=CONSTANTS)
    assert region(found, "y")[1] == expected


def test_what_serves_the_region_and_the_caller_stays() -> None:
    nodes = f"{NORM}  h = Shape(x)  y = Expand(n, h)"
    found = surveyed(nodes, X, outputs="float[2, 4] y, int64[2] h", constants=CONSTANTS)
    assert region(found, "y")[1] == []


def test_what_makes_the_base_does_not_serve_the_region() -> None:
    found = surveyed(f"x = Neg(u)  {NORM}", "float[2, 4] u", outputs="float[2, 4] n", constants=CONSTANTS)
    assert region(found, "n")[1] == []


def test_what_the_region_of_a_branch_captures_does_not_go_with_it() -> None:
    branch = f"{NORM.replace('(x', '(h')}  p = Mul(n, k)"
    nodes = (
        f"k = Constant<value_float=2.0>()  y = If(c)<then_branch = t () => (float[2, 4] p) {{ h = Exp(x)  {branch} }}, "
    )
    other = "else_branch = e () => (float[2, 4] u) { u = Neg(x) }>"
    found = surveyed(nodes + other, f"{X}, bool c", outputs="float[2, 4] y", constants=CONSTANTS)
    base, output = found.values["h"], found.values["p"]
    graph = output.producer().graph  # type: ignore[union-attr]
    assert isinstance(graph, ir.Graph)
    interpretation = interpret(base, graph, found.facts)
    assert interpretation is not None
    nodes_of_branch = region_of(base, output, interpretation.forms, found.facts)
    assert len(nodes_of_branch) == 7
    assert feeders_of(nodes_of_branch, base, found.facts) == ()


RATE = NORM.replace("n = Div(d, s)", "r = Reciprocal(s)")


@pytest.mark.parametrize(
    ("gain", "outside"),
    [
        pytest.param("g = Exp(z)", [], id="made-of-what-is-fed"),
        pytest.param("g = Exp(x)", [], id="made-of-the-base"),
        pytest.param("g = Exp(r)", ["r"], id="made-within"),
        pytest.param("h = Exp(v)  g = Sigmoid(h)", ["v"], id="made-within-by-more"),
        pytest.param("h = Shape(d)  g = RandomNormal<shape=[4]>()", [], id="beside-a-shape"),
    ],
)
def test_what_a_gain_known_at_run_time_is_made_of_stays(gain: str, outside: list[str]) -> None:
    nodes = f"{RATE}  {gain}  k = Mul(r, g)  y = Mul(d, k)"
    found = surveyed(nodes, f"{X}, float[2, 4] z", outputs="float[2, 4] y", constants=CONSTANTS)
    base = found.values["x"]
    interpretation = interpret(base, found.model.graph, found.facts, with_foreign=True)
    assert interpretation is not None
    region = region_of(base, found.values["y"], interpretation.forms, found.facts)
    assert [node.outputs[0].name for node in region] == ["m", "d", "q", "v", "s", "r", "k", "y"]
    assert feeders_of(region, base, found.facts) == ()
    escaping = escapes(region, base, interpretation.forms, found.facts)
    assert [value.name for value in escaping if value is not found.values["y"]] == outside


def test_shape_that_a_gain_may_have_made_larger_keeps_a_region() -> None:
    nodes = f"{RATE}  k = Mul(r, g)  a = Mul(x, k)  b = Mul(m, k)  y = Sub(a, b)  z = Shape(a)"
    found = surveyed(nodes, "float[N, 4] x, float[M, 4] g", outputs="float[N, 4] y, int64[2] z", constants=CONSTANTS)
    base = found.values["x"]
    interpretation = interpret(base, found.model.graph, found.facts, with_foreign=True)
    assert interpretation is not None
    region = region_of(base, found.values["y"], interpretation.forms, found.facts)
    escaping = escapes(region, base, interpretation.forms, found.facts)
    assert [value.name for value in escaping] == ["a", "y"]


CLOSED = [
    pytest.param("z = Shape(d)", id="shape-that-the-base-has-too"),
    pytest.param("z = Size(q)", id="size-that-the-base-has-too"),
]
OPEN = [
    pytest.param("z = Neg(d)", {"d": "'d' (made by Sub) is also read by Neg 'z'"}, id="value-read"),
    pytest.param("z = custom.Shape(d)", {"d": "'d' (made by Sub) is also read by Shape 'z'"}, id="another-Shape"),
    pytest.param("z = Shape(m)", {"m": "'m' (made by ReduceMean) is also read by Shape 'z'"}, id="other-shape-read"),
    pytest.param("t = Transpose(d)  z = Neg(t)", {"d": "'d' (made by Sub) is also read by Transpose 't'"}, id="moved"),
    pytest.param(
        "z = If<then_branch = t () => (float[2, 4] p) { p = Neg(d) }, "
        "else_branch = e () => (float[2, 4] r) { r = Neg(x) }>(c)",
        {"d": "'d' (made by Sub) is also read by Neg 'p'"},
        id="captured",
    ),
]


@pytest.mark.parametrize("nodes", CLOSED)
def test_shape_of_the_base_does_not_open_a_region(nodes: str) -> None:
    found = surveyed(f"{NORM}  {nodes}", X, outputs="float[2, 4] n, int64[K] z", constants=CONSTANTS)
    assert set(region(found, "n")[2]) == {"n"}


@pytest.mark.parametrize(("nodes", "expected"), OPEN)
def test_what_others_need_keeps_a_region(nodes: str, expected: dict[str, str]) -> None:
    found = surveyed(f"{NORM}  {nodes}", X + ", bool c", outputs="float[2, 4] n, float[2, 4] z", constants=CONSTANTS)
    outside = region(found, "n")[2]
    assert {name: reason for name, reason in outside.items() if name != "n"} == expected


def test_reader_is_told_by_its_name() -> None:
    found = surveyed(f"{NORM}  z = Neg(d)", X, outputs="float[2, 4] n, float[2, 4] z", constants=CONSTANTS)
    found.values["z"].producer().name = "negative"  # type: ignore[union-attr]
    assert region(found, "n")[2]["d"] == "'d' (made by Sub) is also read by Neg 'negative'"


def test_output_of_the_graph_keeps_a_region() -> None:
    found = surveyed(NORM, X, outputs="float[2, 4] n, float[2, 1] v", constants=CONSTANTS)
    assert region(found, "n")[2]["v"] == "'v' (made by ReduceMean) is an output of the graph"


def test_dead_readers_keep_nothing() -> None:
    found = surveyed(f"{NORM}  a = Neg(d)  b = Exp(a)", X, outputs="float[2, 4] n", constants=CONSTANTS)
    nodes, _, outside = region(found, "n")
    assert set(outside) == {"n"}
    producers = [node for node in found.model.graph if node.outputs[0].name in nodes]
    assert [node.outputs[0].name for node in dead_readers(producers, found.facts)] == ["a", "b"]
