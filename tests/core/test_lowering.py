"""Lowering: every replacement computes what was recognised, and what has none is told why."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import normgraph
from normgraph.axes import Axis, Layout, Size
from normgraph.diagnosis import Shortfall
from normgraph.errors import UsageError
from normgraph.evidence import OnceEach, prove
from normgraph.execution import runner_of
from normgraph.extraction import replacement_fragment
from normgraph.lowering import Demand, Replacement, Target, lower
from normgraph.match import Match
from normgraph.operators import permutation
from normgraph.targets import TARGETS, demand
from tests.core.evaluation import normalized
from tests.core.surveyed import Surveyed, f32, surveyed

EPSILON = np.float32(1e-3)
CONSTANTS: dict[str, Any] = {
    "eps": EPSILON, "last": [-1], "first": [1], "two": [2, 3], "inner": [2, 3, 4], "rows": [0, 2, 3, 2, 5], "c": [1],
    "g5": f32([1, -2, 3, 0.5, 2]), "b5": f32([3, 1, -1, 0, 2]), "gc": f32([1, 2, 3, 4, 5, 6]),
    "images": [0, 6, 2, 5],
}  # fmt: skip
X = "float[N, 6, 2, 5] x"


def standardized(axes: str, x: str = "x") -> str:
    """From x to the normalized n."""
    return (
        f"m = ReduceMean({x}, {axes})  d = Sub({x}, m)  q = Mul(d, d)  v = ReduceMean(q, {axes})  e = Add(v, eps)  "
        "s = Sqrt(e)  n = Div(d, s)"
    )


def scaled(axes: str) -> str:
    """From x to n, divided by its root mean square."""
    return f"q = Mul(x, x)  v = ReduceMean(q, {axes})  e = Add(v, eps)  s = Sqrt(e)  n = Div(x, s)"


PER_CHANNEL = "i = Unsqueeze(gc, inner_axes)  y = Mul(n, i)"
CASES = [
    pytest.param(f"{standardized('last')}  a = Mul(n, g5)  y = Add(a, b5)", "LayerNormalization", 1, id="trailing"),
    pytest.param(standardized("last").replace("n =", "y ="), "LayerNormalization", 1, id="without-parameters"),
    pytest.param(f"{standardized('c')}  y = Mul(n, gcol)", "LayerNormalization", 3, id="channels-first"),
    pytest.param(
        f"t = Transpose<perm=[0, 2, 3, 1]>(x)  {standardized('last', 't')}  y = Mul(n, gc)", "LayerNormalization", 1,
        id="channels-last-of-the-transposed",
    ),
    pytest.param(f"{standardized('two')}  a = Mul(n, g5)  y = Add(a, b5)", "LayerNormalization", 1, id="two-axes"),
    pytest.param(f"{standardized('two')}  y = Mul(n, gcol)", "InstanceNormalization", 1, id="instance"),
    pytest.param(
        f"r = Reshape(x, rows)  {standardized('inner', 'r')}  k = Reshape(n, images)  y = Mul(k, gcol)",
        "GroupNormalization", 1, id="group",
    ),
    pytest.param(f"{scaled('last')}  y = Mul(n, g5)", "RMSNormalization", 1, id="root-mean-square"),
    pytest.param(f"{scaled('c')}  y = Mul(n, gcol)", "RMSNormalization", 3, id="root-mean-square-of-channels"),
    pytest.param("l = ReduceL2(x, c)  y = Div(x, l)", "LpNormalization", 1, id="unit-length"),
    pytest.param("l = ReduceL2(x, c)  u = Div(x, l)  y = Mul(u, gcol)", "LpNormalization", 2, id="lengths-per-channel"),
    pytest.param("l = ReduceL2(x, c)  u = Div(x, l)  y = Mul(u, eps)", "LpNormalization", 2, id="another-length"),
    pytest.param(
        "m = ReduceMean(x, two)  d = Sub(x, m)  q = Mul(d, d)  v = ReduceMean(q, two)  s = Sqrt(v)  e = Add(s, tiny)  "
        "y = Div(d, e)", "MeanVarianceNormalization", 1, id="epsilon-outside",
    ),
]  # fmt: skip


def matched(nodes: str, inputs: str = X, opset: int = 23, **constants: Any) -> tuple[Match, Surveyed]:
    """The one normalization in these nodes."""
    more = {"gcol": CONSTANTS["gc"].reshape(6, 1, 1), "tiny": np.float32(1e-9), **constants}
    found = surveyed(nodes, inputs, opset=opset, constants={**CONSTANTS, **more})
    (match,) = found.findings.matches
    assert match.output.name == "y"
    return match, found


@pytest.mark.parametrize(("nodes", "kind", "steps"), CASES)
@pytest.mark.parametrize("target", ["onnx", "onnxruntime"])
def test_replacement_computes_what_was_recognised(nodes: str, kind: str, steps: int, target: str) -> None:
    match, found = matched(nodes)
    assert kind in match.norm.kinds
    replacements = lower(match, ir.DataType.FLOAT, Demand(TARGETS[target], contrib=True))
    if isinstance(replacements, Shortfall):
        assert (target, kind, replacements.rule) == ("onnxruntime", "MeanVarianceNormalization", "not-worth-it")
        return
    x = (np.random.default_rng(4).standard_normal((3, 6, 2, 5)) * 2 + 1).astype(np.float32)
    x = x if match.base.name == "x" else x.transpose(0, 2, 3, 1)
    expected = normalized(match, x.astype(np.float64), {})
    for replacement in replacements:
        model = replacement_fragment(match, replacement, found.facts, max(23, replacement.opset)).model
        result = runner_of(model)({"x": x})
        np.testing.assert_allclose(result, expected, rtol=2e-4, atol=2e-5)
    if target == "onnx":
        assert len(replacements[0].steps) == steps
        assert steps in {len(replacement.steps) for replacement in replacements}


@pytest.mark.parametrize(
    ("inputs", "shape"),
    [
        pytest.param("float[1, 6, 2, 5] x", (1, 6, 2, 5), id="one-sample"),
        pytest.param("float[N, 6, 1, 5] x", (3, 6, 1, 5), id="one-row"),
        pytest.param("float[1, 6, 1, 5] x", (1, 6, 1, 5), id="one-row-of-one-sample"),
    ],
)
def test_dimensions_of_one_stay_where_they_are(inputs: str, shape: tuple[int, ...]) -> None:
    match, found = matched(f"{standardized('two')}  a = Mul(n, gcol)  y = Add(a, gcol)", inputs)
    (replacement,) = lowered(match, "onnx")
    assert [step.operator for step in replacement.steps] == ["InstanceNormalization"]
    x = np.random.default_rng(4).standard_normal(shape).astype(np.float32)
    result = runner_of(replacement_fragment(match, replacement, found.facts, 23).model)({"x": x})
    np.testing.assert_allclose(result, normalized(match, x.astype(np.float64), {}), rtol=2e-4, atol=2e-5)


def lowered(match: Match, target: str) -> tuple[Replacement, ...]:
    found = lower(match, ir.DataType.FLOAT, Demand(TARGETS[target], contrib=True))
    assert not isinstance(found, Shortfall)
    return found


def shortfall(match: Match, dtype: ir.DataType | None, asked: Demand) -> str:
    found = lower(match, dtype, asked)
    assert isinstance(found, Shortfall)
    assert found.reason
    return found.rule


def test_what_a_target_does_not_have_is_not_emitted() -> None:
    layer, _ = matched(f"{standardized('last')}  y = Mul(n, g5)")
    rms, _ = matched(f"{scaled('last')}  y = Mul(n, g5)")
    assert shortfall(rms, ir.DataType.FLOAT, demand("coreml")) == "no-operator"
    assert shortfall(rms, ir.DataType.FLOAT, demand("tensorrt@10.14")) == "no-operator"
    assert not isinstance(lower(rms, ir.DataType.FLOAT, demand("tensorrt@10.15")), Shortfall)
    assert not isinstance(lower(rms, ir.DataType.FLOAT, demand("tensorrt")), Shortfall)
    assert shortfall(layer, ir.DataType.DOUBLE, demand("tensorrt")) == "no-kernel"
    assert shortfall(layer, None, demand("onnx")) == "no-kernel"
    assert not isinstance(lower(layer, ir.DataType.DOUBLE, demand("onnx")), Shortfall)


def test_operators_outside_the_standard_are_emitted_where_they_are_permitted() -> None:
    rms, _ = matched(f"{scaled('last')}  y = Mul(n, g5)")
    assert shortfall(rms, ir.DataType.BFLOAT16, demand("onnxruntime")) == "contrib"
    permitted = lower(rms, ir.DataType.BFLOAT16, demand("onnxruntime", contrib=True))
    assert not isinstance(permitted, Shortfall)
    assert [step.operator for step in permitted[0].steps] == ["SimplifiedLayerNormalization"]


REFUSED = [
    pytest.param(
        f"{standardized('last')}  y = Mul(n, g5)", {"eps": np.float32(1e-5)}, ir.DataType.FLOAT, None, id="epsilon"
    ),
    pytest.param(
        f"{standardized('last')}  y = Mul(n, huge)", {"huge": np.float32(1e6) * CONSTANTS["g5"]}, ir.DataType.FLOAT16,
        "parameter-range", id="gain-too-large-for-half",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("nodes", "constants", "dtype", "rule"), REFUSED)
def test_parameters_must_fit_the_operator(nodes: str, constants: Any, dtype: ir.DataType, rule: str | None) -> None:
    match, _ = matched(nodes, **constants)
    found = lower(match, dtype, demand("onnx"))
    assert (found.rule if isinstance(found, Shortfall) else None) == rule


@pytest.mark.parametrize(
    ("epsilon", "dtype", "rule"),
    [
        pytest.param(float(np.float32(1e-5)), "double", None, id="float32-number"),
        pytest.param(1e-5, "double", "epsilon-precision", id="double-number"),
        pytest.param(1e-60, "double", "epsilon-precision", id="below-float32"),
    ],
)
def test_epsilon_must_survive_the_attribute(epsilon: float, dtype: str, rule: str | None) -> None:
    doubles: dict[str, Any] = {name: np.float64(CONSTANTS[name]) for name in ("g5", "b5")}
    nodes = f"{standardized('last')}  y = Mul(n, g5)"
    match, _ = matched(nodes, X.replace("float", dtype), eps=np.float64(epsilon), **doubles)
    found = lower(match, ir.DataType.DOUBLE, demand("onnx"))
    assert (found.rule if isinstance(found, Shortfall) else None) == rule


def test_dynamic_normalized_dimension_needs_a_known_size() -> None:
    inputs = "float[N, S] x"
    nodes = standardized("last").replace("n =", "y =")
    match, _ = matched(nodes, inputs)
    assert shortfall(match, ir.DataType.FLOAT, demand("onnx")) == "dynamic-axis"
    match, _ = matched(f"{standardized('last')}  y = Mul(n, g5)", inputs)
    found = lower(match, ir.DataType.FLOAT, demand("onnx"))
    assert not isinstance(found, Shortfall)
    np.testing.assert_array_equal(found[0].constants["scale"], CONSTANTS["g5"])


def test_double_tensors_have_their_statistics_in_double() -> None:
    doubles: dict[str, Any] = {"eps": np.float64(EPSILON), "g5": np.float64(CONSTANTS["g5"])}
    match, _ = matched(f"{standardized('last')}  y = Mul(n, g5)", X.replace("float", "double"), **doubles)
    found = lower(match, ir.DataType.DOUBLE, demand("onnx"))
    assert not isinstance(found, Shortfall)
    assert dict(found[0].steps[0].attributes)["stash_type"] == int(ir.DataType.DOUBLE)
    assert found[0].constants["scale"].dtype == np.float64


def test_versions_are_read_as_people_write_them() -> None:
    assert demand("tensorrt@8.6").version == (8, 6)
    assert demand("onnx").version == ()
    for wrong in ("tensorrt@", "tensorrt@8.x", "tensorrt@-1", "nothing", ""):
        with pytest.raises(UsageError):
            demand(wrong)


def test_every_target_stands_under_its_name() -> None:
    for name, target in TARGETS.items():
        assert target.name == name
        assert target.source
        assert all(operators for operators in target.operators.values())


A, B = Axis(0, Size(2)), Axis(1, Size(3))


@pytest.mark.parametrize(
    ("source", "result", "perm"),
    [
        pytest.param(((A,), (B,)), ((A,), (B,)), None, id="nothing-to-do"),
        pytest.param(((A,), (B,)), ((B,), (A,)), (1, 0), id="exchanged"),
        pytest.param(((A,), (), ()), ((), (A,), ()), (1, 0, 2), id="ones-are-alike"),
        pytest.param(((), (A,), ()), ((), (A,), ()), None, id="ones-stay"),
    ],
)
def test_transposes_move_what_has_to_move(source: Layout, result: Layout, perm: tuple[int, ...] | None) -> None:
    assert permutation(source, result) == perm


def test_a_kind_is_kept_for_a_reason_of_its_own_and_that_of_the_other() -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        example (float[2, 8] x) => (float[2, 8] y) { l = ReduceL2<axes = [1]>(x)  y = Div(x, l) }""")
    (site,) = normgraph.optimize(model, opset=17).report.sites
    assert (site.kind, site.status, site.rule) == ("LpNormalization", "kept", "not-worth-it")
    assert re.search(r"its LpNormalization has .*, and RMSNormalization needs opset 23.*--opset", site.reason or "")
    (site,) = normgraph.optimize(model).report.sites
    assert (site.kind, site.status) == ("RMSNormalization", "fused")


#: Spelled with operators that are defined anew between opset 24 and 28: Cast, Einsum, Identity and others.
NEWEST = [
    pytest.param("m = ReduceMean(f, ax)  d = Sub(f, m)  q = Mul(d, d)  v = ReduceMean(q, ax)", "d", id="means"),
    pytest.param(
        'w = Einsum<equation = "nd,d->n">(f, mean)  m = Unsqueeze(w, ax)  d = Sub(f, m)  q = Mul(d, d)  '
        "l = ReduceLogSum(q, ax)  k = Exp(l)  v = Mul(k, eighth)",
        "d",
        id="Einsum and ReduceLogSum",
    ),
    pytest.param("q = Mul(f, f)  i = Identity(q)  v = ReduceMean(i, ax)", "f", id="without a mean"),
]


@pytest.mark.parametrize("opset", range(23, onnx.defs.onnx_opset_version() + 1))
@pytest.mark.parametrize("target", ["onnx", "onnxruntime"])
@pytest.mark.parametrize(("nodes", "divided"), NEWEST)
def test_norms_are_fused_at_every_opset_up_to_the_newest(nodes: str, divided: str, target: str, opset: int) -> None:
    model = onnx.parser.parse_model(f"""
        <ir_version: 10, opset_import: ["" : {opset}]>
        example (float16[2, 8] x) => (float16[2, 8] y)
        <float e = {{1e-3}}, int64[1] ax = {{-1}}, float eighth = {{0.125}},
         float[8] mean = {{0.125, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125}}> {{
            f = Cast<to = 1>(x)  {nodes}  a = Add(v, e)  r = Sqrt(a)  n = Div({divided}, r)  y = Cast<to = 10>(n)
        }}""")
    result = normgraph.optimize(model, target=target)
    assert [site.status for site in result.report.sites] == ["fused"]
    assert result.report.opset.after == opset
    raised = normgraph.optimize(model, target="onnx", opset=onnx.defs.onnx_opset_version())
    assert [site.status for site in raised.report.sites] == ["fused"]


SHIFTED = f"{standardized('last').split('  n =')[0]}  r = Reciprocal(s)  k = Mul(r, z)  a = Mul(x, k)  b = Mul(m, k)"
BEHIND = [
    pytest.param(f"{SHIFTED}  y = Sub(a, b)", ["Mul"], id="gain"),
    pytest.param(f"{SHIFTED}  u = Sub(w, b)  y = Add(a, u)", ["Mul", "Add"], id="gain-and-bias"),
    pytest.param(f"{SHIFTED}  u = Add(b, w)  y = Sub(a, u)", ["Mul", "Sub"], id="gain-and-bias-taken-away"),
    pytest.param(f"{SHIFTED}  u = Sub(b5, b)  y = Add(a, u)", ["Mul", "Add"], id="gain-and-a-constant"),
]


@pytest.mark.parametrize(("nodes", "operators"), BEHIND)
def test_what_is_known_at_run_time_is_applied_behind_the_norm(nodes: str, operators: list[str]) -> None:
    match, found = matched(nodes, f"{X}, float[5] z, float[5] w")
    (replacement,) = lowered(match, "onnx")
    assert [step.operator for step in replacement.steps] == ["LayerNormalization", *operators]
    assert len({step.output for step in replacement.steps}) == len(replacement.steps)
    evidence = prove(match, replacement, TARGETS["onnx"], found.facts, OnceEach())
    assert evidence.accepted, evidence.describe()


def test_constant_behind_the_norm_has_to_fit_into_the_type() -> None:
    within = SHIFTED.replace("(x,", "(h,").replace("Mul(r, z)", "Mul(r, zh)")
    nodes = f"h = Cast<to=1>(x)  zh = Cast<to=1>(z)  {within}  u = Sub(huge, b)  i = Add(a, u)  y = Cast<to=10>(i)"
    match, _ = matched(nodes, f"{X.replace('float', 'float16')}, float16[5] z", huge=f32(1e6))
    assert match.base.name == "x"
    assert shortfall(match, ir.DataType.FLOAT16, demand("onnx")) == "parameter-range"


ONLY = TARGETS["onnx"].operators["LayerNormalization"]


@pytest.mark.parametrize(
    ("operators", "refusals", "rule", "said"),
    [
        pytest.param({}, {"RMSNormalization": "slow"}, "no-operator", "for LpNormalization", id="refused-second"),
        pytest.param({}, {"LpNormalization": "slow"}, "not-worth-it", "some: slow", id="refused-first"),
        pytest.param({}, {}, "no-operator", "for LpNormalization", id="without-either"),
    ],
)
def test_the_reason_of_the_kind_that_fits_best_is_told(operators: Any, refusals: Any, rule: str, said: str) -> None:
    match, _ = matched("l = ReduceL2(x, last)  y = Div(x, l)")
    assert match.norm.kinds == ("LpNormalization", "RMSNormalization")
    found = lower(match, ir.DataType.FLOAT, Demand(Target("some", "", operators, refusals)))
    assert isinstance(found, Shortfall)
    assert (found.rule, found.reason.endswith(said)) == (rule, True)


def test_another_operator_for_the_same_kind_stands_in_for_nothing() -> None:
    match, _ = matched(f"{standardized('last')}  y = Mul(n, g5)")
    late = tuple(replace(operator, since=(9,)) for operator in ONLY)
    target = Target("some", "", {"LayerNormalization": (*late, *ONLY)}, {})
    found = lower(match, ir.DataType.FLOAT, Demand(target, version=(1,)))
    assert isinstance(found, tuple)
    assert [replacement.instead for replacement in found] == [None]


def test_that_an_operator_is_not_permitted_says_nothing_where_another_is() -> None:
    match, _ = matched(f"{standardized('last')}  y = Mul(n, g5)", eps=np.float32(1e-3))
    target = Target("some", "", {"LayerNormalization": (replace(ONLY[0], contrib=True), *ONLY)}, {})
    for contrib, number in ((False, 1), (True, 2)):
        found = lower(match, ir.DataType.FLOAT, Demand(target, contrib=contrib))
        assert isinstance(found, tuple)
        assert len(found) == number
    match = replace(match, norm=replace(match.norm, epsilon=1e60))
    assert shortfall(match, ir.DataType.FLOAT, Demand(target)) == "epsilon-precision"
    target = Target("some", "", {"LayerNormalization": (replace(ONLY[0], contrib=True),)}, {})
    assert shortfall(match, ir.DataType.FLOAT, Demand(target)) == "contrib"
    assert shortfall(match, ir.DataType.FLOAT, Demand(target, contrib=True)) == "epsilon-precision"


@pytest.mark.parametrize(("dtype", "said"), [(ir.DataType.DOUBLE, "double"), (None, "an unknown type")])
def test_type_without_a_kernel_is_named(dtype: ir.DataType | None, said: str) -> None:
    found = lower(matched(f"{standardized('last')}  y = Mul(n, g5)")[0], dtype, demand("tensorrt"))
    assert isinstance(found, Shortfall)
    assert found.reason.endswith(f"kernel for {said}")
