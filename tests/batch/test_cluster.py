"""The same work on a Dask cluster: what a lost worker was at is done by another."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest

from normgraph.batch import Failed, run_on
from normgraph.batch.cluster import _result
from normgraph.cli import main
from normgraph.errors import BadModelError, UsageError
from tests.commands import BERT, NEAR_MISSES, heard_from_the_keyboard
from tests.test_architecture import ROOT

pytestmark = [
    pytest.mark.slow,  # a cluster of processes takes some ten seconds to come and go
    pytest.mark.filterwarnings("default"),  # Dask's own, on whatever NumPy and Python there are
]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Any]:
    """Three worker processes on this machine, of one thread each."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=3,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        local_directory=str(tmp_path),
        memory_limit=None,
    ) as cluster:
        yield cluster


def slowly(task: tuple[int, str]) -> tuple[int, int]:
    """The number's square, and which process found it; every start leaves a trace."""
    number, folder = task
    (Path(folder) / f"{number}-{os.getpid()}").touch()
    time.sleep(0.4)
    if number == 5:
        raise BadModelError("five is refused")
    return number**2, os.getpid()


def test_nothing_is_lost_with_a_worker(cluster: Any, tmp_path: Path) -> None:
    traces = tmp_path / "traces"
    traces.mkdir()
    items = [(number, str(traces)) for number in range(18)]
    found: dict[int, Any] = {}
    victim = None
    for outcome in run_on(cluster.scheduler_address, slowly, items):
        found[outcome.position] = outcome.result
        if victim is None and isinstance(outcome.result, tuple):
            victim = outcome.result[1]
            os.kill(victim, signal.SIGKILL)
    assert sorted(found) == list(range(18))
    refused = found.pop(5)
    assert isinstance(refused, Failed)
    assert (refused.message, refused.kind) == ("five is refused", BadModelError)
    assert {position: result[0] for position, result in found.items()} == {n: n**2 for n in range(18) if n != 5}
    starts = [path.name.split("-") for path in traces.iterdir()]
    begun_by_victim = {int(number) for number, process in starts if int(process) == victim}
    finished_by_victim = {position for position, result in found.items() if result[1] == victim}
    assert begun_by_victim - finished_by_victim, "the worker was killed between two items: nothing was shown"


def test_models_are_optimized_on_a_cluster(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # where the workers, which were there before, don't stand
    models = tmp_path / "models"
    models.mkdir()
    for name in ("a.onnx", "b.onnx", "c.onnx"):
        shutil.copy(NEAR_MISSES, models / name)
    (models / "broken.onnx").write_bytes(b"no model")
    words = ["optimize", "models", "-o", "out", "--report", "reports", "--dask", cluster.scheduler_address]
    assert main(words) == 2
    printed = capsys.readouterr()
    assert "3 written, 1 failed" in printed.out
    assert printed.err.startswith("normgraph: error: the file is truncated")
    assert printed.err.count("models/broken.onnx") == 1
    assert len(list((tmp_path / "reports").iterdir())) == 3
    for name in ("a.onnx", "b.onnx", "c.onnx"):
        operators = [node.op_type for node in onnx.load(tmp_path / "out" / name).graph.node]
        assert operators.count("LayerNormalization") == 1
    (models / "broken.onnx").unlink()
    assert main(words) == 0
    assert "3 up to date" in capsys.readouterr().out


@pytest.fixture
def empty_cluster() -> Iterator[Any]:
    """A cluster that has no worker yet."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=0, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=None
    ) as cluster:
        yield cluster


def test_no_worker_is_told_and_not_waited_for_without_end(empty_cluster: Any) -> None:
    told: list[str] = []
    began = time.monotonic()
    with pytest.raises(UsageError, match=r"must have a worker, and for 5 s there has been none: tcp://.*--dask-wait"):
        list(run_on(empty_cluster.scheduler_address, str, [1], wait=5, tell=told.append))
    assert 5 <= time.monotonic() - began < 20
    (message,) = told
    assert message.startswith(f"the Dask cluster has no worker: {empty_cluster.scheduler_address}; waiting for one, ")


def test_a_worker_that_comes_late_does_the_work(empty_cluster: Any) -> None:
    told: list[str] = []

    def tell(message: str) -> None:
        told.append(message)
        empty_cluster.scale(1)

    outcomes = run_on(empty_cluster.scheduler_address, str, [1, 2], tell=tell)
    assert sorted(outcome.result for outcome in outcomes) == ["1", "2"]  # type: ignore[type-var]
    assert len(told) == 1


def test_the_command_tells_that_there_is_no_worker(
    empty_cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("normgraph.batch.cluster.TOLD_AFTER", 0.5)
    words = ["--dask", empty_cluster.scheduler_address, "--dask-wait", "2"]
    assert main(["optimize", str(NEAR_MISSES), "-o", f"{tmp_path}/out/", *words]) == 2
    told, failed = capsys.readouterr().err.splitlines()
    assert told.startswith("normgraph: the Dask cluster has no worker: ")
    assert failed.startswith("normgraph: error: a Dask cluster must have a worker, and for 2 s there has been none: ")


def test_an_interruption_cancels_what_has_not_begun(cluster: Any, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    for number in range(60):
        shutil.copy(BERT, models / f"{number}.onnx")
    words = ["-m", "normgraph", "optimize", models, "-o", tmp_path / "out", "--dask", cluster.scheduler_address]
    with heard_from_the_keyboard():
        run = subprocess.Popen(
            [sys.executable, *words],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=True,  # the keyboard interrupts the run, and not the cluster
            stderr=subprocess.PIPE,
            text=True,
        )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("out/*.onnx")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(run.pid, signal.SIGINT)
    assert run.communicate(timeout=30)[1] == "normgraph: interrupted\n"
    assert run.returncode == 130
    with cluster.get_client() as client:
        while any(client.processing().values()) and time.monotonic() < deadline:
            time.sleep(0.1)  # a worker finishes the model that it is at
        assert not any(client.processing().values())
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    done = [name for name in files if name.endswith(".onnx")]
    assert 0 < len(done) < 60
    assert set(files) - set(done) <= {"normgraph-manifest.json"}
    for name in done:
        onnx.checker.check_model(onnx.load(tmp_path / "out" / name))


def test_waiting_without_a_cluster_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["optimize", str(NEAR_MISSES), "--dry-run", "--dask-wait", "5"]) == 2
    assert "name it with --dask" in capsys.readouterr().err


@pytest.mark.parametrize("status", ["cancelled", "lost"])
def test_work_that_is_lost_with_the_scheduler_is_told_so(status: str) -> None:
    failed = _result(SimpleNamespace(status=status, exception=lambda: None))
    assert isinstance(failed, Failed)
    assert "its scheduler is lost; run it again" in failed.message


def test_an_address_without_scheduler_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("normgraph.batch.cluster.PATIENCE", 0.5)
    with pytest.raises(UsageError, match="there must be a Dask scheduler"):
        list(run_on("tcp://127.0.0.1:9", slowly, []))
