"""Proofs of norms that are alike in every constant are one experiment; of those written alike, one is tried in full."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import normgraph
from normgraph.evidence import Evidence, Experiment, OnceEach, once_each, prove
from normgraph.feeds import FAMILIES
from normgraph.lowering import Replacement, lower
from normgraph.targets import TARGETS, demand
from tests.core.surveyed import Surveyed, model, surveyed

NORM = "m{i} = ReduceMean({x}, last)  d{i} = Sub({x}, m{i})  q{i} = Mul(d{i}, d{i})  v{i} = ReduceMean(q{i}, last)  "
REST = "e{i} = Add(v{i}, eps)  s{i} = Sqrt(e{i})  n{i} = Div(d{i}, s{i})  "
WEIGHTS = "w{i} = Mul(n{i}, g{i})  y{i} = Add(w{i}, b{i})  r{i} = Tanh(y{i})  "
WHOLE = NORM + REST + WEIGHTS

Weights = tuple[npt.ArrayLike, npt.ArrayLike]
GAIN, OTHER, BIAS = [1, 2, 3, 4], [1, -2, 3, 5], [0.5, 1, 0, -1]
A: Weights = (GAIN, BIAS)
B: Weights = (OTHER, BIAS)


def stacked(
    weights: list[Weights], spellings: Mapping[int, str] | None = None, dtype: str = "float32"
) -> dict[str, Any]:
    """Norms one behind the other, each with a gain and a bias: what `model` and `surveyed` take."""
    nodes, constants = "", {"last": [-1], "eps": np.asarray(1e-5, dtype), "eps2": np.asarray(1e-4, dtype)}
    for i, (gain, bias) in enumerate(weights):
        nodes += (spellings or {}).get(i, WHOLE).format(i=i, x=f"r{i - 1}" if i else "x")
        constants |= {f"g{i}": np.asarray(gain, dtype), f"b{i}": np.asarray(bias, dtype)}
    inputs = {"float32": "float[N, 4] x", "float16": "float16[N, 4] x"}[dtype]
    return {"nodes": nodes, "inputs": inputs, "constants": constants}


ONCE = [
    pytest.param(stacked([A] * 5), 1, 0, id="alike"),
    pytest.param(stacked([A, B, A, B]), 1, 1, id="two-of-each"),
    pytest.param(stacked([(np.add(GAIN, i), BIAS) for i in range(5)]), 1, 4, id="weights-of-the-same-order"),
    pytest.param(stacked([A, (np.multiply(GAIN, 15), BIAS)]), 1, 1, id="fifteen-times-as-large"),
]
NOT_ONCE = [
    pytest.param(stacked([A, (np.multiply(GAIN, 17), BIAS)]), 2, 0, id="seventeen-times-as-large"),
    pytest.param(stacked([A, (np.divide(GAIN, 17), BIAS)]), 2, 0, id="seventeen-times-as-small"),
    pytest.param(stacked([A, ([1e20, 2, 3, 4], BIAS)]), 2, 0, id="one-huge"),
    pytest.param(stacked([(GAIN, [0, 0, 0, 0]), A]), 2, 0, id="no-bias-and-a-bias"),
    pytest.param(stacked([A, B], {1: WHOLE.replace("eps", "eps2")}), 2, 0, id="another-epsilon"),
    pytest.param(stacked([A, B], {1: WHOLE.replace("(w{i}, b{i})", "(b{i}, w{i})")}), 2, 0, id="another-order"),
    pytest.param(stacked([A, B], {1: WHOLE.replace("(n{i}, g{i})", "(g{i}, n{i})")}), 2, 0, id="another-order-of-gain"),
    pytest.param(stacked([A, B], {1: WHOLE.replace("Mul(d{i}, d{i})", "Mul({x}, d{i})")}), 2, 0, id="another-variance"),
    pytest.param(stacked([A, ([2], BIAS)]), 2, 0, id="gain-of-one-number"),
    pytest.param(stacked([A, B], dtype="float16"), 2, 0, id="half-precision"),
]


@pytest.mark.parametrize(("arguments", "full", "again"), [*ONCE, *NOT_ONCE])
def test_experiments_that_differ_in_their_weights_alone_are_conducted_in_full_once(
    arguments: dict[str, Any], full: int, again: int, made: dict[str, int]
) -> None:
    report = normgraph.optimize(model(**arguments)).report
    assert report.count("fused") == len(report.sites)
    assert made == {"full": full, "again": again}


def test_few_trials_are_told_as_few() -> None:
    """What was tried with the weights of another norm counts among that one's trials, and it is named."""
    first, second, third = normgraph.optimize(model(**stacked([A, B, A]))).report.sites
    assert first.evidence is not None
    assert second.evidence is not None
    assert third.evidence == first.evidence
    assert first.evidence.alike is None
    assert {trial.family for trial in first.evidence.trials} == set(FAMILIES) - {"largest"}
    assert second.evidence.alike == first.output
    tried = {(trial.family, trial.shape) for trial in second.evidence.trials}
    worst = first.evidence.worst
    assert worst is not None
    assert {family for family, _ in tried} >= {"normal", "offset 10000", "large magnitude", worst.family}
    assert (worst.family, worst.shape) in tried
    assert len(tried) == len(second.evidence.trials) < len(first.evidence.trials)
    alone = normgraph.optimize(model(**stacked([B]))).report.sites[0].evidence
    assert alone is not None
    assert set(second.evidence.trials) <= set(alone.trials)


def lowered(found: Surveyed, position: int) -> Replacement:
    match = found.findings.matches[position]
    replacements = lower(match, found.facts.dtype(match.base), demand("onnxruntime"))
    assert isinstance(replacements, tuple)
    return replacements[0]


WRONG = [
    pytest.param("scale", lambda a: a[::-1], id="gain-reversed"),
    pytest.param("scale", lambda a: a * np.asarray([1, 1, 1.001, 1]), id="gain-by-a-thousandth"),
    pytest.param("bias", lambda a: a + 1e-3, id="bias"),
    pytest.param("bias", lambda a: -a, id="sign-of-the-bias"),
    pytest.param("bias", lambda a: a * np.nan, id="not-a-number"),
]


@pytest.mark.parametrize(("name", "change"), WRONG)
@pytest.mark.parametrize("target", ["onnxruntime", "tensorrt"])
def test_what_is_wrong_with_its_own_weights_is_not_proven_by_those_of_another(
    name: str, change: Callable[[np.ndarray], np.ndarray], target: str
) -> None:
    found = surveyed(**stacked([A, B]), opset=18)
    first, second = found.findings.matches
    once = OnceEach()
    assert prove(first, lowered(found, 0), TARGETS[target], found.facts, once).accepted
    right = lowered(found, 1)
    assert prove(second, right, TARGETS[target], found.facts, once).alike == first.output.name
    changed = change(right.constants[name].astype(np.float64)).astype(np.float32)
    wrong = replace(right, constants={**right.constants, name: changed})
    evidence = prove(second, wrong, TARGETS[target], found.facts, once)
    assert not evidence.accepted
    assert evidence.alike is None
    assert len({trial.family for trial in evidence.trials}) == len(FAMILIES) - 1


def test_what_failed_vouches_for_nothing() -> None:
    """Though it would have been right with other weights."""
    found = surveyed(**stacked([A, B]))
    first, second = found.findings.matches
    once = OnceEach()
    bad = lowered(found, 0)
    bad = replace(bad, constants={**bad.constants, "bias": bad.constants["bias"] + np.float32(1e-3)})
    assert not prove(first, bad, TARGETS["onnxruntime"], found.facts, once).accepted
    assert prove(second, lowered(found, 1), TARGETS["onnxruntime"], found.facts, once).alike is None


def test_evidence_does_not_depend_on_what_was_proven_before() -> None:
    """Sessions are shared across the models of a process, evidence isn't."""
    alone = normgraph.optimize(model(**stacked([B, A]))).report.sites
    normgraph.optimize(model(**stacked([A, B])))
    assert normgraph.optimize(model(**stacked([B, A]))).report.sites == alone


def keys_of(found: Surveyed) -> list[tuple[str, str]]:
    """The keys of the structures of a model's norms, and those of the experiments."""
    keys: list[tuple[str, str]] = []

    def noted(experiment: Experiment) -> Evidence:
        apart = once_each.taken_apart(experiment)
        keys.append((apart.structure, apart.key()))
        return Evidence()

    for position, match in enumerate(found.findings.matches):
        prove(match, lowered(found, position), TARGETS["onnxruntime"], found.facts, noted)
    return keys


def test_structures_are_the_same_but_for_the_values_of_weights() -> None:
    (first, whole), (second, other) = keys_of(surveyed(**stacked([A, B])))
    assert first == second
    assert whole != other
    (third, _), (fourth, again) = keys_of(surveyed(**stacked([B, A])))
    assert first == third == fourth
    assert again == whole
    assert keys_of(surveyed(**stacked([A]), opset=17))[0][0] != first
    assert keys_of(surveyed(**stacked([A]), opset=19))[0][0] != first
    assert keys_of(surveyed(**{**stacked([A]), "inputs": "float[3, 4] x"}))[0][0] != first
    assert keys_of(surveyed(**{**stacked([A]), "inputs": "float[N, M, 4] x"}))[0][0] != first
