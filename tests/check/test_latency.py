"""Budgets of time: how they are written, and whether a model keeps them."""

import json
from pathlib import Path

import pytest

from normgraph.check.budgets import LatencyBudget, parse_duration, shown
from normgraph.check.configuration import read
from normgraph.cli import main
from normgraph.errors import UsageError
from normgraph.timing import Plan
from tests.commands import NEAR_MISSES


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan for tests: whether the figures are sharp isn't what they are about."""
    monkeypatch.setattr("normgraph.check.latency.PLAN", Plan(precision=1.0, budget=0.1))


@pytest.mark.parametrize(
    ("text", "seconds"), [("5ms", 0.005), ("0.25 s", 0.25), ("200us", 0.0002), (".5ms", 0.0005), ("3µs", 3e-6)]
)
def test_times_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text, "here") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "ms", "-5ms", "0ms", "5 min", "1e9s"])
def test_times_that_are_none_are_explained(text: str) -> None:
    with pytest.raises(UsageError, match="a number and a unit"):
        parse_duration(text, "here")


@pytest.mark.parametrize(("seconds", "text"), [(1.5, "1.5 s"), (0.0042, "4.2 ms"), (7e-5, "70 us")])
def test_times_are_shown(seconds: float, text: str) -> None:
    assert shown(seconds) == text


@pytest.mark.parametrize(
    ("budget", "words", "status"),
    [
        pytest.param("60s", [], 0, id="it is kept"),
        pytest.param("0.001us", [], 1, id="it isn't"),
        pytest.param("60s", ["--optimized", "--threads", "1"], 0, id="of what optimize makes"),
        pytest.param("60s", ["--provider", "coreml"], 2, id="a provider that isn't there"),
        pytest.param("60s", ["--dim", "nowhere=3"], 2, id="a dimension that isn't there"),
    ],
)
def test_a_budget_is_kept_or_not(
    budget: str, words: list[str], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["check", str(NEAR_MISSES), "--max-latency", budget, "--jobs", "1", "--format", "json", *words]
    assert main(command) == status
    (model,) = json.loads(capsys.readouterr().out)["models"]
    finding = model["findings"][-1]
    assert (finding["rule"], finding["holds"]) == ("max-latency", status == 0)
    assert model["status"] == ("passed", "failed", "broken")[status]
    if status == 2:
        assert "it can't be timed: " in finding["failure"]
    else:
        assert "ONNX Runtime" in (finding["note"] or finding["failure"])


def test_budgets_stand_in_files(tmp_path: Path) -> None:
    path = tmp_path / "normgraph.toml"
    path.write_text('[check]\nmax-latency = "5ms"\n')
    assert read(path).common.max_latency == LatencyBudget(0.005)
    path.write_text('[check]\nmax-latency = { time = "5ms", provider = "cuda", threads = 2, dims = { batch = 8 } }\n')
    assert read(path).common.max_latency == LatencyBudget(0.005, "cuda", 2, (("batch", 8),))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("5", "a text or a table", id="a number"),
        pytest.param('{ time = "5ms", provider = "abacus" }', "no provider 'abacus'", id="no such provider"),
        pytest.param('{ time = "5ms", threads = -1 }', "a whole number", id="no number of threads"),
        pytest.param('{ time = "5ms", thread = 1 }', "no key 'thread'.*did you mean threads", id="an unknown key"),
        pytest.param("{ threads = 1 }", "a budget of time must have one", id="no time"),
    ],
)
def test_budgets_that_are_none_are_explained(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "normgraph.toml"
    path.write_text(f"[check]\nmax-latency = {text}\n")
    with pytest.raises(UsageError, match=message):
        read(path)
