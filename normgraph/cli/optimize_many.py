"""``normgraph optimize`` for several models: in parallel, resumable, and one that fails doesn't stop the rest."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from normgraph.batch import (
    Failed,
    Outcome,
    Place,
    absolute,
    delivered,
    fetched,
    is_of_this_process,
    is_pattern,
    is_url,
    places,
    run_all,
    run_on,
    workers_for,
)
from normgraph.batch.manifest import Made, Manifest, content_hash, options_hash
from normgraph.cli import files, summary
from normgraph.cli.exit_statuses import status_of
from normgraph.cli.optimize import optimized
from normgraph.cli.options.optimize import OptimizeOptions
from normgraph.cli.output import show, write_json
from normgraph.cli.progress import shown
from normgraph.cli.text import printable
from normgraph.errors import UsageError
from normgraph.model_io import load
from normgraph.model_io.external import data_files
from normgraph.progress import Progress
from normgraph.report import Report

#: The options that don't change what is written.
_BESIDE = frozenset(
    {"models", "output", "in_place", "dry_run", "report", "json", "quiet", "jobs", "dask", "dask_wait", "fresh"}
)


@dataclass(frozen=True)
class Task:
    """A model to be optimized.

    Attributes:
        place: where it is.
        output: where the result is to go, a path or URL; None for nowhere.
        made: what an earlier run noted of that output.
    """

    place: Place
    output: str | None
    made: Made | None


@dataclass(frozen=True)
class Done:
    """What became of a model.

    Attributes:
        status: whether it was written, was done by an earlier run, had nothing to change, or wasn't to be written.
        told: figures for the summary.
        made: what to note of it; None where nothing was written.
    """

    status: Literal["written", "up to date", "left as it is", "dry run"]
    told: dict[str, Any]
    made: Made | None = None


def run(options: OptimizeOptions, started: float) -> int:
    """Run the command.

    Returns:
        0 if all went well, else the status of the failure that is worst: 70 before 2 before 1.

    Raises:
        NormgraphError: nothing could be begun.
    """
    if options.autotune is not None:
        raise UsageError(
            "timing needs the machine for itself, and several models are optimized side by side: "
            "give --autotune one model at a time, and then all of them its --tuning"
        )
    if options.output is not None and is_url(options.output) and "::" in options.output:
        raise UsageError(f"an output can't be put into an archive: {options.output}; name a folder")
    alone = _is_one_into_a_file(options)
    found = places(options.models) if alone else _without_outputs(places(options.models), options)
    outputs = [options.output] if alone else [_output_of(place, options) for place in found]
    _demand_different(found, outputs)
    kept = not options.dry_run and not options.in_place and not alone
    manifest = Manifest(str(options.output), fresh=options.fresh) if kept else None
    tasks = [
        Task(place, output, manifest.made(place.relative) if manifest else None)
        for place, output in zip(found, outputs, strict=True)
    ]
    outcomes: dict[int, Outcome[Task, Done]] = {}
    with shown(wanted=not options.quiet) as progress, _written_at_the_end(manifest), ExitStack() as stack:
        progress("optimizing models", 0, len(tasks))
        for outcome in stack.enter_context(closing(_outcomes(options, tasks, progress))):
            outcomes[outcome.position] = outcome
            done = outcome.result
            if manifest is not None and isinstance(done, Done) and done.status == "written" and done.made:
                manifest.note(outcome.item.place.relative, done.made)
            progress("optimizing models", len(outcomes), len(tasks))
    ordered = [outcomes[position] for position in range(len(tasks))]
    rows = [_row(outcome) for outcome in ordered]
    if options.json:
        write_json(json.dumps({"schema": 1, "models": rows}, indent=2, ensure_ascii=False) + "\n")
    elif not options.quiet:
        show(summary.optimized(rows, time.perf_counter() - started))
    failures = [outcome.result for outcome in ordered if isinstance(outcome.result, Failed)]
    if not options.json:
        summary.complain(rows, [failure.details for failure in failures if failure.details])
    return max((status_of(failure.kind) for failure in failures), default=0)


@contextmanager
def _written_at_the_end(manifest: Manifest | None) -> Iterator[None]:
    """Write the manifest when the block ends, also where it is interrupted."""
    try:
        yield
    finally:
        if manifest is not None:
            manifest.write()


def _outcomes(
    options: OptimizeOptions, tasks: Sequence[Task], progress: Progress
) -> Generator[Outcome[Task, Done], None, None]:
    def tell(message: str) -> None:
        if sys.stderr.isatty():
            progress(message, 0, 0)  # until the next model is done
        elif not options.quiet:
            sys.stderr.write(f"normgraph: {printable(message)}\n")
            sys.stderr.flush()

    each = replace(options, quiet=True, json=False)
    own = [path for task in tasks for path in (task.place.path, task.output or "") if is_of_this_process(path)]
    if options.dask is not None:
        if own:
            raise UsageError(f"the workers of a cluster can't see what one process has in memory: {own[0]}; copy it")
        sent = [_from_the_root(task) for task in tasks]  # a worker may stand in another folder
        work, wait = partial(_work, _seen_from_the_root(each)), options.dask_wait
        for outcome in run_on(options.dask, work, sent, tell=tell, **({} if wait is None else {"wait": wait})):
            yield replace(outcome, item=tasks[outcome.position])
    else:
        work = partial(_work, each)
        yield from run_all(work, tasks, workers=0 if own else workers_for(len(tasks), options.jobs))


def _from_the_root(task: Task) -> Task:
    output = None if task.output is None else absolute(task.output)
    return replace(task, place=replace(task.place, path=absolute(task.place.path)), output=output)


def _seen_from_the_root(options: OptimizeOptions) -> OptimizeOptions:
    inputs = options.inputs
    if inputs is not None and any(Path(name).exists() for name in (inputs, inputs.rpartition(":")[0]) if name):
        inputs = absolute(inputs)
    report, tuning = (None if path is None else path.absolute() for path in (options.report, options.tuning))
    return replace(options, inputs=inputs, report=report, tuning=tuning)


def _is_one_into_a_file(options: OptimizeOptions) -> bool:
    """Whether a single model was named, and a file for it: a URL at either end, or work for a cluster."""
    if len(options.models) > 1 or is_pattern(options.models[0]) or options.output is None:
        return False
    return options.output.lower().endswith(".onnx") and not (is_pattern(options.output))


def _without_outputs(found: list[Place], options: OptimizeOptions) -> list[Place]:
    """The models that don't lie in the folder of the outputs, where an earlier run has put them."""
    if options.output is None:
        return found
    if is_url(options.output):
        prefix = options.output.rstrip("/") + "/"
        left = [place for place in found if not place.path.startswith(prefix)]
    else:
        folder = Path(options.output).resolve()
        left = [place for place in found if is_url(place.path) or not Path(place.path).resolve().is_relative_to(folder)]
    if not left:
        raise UsageError(
            "models in the folder of the outputs are taken for outputs of an earlier run, and all of them lie there: "
            f"{options.output}; name another folder, or ask for --in-place"
        )
    return left


def _output_of(place: Place, options: OptimizeOptions) -> str | None:
    if options.dry_run:
        return None
    if options.in_place:
        if is_url(place.path):
            raise UsageError(f"a model at a URL can't be written over: {place.path}; name a folder with -o")
        return place.path
    if options.output is None:
        raise UsageError(
            "for several models it must be said where the outputs go: name a folder with -o, or ask for --in-place or "
            "--dry-run"
        )
    local = not is_url(options.output)
    if local and Path(options.output).is_file():
        raise UsageError(f"for several models the output must be a folder, and this is a file: {options.output}")
    if options.output.lower().endswith(".onnx") and not (local and Path(options.output).is_dir()):
        raise UsageError(
            f"for several models the output must be a folder, and '{options.output}' is called as a model is; "
            "name a folder, with a slash behind it if it is meant to be called so"
        )
    return f"{options.output.rstrip('/')}/{place.relative}"


def _demand_different(found: Sequence[Place], outputs: Sequence[str | None]) -> None:
    taken: dict[str, str] = {}
    for place, output in zip(found, outputs, strict=True):
        if output == place.path and is_url(output):
            raise UsageError(f"the output may not be the input: {output}; name another")
        if output is not None and output in taken:
            raise UsageError(
                f"two models may not have one output: {taken[output]} and {place.path} would both become {output}; "
                "name a folder or pattern that holds both, so that their own folders are kept"
            )
        if output is not None:
            taken[output] = place.path


def _work(options: OptimizeOptions, task: Task) -> Done:
    """Optimize one model, unless an earlier run has done it and its output is still there."""
    with fetched(task.place.path) as source:
        one = replace(options, models=[str(source)], output=None, report=_report_of(task.place, options.report))
        if task.output is None or options.in_place:
            report, numbers = optimized(one, None if task.output is None else Path(task.output))
            status: Any = "dry run" if options.dry_run else "written" if report.output else "left as it is"
            return Done(status, _told(report, numbers.read, numbers.written))
        content = _hash_of(source)
        how = options_hash({"normgraph": _version(), **_that_matter(options)})
        made = task.made
        if made is not None and (made.input, made.how) == (content, how) and made.output == _hash_at(task.output):
            return Done("up to date", dict(made.told))
        with delivered(task.output) as target:
            report, numbers = optimized(replace(one, output=str(target)), files.checked_output(source, target))
            told = _told(report, numbers.read, numbers.written)
            return Done("written", told, Made(content, how, _hash_of(target), told))


def _report_of(place: Place, folder: Path | None) -> Path | None:
    """The file for a model's report, below the folder for all of them."""
    if folder is None:
        return None
    path = folder / PurePosixPath(place.relative).with_suffix(".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _that_matter(options: OptimizeOptions) -> dict[str, Any]:
    matter = {name: value for name, value in vars(options).items() if name not in _BESIDE}
    if options.tuning is not None and options.tuning.is_file():
        matter["tuning"] = content_hash([options.tuning])  # what was decided counts, not what the file is called
    return matter


def _version() -> str:
    try:
        return version("normgraph")
    except PackageNotFoundError:  # it runs from a checkout
        return "unknown"


def _hash_of(model: Path) -> str:
    return content_hash([model, *(file.path for file in data_files(load(model)))])


def _hash_at(output: str) -> str | None:
    """The hash of an output; None where there is none that can be read."""
    from normgraph.errors import NormgraphError

    try:
        with fetched(output) as local:
            return _hash_of(local)
    except (NormgraphError, OSError):
        return None


def _told(report: Report, read: int, written: int | None) -> dict[str, Any]:
    counts = {status: report.count(status) for status in ("fused", "near_miss", "kept", "native")}
    folded = sum(fold.status == "folded" for fold in report.folds)
    return {
        **counts,
        "folded": folded,
        "unknown_to_tuning": 0 if report.tuned is None else len(report.tuned.unknown),
        "nodes_before": report.nodes.before,
        "nodes_after": report.nodes.after,
        "bytes_before": read,
        "bytes_after": written,
    }


def _row(outcome: Outcome[Task, Done]) -> dict[str, Any]:
    done, task = outcome.result, outcome.item
    if isinstance(done, Failed):
        return {"model": task.place.path, "output": None, "status": "failed", "error": done.message, "figures": None}
    output = task.output if done.status in ("written", "up to date") else None
    return {"model": task.place.path, "output": output, "status": done.status, "error": None, "figures": done.told}
