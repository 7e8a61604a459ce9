"""What ``normgraph optimize`` takes."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from normgraph.cli.command import Command
from normgraph.cli.options import shared

_DESCRIPTION = """\
Fuses the decomposed normalizations of a model into native operators, and folds
BatchNormalizations into the linear operators beside them. Each rewrite is first
proven: the original nodes and what replaces them are both run on inputs that
normalizations go wrong on and compared with float64. What fails, or isn't a
normalization, is left as it is, and the reason is printed."""
_EXAMPLES = """\
examples:
  normgraph optimize bert.onnx                     writes bert.opt.onnx
  normgraph optimize bert.onnx -o fused.onnx
  normgraph optimize bert.onnx --dry-run           only shows what would be done
  normgraph optimize bert.onnx --opset 17          fails if opset 17 can't be had
  normgraph optimize bert.onnx --verify model --dim batch=8 --dim sequence=128
  normgraph optimize bert.onnx --target onnx --report report.json
  normgraph optimize bert.onnx --autotune --tuning bert.tuning.json      only what pays here
  normgraph optimize 'exports/**/*.onnx' -o out/   many, in parallel; goes on where it stopped
  normgraph optimize s3://bucket/exports/ -o s3://bucket/optimized/ --dask tcp://10.0.0.5:8786
"""


@dataclass(frozen=True, kw_only=True)
class OptimizeOptions(shared.FeedingOptions):
    """What `normgraph optimize` was told, besides what models are fed.

    Attributes:
        models: the file to read, or several, folders, patterns or URLs.
        output: the file to write; None for the default beside the input. For several inputs, the folder.
        in_place: write over the input.
        dry_run: write no model.
        opset: the opset of the result; None to raise it only where that is worth it.
        target: the runtime, with its version behind an @ or without.
        allow_contrib: permit operators of the target's own.
        fold_gain: fold the gain of norms into what reads them.
        duplicate: copy linear operators for the sake of folding.
        external_data: whether weights go into a file of their own; "auto" as those of the input, or above 2 GiB.
        report: the file to write the report to.
        autotune: the provider on which rewrites are timed; None to time nothing.
        tuning: the file of decisions which rewrites pay.
        json: print the report instead of tables.
        quiet: print nothing but errors.
        jobs: for several inputs, the number of processes; None for one for each processor.
        dask: the address of the Dask cluster that does the work.
        dask_wait: seconds that it may be without workers; None for the default.
        fresh: do again what an earlier run has done.
        verify: what is verified beyond the proof of each rewrite: "rewrites" for nothing, "model" for the whole model.
    """

    models: list[str]
    output: str | None
    in_place: bool
    dry_run: bool
    opset: int | None
    target: str
    allow_contrib: bool
    fold_gain: bool
    duplicate: bool
    external_data: Literal["auto", "always", "never"]
    report: Path | None
    autotune: str | None
    tuning: Path | None
    json: bool
    quiet: bool
    jobs: int | None
    dask: str | None
    dask_wait: float | None
    fresh: bool
    verify: str

    @property
    def model(self) -> Path:
        """The file to read, where there is one."""
        return Path(self.models[0])


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "models", metavar="IN", nargs="+", help="the model, an ONNX file; or several, folders, patterns or URLs"
    )
    written = parser.add_argument_group("what is written")
    where = written.add_mutually_exclusive_group()
    where.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="the file to write (default: IN with .opt.onnx); for several inputs, the folder",
    )
    where.add_argument("--in-place", action="store_true", help="write over the input")
    where.add_argument("--dry-run", action="store_true", help="write no model, only say what would be done")
    written.add_argument(
        "--external-data",
        choices=("auto", "always", "never"),
        default="auto",
        help="whether weights go into OUT.data beside the model; auto: if the input's do, or above 2 GiB",
    )
    how = parser.add_argument_group("how it is optimized")
    shared.add_target(how)
    how.add_argument(
        "--opset",
        metavar="N",
        type=shared.whole("an opset", 1),
        help="the opset of the result; by default it is raised only where a rewrite is worth it",
    )
    how.add_argument(
        "--fold-gain",
        action="store_true",
        help="fold gain and bias of a LayerNormalization or RMSNormalization into the linear operators that read it",
    )
    how.add_argument(
        "--duplicate",
        action="store_true",
        help="copy a linear operator that something beside a BatchNormalization reads, and fold into the copy",
    )
    verified = parser.add_argument_group("what is verified")
    verified.add_argument(
        "--verify",
        choices=("rewrites", "model"),
        default="rewrites",
        help="'rewrites': each rewrite is proven by itself (default); 'model': then the whole model is also run beside "
        "the original, before it is written, and what makes it differ is taken back",
    )
    paying = parser.add_argument_group("what pays on this machine")
    paying.add_argument(
        "--autotune",
        metavar="PROVIDER",
        nargs="?",
        choices=shared.PROVIDERS,
        const="cpu",
        help="time each rewrite on this provider of ONNX Runtime, and leave out what is slower there: "
        f"{', '.join(shared.PROVIDERS)} (if none is named: cpu)",
    )
    paying.add_argument(
        "--tuning",
        metavar="FILE",
        type=Path,
        help="keep these decisions in a file; without --autotune, repeat those of the file and time nothing",
    )
    shared.add_feeding(
        parser.add_argument_group("what it is fed where rewrites are timed or the whole model is verified")
    )
    many = parser.add_argument_group("several inputs")
    shared.add_jobs(many)
    many.add_argument(
        "--dask", metavar="ADDRESS", help="do the work on the Dask cluster whose scheduler is at this address"
    )
    many.add_argument(
        "--dask-wait",
        metavar="SECONDS",
        type=shared.number("a time to wait", positive=True),
        help="how long that cluster may be without any worker (default: 300)",
    )
    many.add_argument("--fresh", action="store_true", help="do again what an earlier run into this folder has done")
    told = parser.add_argument_group("what is told")
    told.add_argument("--report", metavar="FILE", type=Path, help="write the report to a file, as JSON")
    printed = told.add_mutually_exclusive_group()
    printed.add_argument("--json", action="store_true", help="print the report as JSON instead of tables")
    printed.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")


COMMAND = Command(
    "optimize",
    "fuse decomposed normalizations and write the model",
    _DESCRIPTION,
    _EXAMPLES,
    OptimizeOptions,
    _add,
    "normgraph.cli.optimize",
)
