"""A progress bar on the standard error, where there is a terminal and somebody has waited for a while."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from normgraph.progress import Progress as Callback
from normgraph.progress import silent

#: Seconds before the bar is shown.
PATIENCE = 1.0


@contextmanager
def shown(*, wanted: bool) -> Iterator[Callback]:
    """A callback that moves the bar; the bar leaves no trace when the block ends."""
    if not wanted or not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_interactive:
        yield silent
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    task = bar.add_task("reading the model", total=None, count="")

    def move(description: str, done: int, total: int) -> None:
        count = f"{done}/{total}" if total else ""
        bar.update(task, description=description, completed=done, total=total or None, count=count)

    timer = threading.Timer(PATIENCE, bar.start)
    timer.daemon = True
    timer.start()
    try:
        yield move
    finally:
        timer.cancel()
        timer.join()
        bar.stop()
