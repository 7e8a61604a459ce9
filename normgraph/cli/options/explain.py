"""What ``normgraph explain`` takes."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from normgraph.cli.command import Command
from normgraph.cli.options import shared

_DESCRIPTION = """\
Lists every normalization of a model, native or decomposed: its axes, whether
its statistics are taken within each sample or over the batch, its epsilon and
parameters, and for each that isn't one operator, why; and every scale and shift
per channel that could be folded into its neighbour. Nothing is written."""
_EXAMPLES = """\
examples:
  normgraph explain bert.onnx
  normgraph explain bert.onnx --json | jq '.sites[] | select(.status == "near_miss")'
"""


@dataclass(frozen=True)
class ExplainOptions:
    """What `normgraph explain` was told.

    Attributes:
        model: the file to read.
        target: the runtime, with its version behind an @ or without.
        allow_contrib: permit operators of the target's own.
        json: print the report instead of tables.
    """

    model: Path
    target: str
    allow_contrib: bool
    json: bool


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="IN", type=shared.model, help="the model, an ONNX file")
    shared.add_target(parser.add_argument_group("what could be done with it"))
    parser.add_argument_group("what is told").add_argument(
        "--json", action="store_true", help="print the report as JSON instead of tables"
    )


COMMAND = Command(
    "explain",
    "list every normalization of a model",
    _DESCRIPTION,
    _EXAMPLES,
    ExplainOptions,
    _add,
    "normgraph.cli.explain",
)
