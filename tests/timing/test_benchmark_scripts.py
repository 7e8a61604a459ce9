"""The scripts that make the figures of docs/performance.md: what they compare computes the same."""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from normgraph.cli.options import shared
from normgraph.providers import PROVIDERS
from normgraph.sessions import Setting
from normgraph.targets import TARGETS
from normgraph.timing import benchmark, sites
from normgraph.timing.measuring import Times
from normgraph.timing.statistics import Ratio
from tests.samples import FOLDER
from tests.timing import fake_runtime
from tests.timing.test_autotune import norm
from tests.timing.test_benchmark import timed

ROOT = FOLDER.parent
KINDS = (
    "BatchNormalization",
    "GroupNormalization",
    "InstanceNormalization",
    "LayerNormalization",
    "LpNormalization",
    "RMSNormalization",
)


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A script of benchmarks/ as a module, under a name that nothing else has."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # where dataclasses look for what annotations name
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def operators(monkeypatch: pytest.MonkeyPatch) -> Any:
    return script("operators", monkeypatch)


def short(openers: Any, plan: Any) -> list[Times]:
    return [Times((1.0,) * 6, ((1e-3 * (place + 1),),) * 6) for place, _ in enumerate(openers)]


@pytest.mark.parametrize("kind", KINDS)
def test_operators_compute_what_the_nodes_do(kind: str, operators: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`outcomes` raises where they don't, or where normgraph doesn't find the norm in the nodes."""
    monkeypatch.setattr(operators, "measured", short)
    small = [row for row in operators.rows() if row.kind == kind and np.prod(row.shape) < 200_000]
    assert small or kind in ("GroupNormalization", "InstanceNormalization", "BatchNormalization")
    for row in small or [next(row for row in operators.rows() if row.kind == kind)]:
        found = operators.outcomes(row, 1.0, Setting(PROVIDERS["cpu"], threads=1))
        assert [outcome.ratio.estimate for outcome in found] == [
            pytest.approx(1 / (place + 2)) for place in range(len(row.ways) - 1)
        ]


def test_every_kind_of_the_table_of_targets_is_measured(operators: Any) -> None:
    measured = {row.kind for row in operators.rows()}
    told = TARGETS["onnxruntime"]
    assert {*told.operators, *told.refusals} - {"MeanVarianceNormalization"} <= measured


def test_ranges_leave_out_what_is_undecided(operators: Any) -> None:
    row = next(row for row in operators.rows() if row.kind == "LpNormalization")
    told = [(2.0, 0.01), (0.5, 0.01), (9.0, 9.0), (1.0, 0.01)]
    found = [operators.Outcome(row, "Lp", 1.0, 1.0, Ratio(r, max(r - half, 0.1), r + half)) for r, half in told]
    assert operators.ranges(found).rows == (("LpNormalization", "Lp", "float32", "0.50 – 2.00", "3"),)


def test_operators_that_differ_are_noticed(operators: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "measured", short)
    row = next(row for row in operators.rows() if row.kind == "RMSNormalization")
    wrong = operators.Way("wrong", "y = Mul(x, gain)")
    with pytest.raises(AssertionError, match="RMSNormalization wrong"):
        operators.outcomes(
            operators.Row(row.kind, row.spelling, row.shape, (row.ways[0], wrong), row.constants),
            1.0,
            Setting(PROVIDERS["cpu"], threads=1),
        )


def test_without_a_gpu_the_gpu_script_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cuda = script("cuda", monkeypatch)
    assert "cuda" in shared.PROVIDERS
    fake_runtime.install(monkeypatch, built=("CPUExecutionProvider",))
    monkeypatch.setattr("sys.argv", ["cuda.py", str(tmp_path), "--output", str(tmp_path / "out")])
    assert cuda.main() == 2
    assert "no figures: a provider must be part of the installed ONNX Runtime" in capsys.readouterr().err


def test_the_gpu_script_runs_to_its_end_and_leaves_figures_and_failures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cuda = script("cuda", monkeypatch)
    row = next(row for row in sys.modules["operators"].rows_in_float32() if row.shape == (1, 1, 2048))
    for place in (sites, benchmark):
        monkeypatch.setattr(place, "measured", timed(2e-3, 1e-3, 1e-3, 1e-3))
    monkeypatch.setattr(sys.modules["operators"], "measured", short)
    monkeypatch.setattr(cuda, "rows_in_float32", lambda: [row])
    monkeypatch.setattr(sys.modules["prepared"], "PEERS", ())
    monkeypatch.setattr(cuda, "checks", lambda _: "4 skipped")
    onnx.save(norm(), tmp_path / "llama.onnx")
    (tmp_path / "bert-base.onnx").write_bytes(b"no model")
    out = tmp_path / "out"
    words = ["cuda.py", str(tmp_path), "--output", str(out), "--provider", "cpu"]
    monkeypatch.setattr("sys.argv", words)
    assert cuda.main() == 1
    written = (out / "cuda.md").read_text("utf-8")
    for expected in (
        "The tests that are marked cuda: 4 skipped.",
        "| RMSNormalization | RMSNormalization | Pow, Sqrt, Div | 1×1×2048 |",
        "| llama | 2.00 ms | 1.00 ms | 2.000 |",
        "- llama: 2 timed, slower there: none",
        "Made by",
    ):
        assert expected in written
    assert (out / "failures.txt").read_text("utf-8").startswith("bert-base.onnx: the file is truncated")
    assert json.loads((out / "tuning.json").read_text("utf-8"))["provider"] == "cpu"
    published: list[tuple[str, ...]] = []
    monkeypatch.setattr(cuda, "write_section", lambda *texts: published.append(texts))
    monkeypatch.setattr("sys.argv", ["cuda.py", "--publish", str(out)])
    assert cuda.main() == 0
    assert published == [("performance.md", "cuda", written)]
