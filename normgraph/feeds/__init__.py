"""What to feed a model: numbers made to fit its signature, or read from files, or made by a user's function.

    signature = signature_of(model)                     # what each input takes
    for feed in feeds_for(signature, Feeding(dims={"batch": 8}, families=("normal", "offset 100"))):
        session.run(None, dict(feed.arrays))

Everything here is a pure function of its arguments: the same recipe gives the same bytes on every machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from normgraph.lazily import from_modules

if TYPE_CHECKING:
    from normgraph.feeds.families import FAMILIES, ORDINARY, draw
    from normgraph.feeds.feeding import Feeding, feeds_for
    from normgraph.feeds.files import read_feeds
    from normgraph.feeds.function import call_for_feeds
    from normgraph.feeds.making import Feed, Recipe, checked, made
    from normgraph.feeds.signature import Input, Signature, signature_of
    from normgraph.feeds.sizes import size_candidates
    from normgraph.feeds.values import Values

__all__ = [
    "FAMILIES",
    "ORDINARY",
    "Feed",
    "Feeding",
    "Input",
    "Recipe",
    "Signature",
    "Values",
    "call_for_feeds",
    "checked",
    "draw",
    "feeds_for",
    "made",
    "read_feeds",
    "signature_of",
    "size_candidates",
]

_HOMES = {
    "FAMILIES": "families",
    "ORDINARY": "families",
    "draw": "families",
    "Feeding": "feeding",
    "feeds_for": "feeding",
    "read_feeds": "files",
    "call_for_feeds": "function",
    "Feed": "making",
    "Recipe": "making",
    "checked": "making",
    "made": "making",
    "Input": "signature",
    "Signature": "signature",
    "signature_of": "signature",
    "size_candidates": "sizes",
    "Values": "values",
}

__getattr__ = from_modules(__name__, _HOMES)
