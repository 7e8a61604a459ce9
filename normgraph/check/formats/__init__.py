"""The forms in which judgements are told to programs: a table, a module for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from normgraph.check.contract import Judgement
from normgraph.check.formats import data, github, junit, sarif

#: The forms by name. The command line adds ``text``, which is for people.
FORMATS: Mapping[str, Callable[[Sequence[Judgement]], str]] = {
    "json": data.written,
    "junit": junit.written,
    "sarif": sarif.written,
    "github": github.written,
}

__all__ = ["FORMATS"]
