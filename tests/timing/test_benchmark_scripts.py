"""The scripts that make the figures of docs/performance.md: what they compare computes the same."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from normgraph.cli.options import shared
from normgraph.providers import PROVIDERS
from normgraph.sessions import Setting
from normgraph.targets import TARGETS
from normgraph.timing.measuring import Times
from tests.samples import FOLDER
from tests.timing import fake_runtime

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
    monkeypatch.setattr("sys.argv", ["cuda.py", str(tmp_path)])
    assert cuda.main() == 2
    assert "no figures: a provider must be part of the installed ONNX Runtime" in capsys.readouterr().err
