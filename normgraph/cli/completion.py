"""Completion of command lines by the shell, made by shtab from the table of commands."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from normgraph.cli.options.shared import TARGETS

#: The shells that shtab knows.
SHELLS = ("bash", "zsh", "fish", "tcsh")
#: Arguments whose values are texts, and yet files.
_FILES = frozenset({"models", "before", "after", "inputs", "output"})


class PrintCompletion(argparse.Action):
    """Prints a script for a shell, and ends the program."""

    def __call__(self, parser: argparse.ArgumentParser, _: object, shell: Any, option: str | None = None) -> NoReturn:
        """Called where the option is met."""
        try:
            import shtab
        except ImportError:
            parser.error("completion needs shtab; install 'normgraph[completion]'")
        for action in _actions(parser):
            if isinstance(action, argparse._SubParsersAction):
                for command in action._choices_actions:  # shells show a line, and a description has several
                    action.choices[command.dest].description = command.help
            if action.dest == "target":
                action.choices = TARGETS  # versions may follow, but the names are what one wants completed
            elif action.type is Path or action.dest in _FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
        sys.stdout.write(shtab.complete(parser, shell=shell) + "\n")
        parser.exit()


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The arguments of a parser and of its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _actions(inner)
