"""benchmarks/speed.py: what the tools make is made once, checked, timed, and its figures kept."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from normgraph.timing import benchmark
from tests.timing.test_autotune import norm
from tests.timing.test_benchmark import timed
from tests.timing.test_benchmark_scripts import script

#: What a stand-in for a tool does with a model.
DOUBLES = """
    for node in model.graph.node:
        node.op_type = "Mul" if node.op_type == "Div" else node.op_type"""


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(benchmark, "measured", timed(2e-3, 1e-3, 4e-3))
    found = script("speed", monkeypatch)
    monkeypatch.setattr(sys.modules["prepared"], "PEERS", ("onnxslim", "onnxsim"))
    return found


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], str]:
    """Makes an environment in which onnxslim is installed, and does this with a model; nothing else is there."""

    def install(edit: str) -> str:
        folder = tmp_path / "environment"
        (folder / "onnxslim.dist-info").mkdir(parents=True, exist_ok=True)
        (folder / "onnxslim.dist-info" / "METADATA").write_text("Name: onnxslim\nVersion: 9.9\n", "utf-8")
        (folder / "onnxslim.py").write_text(
            f"import onnx\ndef slim(source, target):\n    print('talks')\n    model = onnx.load(source){edit}\n"
            "    onnx.save(model, target)\n",
            "utf-8",
        )
        (folder / "onnxsim.py").write_text("raise ImportError", "utf-8")
        monkeypatch.setenv("PYTHONPATH", str(folder))
        return sys.executable

    return install


def run(speed: Any, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["speed.py", *words])
    status: int = speed.main()
    return status


def test_everything_is_prepared_once_and_timed_in_one_run(
    speed: Any,
    tools: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    onnx.save(norm(), tmp_path / "one.onnx")
    words = (str(tmp_path), "one", "--python", tools(""))
    made = tmp_path / "made" / "cpu"
    assert run(speed, monkeypatch, *words, "--prepare") == 0
    assert "normgraph, onnxslim, onnxsim: not installed" in capsys.readouterr().err
    first = (made / "onnxslim" / "one.onnx").stat().st_mtime_ns
    sections: list[str] = []
    monkeypatch.setattr(speed, "write_section", lambda *texts: sections.append(texts[-1]))
    assert run(speed, monkeypatch, *words, "--write") == 0
    assert (made / "onnxslim" / "one.onnx").stat().st_mtime_ns == first
    (section,) = sections
    assert "| one | 2.00 ms | 1.00 ms | 2.000 | 1.997 – 2.003 | faster | onnxslim | 0.500 | 0.499 – 0.501 |" in section
    assert "- one: onnxslim 0.500, onnxsim: not installed" in section
    assert "onnxslim 9.9" in section


def test_figures_that_are_kept_are_taken_only_for_the_same_files(
    speed: Any, tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx.save(norm(), tmp_path / "one.onnx")
    words = (str(tmp_path), "one", "--python", tools(""))
    assert run(speed, monkeypatch, *words) == 0
    record = tmp_path / "made" / "cpu" / "one.json"
    assert json.loads(record.read_text("utf-8"))["subject"]["median"] == 2e-3
    calls: list[int] = []

    def measured(*given: Any, **further: Any) -> Any:
        calls.append(1)
        return timed(2e-3, 4e-3, 4e-3)(*given, **further)

    monkeypatch.setattr(benchmark, "measured", measured)
    assert run(speed, monkeypatch, *words, "--resume") == 0
    assert not calls
    onnx.save(norm(axis=1), tmp_path / "one.onnx")
    assert run(speed, monkeypatch, *words, "--resume") == 1  # it is slower now, and that is said by the status
    assert calls


def test_what_computes_something_else_does_not_take_part(
    speed: Any, tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(norm(), tmp_path / "one.onnx")
    monkeypatch.setattr(benchmark, "measured", timed(2e-3, 1e-3))
    assert run(speed, monkeypatch, str(tmp_path), "one", "--python", tools(DOUBLES)) == 0
    assert "onnxslim: wrong" in capsys.readouterr().out
