"""What ``normgraph bench`` takes."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from normgraph.cli.command import Command
from normgraph.cli.options import shared

#: The names in `normgraph.sessions.LEVELS`; a test keeps them alike.
LEVELS = ("disabled", "basic", "extended", "all")

_DESCRIPTION = """\
Times models in ONNX Runtime against the first of them: the same inputs, one model
after the other in an order drawn anew each time, in rounds of fresh sessions, until
the interval of each ratio is tight or the time is up. The interval holds the true
ratio in 95 of 100 measurements; where it holds 1, there is no difference."""
_EXAMPLES = """\
examples:
  normgraph bench bert.onnx bert.opt.onnx
  normgraph bench bert.onnx bert.opt.onnx --dim batch=8 --dim sequence=128 --threads 1
  normgraph bench bert.onnx bert.opt.onnx --provider cuda --cuda-graphs
  normgraph bench bert.onnx --per-site             what each rewrite would be worth
  normgraph bench bert.onnx bert.opt.onnx --json --plot bert.svg --fail-if-slower

exit status:
  0  measured
  1  a model is slower than the first, and --fail-if-slower was asked for
  2  bad input or usage: a model can't be read or run, a provider isn't there
"""


@dataclass(frozen=True, kw_only=True)
class BenchOptions(shared.FeedingOptions):
    """What `normgraph bench` was told, besides what the models are fed, of one family.

    Attributes:
        models: the files; all are compared with the first.
        provider: what runs them.
        levels: of ONNX Runtime's own optimizations; empty for the default ones.
        threads: threads within an operator; 0 for as many as ONNX Runtime takes.
        cuda_graphs: capture runs as CUDA graphs.
        precision: the half-width of an interval at which it is tight, in percent of the ratio.
        budget: the seconds that each level has.
        per_site: time each rewrite of the first model by itself.
        target: the runtime that these rewrites are made for; None for the provider's.
        fail_if_slower: whether a slower model is a failure.
        json: print JSON instead of tables.
        plot: a picture to write.
    """

    models: list[Path]
    provider: str
    levels: list[str]
    threads: int
    cuda_graphs: bool
    precision: float
    budget: float
    per_site: bool
    target: str | None
    fail_if_slower: bool
    json: bool
    plot: Path | None


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "models", metavar="MODEL", nargs="+", type=shared.model, help="ONNX files that take the same inputs"
    )
    ran = parser.add_argument_group("how they are run")
    shared.add_provider(ran)
    ran.add_argument(
        "--level",
        metavar="NAME",
        choices=LEVELS,
        action="append",
        default=[],
        dest="levels",
        help=f"of ONNX Runtime's own optimizations, one or several of: {', '.join(LEVELS)} (default: disabled and all)",
    )
    shared.add_threads(ran)
    ran.add_argument("--cuda-graphs", action="store_true", help="capture runs as CUDA graphs")
    shared.add_feeding(parser.add_argument_group("what they are fed"))
    long = parser.add_argument_group("how long it is measured")
    long.add_argument(
        "--precision",
        metavar="PERCENT",
        type=shared.number(positive=True),
        default=1.0,
        help="done when the interval of a ratio reaches no further than this from it, either way (default: 1)",
    )
    long.add_argument(
        "--budget",
        metavar="SECONDS",
        type=shared.number(positive=True),
        default=60.0,
        help="or when this time is up, for each level (default: 60)",
    )
    sites = parser.add_argument_group("where a gain comes from")
    sites.add_argument(
        "--per-site",
        action="store_true",
        help="also cut out each rewrite that optimize would make of the first model, and time it before and after",
    )
    sites.add_argument(
        "--target",
        metavar="NAME[@VERSION]",
        type=shared.target,
        help="the runtime that these rewrites are made for (default: the provider's)",
    )
    told = parser.add_argument_group("what is told")
    told.add_argument("--fail-if-slower", action="store_true", help="exit with 1 if a model is slower than the first")
    told.add_argument("--json", action="store_true", help="print the figures as JSON instead of tables")
    told.add_argument(
        "--plot", metavar="FILE", type=_picture, help="write a picture, .svg or .png; needs the extra 'plot'"
    )


def _picture(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in (".svg", ".png"):
        raise argparse.ArgumentTypeError(f"a picture ends in .svg or .png, and '{text}' doesn't")
    return path


COMMAND = Command(
    "bench",
    "time models against each other",
    _DESCRIPTION,
    _EXAMPLES,
    BenchOptions,
    _add,
    "normgraph.cli.bench",
)
