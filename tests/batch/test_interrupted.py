"""Several models in several processes: one that dies, and Ctrl-C, which the whole group of processes hears."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from tests.commands import BERT, heard_from_the_keyboard
from tests.test_architecture import ROOT

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes where Linux lists them"),
]
MODELS = 10


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with more models than processes."""
    (tmp_path / "in").mkdir()
    for number in range(MODELS):
        shutil.copy(BERT, tmp_path / "in" / f"{number}.onnx")
    return tmp_path


def started(folder: Path, *words: str) -> subprocess.Popen[str]:
    """The command as a shell runs it in the foreground: with its children in a group that Ctrl-C goes to."""
    with heard_from_the_keyboard():
        return subprocess.Popen(
            [sys.executable, "-m", "normgraph", *words, "--jobs", "2"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def workers_of(run: subprocess.Popen[str]) -> list[int]:
    """The processes that work for a run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            if parent == run.pid and b"spawn_main" in path.with_name("cmdline").read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_process_that_is_killed_costs_check_one_model(folder: Path) -> None:
    run = started(folder, "check", "in", "--expect", "decomposed=0", "--optimized", "--format", "json")
    until(lambda: len(workers_of(run)) == 2)
    os.kill(workers_of(run)[0], signal.SIGKILL)
    output, errors = run.communicate(timeout=60)
    assert (run.returncode, errors) == (2, "")
    models = json.loads(output)["models"]
    assert sorted(model["status"] for model in models) == ["broken", *["passed"] * (MODELS - 1)]
    (broken,) = (model for model in models if model["status"] == "broken")
    assert "was killed by SIGKILL; there may be too little memory" in broken["findings"][0]["failure"]


@pytest.mark.parametrize(
    ("number", "told", "status"),
    [pytest.param(signal.SIGINT, "interrupted", 130), pytest.param(signal.SIGTERM, "terminated", 143)],
)
@pytest.mark.parametrize(
    ("words", "begun"),
    [
        pytest.param(["check", "in", "--expect", "decomposed=5", "--optimized"], "workers", id="check, importing"),
        pytest.param(["optimize", "in", "-o", "out"], "workers", id="optimize, importing"),
        pytest.param(["optimize", "in", "-o", "out"], "outputs", id="optimize, at work"),
    ],
)
def test_a_signal_ends_all_processes_and_leaves_nothing_half_done(
    words: list[str], begun: str, number: int, told: str, status: int, folder: Path
) -> None:
    run = started(folder, *words)
    outputs = folder / "out"
    until(lambda: len(workers_of(run)) == 2)
    workers = workers_of(run)
    if begun == "outputs":
        until(lambda: list(outputs.glob("*.onnx")))
    # The keyboard interrupts all processes of the group, a job's time limit terminates the one that it has started.
    (os.killpg if number == signal.SIGINT else os.kill)(run.pid, number)
    assert run.communicate(timeout=30) == ("", f"normgraph: {told}\n")
    assert run.returncode == status
    assert not any(Path(f"/proc/{process}").exists() for process in workers)
    left = {path.name for path in outputs.glob("*")} | {path.name for path in outputs.glob(".*")}
    models = {name for name in left if name.endswith(".onnx") and not name.startswith(".")}
    assert left - models <= {"normgraph-manifest.json"}
    assert len(models) < MODELS
    for name in models:
        onnx.checker.check_model(onnx.load(outputs / name))
