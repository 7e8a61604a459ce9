"""The baseline: what counts as worse than it, and what doesn't."""

import re
from pathlib import Path

import pytest

from normgraph.check import examine
from normgraph.check.baseline import SCALE, Entry, Snapshot, compare, key_of, read, snapshot, write
from normgraph.errors import UsageError
from tests.commands import BERT, NEAR_MISSES

LAYER = "LayerNormalization"


def fused(*names: str) -> list[Entry]:
    return [Entry(name, LAYER, "fused") for name in names]


def open_(*names: str) -> list[Entry]:
    return [Entry(name, LAYER, "kept", "not-fused") for name in names]


def kept(*names: str, rule: str = "inner-reader") -> list[Entry]:
    return [Entry(name, LAYER, "kept", rule, "a reason") for name in names]


def missed(*names: str) -> list[Entry]:
    return [Entry(name, None, "near_miss", "epsilon-outside", "a reason") for name in names]


def scale(name: str, status: str, rule: str | None = None) -> Entry:
    return Entry(name, SCALE, status, rule)


def of(*entries: list[Entry], producer: str = "pytorch 2.5", target: str = "onnx", opset: int = 17) -> Snapshot:
    return Snapshot(producer, target, False, opset, 100, tuple(e for some in entries for e in some))


@pytest.mark.parametrize(
    ("before", "after", "failure", "culprits"),
    [
        pytest.param(
            of(fused("a", "b", "c")),
            of(fused("a"), missed("b"), kept("c"), producer="pytorch 2.6"),
            r"2 LayerNormalization sites aren't one operator any more \(3 in the baseline, 1 now\) "
            r"since the exporter changed: pytorch 2.5 → pytorch 2.6",
            {
                "b": "a near miss: a reason (epsilon-outside)",
                "c": "LayerNormalization is kept: a reason (inner-reader)",
            },
            id="two aren't fused any more",
        ),
        pytest.param(
            of(open_("a", "b")),
            of(open_("a"), missed("b")),
            "1 LayerNormalization can't be fused any more .*exporter unchanged: pytorch 2.5",
            {"b": "near miss"},
            id="one can't be fused any more",
        ),
        pytest.param(
            of(fused("a", "b")),
            of(fused("x"), missed("y")),
            "1 LayerNormalization isn't one operator any more",
            {"a": "nothing of that name", "b": "nothing of that name"},
            id="all are renamed, one is lost",
        ),
        pytest.param(
            of(fused("a")),
            of(kept("a"), fused("new")),
            "1 LayerNormalization isn't one operator any more",
            {"a": "inner-reader"},
            id="one is lost, another is new",
        ),
        pytest.param(
            of(fused("a")),
            of(open_("a"), opset=18),
            "since the opset changed: 17 → 18",
            {"a": "not-fused"},
            id="one is spelled out again",
        ),
        pytest.param(
            of(fused("a")),
            of(fused("a"), missed("b")),
            "1 more can't be fused or folded",
            {"b": "near miss"},
            id="a new near miss",
        ),
        pytest.param(
            of([scale("bn", "folded")]),
            of([scale("bn", "kept", "padding")]),
            "isn't folded any more",
            {"bn": "padding"},
            id="a fold is lost",
        ),
    ],
)
def test_what_is_worse_is_found(before: Snapshot, after: Snapshot, failure: str, culprits: dict[str, str]) -> None:
    (finding,) = compare(before, after, "baseline.json")
    assert finding.failure is not None
    assert re.search(failure, finding.failure), finding.failure
    assert {culprit.site for culprit in finding.culprits} == set(culprits)
    assert all(culprits[culprit.site] in culprit.reason for culprit in finding.culprits), finding.culprits


@pytest.mark.parametrize(
    ("before", "after", "note"),
    [
        pytest.param(of(fused("a"), missed("b")), of(fused("a"), missed("b")), None, id="the same"),
        pytest.param(of(fused("a")), of(fused("x"), producer="pytorch 2.6"), None, id="renamed"),
        pytest.param(of(fused("a")), of(fused("a", "b")), "better than the baseline", id="one more"),
        pytest.param(of(kept("a")), of(fused("a")), "better than the baseline", id="one is fused at last"),
        pytest.param(of(open_("a")), of(fused("a")), "better than the baseline", id="it was fused"),
        pytest.param(of(missed("a")), of(), "better than the baseline", id="a near miss is gone"),
        pytest.param(of(kept("a", rule="already-best")), of(kept("a", rule="already-best")), None, id="best as it is"),
        pytest.param(of([scale("bn", "folded")]), of(), None, id="the exporter folds it itself"),
        pytest.param(of(fused("a", "a")), of(fused("a", "a")), None, id="two of one name"),
    ],
)
def test_what_is_not_worse_passes(before: Snapshot, after: Snapshot, note: str | None) -> None:
    (finding,) = compare(before, after, "baseline.json")
    assert finding.failure is None
    assert (finding.note or "").startswith(note or "")
    assert (finding.note is None) is (note is None)


def test_one_of_two_of_a_name_may_be_worse() -> None:
    (finding,) = compare(of(fused("a", "a")), of(fused("a"), kept("a")), "baseline.json")
    assert finding.failure is not None
    assert [culprit.site for culprit in finding.culprits] == ["a"]


def test_what_was_judged_otherwise_is_not_compared() -> None:
    (finding,) = compare(of(fused("a")), of(fused("a"), target="openvino"), "baseline.json")
    assert finding.failure is not None
    assert "was made for onnx, as it stands" in finding.failure


def test_a_baseline_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    models = {"b": snapshot(examine(BERT)), "a": snapshot(examine(NEAR_MISSES))}
    write(path, models)
    first = path.read_bytes()
    assert read(path) == models
    write(path, dict(reversed(read(path).items())))
    assert path.read_bytes() == first
    assert [file.name for file in tmp_path.iterdir()] == ["baseline.json"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(None, "must be readable", id="absent"),
        pytest.param("{", "isn't a baseline", id="no JSON"),
        pytest.param("[]", "isn't a baseline", id="something else"),
        pytest.param('{"schema": 9, "models": {}}', "must have schema 1", id="another schema"),
        pytest.param('{"schema": 1, "models": {"a": {"producer": "x"}}}', "isn't a baseline", id="half a model"),
    ],
)
def test_a_baseline_that_is_none_is_explained(text: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=f"{message}.*--update-baseline"):
        read(path)


def test_models_are_named_from_the_baseline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert key_of("models/a.onnx", Path("ci/baseline.json")) == "../models/a.onnx"
    assert key_of(str(tmp_path / "models/a.onnx"), tmp_path / "baseline.json") == "models/a.onnx"
    assert key_of("s3://bucket/a.onnx", Path("baseline.json")) == "s3://bucket/a.onnx"
