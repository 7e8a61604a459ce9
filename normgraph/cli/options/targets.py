"""What ``normgraph targets`` takes."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from normgraph.cli.command import Command
from normgraph.cli.options import shared

_DESCRIPTION = """\
Shows the table of targets: for each runtime and kind of normalization the
operators that optimize may emit, the opset that each needs, the element types it
takes, and what isn't done there although it might be."""
_EXAMPLES = """\
examples:
  normgraph targets
  normgraph targets tensorrt
"""


@dataclass(frozen=True)
class TargetsOptions:
    """What `normgraph targets` was told.

    Attributes:
        target: the one runtime to show; None for all.
    """

    target: str | None


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="NAME", nargs="?", type=shared.target, help="only this runtime")


COMMAND = Command(
    "targets",
    "show which operators each runtime gets",
    _DESCRIPTION,
    _EXAMPLES,
    TargetsOptions,
    _add,
    "normgraph.cli.targets",
)
