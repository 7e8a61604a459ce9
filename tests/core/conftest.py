"""What is swallowed on invalid nodes must not hide mistakes on valid ones."""

import pytest

from normgraph import facts, interpret


@pytest.fixture(autouse=True)
def _every_exception_counts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let rules fail aloud, but where a test makes invalid graphs on purpose and says so by a marker."""
    if request.node.get_closest_marker("invalid_graphs") is None:
        for module in (facts, interpret):
            monkeypatch.setattr(module, "SIGNS_OF_INVALID_NODES", ())
