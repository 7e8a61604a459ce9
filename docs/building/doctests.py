"""Lets the site show the doctests of docstrings as examples: griffe reads them only under a heading of their own."""

from __future__ import annotations

import re
import textwrap
from typing import Any

from griffe import Extension, Object


class Doctests(Extension):
    """Puts the doctest at the end of a docstring under the heading ``Examples``."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called for every object that was read."""
        if obj.docstring is None:
            return
        told, found, doctest = obj.docstring.value.partition("\n\n>>> ")
        if found:
            shown = re.sub(r"\s*# doctest: \+SKIP$", "", f">>> {doctest}", flags=re.MULTILINE)
            obj.docstring.value = f"{told}\n\nExamples:\n{textwrap.indent(shown, '    ')}"
