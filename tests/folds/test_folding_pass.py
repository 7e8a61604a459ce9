"""The pass that folds: what it proposes, what it does where that is refused, what it leaves to others."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from normgraph.diagnosis import Shortfall
from normgraph.evidence import Evidence, Precondition
from normgraph.extraction import NotExtractable
from normgraph.folding import folding_pass
from normgraph.folding.directions import Wishes
from normgraph.folding.folding_pass import fold_batch_normalizations, foldable, unfolded
from normgraph.folding.proof import Prover
from normgraph.proposals import Proposal
from normgraph.surveyed import Surveyed
from tests.core.surveyed import f32, i64
from tests.core.surveyed import model as built
from tests.folds.test_carrying import numbers
from tests.running import run

CONSTANTS = {
    "w": numbers(4, 4, 3, 3), "v": numbers(4, 4, 1, 1), "m": numbers(4, 4), "g": numbers(4), "k": numbers(4, 1, 1),
    "c": numbers(4, 1, 1), "d": numbers(4), "space": i64([2, 3]), "last": i64([-1]), "tiny": f32(1e-5),
}  # fmt: skip
X, ROWS = "float[N, 4, 5, 5] x", "float[N, 3, 4] x"
NORM = "BatchNormalization({0}, g, g, d, g)"
BEHIND = f"h = Conv(x, v)  y = {NORM.format('h')}"
WRITTEN = "r = Conv(x, v)  a = Mul(r, k)  y = Add(a, c)"
BESIDE = "a = Conv<pads = [1, 1, 1, 1]>(x, w)  b = Conv(x, v)  y = Add(a, b)"
TWO = f"h = {NORM.format('x')}  y = Conv(h, v)  z = Conv(h, w)"
GAIN = "n = LayerNormalization(x, g)  y = MatMul(n, m)"
TWICE = f"h = Conv(x, v)  a = {NORM.format('h')}  r = Relu(a)  i = Conv(r, v)  y = {NORM.format('i')}"
LAYER_NORM = (
    "m1 = ReduceMean(x, last)  s = Sub(x, m1)  q = Mul(s, s)  m2 = ReduceMean(q, last)  e = Add(m2, tiny)  "
    "o = Sqrt(e)  n = Div(s, o)  a = Mul(n, g)  b = Add(a, d)  y = MatMul(b, m)"
)


def made(nodes: str, inputs: str = X) -> ir.Model:
    read = {name: array for name, array in CONSTANTS.items() if f", {name}" in nodes}
    outputs = "y, z" if "z =" in nodes else "y"
    return ir.from_proto(built(nodes, inputs, outputs=outputs, constants=read))


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


NO = Shortfall("no-gain", "it takes longer")


@pytest.mark.parametrize(
    ("nodes", "inputs", "told", "proposed"),
    [
        pytest.param(BEHIND, X, [("y", "no-gain")], [("y", ("y",), "Conv")], id="a BatchNormalization"),
        pytest.param(WRITTEN, X, [("y", "no-gain")], [("y", ("y",), "Conv")], id="a map that is written out"),
        pytest.param(BESIDE, X, [], [("y", ("b",), "Conv")], id="an operator beside another"),
        pytest.param(TWO, X, [("h", "no-gain")], [("y", ("h",), "Conv")], id="into two"),
        pytest.param(GAIN, ROWS, [("n", "no-gain")], [("y", ("n",), "MatMul")], id="a gain"),
    ],
)
def test_what_is_refused_stays_and_is_told(
    nodes: str,
    inputs: str,
    told: list[tuple[str, str]],
    proposed: list[tuple[str, tuple[str, ...], str]],
) -> None:
    seen: list[Proposal] = []

    def refuse(model: ir.Model, proposals: Sequence[Proposal]) -> list[int | Shortfall]:
        seen.extend(proposals)
        return [NO for _ in proposals]

    model = made(nodes, inputs)
    before = operators(model)
    found = fold_batch_normalizations(model, wishes=Wishes(gain=True), judge=refuse, proven=False)
    assert operators(model) == before
    assert [(fold.output, fold.rule) for fold in found] == told
    assert [(each.output, each.told, each.way.kind) for each in seen] == proposed
    assert [each.name for each in seen] == ["y"]
    (proposal,) = seen
    if nodes == TWO:
        with pytest.raises(NotExtractable, match="several operators"):
            proposal.way.pair()
    else:
        original, candidate = proposal.way.pair()
        assert original.output == candidate.output


@pytest.mark.parametrize("wrong", ["a", "y"])
def test_a_fold_that_is_not_proven_keeps_no_other_from_being_made(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right, proven = Prover.__call__, list[tuple[str, str]]()

    def failing(prover: Prover, plan: Any, region: Any, facts: Any) -> Evidence:
        proven.append((plan.direction, region.output.name))
        return Evidence(failure="no") if region.output.name == wrong else right(prover, plan, region, facts)

    monkeypatch.setattr(Prover, "__call__", failing)
    found = fold_batch_normalizations(made(TWICE))
    other = {"a": "y", "y": "a"}[wrong]
    assert {(fold.output, fold.status, fold.rule) for fold in found} == {
        (wrong, "kept", "proof-failed"),
        (other, "folded", None),
    }
    assert len(proven) == len(set(proven)), "nothing is tried again"


def test_a_precondition_that_does_not_hold_stops_a_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Precondition("readers", "somebody reads it", holds=False)
    monkeypatch.setattr(folding_pass, "established_of_plan", lambda *_: (broken,))
    monkeypatch.setattr(Prover, "__call__", lambda *_: pytest.fail("nothing is computed"))
    (fold,) = fold_batch_normalizations(made(BEHIND))
    assert (fold.status, fold.rule) == ("kept", "proof-failed")
    assert "somebody reads it" in (fold.reason or "")


def test_preconditions_are_part_of_the_evidence() -> None:
    (fold,) = fold_batch_normalizations(made(BEHIND))
    assert fold.evidence is not None
    assert [condition.rule for condition in fold.evidence.preconditions] == [
        "constants",
        "inference",
        "weights",
        "readers",
        "type",
    ]


@pytest.mark.parametrize("nodes", [BEHIND, WRITTEN, "y = Relu(x)"])
def test_what_could_be_folded_is_told_and_neither_done_nor_proven(nodes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Prover, "__call__", lambda *_: pytest.fail("nothing is computed"))
    model = made(nodes)
    before = operators(model)
    found = foldable(Surveyed(model))
    assert operators(model) == before
    assert [(fold.status, fold.rule) for fold in found] == ([] if "Relu" in nodes else [("kept", "not-folded")])
    assert all(unfolded(fold) is fold for fold in found)


@pytest.mark.parametrize(
    ("nodes", "inputs", "folded"),
    [
        pytest.param(LAYER_NORM, ROWS, [], id="of one that is written out"),
        pytest.param("n = InstanceNormalization(x, g, d)  a = Mul(n, k)  y = Conv(a, v)", X, [], id="of a native one"),
        pytest.param("n = Relu(x)  a = Mul(n, k)  y = Conv(a, v)", X, ["a"], id="of none"),
        pytest.param(f"n = {NORM.format('x')}  p = MaxPool<kernel_shape = [2, 2]>(n)  a = Mul(p, k)  y = Conv(a, v)", X,
                     ["a", "n"], id="of a BatchNormalization"),
    ],
)  # fmt: skip
def test_gain_and_bias_of_normalizations_are_left_to_them(nodes: str, inputs: str, folded: list[str]) -> None:
    found = fold_batch_normalizations(made(nodes, inputs), proven=False)
    assert sorted(fold.output for fold in found if fold.status == "folded") == folded


def test_why_two_maps_do_not_become_one_is_not_told() -> None:
    nodes = f"h = {NORM.format('x')}  p = AveragePool<kernel_shape = [2, 2]>(h)  a = {NORM.format('p')}"
    found = fold_batch_normalizations(made(f"{nodes}  y = Relu(a)  z = Relu(h)"), proven=False)
    assert [(fold.output, fold.rule) for fold in found] == [("h", "no-neighbour"), ("a", "no-neighbour")]


def test_two_maps_become_one_only_where_nothing_else_folds() -> None:
    nodes = f"h = {NORM.format('x')}  p = AveragePool<kernel_shape = [2, 2]>(h)  a = {NORM.format('p')}  y = Conv(a, v)"
    found = fold_batch_normalizations(made(nodes), proven=False)
    assert [(fold.output, fold.direction) for fold in found] == [("a", "forward"), ("h", "forward")]


def test_two_maps_wait_while_others_make_way_for_them() -> None:
    nodes = f"a = Conv(x, v)  s = Add(a, x)  n = {NORM.format('s')}  p = AveragePool<kernel_shape = [2, 2]>(n)"
    found = fold_batch_normalizations(made(f"{nodes}  m = {NORM.format('p')}  y = Relu(m)"), proven=False)
    assert [(fold.output, fold.direction) for fold in found] == [
        ("s", "parallel"),
        ("n", "backward"),
        ("m", "backward"),
    ]


TURNED = "a = Add(x, c)  t = Transpose<perm = [0, 2, 3, 1]>(a)  b = Mul(t, g)  y = MatMul(b, m)"


@pytest.mark.parametrize(
    ("nodes", "after"),
    [
        pytest.param(WRITTEN, "Conv", id="a map of two nodes, backward"),
        pytest.param("a = Mul(x, k)  b = Add(a, c)  y = Conv(b, v)", "Conv", id="a map of two nodes, forward"),
        pytest.param("r = Conv(x, v)  a = Mul(r, k)  t = Transpose<perm = [0, 2, 3, 1]>(a)  y = Add(t, g)",
                     "Conv Transpose", id="a Transpose within the map stays, backward"),
        pytest.param(TURNED, "Transpose MatMul Add", id="a Transpose within the map stays"),
        pytest.param("r = MatMul(x, s)  a = Add(r, e)  b = Mul(a, e)  y = Add(b, e)", "MatMul Add",
                     id="a bias that is a part of the map"),
    ],
)  # fmt: skip
def test_what_is_folded_computes_what_it_did(nodes: str, after: str) -> None:
    constants = {**CONSTANTS, "s": numbers(5, 5), "e": numbers(5)}
    read = {name: array for name, array in constants.items() if f", {name}" in nodes}
    original = built(nodes, X, outputs="float[N, A, B, C] y", constants=read)
    model = ir.from_proto(original)
    found = fold_batch_normalizations(model, proven=False)
    assert [fold.status for fold in found] == ["folded"]
    assert operators(model) == after.split()
    feeds = [{"x": numbers(2, 4, 5, 5)}]
    ((before,), (folded,)) = (run(each, feeds) for each in (original, ir.to_proto(model)))
    np.testing.assert_allclose(folded["y"], before["y"], rtol=1e-4)


def test_of_two_maps_of_one_operator_each_finds_what_the_other_has_made_of_it() -> None:
    half = "BatchNormalization({0}, g2, d2, d2, g2)"
    nodes = (
        f"h = Conv(x, v)  a, b = Split<axis = 1, num_outputs = 2>(h)  y = {half.format('a')}  z = {half.format('b')}"
    )
    constants = {"v": CONSTANTS["v"], "g2": f32([2, 3]), "d2": f32([1, 5])}
    original = built(nodes, X, outputs="float[N, 2, 5, 5] y, float[N, 2, 5, 5] z", constants=constants)
    model = ir.from_proto(original)
    found = fold_batch_normalizations(model, proven=False)
    assert [(fold.output, fold.status) for fold in found] == [("y", "folded"), ("z", "folded")]
    feeds = [{"x": numbers(2, 4, 5, 5)}]
    ((before,), (after,)) = (run(each, feeds) for each in (original, ir.to_proto(model)))
    for name in ("y", "z"):
        np.testing.assert_allclose(after[name], before[name], rtol=1e-4)


def test_a_map_that_could_go_either_way_is_told_once_where_both_are_refused() -> None:
    model = made("r = Conv(x, v)  a = Mul(r, k)  h = Add(a, c)  y = Conv(h, v)")
    found = fold_batch_normalizations(model, judge=lambda _, proposals: [NO] * len(proposals), proven=False)
    assert [(fold.output, fold.rule) for fold in found] == [("h", "no-gain")]


def test_a_fold_is_proposed_under_the_name_of_the_map() -> None:
    seen: list[str] = []

    def noted(model: ir.Model, proposals: Sequence[Proposal]) -> list[int]:
        seen.extend(proposal.name for proposal in proposals)
        return [0] * len(proposals)

    model = made(BEHIND)
    for node, name in zip(model.graph, ("/block/conv/Conv", "/block/norm/Norm"), strict=True):
        node.name = name
    fold_batch_normalizations(model, judge=noted, proven=False)
    assert seen == ["block.norm"]
