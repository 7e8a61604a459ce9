"""What ``normgraph verify`` takes."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from normgraph.cli.command import Command
from normgraph.cli.options import shared

_DESCRIPTION = """\
Runs two models side by side in ONNX Runtime on the same inputs and compares every
output: names, shapes, types, where they aren't finite, and by how much they differ.
Where the first model can be computed in float64, both are judged against that, since
two models that differ may both be right to within rounding. If they part, the first
tensor that differs is looked for, and the node that makes it. ONNX Runtime's own
optimizations are off, so that they can't hide what was changed."""
_EXAMPLES = """\
examples:
  normgraph verify bert.onnx bert.opt.onnx
  normgraph verify bert.onnx bert.opt.onnx --dim batch=8 --dim sequence=128
  normgraph verify bert.onnx bert.opt.onnx --inputs samples.npz --rtol 1e-3
  normgraph verify bert.onnx bert.opt.onnx --inputs mine.py:batches --json
"""


@dataclass(frozen=True, kw_only=True)
class VerifyOptions(shared.FeedingOptions):
    """What `normgraph verify` was told, besides what the models are fed.

    Attributes:
        before: the first model's file.
        after: the second model's file.
        sizes: how many assignments of sizes are tried.
        rtol: the relative tolerance; None for none.
        atol: the absolute tolerance; None for none.
        truth: whether to compute the first model in float64.
        runtime_optimizations: whether ONNX Runtime's own optimizations are on.
        report: the file to write the findings to.
        json: print the findings as JSON instead of tables.
        quiet: print nothing but errors.
    """

    before: Path
    after: Path
    sizes: int
    rtol: float | None
    atol: float | None
    truth: bool
    runtime_optimizations: bool
    report: Path | None
    json: bool
    quiet: bool


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "before", metavar="BEFORE", type=shared.model, help="the model to be compared with, an ONNX file"
    )
    parser.add_argument("after", metavar="AFTER", type=shared.model, help="the model in question, an ONNX file")
    fed = parser.add_argument_group("what they are fed")
    shared.add_feeding(fed)
    fed.add_argument(
        "--sizes",
        metavar="N",
        type=shared.whole(least=1),
        default=3,
        help="how many assignments of sizes to try where dimensions are dynamic (default: 3)",
    )
    judged = parser.add_argument_group("how they are judged")
    judged.add_argument(
        "--rtol",
        metavar="R",
        type=shared.number("a tolerance"),
        help="let outputs differ by no more than A + R·|before|, whatever float64 says",
    )
    judged.add_argument("--atol", metavar="A", type=shared.number("a tolerance"), help="see --rtol")
    judged.add_argument(
        "--no-truth", action="store_false", dest="truth", help="don't compute the first model in float64"
    )
    judged.add_argument(
        "--runtime-optimizations",
        action="store_true",
        help="let ONNX Runtime optimize both models, as it does by default when they are deployed",
    )
    told = parser.add_argument_group("what is told")
    told.add_argument("--report", metavar="FILE", type=Path, help="write the findings to a file, as JSON")
    printed = told.add_mutually_exclusive_group()
    printed.add_argument("--json", action="store_true", help="print the findings as JSON instead of tables")
    printed.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")


COMMAND = Command(
    "verify",
    "compare two models output by output",
    _DESCRIPTION,
    _EXAMPLES,
    VerifyOptions,
    _add,
    "normgraph.cli.verify",
)
