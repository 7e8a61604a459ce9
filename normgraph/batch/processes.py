"""Runs one function on many items in parallel processes; a process that dies costs the one item it was at."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection, get_context, resource_tracker
from typing import Any, Generic, NoReturn, TypeVar

from normgraph.errors import NormgraphError
from normgraph.importing import collecting_seldom, frugally

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Seconds that a process has to put away what it was writing, before it is killed.
GRACE = 5.0


@dataclass(frozen=True)
class Failed:
    """Why the work on an item came to nothing.

    Attributes:
        message: one line.
        kind: the class of the error; none of normgraph's own where it is a mistake of normgraph's.
        details: the traceback of an error that wasn't expected, else empty.
    """

    message: str
    kind: type[Exception] = NormgraphError
    details: str = ""

    @property
    def expected(self) -> bool:
        """Whether it is an error that normgraph raises on purpose."""
        return issubclass(self.kind, NormgraphError)


@dataclass(frozen=True)
class Outcome(Generic[Item, Result]):
    """What came of one item.

    Attributes:
        position: where it stands among the items.
        item: the item.
        result: what the function returned, or why it returned nothing.
    """

    position: int
    item: Item
    result: Result | Failed


def workers_for(items: int, asked: int | None) -> int:
    """How many processes to take: as many as asked for, else as there are processors, but no more than items.

    A single item needs none: there is nothing that its end could take along.
    """
    return 0 if items <= 1 else min(items, asked if asked is not None else _processors())


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):  # fewer than the machine has, in a container that is given fewer
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_all(work: Callable[[Item], Result], items: Sequence[Item], *, workers: int) -> Iterator[Outcome[Item, Result]]:
    """Yield the outcome of every item as soon as it is there.

    Args:
        work: the function; with any worker it, the items and the results must be picklable.
        items: what it is called with, one at a time.
        workers: how many processes; with 0, everything happens in this one.

    A function that raises, or whose process is killed, makes the item's result a `Failed`; the others go on. Where the
    caller stops early or is interrupted, the processes are ended.
    """
    if workers < 1:
        for position, item in enumerate(items):
            yield Outcome(position, item, attempt(work, item))
        return
    # A process that is forked while ONNX Runtime's threads run may hang; one that is spawned can't.
    context = get_context("spawn")
    waiting = deque(enumerate(items))
    crew = [_Worker(context, work) for _ in range(workers)]
    try:
        while True:
            for worker in crew:
                if worker.task is None and waiting:
                    worker.give(waiting.popleft())
            busy = {worker.connection: worker for worker in crew if worker.task is not None}
            if not busy:
                break
            for ready in connection.wait(list(busy)):
                worker = busy[ready]
                position, item = worker.taken()
                result, alive = worker.result()
                if not alive:
                    crew.remove(worker)
                    if waiting:
                        crew.append(_Worker(context, work))
                yield Outcome(position, item, result)
    finally:
        for worker in crew:
            worker.end()


def attempt(work: Callable[[Item], Result], item: Item) -> Result | Failed:
    """The function's result, or why there is none."""
    try:
        return work(item)
    except NormgraphError as error:
        return Failed(" ".join(str(error).split()), type(error))
    except Exception as error:
        told = " ".join(str(error).split())
        return Failed(
            f"an error of normgraph's own: {type(error).__name__}: {told}", RuntimeError, traceback.format_exc()
        )


class _Worker:
    """A process that takes one item at a time."""

    def __init__(self, context: Any, work: Callable[[Any], Any]) -> None:
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, pickle.dumps(work)), daemon=True)
        with _deaf_to_the_keyboard():
            self._process.start()
        theirs.close()  # so that reading ends when the process does
        self.task: tuple[int, Any] | None = None

    def give(self, task: tuple[int, Any]) -> None:
        self.task = task
        with suppress(OSError):  # where it has died already, that shows when its answer is read
            self.connection.send(task[1])

    def taken(self) -> tuple[int, Any]:
        assert self.task is not None
        task, self.task = self.task, None
        return task

    def result(self) -> tuple[Any, bool]:
        """What became of the item, and whether the process is still there."""
        try:
            return self.connection.recv(), True
        except (EOFError, OSError):
            self._process.join()
            return Failed(_how_it_ended(self._process.exitcode)), False

    def end(self) -> None:
        """Ask the process to put away what it was at, and see that it is gone."""
        self._process.terminate()
        self._process.join(GRACE)
        self._process.kill()
        self._process.join()
        self.connection.close()


@contextmanager
def _deaf_to_the_keyboard() -> Iterator[None]:
    """What is started in the block never hears Ctrl-C, not even while it is importing: the parent does, and ends it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # which lets the signal through again when it is started
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _how_it_ended(code: int | None) -> str:
    """Why there is no result, as a sentence."""
    if code is None or code >= 0:
        return f"the process that worked on it ended with status {code}; try the model by itself"
    names = {number.value: number.name for number in signal.Signals}
    how = f"the process that worked on it was killed by {names.get(-code, f'signal {-code}')}"
    if -code == signal.SIGKILL:
        return f"{how}; there may be too little memory: try fewer at once, as in --jobs 1"
    return f"{how}: it crashed, most likely in ONNX Runtime; try the model by itself, or another version of that"


def _serve(channel: connection.Connection[Any, Any], pickled: bytes) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the keyboard interrupts the parent, which ends this process
    signal.signal(signal.SIGTERM, _leave)
    with frugally():
        work: Callable[[Any], Any] = pickle.loads(pickled)  # which imports what it is of
    with collecting_seldom():
        while True:
            try:
                item = channel.recv()
            except EOFError:
                return
            result = attempt(work, item)
            try:
                channel.send(result)
            except (pickle.PicklingError, TypeError, AttributeError) as error:
                channel.send(Failed(f"an error of normgraph's own: its result can't be sent: {error}", RuntimeError))


def _leave(*_: object) -> NoReturn:
    """End the process by way of its ``finally`` clauses, which put away files that aren't done."""
    sys.unraisablehook = _leave_soon
    sys.exit(128 + signal.SIGTERM)


def _leave_soon(_: object) -> None:
    """Python passes over what is raised while a finalizer runs, also the end of the process: try again behind it."""
    signal.signal(signal.SIGALRM, _leave)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
