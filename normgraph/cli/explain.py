"""``normgraph explain``: reads a model and lists its normalizations."""

from __future__ import annotations

from normgraph import api
from normgraph.cli.options.explain import ExplainOptions
from normgraph.cli.output import show, write_json
from normgraph.cli.progress import shown


def run(options: ExplainOptions, started: float) -> int:
    """Run the command.

    Raises:
        BadModelError: the model can't be read.
        UsageError: there is no such version of the target.
    """
    with shown(wanted=True):
        report = api.explain(options.model, target=options.target, allow_contrib=options.allow_contrib)
    if options.json:
        write_json(report.to_json())
    else:
        from normgraph.cli import rendering

        show(rendering.explained(report))
    return 0
