"""What stands behind a normalization: tensors known at run time only, and where they can be applied."""

from collections.abc import Sequence
from typing import Any

import pytest

from normgraph.interpret import Interpretation, interpret
from normgraph.outer import outer_of
from tests.core.surveyed import Surveyed, f32, surveyed

CONSTANTS: dict[str, Any] = {"eps": f32(1e-5), "h": f32([4, 3, 2, 1]), "zero": [0]}

STATISTICS = """
    m = ReduceMean<axes=[-1]>(x)  d = Sub(x, m)  q = Mul(d, d)  v = ReduceMean<axes=[-1]>(q)  e = Add(v, eps)
    s = Sqrt(e)  r = Reciprocal(s)"""
GAINED = f"{STATISTICS}  k = Mul(r, z)  a = Mul(x, k)  b = Mul(m, k)"
#: The statistics of a square's rows without their dimension, so that a gain of four may be one per row.
PER_ROW = """
    m = ReduceMean<axes=[1], keepdims=0>(x)  p = Mul(x, x)  u = ReduceMean<axes=[1], keepdims=0>(p)  w = Mul(m, m)
    v = Sub(u, w)  e = Add(v, eps)  s = Sqrt(e)  r = Reciprocal(s)  l = Mul(r, z)"""
WITHIN_ROWS = "k = Unsqueeze(l, one)  t = Unsqueeze(m, one)  a = Mul(x, k)  b = Mul(t, k)  y = Sub(a, b)"


def known(nodes: str, gain: str, x: str = "4, 4") -> Surveyed:
    return surveyed(nodes, f"float[{x}] x, float[{gain}] z", opset=13, constants=CONSTANTS | {"one": [1]})


def read(found: Surveyed) -> Interpretation:
    interpretation = interpret(found.values["x"], found.model.graph, found.facts, with_foreign=True)
    assert interpretation is not None
    return interpretation


def chosen(found: Surveyed) -> Sequence[tuple[str | None, list[str | None]]]:
    return [(match.output.name, [operand.value.name for operand in match.operands]) for match in found.findings.matches]


def test_nothing_stands_behind_what_reads_no_such_tensor() -> None:
    found = known(f"{GAINED}  y = Sub(a, b)", "4")
    interpretation = read(found)
    assert outer_of(interpretation.forms[found.values["r"]], interpretation) is None
    outer = outer_of(interpretation.forms[found.values["y"]], interpretation)
    assert outer is not None
    assert [operand.value for operand in outer.operands] == [found.values["z"]]


APPLIED = [
    pytest.param(f"{GAINED}  y = Sub(a, b)", "4", [("y", ["z"])], id="gain"),
    pytest.param(f"{GAINED}  n = Sub(a, b)  y = Add(n, h)", "4", [("y", ["z"])], id="gain-and-constant-bias"),
    pytest.param(f"{GAINED}  y = Sub(a, b)", "4, 1", [("y", ["z"])], id="gain-per-row"),
]
APART = [
    pytest.param(f"{PER_ROW}  {WITHIN_ROWS}", "4", id="gain-per-row-of-a-square"),
    pytest.param(f"{GAINED}  n = Sub(a, b)  y = Squeeze(n, zero)", "1, 1, 4", id="gain-of-a-higher-rank"),
]


@pytest.mark.parametrize(("nodes", "gain", "expected"), APPLIED)
def test_tensor_is_applied_behind(nodes: str, gain: str, expected: list[tuple[str, list[str]]]) -> None:
    assert chosen(known(nodes, gain)) == expected


@pytest.mark.parametrize(("nodes", "gain"), APART)
def test_tensor_that_would_have_to_be_moved_is_not(nodes: str, gain: str) -> None:
    found = known(nodes, gain)
    interpretation = read(found)
    assert outer_of(interpretation.forms[found.values["y"]], interpretation) is not None
    assert chosen(found) == []


def test_what_reads_more_than_these_is_not_made_anew() -> None:
    nodes = f"{GAINED}  y = Sub(a, b)".replace("e = Add(v, eps)", "w = Dropout(v, ratio)  e = Add(w, eps)")
    found = surveyed(nodes, "float[4, 4] x, float[4] z, float ratio", opset=13, constants=CONSTANTS)
    interpretation = read(found)
    assert [value.name for value in interpretation.foreign] == ["z"]
    assert outer_of(interpretation.forms[found.values["y"]], interpretation) is not None
    assert chosen(found) == []
