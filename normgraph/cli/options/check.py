"""What ``normgraph check`` takes."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from normgraph.cli.command import Command
from normgraph.cli.options import shared

_DESCRIPTION = """\
Checks that models keep a contract: how many normalizations of each kind they hold,
that none is left spelled out, what must not be in them, how large the errors of
rewrites may be, and that nothing is worse off than in a committed baseline. The
contract stands in options, in normgraph.toml, or in the table [tool.normgraph] of
pyproject.toml. Nothing is written unless asked for."""
_EXAMPLES = """\
examples:
  normgraph check bert.opt.onnx --expect "LayerNormalization=25, decomposed=0, foldable_bn=0"
  normgraph check exports/ --forbid training-mode-bn --expect "nodes<=500"
  normgraph check bert.onnx --optimized --expect LayerNormalization=25 --max-error 1e-2
  normgraph check bert.opt.onnx --max-latency 12ms --threads 1 --dim batch=1 --dim sequence=128
  normgraph check 'exports/**/*.onnx' --baseline normgraph.json --update-baseline
  normgraph check 'exports/**/*.onnx' --baseline normgraph.json --write sarif=check.sarif
  normgraph check                          as normgraph.toml or pyproject.toml says

exit status:
  0  every condition holds
  1  a condition doesn't hold
  2  a model can't be read or timed, or bad usage
"""
#: The names in `normgraph.check.formats.FORMATS`, which imports onnx, and ``text``; a test keeps the two alike.
FORMATS = ("text", "json", "junit", "sarif", "github")


@dataclass(frozen=True)
class CheckOptions:
    """What `normgraph check` was told.

    Attributes:
        models: files, folders and patterns.
        config: the file of contracts; None for the nearest one.
        expect: demands on quantities.
        forbid: what must not be there.
        max_error: the largest error of a rewrite.
        max_latency: the longest time of a run, as a text.
        provider: what runs the models for that.
        threads: on how many threads.
        dims: at which sizes of dynamic dimensions.
        optimized: judge what optimize makes of the models.
        baseline: the file of the baseline.
        update_baseline: write it.
        target: the runtime; None for the contract's.
        allow_contrib: permit operators of the target's own.
        jobs: the number of processes; None for one for each processor.
        format: what is printed.
        write: further forms, and the file for each.
        quiet: print nothing but what doesn't hold.
    """

    models: list[str]
    config: Path | None
    expect: list[str]
    forbid: list[str]
    max_error: float | None
    max_latency: str | None
    provider: str
    threads: int
    dims: list[tuple[str, int]]
    optimized: bool
    baseline: Path | None
    update_baseline: bool
    target: str | None
    allow_contrib: bool
    jobs: int | None
    format: str
    write: list[tuple[str, Path]]
    quiet: bool


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "models", metavar="MODEL", nargs="*", help="files, folders or patterns; by default those of the configuration"
    )
    contract = parser.add_argument_group("the contract")
    contract.add_argument(
        "--expect",
        metavar="TEXT",
        action="append",
        default=[],
        help="how much there must be of what, such as LayerNormalization=25, decomposed=0, nodes<=500",
    )
    contract.add_argument(
        "--forbid",
        metavar="NAME",
        action="append",
        default=[],
        help="what must not be there, such as training-mode-bn, near-miss, failed-proof",
    )
    contract.add_argument(
        "--max-error",
        metavar="X",
        type=shared.number("a largest error"),
        help="the largest error against float64 that a rewrite may have",
    )
    contract.add_argument(
        "--max-latency", metavar="TIME", help="the longest that the median run may take in ONNX Runtime, such as 5ms"
    )
    contract.add_argument(
        "--optimized", action="store_true", help="judge what optimize makes of each model, not the model as it stands"
    )
    contract.add_argument(
        "--config", metavar="FILE", type=Path, help="the file of contracts (default: the nearest normgraph.toml)"
    )
    compared = parser.add_argument_group("the baseline")
    compared.add_argument("--baseline", metavar="FILE", type=Path, help="fail where something is worse off than there")
    compared.add_argument("--update-baseline", action="store_true", help="write the baseline instead of comparing")
    how = parser.add_argument_group("how the models are looked at")
    shared.add_target(how, default=None)
    shared.add_jobs(how)
    timed = parser.add_argument_group("how --max-latency is measured")
    shared.add_provider(timed)
    shared.add_threads(timed)
    shared.add_dims(timed)
    told = parser.add_argument_group("what is told")
    told.add_argument(
        "--format",
        metavar="NAME",
        choices=FORMATS,
        default="text",
        help=f"what is printed: {', '.join(FORMATS)} (default: text)",
    )
    told.add_argument(
        "--write",
        metavar="NAME=FILE",
        type=_form,
        action="append",
        default=[],
        help="write one of these forms to a file besides; can be given several times",
    )
    told.add_argument("-q", "--quiet", action="store_true", help="print nothing but what doesn't hold")


def _form(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if name not in FORMATS[1:] or not equals or not path:
        raise argparse.ArgumentTypeError(f"write NAME=FILE with a name of {', '.join(FORMATS[1:])}, not '{text}'")
    return name, Path(path)


COMMAND = Command(
    "check",
    "check that models keep a contract, for CI",
    _DESCRIPTION,
    _EXAMPLES,
    CheckOptions,
    _add,
    "normgraph.cli.check",
)
