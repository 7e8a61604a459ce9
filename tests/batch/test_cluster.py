"""The same work on a Dask cluster: what a lost worker was at is done by another."""

import os
import shutil
import signal
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
from tests.commands import NEAR_MISSES

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
    assert "models/broken.onnx: the file is truncated" in printed.err
    assert len(list((tmp_path / "reports").iterdir())) == 3
    for name in ("a.onnx", "b.onnx", "c.onnx"):
        operators = [node.op_type for node in onnx.load(tmp_path / "out" / name).graph.node]
        assert operators.count("LayerNormalization") == 1
    (models / "broken.onnx").unlink()
    assert main(words) == 0
    assert "3 up to date" in capsys.readouterr().out


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
