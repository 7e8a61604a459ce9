"""Whatever interrupts writing, under the model's name stands a model that can be read: the earlier or the new one."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from normgraph import model_io
from normgraph.model_io import staging
from tests.model_files import plain

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are killed differently")
KILLED = 77


def model_of(number: float) -> onnx.ModelProto:
    """A model that is told from others by its weight."""
    proto = plain()
    tensor = proto.graph.initializer[0]
    array = np.full_like(numpy_helper.to_array(tensor), number)
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return proto


def number_of(path: Path) -> float:
    """Which model it is, as the ordinary loader reads it, with its data."""
    onnx.checker.check_model(path)
    array = numpy_helper.to_array(onnx.load(path).graph.initializer[0])
    assert (array == array.flat[0]).all()
    return float(array.flat[0])


def kill_at(step: int) -> None:
    """Ends this process, as a kill does, before the step of writing with this number, counted from 0."""
    steps = 0

    def counted(work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            nonlocal steps
            if steps == step:
                os._exit(KILLED)
            steps += 1
            return work(*arguments, **options)

        return run

    for owner, name in (
        (Path, "replace"),
        (Path, "unlink"),
        (os, "fsync"),
        (staging, "_append"),
    ):
        setattr(owner, name, counted(getattr(owner, name)))


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Does the work in a process of its own that is killed at a step; whether it got that far."""
    child = os.fork()
    if child == 0:
        try:
            kill_at(step)
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == KILLED


def nothing(folder: Path) -> None:
    """No earlier output."""


def earlier(external_data: Any) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        model_io.save(model_io.as_model(model_of(1)), folder / "model.onnx", external_data=external_data)

    return write


BEFORE = [
    pytest.param(nothing, id="nothing before"),
    pytest.param(earlier("never"), id="one file before"),
    pytest.param(earlier("always"), id="two files before"),
]


@pytest.mark.parametrize("external_data", ["never", "always"])
@pytest.mark.parametrize("before", BEFORE)
def test_a_kill_at_any_step_leaves_a_model_that_can_be_read(
    before: Callable[[Path], None], external_data: Any, tmp_path: Path
) -> None:
    new = model_io.as_model(model_of(2))
    found: list[float | None] = []
    for step in range(100):
        folder = tmp_path / str(step)
        folder.mkdir()
        before(folder)
        path = folder / "model.onnx"

        def write(path: Path = path) -> None:
            model_io.save(new, path, external_data=external_data)

        if not killed_at(step, write):
            break
        found.append(number_of(path) if path.exists() else None)
    assert number_of(path) == 2
    names = {"model.onnx", "model.onnx.data"} if external_data == "always" else {"model.onnx"}
    left_behind = {"model.onnx.data"} if external_data == "never" else set()
    assert {file.name for file in folder.iterdir()} - left_behind == names
    old = None if before is nothing else 1.0
    assert set(found) <= {old, 2.0}
    assert found == sorted(found, key=lambda number: number == 2.0), "the new model was there and went away again"
    assert len(found) > 4


def test_a_disk_that_fills_up_leaves_the_earlier_model(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    earlier("always")(tmp_path)
    size = path.with_name("model.onnx.data").stat().st_size
    limits = (0, 100, size // 2, size - 1)
    code = """
        import pathlib, resource, signal, sys
        from normgraph import errors, model_io
        from tests.test_model_io_interrupted import model_of, number_of
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        path, new = pathlib.Path(sys.argv[1]), model_io.as_model(model_of(2))
        for limit in map(int, sys.argv[2:]):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            try:
                model_io.save(new, path, external_data="always")
            except errors.OutputError as error:
                print(error)
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            assert number_of(path) == 1
            assert {file.name for file in path.parent.iterdir()} == {"model.onnx", "model.onnx.data"}
    """
    command = [sys.executable, "-c", textwrap.dedent(code), path, *map(str, limits)]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, check=True, capture_output=True, text=True)
    assert done.stdout.count("can't be written") == len(limits)


def test_both_files_written_over_themselves_are_as_if_written_anew(tmp_path: Path) -> None:
    for name in ("over", "anew"):
        (tmp_path / name).mkdir()
    earlier("always")(tmp_path / "over")
    for name in ("over", "anew"):
        model_io.save(model_io.as_model(model_of(2)), tmp_path / name / "model.onnx", external_data="always")
    for name in ("model.onnx", "model.onnx.data"):
        assert (tmp_path / "over" / name).read_bytes() == (tmp_path / "anew" / name).read_bytes()
