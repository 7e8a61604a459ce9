"""What somebody may have meant who wrote a name that isn't there."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def likely(name: str, names: Iterable[str], most: int = 1) -> str:
    """A question for the names that this one nearly is; empty where it is nearly none.

    Args:
        name: what was written.
        names: what there is.
        most: how many names to ask for, the nearest ones.

    >>> likely("layernorm", ["LayerNormalization", "nodes"])
    'did you mean LayerNormalization?'
    """
    folded = {other.lower(): other for other in names}
    close = [folded[match] for match in get_close_matches(name.lower(), folded, n=most)]
    return f"did you mean {' or '.join(close)}?" if close else ""
