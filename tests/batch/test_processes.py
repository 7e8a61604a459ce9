"""Work in parallel processes: every item has its outcome, whatever becomes of the others."""

import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
import weakref
from functools import partial
from pathlib import Path

import onnx_ir
import pytest

from normgraph.batch import Failed, expand, run_all, workers_for
from normgraph.batch.processes import _how_it_ended
from normgraph.errors import BadModelError


def halved(number: int) -> int:
    """Half of an even number; what is odd goes wrong in a way of its own."""
    match number:
        case 3:
            raise BadModelError("a number must be even,\n not 3")
        case 5:
            os.kill(os.getpid(), signal.SIGKILL)
        case 7:
            os._exit(9)
        case 9:
            raise ZeroDivisionError("by no number")
    return number // 2


def unsendable(number: int) -> object:
    return threading.Lock() if number else 0


@pytest.mark.parametrize("workers", [pytest.param(0, id="here"), pytest.param(2, id="two processes")])
def test_every_item_has_an_outcome(workers: int) -> None:
    items = [0, 3, 2, 9, 4]
    outcomes = sorted(run_all(halved, items, workers=workers), key=lambda outcome: outcome.position)
    assert [outcome.item for outcome in outcomes] == items
    assert [outcome.result for outcome in outcomes][::2] == [0, 1, 2]
    expected, unexpected = (outcome.result for outcome in outcomes[1::2])
    assert expected == Failed("a number must be even, not 3", BadModelError)
    assert isinstance(unexpected, Failed)
    assert not unexpected.expected
    assert "ZeroDivisionError: by no number" in unexpected.message
    assert "Traceback" in unexpected.details


@pytest.mark.parametrize("workers", [pytest.param(1, id="one process"), pytest.param(2, id="two processes")])
def test_a_process_that_dies_costs_one_item(workers: int) -> None:
    items = [5, 7, 2, 4, 6, 8, 5]
    results = {o.position: o.result for o in run_all(halved, items, workers=workers)}
    assert [results[position] for position in (2, 3, 4, 5)] == [1, 2, 3, 4]
    for position, how in ((0, "killed by SIGKILL"), (1, "ended with status 9"), (6, "killed by SIGKILL")):
        result = results[position]
        assert isinstance(result, Failed)
        assert how in result.message


def test_a_result_that_cannot_be_sent_is_a_failure() -> None:
    results = {o.position: o.result for o in run_all(unsendable, [1, 0], workers=2)}
    assert isinstance(results[0], Failed)
    assert results[1] == 0


def test_processes_end_with_the_caller() -> None:
    outcomes = run_all(process_of, [0] * 6, workers=2)
    first = next(outcomes).result
    assert isinstance(first, int)
    outcomes.close()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{first}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        pytest.param(-signal.SIGKILL, "by SIGKILL; there may be too little memory", id="out of memory"),
        pytest.param(-signal.SIGSEGV, "by SIGSEGV: it crashed", id="a crash"),
        pytest.param(-60, "by signal 60: it crashed", id="a signal without a name"),
        pytest.param(9, "ended with status 9", id="a status"),
    ],
)
def test_how_a_process_ended_is_told_with_what_to_do(code: int, told: str) -> None:
    message = _how_it_ended(code)
    assert told in message
    assert "; " in message


def process_of(_: int) -> int:
    return os.getpid()


class Held:
    """Something to be put away."""


def at_a_finalizer(path: Path) -> None:
    """Put something away for a while, and say so; then go on working."""
    held = Held()
    weakref.finalize(held, lambda: (path.touch(), time.sleep(0.5)))
    del held
    time.sleep(60)


def test_a_process_that_is_asked_to_end_while_it_puts_things_away_ends_behind_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    outcomes = run_all(at_a_finalizer, [tmp_path / "begun"], workers=1)
    asking = threading.Thread(target=next, args=(outcomes,))
    asking.start()
    deadline = time.monotonic() + 30
    while not (tmp_path / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    for process in multiprocessing.active_children():
        process.terminate()
    begun = time.monotonic()
    asking.join()
    assert time.monotonic() - begun < 10
    outcomes.close()
    assert capfd.readouterr() == ("", "")


def imports_of(_: object, names: list[str]) -> tuple[list[str], bool]:
    return [name for name in names if name in sys.modules], gc.get_freeze_count() > 0


def test_a_process_loads_what_its_work_seldom_uses_when_it_does() -> None:
    work = partial(imports_of, onnx_ir.DataType.FLOAT)  # which can't be sent without onnx_ir
    names = ["onnx_ir", "sympy", "sympy.core", "mpmath"]
    assert [o.result for o in run_all(work, [names], workers=1)] == [(["onnx_ir", "sympy"], True)]


def test_there_are_no_more_workers_than_items() -> None:
    assert workers_for(3, 8) == 3
    assert workers_for(2, 1) == 1
    assert workers_for(0, None) == workers_for(1, None) == workers_for(1, 4) == 0
    assert 1 <= workers_for(1000, None) <= (os.cpu_count() or 1)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a.onnx", "deep/er/b.onnx", "deep/c.onnx", "deep/c.onnx.data", "od[d].onnx"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("patterns", "files"),
    [
        pytest.param(["x.onnx", "a.onnx", "x.onnx"], ["x.onnx", "a.onnx"], id="paths, existing or not, once"),
        pytest.param(["deep"], ["deep/c.onnx", "deep/er/b.onnx"], id="a folder"),
        pytest.param(["deep/*.onnx"], ["deep/c.onnx"], id="a pattern"),
        pytest.param(["**/*.onnx"], ["a.onnx", "deep/c.onnx", "deep/er/b.onnx", "od[d].onnx"], id="any depth"),
        pytest.param(["od[d].onnx"], ["od[d].onnx"], id="a file whose name looks like a pattern"),
    ],
)
def test_patterns_stand_for_files(patterns: list[str], files: list[str], folder: Path) -> None:
    assert expand(patterns) == files


@pytest.mark.parametrize("pattern", ["*.pt", "deep/er/none*", "empty"])
def test_a_pattern_without_files_is_an_error(pattern: str, folder: Path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(BadModelError, match="there is none"):
        expand([pattern])
