"""Evidence: what is right is proven, what is wrong by little isn't, and what can't be tried says so."""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from normgraph.axes import Size
from normgraph.evidence import (
    ULPS,
    Evidence,
    Experiment,
    Modelled,
    Trial,
    Ulps,
    assignments,
    compare,
    conducting,
    experiment,
    prove,
)
from normgraph.evidence.experiment import opset_of
from normgraph.evidence.measuring import errors, sensitivity, spacing_at
from normgraph.evidence.structure import runners_of, taken_apart
from normgraph.execution import NotRunnable, Runner, runner_of
from normgraph.extraction import original_fragment, replacement_fragment
from normgraph.feeds import FAMILIES, draw
from normgraph.fragments import Fragment
from normgraph.lowering import Replacement, Step, lower
from normgraph.match import Match
from normgraph.targets import TARGETS, demand
from tests.core.surveyed import Surveyed, f32, surveyed

NORM = (
    "m = ReduceMean(x, last)  d = Sub(x, m)  q = Mul(d, d)  v = ReduceMean(q, last)  e = Add(v, eps)  s = Sqrt(e)  "
    "n = Div(d, s)  a = Mul(n, g)  y = Add(a, b)"
)
CONSTANTS: dict[str, Any] = {
    "last": [-1], "eps": np.float32(1e-5), "g": f32([1, -2, 3, 0.5]), "b": f32([0.25, 1, -1, 0]),
}  # fmt: skip


def matched(
    inputs: str = "float[N, 4] x", dtype: type[np.generic] = np.float32, opset: int = 18
) -> tuple[Match, Surveyed]:
    """A LayerNormalization in nodes."""
    typed = {name: np.asarray(a, dtype if name != "last" else np.int64) for name, a in CONSTANTS.items()}
    found = surveyed(NORM, inputs, opset=opset, constants=typed)
    (match,) = found.findings.matches
    return match, found


def lowered(match: Match, found: Surveyed) -> Replacement:
    replacements = lower(match, found.facts.dtype(match.base), demand("onnxruntime"))
    assert isinstance(replacements, tuple)
    return replacements[0]


def with_attribute(replacement: Replacement, name: str, value: Any) -> Replacement:
    (step,) = replacement.steps
    attributes = {**dict(step.attributes), name: value}
    return replace(replacement, steps=(replace(step, attributes=tuple(attributes.items())),))


def with_constant(replacement: Replacement, name: str, change: Callable[[np.ndarray], np.ndarray]) -> Replacement:
    changed = change(replacement.constants[name]).astype(replacement.constants[name].dtype)
    return replace(replacement, constants={**replacement.constants, name: changed})


RIGHT = [
    pytest.param("float[N, 4] x", np.float32, id="float"),
    pytest.param("float[3, 5, 4] x", np.float32, id="static"),
    pytest.param("float[N, M, 4] x", np.float32, id="two-dynamic-dimensions"),
    pytest.param("float16[N, 4] x", np.float16, id="half"),
    pytest.param("bfloat16[N, 4] x", ml_dtypes.bfloat16, id="bfloat16"),
    pytest.param("float[N, S] x", np.float32, id="normalized-dimension-dynamic"),
]


@pytest.mark.parametrize(("inputs", "dtype"), RIGHT)
def test_right_replacement_is_proven(inputs: str, dtype: type[np.generic]) -> None:
    match, found = matched(inputs, dtype)
    evidence = prove(match, lowered(match, found), TARGETS["onnxruntime"], found.facts)
    assert evidence.accepted, evidence.describe()
    assert evidence.failure is None
    assert {trial.family for trial in evidence.trials} == set(FAMILIES) - (
        {"largest"} if dtype is not np.float16 else set()
    )
    shapes = {trial.shape for trial in evidence.trials}
    assert {shape[0] for shape in shapes} == ({0, 1, 2} if "N" in inputs else {3})
    assert evidence.preconditions
    assert all(condition.holds for condition in evidence.preconditions)
    assert "within" in evidence.describe()


WRONG = [
    pytest.param(lambda r: with_attribute(r, "epsilon", 1e-4), id="epsilon"),
    pytest.param(lambda r: with_attribute(r, "epsilon", 1.1e-5), id="epsilon-by-a-tenth"),
    pytest.param(lambda r: with_attribute(r, "axis", 0), id="axis"),
    pytest.param(lambda r: with_constant(r, "scale", lambda g: -g), id="sign-of-the-gain"),
    pytest.param(lambda r: with_constant(r, "scale", lambda g: g * 1.001), id="gain-by-a-thousandth"),
    pytest.param(lambda r: with_constant(r, "scale", lambda g: g[::-1]), id="gain-reversed"),
    pytest.param(lambda r: with_constant(r, "bias", lambda b: b + 1e-3), id="bias"),
    pytest.param(lambda r: replace(r, steps=(replace(r.steps[0], inputs=r.steps[0].inputs[:2]),)), id="bias-left-out"),
    pytest.param(lambda r: replace(r, steps=(Step("Identity", ("x",), "y"),)), id="nothing-done"),
    pytest.param(
        lambda r: replace(r, steps=(Step("Transpose", ("x",), "y", (("perm", (1, 0)),)),)), id="another-shape"
    ),
    pytest.param(lambda r: with_attribute(r, "epsilon", float("nan")), id="not-a-number"),
]


@pytest.mark.parametrize("change", WRONG)
def test_wrong_replacement_is_not(change: Callable[[Replacement], Replacement]) -> None:
    match, found = matched()
    evidence = prove(match, change(lowered(match, found)), TARGETS["onnxruntime"], found.facts)
    assert not evidence.accepted
    assert evidence.describe()


def test_replacement_that_does_not_run_is_no_proof() -> None:
    match, found = matched()
    wrong = replace(lowered(match, found), steps=(Step("NoSuchOperator", ("x",), "y"),))
    evidence = prove(match, wrong, TARGETS["onnxruntime"], found.facts)
    assert not evidence.accepted
    assert evidence.failure
    assert evidence.describe() == evidence.failure


def test_runtimes_that_are_not_here_are_stood_in_for_by_the_definitions() -> None:
    match, found = matched(opset=23)
    right = lowered(match, found)
    assert prove(match, right, TARGETS["tensorrt"], found.facts).accepted
    wrong = with_attribute(right, "epsilon", 1e-4)
    assert not prove(match, wrong, TARGETS["tensorrt"], found.facts).accepted


def test_proof_is_the_same_every_time() -> None:
    match, found = matched()
    replacement = lowered(match, found)
    first, second = (prove(match, replacement, TARGETS["onnxruntime"], found.facts) for _ in range(2))
    assert first == second


def test_runner_that_fails_half_way_is_no_proof() -> None:
    match, found = matched()

    class Failing:
        def runner(self) -> Runner:
            def run(feed: object) -> np.ndarray:
                raise NotRunnable("no more")

            return run

        @property
        def fragment(self) -> Fragment:
            raise NotRunnable("nothing is asked of it")

    original = original_fragment(match, found.facts)
    evidence = compare(match, lambda: Experiment(original, Failing(), match.axes, match.assumed), found.facts)
    assert not evidence.accepted
    assert evidence.failure == "no more"


def test_fragment_is_the_region_alone() -> None:
    nodes = f"h = Exp(x)  {NORM.replace('(x', '(h')}  z = Neg(y)"
    found = surveyed(nodes, "float[N, 4] x", constants=CONSTANTS)
    (match,) = found.findings.matches
    fragment = original_fragment(match, found.facts)
    assert [node.op_type for node in fragment.model.graph.node] == [node.op_type for node in match.nodes]
    assert [value.name for value in fragment.model.graph.input] == ["x"]
    assert not any(node.name for node in fragment.model.graph.node)
    double = fragment.in_double()
    assert {tensor.data_type for tensor in double.model.graph.initializer} == {7, 11}


def test_scalar_constants_stay_scalars_in_a_fragment() -> None:
    nodes = (
        "f = Shape(x)  i = Gather(f, one)  c = Cast<to=1>(i)  t = ReduceSum(x, last)  m = Div(t, c)  d = Sub(x, m)  "
        "q = Mul(d, d)  v = ReduceMean(q, last)  e = Add(v, eps)  s = Sqrt(e)  y = Div(d, s)"
    )
    found = surveyed(nodes, "float[N, S] x", constants={**CONSTANTS, "one": 1})
    matches = found.findings.matches
    fragment = original_fragment(matches[0], found.facts) if matches else None
    assert fragment is not None
    gather = next(node for node in fragment.model.graph.node if node.op_type == "Gather")
    dims = {tensor.name: list(tensor.dims) for tensor in fragment.model.graph.initializer}
    assert dims[gather.input[1]] == []


def test_no_mean_is_taken_of_an_empty_batch() -> None:
    n, s = Size(1, ("N",)), Size(1, ("S",))
    over_last, over_all = (assignments([("x", 1, (n, s))], (), 2, axes=axes) for axes in ((1,), (0, 1)))
    assert 0 in [assignment.sizes["N"] for assignment in over_last]
    assert 0 not in [assignment.sizes["N"] for assignment in over_all]


def test_dynamic_dimensions_are_tried_at_sizes_that_cannot_be_confused() -> None:
    n, s = Size(1, ("N",)), Size(1, ("S",))
    found = assignments([("x", 1, (n, s, Size(4)))], (), 2)
    first, second, ones, none = (assignment.sizes for assignment in found)
    assert first["N"] != first["S"]
    assert second["N"] == 1
    assert second["S"] > 1
    assert second["S"] != first["S"]
    assert set(ones.values()) == {1}
    assert none == {**first, "N": 0}
    assert [assignment.optional for assignment in found] == [False, False, True, True]
    assert [a.sizes for a in assignments([("x", 1, (Size(4),))], (), 2)] == [{}]
    demanded = assignments([("x", 1, (n, s))], ((1, 768),), 2)
    assert {assignment.sizes["S"] for assignment in demanded} == {768}
    windowed = assignments([("x", 1, (n, s))], (), 24)
    assert all(assignment.sizes["S"] >= 24 for assignment in windowed)


def test_evidence_is_as_good_as_its_worst_trial() -> None:
    good, bad = Trial("normal", (2,), 1e-7, 2e-7, 4e-7), Trial("offset 10", (2,), 1e-7, 1e-5, 4e-7)
    assert good.passed
    assert not bad.passed
    both = Evidence((good, bad))
    assert not both.accepted
    assert both.worst is bad
    assert (both.before, both.after) == (1e-7, 1e-5)
    assert "beyond" in both.describe()
    assert Evidence((good,)).accepted
    assert not Evidence().accepted
    assert Evidence().describe() == "no trial was made"
    assert not Evidence((good,), failure="it stopped").accepted


def test_input_of_a_trial_is_made_again_from_the_seed() -> None:
    match, found = matched()
    replacement = with_constant(lowered(match, found), "bias", lambda b: b + np.asarray([0, 0, 1e-2, 0]))
    evidence = prove(match, replacement, TARGETS["onnxruntime"], found.facts)
    worst = evidence.worst
    assert worst is not None
    assert worst.at is not None
    assert worst.at[-1] == 2
    x = evidence.input_of(worst)
    assert (x.shape, x.dtype) == (worst.shape, np.float32)
    before = runner_of(original_fragment(match, found.facts).model)({"x": x})
    after = experiment(match, replacement, TARGETS["onnxruntime"], found.facts).candidate.runner()({"x": x})
    assert abs(after - before)[worst.at] == pytest.approx(worst.after, rel=1e-2)


def test_errors_are_told_in_units_in_the_last_place() -> None:
    match, found = matched()
    evidence = prove(match, lowered(match, found), TARGETS["onnxruntime"], found.facts)
    for ulps in (evidence.ulps_before, evidence.ulps_after):
        assert ulps is not None
        assert 0 < ulps.p99 <= ulps.largest
    normal = evidence.trials[0]
    assert normal.ulps_after is not None
    assert normal.ulps_after.p99 < 64
    assert Ulps.largest_of([None, Ulps(3, 1), Ulps(2, 2)]) == Ulps(3, 2)
    assert Ulps.largest_of([None]) is None


def test_units_in_the_last_place_are_those_of_each_true_value() -> None:
    exact = np.asarray([1.0, 1000.0, 0.0, np.inf, 1e-7])
    result = exact + np.asarray([2.0**-10, 1.0, 2.0**-24, 5.0, 0.0])
    found = errors(result, exact, spacing_at(exact, np.dtype(np.float16)))
    assert found.largest == 1.0
    assert found.at == (1,)
    assert found.ulps == Ulps(largest=2.0, p99=2.0)
    broken = errors(np.asarray([np.nan, 1.0]), np.asarray([1.0, 1.0]), np.ones(2))
    assert (broken.largest, broken.at) == (np.inf, (0,))


def test_half_precision_that_overflows_is_pointed_out() -> None:
    match, found = matched("float16[N, 4] x", np.float16)
    evidence = prove(match, lowered(match, found), TARGETS["onnxruntime"], found.facts)
    assert evidence.overflow is not None
    assert 128 < evidence.overflow.magnitude < 1024  # the deviation's square is beyond 65,504 from 256 on
    single, others = matched()
    assert prove(single, lowered(single, others), TARGETS["onnxruntime"], others.facts).overflow is None


def test_same_regions_make_the_same_experiment() -> None:
    """Whatever their values are called, and wherever they stand; other constants make another."""
    other = {name.upper(): array for name, array in CONSTANTS.items()}
    shouted = re.sub(r"\b(last|eps|g|b)\b", lambda m: m[0].upper(), NORM)
    shouted = re.sub(r"\b([mdqvesnay])\b", r"other_\1", shouted).replace("(x", "(h").replace(", x", ", h")
    both = surveyed(f"{NORM}  h = Exp(x)  {shouted}", "float[N, 4] x", constants={**CONSTANTS, **other})
    matches = both.findings.matches
    assert len(matches) == 2

    def key(match: Match, replacement: Replacement, among: Surveyed, target: str) -> str:
        return taken_apart(experiment(match, replacement, TARGETS[target], among.facts)).key()

    keys = {key(m, lowered(m, both), both, "onnxruntime") for m in matches}
    assert len(keys) == 1
    match, found = matched()
    right = lowered(match, found)
    assert key(match, right, found, "onnxruntime") in keys
    for changed in (with_attribute(right, "epsilon", 1e-4), with_constant(right, "bias", lambda b: b + 1)):
        assert key(match, changed, found, "onnxruntime") not in keys
    assert key(match, right, found, "tensorrt") not in keys
    another, others = matched("float[N, M, 4] x")
    assert key(another, lowered(another, others), others, "onnxruntime") not in keys


def test_what_rounding_the_input_does_counts_where_the_rest_of_the_bound_does_not_suffice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An original that computes in float64 makes no error of its own that a replacement in float32 could be held to."""
    asked: list[float] = []

    def recorded(exact: np.ndarray, moved: Iterable[np.ndarray]) -> float:
        asked.append(sensitivity(exact, moved))
        return asked[-1]

    monkeypatch.setattr(conducting, "sensitivity", recorded)
    wide = NORM.replace("(x", "(w").replace("a = Mul(n, g)", "c = Cast<to = 1>(n)  a = Mul(c, g)")
    constants = {**CONSTANTS, "eps": np.float64(1e-5)}
    found = surveyed(f"w = Cast<to = 11>(x)  {wide}", "float[3, 4] x", constants=constants)
    (match,) = found.findings.matches
    evidence = prove(match, lowered(match, found), TARGETS["onnxruntime"], found.facts)
    assert evidence.accepted, evidence.describe()
    assert 0 < len(asked) < len(evidence.trials)
    assert {trial.allowed for trial in evidence.trials} >= {ULPS * change for change in asked}


@pytest.mark.parametrize(("inputs", "dtype"), RIGHT)
def test_weights_that_are_fed_make_no_difference(inputs: str, dtype: type[np.generic]) -> None:
    """Not in a bit, neither to the region nor to what replaces it."""
    match, found = matched(inputs, dtype)
    replacement = lowered(match, found)
    proven = experiment(match, replacement, TARGETS["onnxruntime"], found.facts)
    candidate = Modelled(replacement_fragment(match, replacement, found.facts, opset_of(replacement, found.facts)))
    whole = runners_of(replace(proven, original=original_fragment(match, found.facts), candidate=candidate))
    apart = taken_apart(proven)
    assert set(map(len, (apart.before, apart.after))) == {2}
    assert not {t.name for t in apart.original.fragment.model.graph.initializer} & set(apart.before)
    fed = apart.runners()
    extents = [3, 5, 4][: inputs.count(",") + 1]
    extents[-1] = 4
    for family in FAMILIES:
        x = draw(family, extents, match.axes, np.dtype(dtype), (1,))
        doubles = {"x": x.astype(np.float64)}
        assert np.array_equal(fed.truth(doubles), whole.truth(doubles), equal_nan=True)
        for one, other in ((fed.before, whole.before), (fed.after, whole.after)):
            assert one({"x": x}).tobytes() == other({"x": x}).tobytes()


@pytest.mark.parametrize("count", [1, 2, 99, 100, 101, 1023, 1024, 1025, 5000])
def test_percentile_is_what_one_in_a_hundred_exceeds(count: int) -> None:
    random = np.random.default_rng(count)
    results = np.abs(random.standard_normal((4, count)))
    results[1] = np.where(results[1] < 1, 0.0, results[1])
    results[2] = 1.0
    results[3, 0] = np.inf
    for row in results:
        found = errors(row, np.zeros(count), np.ones(count))
        expected = sorted(row.tolist())[max(0, math.ceil(count * 99 / 100) - 1)]
        assert (found.ulps.p99, found.ulps.largest, found.largest) == (expected, row.max(), row.max())
