"""Writes to the standard output: tables no wider than the terminal, or, where there is none, as they are."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

from normgraph.errors import OutputError

if TYPE_CHECKING:
    from rich.console import RenderableType

#: The width for files and pipes: nothing is wrapped or cut there.
UNLIMITED = 1 << 16
#: What stands for the characters of our own that an encoding may lack.
_PLAIN = str.maketrans({"→": "->", "×": "x", "·": "-", "−": "-"})


def show(renderable: RenderableType) -> None:
    """Print a renderable, in colour only on a terminal and where NO_COLOR isn't set."""
    from rich.console import Console

    stdout = Console()
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        width=stdout.width if stdout.is_terminal else UNLIMITED,
        force_terminal=stdout.is_terminal,
        color_system=stdout.color_system,  # type: ignore[arg-type]
        no_color=stdout.no_color,
        markup=False,
        highlight=False,
        emoji=False,
    )
    console.print(renderable)
    write("\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n")


def write(text: str) -> None:
    """Print text as it is; characters that the encoding lacks are replaced.

    Raises:
        OutputError: the standard output takes no more.
        BrokenPipeError: nobody reads it any more.
    """
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = text.translate(_PLAIN)
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        # Python flushes once more when it exits, and would complain a second time.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        reason = error.strerror or str(error)
        raise OutputError(f"the standard output takes no more ({reason}); check the space left") from error


def write_json(text: str) -> None:
    """Print JSON: UTF-8 whatever the terminal's encoding is, what isn't text escaped as JSON has it."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    write(text)
