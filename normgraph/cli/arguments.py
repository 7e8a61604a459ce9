"""What the command line takes, and its help."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

#: The names in `normgraph.targets.TARGETS`, which imports onnx; a test keeps the two alike.
TARGETS = ("onnx", "onnxruntime", "onnxruntime-cuda", "tensorrt", "openvino", "directml", "coreml")
DEFAULT_TARGET = "onnxruntime"

_DESCRIPTION = """\
Finds the normalizations in ONNX models, however they are written, fuses or folds
them, and proves every rewrite against float64."""
_OVERVIEW = """\
examples:
  normgraph explain model.onnx             what is in it, and what can be fused
  normgraph optimize model.onnx            writes model.opt.onnx beside it
  normgraph optimize --help                all that it can be told
  normgraph targets                        which operators each runtime gets

exit status:
  0  done
  1  a requested guarantee doesn't hold, such as an opset that a node doesn't survive
  2  bad input or usage
"""
_OPTIMIZE = """\
Fuses the decomposed normalizations of a model into native operators, and folds
BatchNormalizations into the linear operators beside them. Each rewrite is first
proven: the original nodes and what replaces them are both run on inputs that
normalizations go wrong on and compared with float64. What fails, or isn't a
normalization, is left as it is, and the reason is printed."""
_OPTIMIZE_EXAMPLES = """\
examples:
  normgraph optimize bert.onnx                     writes bert.opt.onnx
  normgraph optimize bert.onnx -o fused.onnx
  normgraph optimize bert.onnx --dry-run           only shows what would be done
  normgraph optimize bert.onnx --opset 17          fails if opset 17 can't be had
  normgraph optimize bert.onnx --target onnx --report report.json
"""
_EXPLAIN = """\
Lists every normalization of a model, native or decomposed: its axes, whether
its statistics are taken within each sample or over the batch, its epsilon and
parameters, and for each that isn't one operator, why; and every scale and shift
per channel that could be folded into its neighbour. Nothing is written."""
_EXPLAIN_EXAMPLES = """\
examples:
  normgraph explain bert.onnx
  normgraph explain bert.onnx --json | jq '.sites[] | select(.status == "near_miss")'
"""

_TARGETS = """\
Shows the table of targets: for each runtime and kind of normalization the
operators that optimize may emit, the opset that each needs, the element types it
takes, and what isn't done there although it might be."""
_TARGETS_EXAMPLES = """\
examples:
  normgraph targets
  normgraph targets tensorrt
"""


@dataclass(frozen=True)
class OptimizeOptions:
    """What `normgraph optimize` was told.

    Attributes:
        model: the file to read.
        output: the file to write; None for the default beside the input.
        in_place: write over the input.
        dry_run: write no model.
        opset: the opset of the result; None to raise it only where that is worth it.
        target: the runtime, with its version behind an @ or without.
        allow_contrib: permit operators of the target's own.
        report: the file to write the report to.
        json: print the report instead of tables.
        quiet: print nothing but errors.
    """

    model: Path
    output: Path | None
    in_place: bool
    dry_run: bool
    opset: int | None
    target: str
    allow_contrib: bool
    report: Path | None
    json: bool
    quiet: bool


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


@dataclass(frozen=True)
class TargetsOptions:
    """What `normgraph targets` was told.

    Attributes:
        target: the one runtime to show; None for all.
    """

    target: str | None


#: Command → what it takes.
OPTIONS: dict[str, type[Any]] = {
    "optimize": OptimizeOptions,
    "explain": ExplainOptions,
    "targets": TargetsOptions,
}


class _Parser(argparse.ArgumentParser):
    """Complains in one line, in the form that all errors have."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"normgraph: error: {message}; see {self.prog} --help\n")


class _Version(argparse.Action):
    """Prints the versions that a bug report needs, without importing what they are of."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import PackageNotFoundError, version

        found: dict[str, str] = {"normgraph": "(not installed)"}
        for name in ("normgraph", "onnx", "onnx-ir", "onnxruntime", "onnxruntime-gpu", "numpy"):
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                continue
        found["Python"] = sys.version.split()[0]
        sys.stdout.write(", ".join(f"{name} {number}" for name, number in found.items()) + "\n")
        parser.exit()


def parse(arguments: Sequence[str] | None) -> tuple[str, Any]:
    """The name of the command, and its options.

    Raises:
        SystemExit: help or a version was asked for, and is printed (0); or the arguments are wrong (2).
    """
    parser = _parser()
    namespace = vars(parser.parse_args(arguments))
    command = namespace.pop("command")
    if command is None:
        parser.print_help(sys.stderr)
        parser.exit(2)
    return command, OPTIONS[command](**namespace)


def _parser() -> _Parser:
    parser = _Parser(prog="normgraph", description=_DESCRIPTION, epilog=_OVERVIEW)
    parser.add_argument(
        "--version",
        action=_Version,
        nargs=0,
        dest=argparse.SUPPRESS,
        help="show the versions in use and exit",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    optimize = commands.add_parser(
        "optimize",
        help="fuse decomposed normalizations and write the model",
        description=_OPTIMIZE,
        epilog=_OPTIMIZE_EXAMPLES,
    )
    _add_optimize(optimize)
    explain = commands.add_parser(
        "explain",
        help="list every normalization of a model",
        description=_EXPLAIN,
        epilog=_EXPLAIN_EXAMPLES,
    )
    explain.add_argument("model", metavar="IN", type=Path, help="the model, an ONNX file")
    _add_target(explain.add_argument_group("what could be done with it"))
    explain.add_argument_group("what is told").add_argument(
        "--json", action="store_true", help="print the report as JSON instead of tables"
    )
    targets = commands.add_parser(
        "targets", help="show which operators each runtime gets", description=_TARGETS, epilog=_TARGETS_EXAMPLES
    )
    targets.add_argument("target", metavar="NAME", nargs="?", type=_target, help="only this runtime")
    return parser


def _add_optimize(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="IN", type=Path, help="the model, an ONNX file")
    where = parser.add_argument_group("what is written").add_mutually_exclusive_group()
    where.add_argument(
        "-o", "--output", metavar="OUT", type=Path, help="the file to write (default: IN with .opt.onnx)"
    )
    where.add_argument("--in-place", action="store_true", help="write over the input")
    where.add_argument("--dry-run", action="store_true", help="write no model, only say what would be done")
    how = parser.add_argument_group("how it is optimized")
    _add_target(how)
    how.add_argument(
        "--opset",
        metavar="N",
        type=_opset,
        help="the opset of the result; by default it is raised only where a rewrite is worth it",
    )
    told = parser.add_argument_group("what is told")
    told.add_argument("--report", metavar="FILE", type=Path, help="write the report to a file, as JSON")
    printed = told.add_mutually_exclusive_group()
    printed.add_argument("--json", action="store_true", help="print the report as JSON instead of tables")
    printed.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")


def _add_target(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--target",
        metavar="NAME[@VERSION]",
        type=_target,
        default=DEFAULT_TARGET,
        help=f"the runtime to choose operators for: {', '.join(TARGETS)} (default: {DEFAULT_TARGET})",
    )
    group.add_argument(
        "--allow-contrib",
        action="store_true",
        help="use operators of the target that aren't in the ONNX standard",
    )


def _target(text: str) -> str:
    if text.partition("@")[0] not in TARGETS:
        raise argparse.ArgumentTypeError(f"there is no target '{text}': choose one of {', '.join(TARGETS)}")
    return text


def _opset(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"an opset is a number from 1 on, not '{text}'")
    return int(text)
