"""``normgraph bench``: times models against each other and says what the figures mean."""

from __future__ import annotations

from normgraph.cli import timings
from normgraph.cli.feeding import feeding_of
from normgraph.cli.files import check_writable
from normgraph.cli.options.bench import BenchOptions
from normgraph.cli.output import show, write_json
from normgraph.cli.progress import shown
from normgraph.errors import UsageError
from normgraph.feeds.families import ORDINARY
from normgraph.timing import Plan, bench
from normgraph.timing.benchmark import DEFAULT_LEVELS


def run(options: BenchOptions, started: float) -> int:
    """Run the command.

    Returns:
        0, or 1 if a model is slower than the first and that is not to be.

    Raises:
        NormgraphError: a model can't be read or run, the provider isn't there, or the picture can't be written.
    """
    _check_all_counts(options)
    if options.plot is not None:
        check_writable(options.plot, "picture")
        from normgraph.timing import plot

        plot.library()  # known to be there before anything is measured
    with shown(wanted=True) as progress:
        found = bench(
            options.models,
            provider=options.provider,
            levels=tuple(dict.fromkeys(options.levels)) or DEFAULT_LEVELS,
            threads=options.threads,
            cuda_graphs=options.cuda_graphs,
            feeding=feeding_of(options, sizes=1, families=ORDINARY, seed_counts=True),
            plan=Plan(options.precision / 100, options.budget, options.seed or 0),
            per_site=options.per_site,
            target=options.target,
            progress=progress,
        )
    if options.plot is not None:
        plot.write(found, options.plot)
    if options.json:
        write_json(found.to_json())
    else:
        show(timings.compared(found))
    return 1 if options.fail_if_slower and found.slower else 0


def _check_all_counts(options: BenchOptions) -> None:
    """Nothing that was asked for may be passed over.

    Raises:
        UsageError: something would be.
    """
    if options.target is not None and not options.per_site:
        raise UsageError("a target is what rewrites are made for, and none are timed: ask for --per-site as well")
    if len(set(options.families)) > 1:
        raise UsageError("models are timed on inputs of one family, and several are named; choose one")
    if options.fail_if_slower and len(options.models) == 1:
        raise UsageError("one model alone can't be slower than the first, so --fail-if-slower can't fail; name another")
