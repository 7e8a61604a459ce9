"""How models are to be fed, as a command was told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from normgraph.cli.options.shared import FeedingOptions
from normgraph.errors import UsageError

if TYPE_CHECKING:
    from normgraph.feeds import Feeding


def feeding_of(
    options: FeedingOptions, *, sizes: int, families: tuple[str, ...] = (), seed_counts: bool = False
) -> Feeding:
    """How models are to be fed.

    Args:
        options: what the command was told.
        sizes: how many assignments of sizes are tried.
        families: what floating inputs are drawn from where no family was named.
        seed_counts: whether the seed decides something else as well, so that it may stand beside inputs.

    Raises:
        UsageError: inputs are given, and described besides.
    """
    if options.inputs is not None and options.families:
        raise UsageError("families go with inputs that are made, and inputs are given: leave out --family, or --inputs")
    if options.inputs is not None and options.seed is not None and not seed_counts:
        raise UsageError("a seed goes with inputs that are made, and inputs are given: leave out --seed, or --inputs")
    from normgraph.feeds import Feeding  # with all that makes feeds, which few commands need

    return Feeding(
        options.inputs, dict(options.dims), tuple(options.families) or families, options.seed or 0, sizes=sizes
    )
