"""The command line: `normgraph.cli.arguments.COMMANDS` is the table of its commands.

Nothing here imports onnx, NumPy or ONNX Runtime before a command runs, so that help and usage errors come at
once.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import NoReturn

from normgraph.cli.arguments import parse
from normgraph.cli.exit_statuses import BROKEN_PIPE, DONE, INTERNAL_ERROR, INTERRUPTED, TERMINATED, status_of
from normgraph.errors import NormgraphError
from normgraph.importing import collecting_seldom, exit_with, frugally

__all__ = ["main", "program"]


class _Terminated(KeyboardInterrupt):
    """Another process asks this one to end, as a CI job's time limit does: as from the keyboard, files are put away."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: what stands behind the program's name; by default ``sys.argv``'s.

    Returns:
        The exit status: 0 done, 1 a requested guarantee doesn't hold (the opset can't be had), 2 bad input or
        usage, 70 an error of normgraph itself, 130 interrupted, 141 nobody reads the output any more, 143 terminated.
    """
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more when it exits, so that has to go somewhere else.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    return status


def program() -> NoReturn:
    """The command ``normgraph``: `main`, and the end of the process.

    Raises:
        SystemExit: always, with the exit status.
    """
    signal.signal(signal.SIGTERM, _terminate)
    exit_with(main())


def _terminate(*_: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what is put away now isn't interrupted once more
    raise _Terminated


def _run(arguments: Sequence[str] | None) -> int:
    started = time.perf_counter()
    try:
        command, options = parse(arguments)
        with _imported(command.module) as module:
            status = module.run(options, started)
        assert isinstance(status, int)
        return status
    except NormgraphError as error:
        _complain(f"error: {error}")
        return status_of(type(error))
    except _Terminated:
        _complain("terminated")
        return TERMINATED
    except KeyboardInterrupt:
        _complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception:
        import traceback

        traceback.print_exc()
        _complain("this is an error of normgraph's own; please report it with the lines above")
        return INTERNAL_ERROR
    except SystemExit as finished:  # argparse has printed help or a version
        return finished.code if isinstance(finished.code, int) else DONE


@contextmanager
def _imported(name: str) -> Iterator[ModuleType]:
    """A command's module, with all that it imports set aside from Python's collector for the block's time."""
    with frugally():
        module = import_module(name)
    with collecting_seldom():
        yield module


def _complain(message: str) -> None:
    from normgraph.cli.text import printable

    print(f"normgraph: {printable(' '.join(message.split()))}", file=sys.stderr)  # noqa: T201
