"""How long work tells its caller how far it is."""

from __future__ import annotations

from collections.abc import Callable

#: Called with what is being done, how many of them are done and how many there are.
Progress = Callable[[str, int, int], None]


def silent(task: str, done: int, total: int) -> None:
    """Report no progress."""
