"""What to feed a model: numbers made to fit its signature, or read from files, or made by a user's function.

    signature = signature_of(model)                     # what each input takes
    for feed in feeds_for(signature, Feeding(dims={"batch": 8}, families=("normal", "offset 100"))):
        session.run(None, dict(feed.arrays))

Everything here is a pure function of its arguments: the same recipe gives the same bytes on every machine.
"""

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
