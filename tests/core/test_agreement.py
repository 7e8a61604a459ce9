"""In float64 a replacement is the same function as the original, whatever the bound on errors would let pass."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from normgraph.evidence import Evidence, Experiment, OnceEach, conduct, experiment
from normgraph.evidence import agreement as agreements
from normgraph.evidence.agreement import Agreement
from normgraph.evidence.structure import runners_of
from normgraph.execution import NotRunnable
from normgraph.lowering import Replacement, Step, lower
from normgraph.match import Match
from normgraph.targets import TARGETS, demand
from tests.core.surveyed import Surveyed, surveyed
from tests.core.test_evidence import CONSTANTS, NORM, lowered, matched, with_attribute, with_constant

HALVES = [
    pytest.param("float16[N, 4] x", np.float16, id="float16"),
    pytest.param("bfloat16[N, 4] x", ml_dtypes.bfloat16, id="bfloat16"),
]


def proven(match: Match, replacement: Replacement, found: Surveyed, target: str = "onnxruntime") -> Experiment:
    return experiment(match, replacement, TARGETS[target], found.facts)


def without_agreement(conducted: Experiment) -> Evidence:
    return conduct(conducted, replace(runners_of(conducted), agreement=None))


def conducted_once(conducted: Experiment) -> Evidence:
    return OnceEach()(conducted)


#: What errs by less than the bound lets pass.
WRONG = [
    pytest.param(lambda r: with_constant(r, "scale", lambda g: g * np.float32(1.01)), id="gain-off-by-a-hundredth"),
    pytest.param(lambda r: with_constant(r, "scale", lambda g: g + np.eye(4)[3] * 0.005), id="one-gain-a-little-off"),
    pytest.param(lambda r: with_constant(r, "bias", lambda b: b * np.float32(1.01)), id="bias-off-by-a-hundredth"),
    pytest.param(lambda r: with_constant(r, "bias", lambda b: b + np.eye(4)[3] * 0.01), id="one-bias-a-little-off"),
]


@pytest.mark.parametrize(("inputs", "dtype"), HALVES)
@pytest.mark.parametrize("change", WRONG)
@pytest.mark.parametrize(
    ("target", "conducting"),
    [
        pytest.param("onnxruntime", conduct, id="alone"),
        pytest.param("tensorrt", conducted_once, id="stood-in-for-once-each"),
    ],
)
def test_what_is_wrong_by_less_than_the_bound_is_told(
    inputs: str,
    dtype: type[np.generic],
    change: Callable[[Replacement], Replacement],
    target: str,
    conducting: Callable[[Experiment], Evidence],
) -> None:
    match, found = matched(inputs, dtype)
    right = lowered(match, found)
    assert conducting(proven(match, right, found, target)).accepted
    wrong = proven(match, change(right), found, target)
    assert without_agreement(wrong).accepted
    evidence = conducting(wrong)
    assert not evidence.accepted
    assert "in float64 it differs by" in evidence.describe()
    assert "seed 20" in evidence.describe()


@pytest.mark.parametrize(
    ("inputs", "dtype", "epsilon", "factor"),
    [
        pytest.param("float16[N, 4] x", np.float16, 1e-5, 1.02, id="float16-a-fiftieth"),
        pytest.param("bfloat16[N, 4] x", ml_dtypes.bfloat16, 1e-5, 1.2, id="bfloat16-a-fifth"),
        pytest.param("bfloat16[N, 4] x", ml_dtypes.bfloat16, 1e-8, 10.0, id="bfloat16-ten-times"),
    ],
)
def test_larger_epsilon_is_told(inputs: str, dtype: type[np.generic], epsilon: float, factor: float) -> None:
    """It shows on small variances, where the bound may let it pass."""
    typed = {n: np.asarray(a, dtype if n != "last" else np.int64) for n, a in {**CONSTANTS, "eps": epsilon}.items()}
    found = surveyed(NORM, inputs, opset=18, constants=typed)
    (match,) = found.findings.matches
    right = lowered(match, found)
    assert conduct(proven(match, right, found)).accepted
    wrong = proven(match, with_attribute(right, "epsilon", float(np.float32(typed["eps"])) * factor), found)
    assert without_agreement(wrong).accepted
    assert "in float64 it differs" in conduct(wrong).describe()


#: A root mean square whose mean is a sum, times the rounded reciprocal of the size: gain and epsilon make up for it.
BY_RECIPROCAL = (
    "q = Mul(x, x)  t = ReduceSum<keepdims = 1>(q, last)  m = Mul(t, part)  e = Add(m, eps)  s = Sqrt(e)  "
    "n = Div(x, s)  y = Mul(n, g)"
)


@pytest.mark.parametrize("dtype", [pytest.param(d.values[1], id=str(d.id)) for d in HALVES])
@pytest.mark.parametrize("extent", [6, 300])
def test_rounded_constants_are_allowed_for(dtype: type[np.generic], extent: int) -> None:
    gain = np.random.default_rng(0).standard_normal(extent)
    typed = {"part": np.asarray(1 / extent, dtype), "eps": np.asarray(2e-4, dtype), "g": gain.astype(dtype)}
    name = "float16" if dtype is np.float16 else "bfloat16"
    found = surveyed(
        BY_RECIPROCAL, f"{name}[3, {extent}] x", opset=23, constants={**typed, "last": np.asarray([-1], np.int64)}
    )
    (match,) = found.findings.matches
    replacements = lower(match, found.facts.dtype(match.base), demand("tensorrt"))
    assert isinstance(replacements, tuple)
    right = proven(match, replacements[0], found, "tensorrt")
    assert not right.exact
    assert conduct(right).accepted
    changed = with_constant(replacements[0], "scale", lambda g: g * np.float32(1.02))
    wrong = proven(match, changed, found, "tensorrt")
    assert without_agreement(wrong).accepted is (dtype is not np.float16)
    assert not conduct(wrong).accepted


def test_what_is_fine_is_not_compared() -> None:
    match, found = matched()
    right = proven(match, lowered(match, found), found)
    assert runners_of(right).agreement is None
    half, others = matched("float16[N, 4] x", np.float16)
    assert runners_of(proven(half, lowered(half, others), others)).agreement is not None


def test_equal_norms_are_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    broken = Agreement.broken

    def counted(self: Agreement, family: str, *others: Any) -> str | None:
        asked.append(family)
        return broken(self, family, *others)

    monkeypatch.setattr(Agreement, "broken", counted)
    match, found = matched("float16[N, 4] x", np.float16)
    once = OnceEach()
    for _ in range(3):
        assert once(proven(match, lowered(match, found), found)).accepted
    assert tuple(asked) == agreements.COMPARED


def test_nothing_is_refused_that_others_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake in what computes a replacement here costs no rewrite."""
    match, found = matched("float16[N, 4] x", np.float16)
    right = proven(match, lowered(match, found), found)
    runners = runners_of(right)
    held = runners.agreement
    assert held is not None
    mistaken = replace(held, computed=lambda feed: np.asarray(held.computed(feed)) * 1.01)  # type: ignore[arg-type]
    assert conduct(right, replace(runners, agreement=mistaken)).accepted

    def refused() -> Any:
        raise NotRunnable("no")

    alone = replace(mistaken, others=refused)
    assert not conduct(right, replace(runners, agreement=alone)).accepted


def test_what_is_not_computed_here_says_nothing() -> None:
    match, found = matched("float16[N, 4] x", np.float16)
    right = lowered(match, found)
    other = replace(right, steps=(replace(right.steps[0], output="z"), Step("Softsign", ("z",), "y")))
    assert runners_of(proven(match, other, found)).agreement is None
