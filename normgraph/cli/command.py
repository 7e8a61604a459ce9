"""What a command is: its name, its help, its options, and the module that runs it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Command:
    """A command of the program.

    Attributes:
        name: what is typed.
        help: one line for the list of commands.
        description: what it does, in a few lines.
        examples: what stands at the end of its help.
        options: the dataclass of its options; the names of its fields are those of the arguments.
        add: puts its arguments into a parser.
        module: the module whose ``run(options, started)`` runs it and returns the exit status; imported only then.
    """

    name: str
    help: str
    description: str
    examples: str
    options: type[Any]
    add: Callable[[argparse.ArgumentParser], None]
    module: str
