"""Checks many models, each by its own contract, and compares them with a baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from normgraph.batch import Failed, fetched, is_of_this_process, is_url, run_all, workers_for
from normgraph.check import baseline
from normgraph.check.contract import Contract, Finding, Judgement, added, broken, judge
from normgraph.check.examination import examine
from normgraph.progress import Progress, silent
from normgraph.targets import DEFAULT_TARGET


@dataclass(frozen=True)
class Comparison:
    """What models are compared with.

    Attributes:
        path: the baseline's file.
        known: the models in it.
    """

    path: Path
    known: dict[str, baseline.Snapshot]


def check(
    models: Sequence[str],
    contract_of: Callable[[str], Contract],
    *,
    comparison: Comparison | None = None,
    jobs: int | None = None,
    progress: Progress = silent,
) -> list[Judgement]:
    """Judge models, in parallel processes, and return the judgements in the order of the models.

    Args:
        models: their files.
        contract_of: what is demanded of each.
        comparison: the baseline that they are compared with.
        jobs: how many processes; None for as many as there are processors.
        progress: told how many are done.

    A model that can't be examined is judged broken, and the others go on.
    """
    tasks = [(model, contract_of(model)) for model in models]
    judgements: dict[int, Judgement] = {}
    progress("checking models", 0, len(models))
    work = partial(_judged, comparison)
    workers = 0 if any(map(is_of_this_process, models)) else workers_for(len(tasks), jobs)
    for outcome in run_all(work, tasks, workers=workers):
        found = outcome.result
        model = outcome.item[0]
        judgements[outcome.position] = broken(model, found.message) if isinstance(found, Failed) else found
        progress("checking models", len(judgements), len(models))
    timed = [
        position
        for position, (_, contract) in enumerate(tasks)
        if contract.max_latency is not None and judgements[position].examination is not None
    ]
    # One after another: beside others a model would be slower.
    for run in run_all(_latency, [tasks[position] for position in timed], workers=min(workers, 1)):
        progress("timing models", run.position, len(timed))
        position = timed[run.position]
        judgements[position] = added(judgements[position], _timed(run.result))
    return [judgements[position] for position in range(len(models))]


def _timed(result: Finding | Failed) -> Finding:
    if isinstance(result, Failed):
        return Finding("max-latency", "max-latency", f"it can't be timed: {result.message}", judged=False)
    return result


def _latency(task: tuple[str, Contract]) -> Finding:
    from normgraph.check.latency import judge_latency

    path, contract = task
    with fetched(path) as local:
        return judge_latency(str(local), contract)


def _judged(comparison: Comparison | None, task: tuple[str, Contract]) -> Judgement:
    model, contract = task
    seen = examine(
        model,
        target=contract.target or DEFAULT_TARGET,
        allow_contrib=contract.allow_contrib,
        optimized=contract.optimized,
    )
    judgement = judge(seen, contract)
    if comparison is None:
        return judgement
    for finding in _compared(judgement, comparison):
        judgement = added(judgement, finding)
    return judgement


def _compared(judgement: Judgement, comparison: Comparison) -> list[Finding]:
    assert judgement.examination is not None
    where = str(comparison.path)
    known = comparison.known.get(baseline.key_of(judgement.model, comparison.path))
    if known is None:
        failure = "the model isn't in the baseline; if it is new, add it with --update-baseline"
        return [Finding("baseline", f"as good as in {where}", failure)]
    return baseline.compare(known, baseline.snapshot(judgement.examination), where)


def gone(comparison: Comparison, models: Sequence[str]) -> list[Judgement]:
    """A failed judgement for each model of the baseline that isn't among those that are checked, nor there any more."""
    folder = comparison.path.parent
    missing = [
        key
        for key in comparison.known.keys() - {baseline.key_of(model, comparison.path) for model in models}
        if not is_url(key) and not (folder / key).exists()
    ]
    failure = "the model isn't there any more; if that is meant, take it out of the baseline with --update-baseline"
    finding = Finding("baseline", f"as good as in {comparison.path}", failure)
    return [Judgement(str(folder / key), (finding,)) for key in sorted(missing)]


def without(comparison: Comparison, lost: Sequence[Judgement]) -> Comparison:
    """A comparison without the models that aren't there any more."""
    keys = {baseline.key_of(judgement.model, comparison.path) for judgement in lost}
    return replace(comparison, known={key: seen for key, seen in comparison.known.items() if key not in keys})


def updated(comparison: Comparison, judgements: Sequence[Judgement]) -> dict[str, baseline.Snapshot]:
    """The baseline with the models that could be examined in the place of what it had of them."""
    seen = {
        baseline.key_of(judgement.model, comparison.path): baseline.snapshot(judgement.examination)
        for judgement in judgements
        if judgement.examination is not None
    }
    return {**comparison.known, **seen}
