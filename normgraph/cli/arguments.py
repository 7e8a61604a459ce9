"""The table of commands, and what the command line makes of its arguments."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from normgraph.cli.command import Command
from normgraph.cli.completion import SHELLS, PrintCompletion
from normgraph.cli.options import bench, check, explain, optimize, targets, verify
from normgraph.likely import likely

_DESCRIPTION = """\
Finds the normalizations in ONNX models, however they are written, fuses or folds
them, and proves every rewrite against float64."""
_OVERVIEW = """\
examples:
  normgraph explain model.onnx             what is in it, and what can be fused
  normgraph optimize model.onnx            writes model.opt.onnx beside it
  normgraph optimize --help                all that it can be told
  normgraph verify model.onnx model.opt.onnx            do both compute the same?
  normgraph check model.onnx --expect decomposed=0      for CI
  normgraph bench model.onnx model.opt.onnx             whether it is faster
  normgraph targets                        which operators each runtime gets

exit status:
  0  done
  1  a requested guarantee doesn't hold, such as an opset that a node doesn't survive
  2  bad input or usage
"""

#: The commands, in the order in which help lists them.
COMMANDS: Mapping[str, Command] = {
    module.COMMAND.name: module.COMMAND for module in (optimize, explain, verify, check, bench, targets)
}


class _Parser(argparse.ArgumentParser):
    """Complains in one line, in the form that all errors have."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        see = " See" if message.endswith("?") else "; see"
        self.exit(2, f"normgraph: error: {message}{see} {self.prog} --help\n")

    def unrecognized(self, words: Sequence[str]) -> NoReturn:
        """Complain of words that no argument takes, and name the options that the first of them nearly is."""
        option = next((word.partition("=")[0] for word in words if word.startswith("-")), "")
        meant = likely(option, self._option_string_actions)
        self.error(f"unrecognized arguments: {' '.join(words)}" + (f"; {meant}" if meant else ""))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            meant = likely(str(value), map(str, action.choices or ()))
            raise argparse.ArgumentError(action, error.message + (f"; {meant}" if meant else "")) from None


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


def parse(arguments: Sequence[str] | None) -> tuple[Command, Any]:
    """The command, and its options.

    Raises:
        SystemExit: help or a version was asked for, and is printed (0); or the arguments are wrong (2).
    """
    words = sys.argv[1:] if arguments is None else arguments
    parser, parsers = _parser([command for command in COMMANDS.values() if command.name in words] or COMMANDS.values())
    known, unknown = parser.parse_known_args(words)
    namespace = vars(known)
    name = namespace.pop("command")
    if unknown:
        parsers.get(name, parser).unrecognized(unknown)
    if name is None:
        parser.print_help(sys.stderr)
        parser.exit(2)
    command = COMMANDS[name]
    return command, command.options(**namespace)


def _parser(asked: Iterable[Command]) -> tuple[_Parser, dict[str, _Parser]]:
    """The parser, and those of the commands; only those that are asked for know their arguments."""
    parser = _Parser(prog="normgraph", description=_DESCRIPTION, epilog=_OVERVIEW)
    parser.add_argument(
        "--version",
        action=_Version,
        nargs=0,
        dest=argparse.SUPPRESS,
        help="show the versions in use and exit",
    )
    parser.add_argument(
        "--print-completion",
        action=PrintCompletion,
        choices=SHELLS,
        dest=argparse.SUPPRESS,
        help="print a script that completes command lines in this shell, and exit",
    )
    parsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    own: dict[str, _Parser] = {}
    for command in COMMANDS.values():
        own[command.name] = parsers.add_parser(
            command.name, help=command.help, description=command.description, epilog=command.examples
        )
    for command in asked:
        command.add(own[command.name])
    return parser, own
