"""Vectors divided by their lengths where an epsilon guards the division: which bound, in which words, and whether."""

from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from normgraph.diagnosis import Shortfall
from normgraph.lengths import bound_of, formula
from normgraph.lowering import lower
from normgraph.match import Match
from normgraph.targets import demand
from tests.core.surveyed import f32, surveyed


def match_of(**changes: Any) -> Match:
    """x/max(|x|, 1e-3) over four elements, spelled in more nodes than it needs, with another norm of its kind."""
    nodes = "a = Mul(x, x)  b = ReduceSum(a, last)  c = Sqrt(b)  d = Max(c, e)  i = Reciprocal(d)  y = Mul(x, i)"
    found = surveyed(nodes, "float[N, 4] x", constants={"e": f32(1e-3), "last": [-1]}).findings
    (match,) = found.matches
    return replace(match, norm=replace(match.norm, **changes))


@pytest.mark.parametrize(
    ("guard", "power", "bound", "text"),
    [
        pytest.param("below the root", 2, 1.0, "x/max(‖x‖, 1)", id="length-below"),
        pytest.param("beside the root", 2, 1.0, "x/(‖x‖ + 1)", id="length-beside"),
        pytest.param("below the square", 2, 2.0, "x/√max(Σx², 2)", id="square-below"),
        pytest.param("below the root", 1, 2.0, "x/max(Σ|x|, 2)", id="sum-below"),
        pytest.param("beside the root", 1, 2.0, "x/(Σ|x| + 2)", id="sum-beside"),
    ],
)
def test_bound_of_a_mean_is_told_as_that_of_the_length(guard: str, power: int, bound: float, text: str) -> None:
    match = match_of(guard=guard, power=power, epsilon=0.5)
    assert bound_of(match) == bound
    assert formula(match) == text
    replacements = lower(match, ir.DataType.FLOAT, demand("onnx"))
    assert isinstance(replacements, tuple)
    assert replacements[0].constants["bound"] == np.float32(bound)


@pytest.mark.parametrize("epsilon", [pytest.param(1e60, id="too-large"), pytest.param(1e-60, id="too-small")])
def test_bound_has_to_fit_into_the_type(epsilon: float) -> None:
    found = lower(match_of(epsilon=epsilon), ir.DataType.FLOAT, demand("onnx"))
    assert isinstance(found, Shortfall)
    assert found.rule == "epsilon-precision"


@pytest.mark.parametrize("target", ["onnx", "onnxruntime"])
def test_what_stands_in_as_few_nodes_stays(target: str) -> None:
    match = match_of()
    found = lower(replace(match, nodes=match.nodes[:3]), ir.DataType.FLOAT, demand(target))
    assert isinstance(found, Shortfall)
    assert found.rule == "guard"
    assert isinstance(lower(replace(match, nodes=match.nodes[:4]), ir.DataType.FLOAT, demand(target)), tuple)


def test_targets_that_refuse_plain_lengths_take_guarded_ones() -> None:
    assert "LpNormalization" in demand("onnxruntime").target.refusals
    assert isinstance(lower(match_of(), ir.DataType.FLOAT, demand("onnxruntime")), tuple)


def test_length_has_to_fit_into_the_type() -> None:
    nodes = "h1 = Cast<to=1>(x)  l = ReduceL2(h1, last)  u = Div(h1, l)  i = Mul(u, huge)  y = Cast<to=10>(i)"
    found = surveyed(nodes, "float16[N, 4] x", constants={"huge": f32(1e6), "last": [-1]}).findings
    (match,) = found.matches
    shortfall = lower(
        replace(match, norm=replace(match.norm, kinds=("LpNormalization",))), ir.DataType.FLOAT16, demand("onnx")
    )
    assert isinstance(shortfall, Shortfall)
    assert shortfall.rule == "parameter-range"
