"""How a model is to be fed, whatever the origin of the numbers: the one call that commands need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from normgraph.errors import UsageError
from normgraph.feeds.families import ORDINARY
from normgraph.feeds.files import read_feeds
from normgraph.feeds.function import call_for_feeds
from normgraph.feeds.making import Feed, made
from normgraph.feeds.signature import Signature
from normgraph.feeds.sizes import size_candidates


@dataclass(frozen=True, slots=True)
class Feeding:
    """How a model is to be fed.

    Attributes:
        source: a file or folder of inputs (see `read_feeds`) or a function (see `call_for_feeds`); None to make them.
        dims: sizes for dynamic dimensions, by their names.
        families: the families that floating inputs are drawn from, keys of `families.FAMILIES`.
        seed: what the random numbers follow from.
        draws: how many feeds are made of each family at each assignment of sizes; each has a seed of its own.
        sizes: how many assignments of sizes are tried where there are dynamic dimensions left.
    """

    source: str | None = None
    dims: Mapping[str, int] = field(default_factory=dict)
    families: tuple[str, ...] = ORDINARY
    seed: int = 0
    draws: int = 1
    sizes: int = 2


def feeds_for(signature: Signature, feeding: Feeding, accepts: Callable[[Feed], bool] | None = None) -> list[Feed]:
    """The feeds for a model.

    Args:
        signature: the model's signature.
        feeding: how it is to be fed.
        accepts: tells whether the model runs on a feed; sizes at which it doesn't are passed over. Without it the
            likeliest sizes are taken.

    Raises:
        UsageError: the source can't be used, a size or family doesn't exist, or the model runs at none of the sizes.
    """
    if feeding.source is not None:
        return _given(signature, feeding.source, feeding.dims)
    found = list(_made(signature, feeding, accepts))
    if not found:
        dims = ", ".join(signature.symbols)
        raise UsageError(
            f"a model must run on what it is fed, and it doesn't run at any size that was tried: {signature.model}; "
            + (f"give sizes for its dynamic dimensions: {dims}" if dims else "give inputs of your own")
        )
    return found


def _made(signature: Signature, feeding: Feeding, accepts: Callable[[Feed], bool] | None) -> Iterator[Feed]:
    taken = 0
    for sizes in size_candidates(signature, feeding.dims):
        if taken == feeding.sizes:
            return
        first = made(signature, sizes, family=feeding.families[0], seed=feeding.seed)
        if accepts is not None and not accepts(first):
            continue
        taken += 1
        for family in feeding.families:
            for draw in range(feeding.draws):
                yield made(signature, sizes, family=family, seed=feeding.seed + draw)


def _given(signature: Signature, source: str, dims: Mapping[str, int]) -> list[Feed]:
    if dims:
        raise UsageError("sizes go with inputs that are made, and inputs are given: leave the sizes out")
    where, separator, name = source.rpartition(":")
    if separator and name.isidentifier() and not Path(source).exists() and where:
        return call_for_feeds(source, signature)
    return read_feeds(Path(source), signature)
