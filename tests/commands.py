"""The command as a person runs it, and what it leaves in a folder."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from normgraph.batch import workers_for
from tests.samples import FOLDER

BERT = FOLDER / "samples" / "bert_torchscript_13.onnx"
NEAR_MISSES = FOLDER / "samples" / "near_misses_torchscript_13.onnx"


def command(*words: object, cwd: Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the command as a person does, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(FOLDER.parent), "COLUMNS": "80"}
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-m", "normgraph", *map(str, words)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=60,
        **options,
    )


def stay_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has --jobs 1 work on several models in the tests' own process, as on a single one: processes take their time."""
    for module in ("normgraph.check.run", "normgraph.cli.optimize_many"):
        monkeypatch.setattr(
            f"{module}.workers_for", lambda items, asked: workers_for(items, asked) if asked != 1 else 0
        )


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@contextmanager
def heard_from_the_keyboard() -> Iterator[None]:
    """What is started in the block hears Ctrl-C, also where the tests run in a shell's background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
