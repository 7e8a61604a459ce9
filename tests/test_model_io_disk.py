"""The kernel is told what a file is going to take and what has been written of it, and may answer what it likes."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from normgraph import model_io
from normgraph.errors import OutputError
from normgraph.model_io import disk, writing
from tests.model_files import plain, sub_graphs

pytestmark = pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="there is nobody to tell")


def fails(number: int) -> Callable[..., None]:
    """A call that the system answers with an error."""

    def call(*_: int) -> None:
        raise OSError(number, os.strerror(number))

    return call


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Ranges of files that the kernel is told of, once every 1,000 bytes."""
    ranges: list[tuple[int, int]] = []
    monkeypatch.setattr(disk, "STEP_BYTES", 1000)
    monkeypatch.setattr(os, "posix_fadvise", lambda _, begin, length, __: ranges.append((begin, begin + length)))
    return ranges


@pytest.mark.parametrize("external_data", ["never", "always"])
def test_the_disk_is_kept_busy_while_a_model_is_copied(
    external_data: writing.ExternalData, told: list[tuple[int, int]], tmp_path: Path
) -> None:
    onnx.save(plain(), tmp_path / "in.onnx")
    files = model_io.save(model_io.load(tmp_path / "in.onnx"), tmp_path / "out.onnx", external_data=external_data)
    size = files[0].stat().st_size
    written, expected = (
        [numpy_helper.to_array(tensor) for tensor in proto.graph.initializer]
        for proto in (onnx.load(tmp_path / "out.onnx"), plain())
    )
    np.testing.assert_equal(written, expected)
    assert told[0][0] == 0
    assert [end for _, end in told[:-1]] == [begin for begin, _ in told[1:]]
    assert size - 1000 < told[-1][1] <= size
    assert all(1000 <= end - begin < 2500 for begin, end in told)


SYSTEMS = [
    pytest.param("posix_fallocate", fails(errno.EOPNOTSUPP), None, id="can't reserve space"),
    pytest.param("posix_fallocate", fails(errno.ENOSPC), "can't be written: .*out.onnx.*No space left", id="is full"),
    pytest.param("posix_fallocate", fails(errno.EFBIG), "can't be written: .*too large", id="takes none so large"),
    pytest.param("posix_fadvise", fails(errno.EINVAL), None, id="takes no advice"),
    pytest.param("posix_fallocate", None, None, id="has no way to reserve space"),
    pytest.param("posix_fadvise", None, None, id="has no way to take advice"),
]


@pytest.mark.parametrize(("call", "answer", "message"), SYSTEMS)
@pytest.mark.usefixtures("told")
def test_a_model_is_written_whatever_the_system_can_be_told(
    call: str, answer: Callable[..., None] | None, message: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if answer is None:
        monkeypatch.delattr(os, call)
    else:
        monkeypatch.setattr(os, call, answer)
    onnx.save(sub_graphs(), tmp_path / "in.onnx")
    model = model_io.load(tmp_path / "in.onnx")
    if message is None:
        model_io.save(model, tmp_path / "out.onnx")
        assert onnx.load(tmp_path / "out.onnx") == sub_graphs()
    else:
        with pytest.raises(OutputError, match=message):
            model_io.save(model, tmp_path / "out.onnx")
        assert [path.name for path in tmp_path.iterdir()] == ["in.onnx"]
