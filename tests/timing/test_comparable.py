"""What makes a comparison one of different things is said beside its figures."""

import json
import os
from pathlib import Path

import onnx
import pytest

import normgraph
from normgraph.cli import main
from normgraph.errors import UsageError
from normgraph.sessions import MOST_THREADS, THREADS_PER_PROCESSOR, Setting
from normgraph.timing import benchmark
from tests.timing.test_benchmark import BERT, text_model, timed

FIRST = text_model("(float[2] x, float[2] w) => (float[2] y) { y = Add(x, w) }")


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        pytest.param("(float[2] x, float[2] w) => (float[2] y) { y = Mul(x, w) }", [], id="alike"),
        pytest.param("(float[N] x, float[2] w) => (float[M] y) { y = Mul(x, w) }", [], id="sizes left open"),
        pytest.param("(float[2] w, float[2] x) => (float[2] y) { y = Mul(x, w) }", [], id="another order"),
        pytest.param(
            "(float[2] x) => (float[2] y) { y = Neg(x) }",
            ["first takes the input 'w', and second doesn't"],
            id="fewer inputs",
        ),
        pytest.param(
            "(float[2] x, float[2] w) => (float[2] y, float[2] z) { y = Add(x, w) z = Sub(x, w) }",
            ["second makes the output 'z', and first doesn't"],
            id="more outputs",
        ),
        pytest.param(
            "(float[2] x, float[2] w) => (float[2] z) { z = Add(x, w) }",
            ["first makes the output 'y', and second doesn't", "second makes the output 'z', and first doesn't"],
            id="another output",
        ),
        pytest.param(
            "(float[2] x, float[2] w) => (double[2, 1] y) <int64[2] s = {2, 1}> "
            "{ a = Add(x, w) b = Reshape(a, s) y = Cast<to = 11>(b) }",
            ["the output 'y' is float of rank 1 in first and double of rank 2 in second"],
            id="another type",
        ),
    ],
)
def test_other_inputs_and_outputs_are_noted(
    text: str, notes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark, "measured", timed(1e-3, 1e-3))
    monkeypatch.chdir(tmp_path)
    for name, model in (("first", FIRST), ("second", text_model(text))):
        onnx.save(model, name)
    assert main(["bench", "first", "second", "--level", "all", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == notes
    assert main(["bench", "first", "second", "--level", "all"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.removeprefix("note: ") for line in printed if line.startswith("note: ")] == notes


@pytest.mark.parametrize(
    ("target", "noted"),
    [
        pytest.param(None, False, id="the provider's own"),
        pytest.param("onnx", False, id="one that runs anywhere"),
        pytest.param("onnxruntime@1.22", False, id="a version of the provider's own"),
        pytest.param("tensorrt@10.9", True, id="another runtime's"),
    ],
)
def test_rewrites_for_another_runtime_than_the_one_that_times_them_are_noted(
    target: str | None, noted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "measured", timed(1e-3))
    monkeypatch.setattr("normgraph.timing.sites.measured", timed(1e-3, 1e-3))
    notes = normgraph.bench(BERT, levels=["all"], per_site=True, target=target).notes
    assert bool(notes) == noted
    assert not noted or "made for tensorrt@10.9 and timed on cpu" in notes[0]


def test_as_many_threads_as_a_machine_may_have_are_permitted_and_no_more() -> None:
    most = max(MOST_THREADS, THREADS_PER_PROCESSOR * (os.cpu_count() or 1))
    assert Setting(threads=most).threads == most
    with pytest.raises(UsageError, match=f"from 0 to {most} here, and {most + 1} are asked for"):
        Setting(threads=most + 1)
