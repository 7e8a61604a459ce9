"""What is swallowed on invalid nodes must not hide mistakes on valid ones."""

import pytest

from normgraph import facts, interpret


@pytest.fixture
def invalid_graphs() -> None:
    """For tests that make invalid graphs on purpose: rules may fail on them."""


@pytest.fixture(autouse=True)
def _failures_count(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everywhere else rules fail aloud."""
    if "invalid_graphs" not in request.fixturenames:
        for module in (facts, interpret):
            monkeypatch.setattr(module, "SIGNS_OF_INVALID_NODES", ())
