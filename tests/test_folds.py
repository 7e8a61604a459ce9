"""Affine maps fold wherever that is exact, nowhere else, and what stays says why."""

from collections import Counter
from collections.abc import Iterable, Iterator

import onnx.parser
import pytest

import normgraph
from normgraph.evidence import Evidence
from normgraph.folding import folding_pass
from tests.cases import Build, build
from tests.folds import TABLES, wishes
from tests.folds.claims import FoldCase
from tests.optimizing import operators, optimized
from tests.running import builds, label


def every(cases: Iterable[FoldCase]) -> list[object]:
    return [pytest.param(case, how, id=f"{case.name}-{label(how)}") for case in cases for how in builds(case)]


HITS = [case for table in TABLES.values() for case in table if case.folded]
MISSES = [case for table in TABLES.values() for case in table if not case.folded]


@pytest.fixture(autouse=True)
def no_plan_fails_its_proof(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Proofs are the second line: what they refuse shouldn't have been planned, unless the case says so."""
    proofs, refused = folding_pass._proofs, list[str]()

    def noted(*arguments: object) -> list[Evidence]:
        found = proofs(*arguments)  # type: ignore[arg-type]
        refused.extend(evidence.describe() for evidence in found if not evidence.accepted)
        return found

    monkeypatch.setattr(folding_pass, "_proofs", noted)
    yield
    case = request.node.callspec.params.get("case") if hasattr(request.node, "callspec") else None
    assert not refused or (case is not None and case.rule == "proof-failed"), refused


@pytest.mark.parametrize(("case", "how"), every(HITS))
def test_map_is_folded(case: FoldCase, how: Build) -> None:
    model, report = optimized(case, how)
    assert [fold.direction for fold in report.folds if fold.status == "folded"] == list(case.folded), report.folds
    if case.after is not None:
        assert operators(model) == Counter(case.after.split())
    assert sum(operators(model).values()) <= sum(operators(build(case, how)).values())


@pytest.mark.parametrize(("case", "how"), every(MISSES))
def test_map_stays_and_says_why(case: FoldCase, how: Build) -> None:
    model, report = optimized(case, how)
    assert [fold.rule for fold in report.folds] == ([case.rule] if case.rule else []), report.folds
    assert case.says in "".join(fold.reason or "" for fold in report.folds)
    assert operators(model) == operators(build(case, how))


@pytest.mark.parametrize(
    ("case", "how"), every(c for table in TABLES.values() for c in table[::4] if c.rule != "proof-failed")
)
def test_explain_foretells_it(case: FoldCase, how: Build) -> None:
    report = normgraph.explain(build(case, how))
    rules = {fold.rule for fold in report.folds}
    if "compose" in case.folded:
        rules.discard("no-neighbour")  # which the one that takes the other in has
    assert rules == ({"not-folded"} if case.folded else {case.rule} - {None})


def wished(table: Iterable[FoldCase], option: str) -> list[object]:
    return [pytest.param(case, how, option, id=f"{case.name}-{label(how)}") for case in table for how in builds(case)]


@pytest.mark.parametrize(
    ("case", "how", "option"), [*wished(wishes.DUPLICATED, "duplicate"), *wished(wishes.GAINS, "fold_gain")]
)
def test_fold_is_made_when_asked_for_and_only_then(case: FoldCase, how: Build, option: str) -> None:
    _, without = optimized(case, how)
    assert set(case.folded).isdisjoint(fold.direction for fold in without.folds) or "backward" in case.folded
    model, report = optimized(case, how, **{option: True})
    assert [fold.direction for fold in report.folds if fold.status == "folded"] == list(case.folded), report.folds
    assert [fold.rule for fold in report.folds if fold.status == "kept"] == ([case.rule] if case.rule else [])
    assert case.says in "".join(fold.reason or "" for fold in report.folds)
    assert operators(model) == (Counter(case.after.split()) if case.after else operators(build(case, how)))


def test_map_stays_before_a_node_that_is_invalid() -> None:
    text = """<ir_version: 8, opset_import: ["" : 18]> g (float[B, 3] x) => (float[B, 3] y) {
        k = Constant<value_floats = [1., 2., 3.]>()  a = Mul(x, k)  b = Add(a, k)
        y = Transpose<perm = [0, 1, 2]>(b) }"""
    result = normgraph.optimize(onnx.parser.parse_model(text))
    assert "Transpose" in operators(result.to_proto())
    assert [fold.status for fold in result.report.folds if fold.status == "folded"] == []
