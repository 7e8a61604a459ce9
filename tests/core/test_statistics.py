"""Statistics beside a norm: which of them LayerNormalization's outputs stand for, and which they don't."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from normgraph.evidence import OnceEach, prove
from normgraph.lowering import Replacement, Step, lower
from normgraph.match import Match
from normgraph.targets import TARGETS, demand
from tests.core.surveyed import Surveyed, f32, surveyed

CONSTANTS: dict[str, Any] = {"last": [-1], "channels": [1], "front": [0], "eps": f32(1e-3), "g": f32([1, 2, 3, 4])}
HALVES = {name: CONSTANTS[name].astype(np.float16) for name in ("eps", "g")}
NORM = (
    "m = ReduceMean(x, {0})  d = Sub(x, m)  q = Mul(d, d)  v = ReduceMean(q, {0})  e = Add(v, eps)  s = Sqrt(e)  "
    "n = Div(d, s)  y = Mul(n, g)"
)
PLAIN = NORM.format("last")
INVERTED = PLAIN.replace("n = Div(d, s)", "r = Reciprocal(s)  n = Mul(d, r)")
#: The same with statistics that don't keep their dimension.
DROPPED = PLAIN.replace("ReduceMean(", "ReduceMean<keepdims=0>(").replace("m = ", "k = ").replace("v = ", "w = ")
DROPPED = DROPPED.replace("d = ", "m = Unsqueeze(k, last)  d = ").replace("Add(v", "Add(w").replace("s = ", "t = ")
DROPPED = DROPPED.replace("n = ", "s = Unsqueeze(t, last)  n = ")
WIDENED = "c = Cast<to=1>(x)  " + PLAIN.replace("(x,", "(c,").replace(
    "y = Mul(n, g)", "b = Mul(n, g)  y = Cast<to=10>(b)"
)


def lowered(nodes: str, inputs: str, outputs: str, dtype: str) -> tuple[Match, tuple[Replacement, ...], Surveyed]:
    """The one norm of these nodes, what it is replaced with in the standard, and where."""
    constants = CONSTANTS | (HALVES if dtype == "float16" and "Cast" not in nodes else {})
    found = surveyed(nodes, f"{dtype}{inputs}", outputs=outputs, constants=constants)
    (match,) = found.findings.matches
    replacements = lower(match, ir.DataType.FLOAT if dtype == "float" else ir.DataType.FLOAT16, demand("onnx"))
    assert isinstance(replacements, tuple)
    return match, replacements, found


# What further outputs are asked for, which of these are made, and by which operators behind the norm.
MADE = [
    pytest.param(PLAIN, "float", "float[N, 1] m", ["m"], "", id="mean"),
    pytest.param(INVERTED, "float", "float[N, 1] r", ["r"], "", id="inverse-deviation"),
    pytest.param(PLAIN, "float", "float[N, 1] s", ["s"], "Reciprocal", id="deviation"),
    pytest.param(PLAIN, "float", "float[N, 4] d", ["d"], "Sub", id="centred"),
    pytest.param(DROPPED, "float", "float[N] k", ["k"], "Squeeze", id="mean-that-drops-its-dimension"),
    pytest.param(DROPPED, "float", "float[N] t", ["t"], "Reciprocal Squeeze", id="deviation-that-drops-its-dimension"),
    pytest.param(PLAIN, "float16", "float16[N, 1] m", ["m"], "Cast", id="mean-in-half"),
    pytest.param(PLAIN, "float16", "float16[N, 4] d", ["d"], "Cast Sub", id="centred-in-half"),
    pytest.param(WIDENED, "float16", "float[N, 1] m", ["m"], "", id="mean-of-the-widened"),
    pytest.param(DROPPED, "float16", "float16[N] k", ["k"], "Squeeze Cast", id="mean-in-half-that-drops-its-dimension"),
    pytest.param(
        PLAIN.replace("n = Div(d, s)", "o = ReduceMean(x, last)  p = Sub(x, o)  n = Div(p, s)"),
        "float", "float[N, 1] m, float[N, 1] o", ["m"], "", id="one-of-two-equal-means",
    ),
    pytest.param(
        DROPPED.replace("n = Div(d, s)", "f = Reciprocal(s)  u = Transpose(d)  o = Transpose(u)  n = Mul(o, f)"),
        "float", "float[N] k, float[N, 1] f, float[4, N] u", ["f"], "", id="beside-what-stays-with-what-it-reads",
    ),
]  # fmt: skip
# Likewise, of which nothing is made.
NOT_MADE = [
    pytest.param(PLAIN, "float", "float[N, 1] v", id="variance"),
    pytest.param(WIDENED, "float16", "float[N, 4] d", id="centred-of-the-widened"),
    pytest.param(PLAIN.replace("n = Div(d", "u = Transpose(d)  o = Transpose(u)  n = Div(o"), "float",
                 "float[4, N] u", id="centred-and-transposed"),
    pytest.param(DROPPED.replace("m = Unsqueeze(k, last)", "i = Unsqueeze(k, front)  m = Transpose(i)"), "float",
                 "float[1, N] i", id="mean-in-another-place"),
]  # fmt: skip


@pytest.mark.parametrize(("nodes", "dtype", "outputs", "made", "operators"), MADE)
def test_statistic_is_made_with_the_norm(nodes: str, dtype: str, outputs: str, made: list[str], operators: str) -> None:
    match, replacements, found = lowered(nodes, "[N, 4] x", f"{dtype}[N, 4] y, {outputs}", dtype)
    first = replacements[0]
    assert [match.needed[position].value.name for position in first.provides] == made
    position = next(i for i, step in enumerate(first.steps) if step.further)
    assert [step.operator for step in first.steps[position + 1 :]] == operators.split()
    read = {name for step in first.steps for name in step.inputs}
    assert first.constants.keys() <= read
    assert {step.output for step in first.steps} <= {*read, "y", *first.provides.values()}
    assert (first.staying(match) == set()) == (len(made) == len(match.needed))
    evidence = prove(match, first, demand("onnx").target, found.facts, OnceEach())
    assert evidence.accepted, evidence.describe()


def _reading(old: str, new: str) -> Callable[[Step], Step]:
    """A step reads something else."""
    return lambda step: replace(step, inputs=tuple(new if name == old else name for name in step.inputs))


def _without(left_out: str) -> Callable[[Step], Step]:
    """An operator is left out, so that what it is made of goes on unchanged."""
    return lambda step: replace(step, operator="Identity", attributes=(), inputs=step.inputs[:1]) if (
        step.operator == left_out
    ) else step  # fmt: skip


# How what is made of the operator's outputs goes wrong: in value, type or shape.
WRONG = [
    pytest.param(PLAIN, "float", "float[N, 1] s", _reading("inverse_deviation", "mean"), id="value"),
    pytest.param(PLAIN, "float", "float[N, 1] s", _without("Reciprocal"), id="value-inverted"),
    pytest.param(PLAIN, "float16", "float16[N, 1] m", _without("Cast"), id="type"),
    pytest.param(PLAIN, "float16", "float16[N, 4] d", _reading("needed_0_mean", "mean"), id="type-of-one-operand"),
    pytest.param(DROPPED, "float", "float[N] k", _without("Squeeze"), id="shape"),
]


@pytest.mark.parametrize("target", ["onnxruntime", "tensorrt"])
@pytest.mark.parametrize(("nodes", "dtype", "outputs", "change"), WRONG)
def test_statistic_that_is_made_wrong_is_not_proven(
    nodes: str, dtype: str, outputs: str, change: Callable[[Step], Step], target: str
) -> None:
    match, replacements, found = lowered(nodes, "[N, 4] x", f"{dtype}[N, 4] y, {outputs}", dtype)
    right = replacements[0]
    wrong = replace(right, steps=tuple(map(change, right.steps)))
    assert wrong != right
    assert prove(match, right, TARGETS[target], found.facts).accepted
    assert not prove(match, wrong, TARGETS[target], found.facts).accepted


@pytest.mark.parametrize(("nodes", "dtype", "outputs"), NOT_MADE)
def test_what_the_operator_does_not_give_is_not_made(nodes: str, dtype: str, outputs: str) -> None:
    _, replacements, _ = lowered(nodes, "[N, 4] x", f"{dtype}[N, 4] y, {outputs}", dtype)
    assert [dict(replacement.provides) for replacement in replacements] == [{}]


@pytest.mark.parametrize("needed", ["float[3, 1, 5] m", "float[3, 4, 5] d"])
def test_statistics_of_a_norm_that_is_moved_are_not_made(needed: str) -> None:
    nodes = NORM.format("channels").replace("Mul(n, g)", "Mul(n, column)")
    constants = CONSTANTS | {"column": f32([[1], [2], [3], [4]])}
    found = surveyed(nodes, "float[3, 4, 5] x", outputs=f"float[3, 4, 5] y, {needed}", constants=constants).findings
    replacements = lower(found.matches[0], ir.DataType.FLOAT, demand("onnx"))
    assert isinstance(replacements, tuple)
    assert [step.operator for step in replacements[0].steps] == ["Transpose", "LayerNormalization", "Transpose"]
    assert [dict(replacement.provides) for replacement in replacements] == [{}]


@pytest.mark.parametrize("needed", ["double[N, 1] m", "double[N, 4] d"])
def test_statistics_of_doubles_are_not_made(needed: str) -> None:
    constants = CONSTANTS | {"eps": np.float64(CONSTANTS["eps"]), "g": CONSTANTS["g"].astype(np.float64)}
    found = surveyed(PLAIN, "double[N, 4] x", outputs=f"double[N, 4] y, {needed}", constants=constants).findings
    replacements = lower(found.matches[0], ir.DataType.DOUBLE, demand("onnx"))
    assert isinstance(replacements, tuple)
    assert [dict(replacement.provides) for replacement in replacements] == [{}]
