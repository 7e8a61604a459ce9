"""``normgraph check``: judges models by their contracts and tells people or CI."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from normgraph.batch import expand, is_url
from normgraph.check import baseline, configuration
from normgraph.check.budgets import LatencyBudget, parse_duration
from normgraph.check.configuration import Configuration
from normgraph.check.contract import Contract, Judgement, known, parse_expectations
from normgraph.check.formats import FORMATS
from normgraph.check.quantities import FORBIDDEN
from normgraph.check.run import Comparison, check, gone, updated, without
from normgraph.cli import files, verdicts
from normgraph.cli.options.check import CheckOptions
from normgraph.cli.output import show, write, write_json
from normgraph.cli.progress import shown
from normgraph.errors import UsageError

_STATUS = {"passed": 0, "failed": 1, "broken": 2}


def run(options: CheckOptions, started: float) -> int:
    """Run the command.

    Returns:
        0 if every condition holds, 1 if one doesn't, 2 if a model couldn't be read or timed.

    Raises:
        UsageError: the contract isn't understood, or there is none.
        OutputError: a file can't be written.
    """
    found = _configuration(options)
    models = _models(options, found)
    comparison = _comparison(options, found)
    if options.update_baseline and comparison is None:
        raise UsageError("there must be a baseline to update: name its file with --baseline, or in the configuration")
    contracts = {model: _contract(options, found, model) for model in models}
    if comparison is None and not any(contracts.values()):
        raise UsageError(
            "there must be something to check: say it with --expect, --forbid or --baseline, or in normgraph.toml"
        )
    lost = [] if comparison is None or options.models else gone(comparison, models)
    if options.update_baseline and comparison is not None:
        comparison = without(comparison, lost)
        lost = []
    compared = None if options.update_baseline else comparison
    for _, path in options.write:
        files.check_spares(path, "report", [Path(model) for model in models if not is_url(model)])
    with ExitStack() as stack:
        texts = {(name, path): stack.enter_context(files.written_report(path)) for name, path in options.write}
        with shown(wanted=not options.quiet) as progress:
            judgements = check(models, contracts.__getitem__, comparison=compared, jobs=options.jobs, progress=progress)
            judgements += lost
        for (name, _), text in texts.items():
            text.append(FORMATS[name](judgements))
    if options.update_baseline and comparison is not None:
        baseline.write(comparison.path, updated(comparison, judgements))
    _tell(options, judgements, comparison, time.perf_counter() - started)
    return max((_STATUS[judgement.status] for judgement in judgements), default=0)


def _configuration(options: CheckOptions) -> Configuration:
    path = options.config or configuration.find(Path.cwd())
    if path is None:
        return Configuration()
    found = configuration.read(path)
    if path.parent == Path.cwd():  # so that names are shown as a person would write them here
        found = replace(found, path=Path(path.name), baseline=_from_here(found.baseline))
    return found


def _from_here(path: Path | None) -> Path | None:
    return path if path is None or not path.is_relative_to(Path.cwd()) else path.relative_to(Path.cwd())


def _models(options: CheckOptions, found: Configuration) -> list[str]:
    if options.models:
        return expand(options.models)
    if found.patterns:
        models = expand(str(found.folder / pattern) for pattern in found.patterns)
        found.check_matched(models)
        return models
    raise UsageError(
        "there must be a model to check: name files, folders or patterns, or list them in normgraph.toml under [check] "
        'as in models = ["exports/*.onnx"]'
    )


def _comparison(options: CheckOptions, found: Configuration) -> Comparison | None:
    path = options.baseline or found.baseline
    if path is None:
        return None
    if options.update_baseline and not path.exists():
        return Comparison(path, {})
    return Comparison(path, baseline.read(path))


def _contract(options: CheckOptions, found: Configuration, model: str) -> Contract:
    forbidden = tuple(name.strip() for text in options.forbid for name in text.split(",") if name.strip())
    for name in forbidden:
        known(name, FORBIDDEN, "such thing to forbid as", "--forbid")
    own = Contract(
        tuple(e for text in options.expect for e in parse_expectations(text, "--expect")),
        forbidden,
        options.max_error,
        _budget(options),
        options.target,
        options.allow_contrib,
        options.optimized,
    )
    return found.contract_of(model).joined(own).checked(model)


def _budget(options: CheckOptions) -> LatencyBudget | None:
    if options.max_latency is None:
        if options.provider != "cpu" or options.threads or options.dims:
            raise UsageError(
                "--provider, --threads and --dim say how --max-latency is measured: give that too, or say them in "
                'normgraph.toml, as in max-latency = { time = "5ms", threads = 1 }'
            )
        return None
    seconds = parse_duration(options.max_latency, "--max-latency")
    return LatencyBudget(seconds, options.provider, options.threads, tuple(options.dims))


def _tell(options: CheckOptions, judgements: list[Judgement], comparison: Comparison | None, seconds: float) -> None:
    if options.format == "json":
        write_json(FORMATS["json"](judgements))
    elif options.format != "text":
        write(FORMATS[options.format](judgements))
    else:
        written = comparison.path if options.update_baseline and comparison is not None else None
        told = verdicts.checked(judgements, seconds, baseline=written, quiet=options.quiet)
        if told is not None:
            show(told)
