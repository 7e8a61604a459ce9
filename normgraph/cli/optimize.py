"""``normgraph optimize``: reads a model, fuses its normalizations, writes it, and says what was done."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from normgraph import api
from normgraph.batch import is_pattern, is_url
from normgraph.cli import files
from normgraph.cli.feeding import feeding_of
from normgraph.cli.options.optimize import OptimizeOptions
from normgraph.cli.output import show, write_json
from normgraph.cli.progress import shown
from normgraph.errors import UsageError
from normgraph.feeds.families import ORDINARY
from normgraph.model_io import save
from normgraph.model_io.external import data_files
from normgraph.report import Report

if TYPE_CHECKING:
    from normgraph.feeds import Feeding
    from normgraph.verification import Verifying


@dataclass(frozen=True)
class Figures:
    """What the report of an optimization doesn't say of the run that it is about.

    Attributes:
        read: bytes of the input, its external data included.
        written: those of the output; None where nothing was written.
        seconds: how long it took.
        dry: whether nothing was to be written.
    """

    read: int
    written: int | None
    seconds: float
    dry: bool


def run(options: OptimizeOptions, started: float) -> int:
    """Run the command.

    Args:
        options: what it was told.
        started: the reading of ``time.perf_counter`` when the program began, imports included.

    Raises:
        NormgraphError: it can't be done; then neither a model nor a report has been written.
    """
    if options.dask_wait is not None and options.dask is None:
        raise UsageError("--dask-wait is about a Dask cluster, and none is named: name it with --dask, or leave it out")
    if _are_many(options):
        from normgraph.cli import optimize_many

        return optimize_many.run(options, started)
    report, figures = optimized(options, files.output_of(options))
    if options.json:
        write_json(report.to_json())
    elif not options.quiet:
        from normgraph.cli import rendering  # and with it rich, which a tenth of the time goes into

        show(rendering.optimized(report, replace(figures, seconds=time.perf_counter() - started)))
    return 0


def _are_many(options: OptimizeOptions) -> bool:
    """Whether the options name several models, or one as if it were several."""
    if len(options.models) > 1 or any(is_url(name) or is_pattern(name) for name in options.models):
        return True
    return options.dask is not None or (options.output is not None and options.output.endswith("/"))


def optimized(options: OptimizeOptions, output: Path | None) -> tuple[Report, Figures]:
    """Optimize one model and write it.

    Args:
        options: what the command was told; only its first model counts.
        output: where to write the model; None for nowhere.

    Returns:
        The report, and what it doesn't say.

    Raises:
        NormgraphError: it can't be done; then neither a model nor a report has been written.
    """
    _check_opset(options.opset)
    with shown(wanted=not options.quiet) as progress:
        result = api.optimize(
            options.model,
            target=options.target,
            opset=options.opset,
            allow_contrib=options.allow_contrib,
            fold_gain=options.fold_gain,
            duplicate=options.duplicate,
            autotune=options.autotune,
            tuning=options.tuning,
            feeding=_feeding(options),
            verify=_verifying(options),
            progress=progress,
        )
        data = data_files(result.model)
        read = files.size_of(options.model) + sum(file.size for file in data)
        if output is not None and options.in_place and not _is_changed(result.report):
            output = None
        if output is not None and not options.in_place:
            files.check_data_survives(output, data)
        report = replace(result.report, output=None if output is None else str(output))
        written: int | None = None
        with files.written_report(options.report) as texts:
            if options.report is not None:
                texts.append(report.to_json())
            if output is not None:
                progress("writing the model", 0, 0)
                written = sum(
                    files.size_of(path) for path in save(result.model, output, external_data=options.external_data)
                )
    return report, Figures(read, written, seconds=0.0, dry=options.dry_run)


def _feeding(options: OptimizeOptions) -> Feeding | None:
    """What the model is fed to see the shapes that rewrites are timed at; None where none is asked about."""
    if options.autotune is None and options.tuning is None:
        return None
    return feeding_of(options, sizes=1, families=ORDINARY)


def _verifying(options: OptimizeOptions) -> Verifying | None:
    """How the whole model is to be verified.

    Raises:
        UsageError: inputs are described and nothing is asked for that takes any.
    """
    if options.verify == "model":
        from normgraph.verification import Verifying

        return Verifying(feeding_of(options, sizes=3))
    described = options.inputs or options.dims or options.families or options.seed is not None
    if described and not (options.autotune or options.tuning):
        raise UsageError("inputs must be there for something: ask for --verify model, --autotune or --tuning as well")
    return None


def _is_changed(report: Report) -> bool:
    return report.changed or report.opset.before != report.opset.after


def _check_opset(opset: int | None) -> None:
    newest = onnx.defs.onnx_opset_version()
    if opset is not None and opset > newest:
        raise UsageError(
            f"there is no opset {opset}: the onnx {onnx.__version__} in use knows 1 to {newest}; "
            "ask for one of them, or install a newer onnx"
        )
