"""What tests of several folders are given."""

from typing import Any

import pytest

from normgraph.evidence import Evidence, once_each


@pytest.fixture(name="made")
def _made(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many experiments were conducted in full, and how many were so again with other weights."""
    counts = {"full": 0, "again": 0}
    in_full, again = once_each.conduct, once_each.conduct_again

    def counted(*arguments: Any) -> Evidence:
        counts["full"] += 1
        return in_full(*arguments)

    def counted_again(*arguments: Any) -> Evidence:
        counts["again"] += 1
        return again(*arguments)

    monkeypatch.setattr(once_each, "conduct", counted)
    monkeypatch.setattr(once_each, "conduct_again", counted_again)
    return counts
