"""The plugin that pytest loads: the fixture ``normgraph_assertions``, and the options of its defaults.

Nothing here imports onnx before a test asks for the fixture.
"""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from normgraph.cli.options.shared import DEFAULT_TARGET, target


@dataclass(frozen=True)
class Assertions:
    """The assertions of `normgraph.testing`, for the target that pytest's configuration names.

    Attributes:
        assert_equivalent: see `normgraph.testing.assert_equivalent`.
        assert_fused: see `normgraph.testing.assert_fused`.
        assert_no_batch_normalization: see `normgraph.testing.assert_no_batch_normalization`.
        optimize: see `normgraph.optimize`.
    """

    assert_equivalent: Callable[..., None]
    assert_fused: Callable[..., None]
    assert_no_batch_normalization: Callable[..., None]
    optimize: Callable[..., Any]


def pytest_addoption(parser: pytest.Parser) -> None:
    """The runtime that normalizations are judged for."""
    parser.addini("normgraph_target", "the runtime that normgraph's assertions judge for", default=DEFAULT_TARGET)
    parser.getgroup("normgraph").addoption(
        "--normgraph-target", metavar="NAME[@VERSION]", help="the same for one run; see `normgraph targets`"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Complain of a target that doesn't exist before a test runs."""
    for told in (config.getoption("--normgraph-target"), config.getini("normgraph_target")):
        try:
            target(told or DEFAULT_TARGET)
        except ArgumentTypeError as error:
            raise pytest.UsageError(f"normgraph_target: {error}") from error


@pytest.fixture(scope="session")
def normgraph_assertions(pytestconfig: pytest.Config) -> Assertions:
    """Assertions on ONNX models, for the target of the option --normgraph-target or the ini value normgraph_target."""
    import normgraph
    from normgraph import testing

    chosen = pytestconfig.getoption("--normgraph-target") or pytestconfig.getini("normgraph_target")
    return Assertions(
        testing.assert_equivalent,
        partial(testing.assert_fused, target=chosen),
        partial(testing.assert_no_batch_normalization, target=chosen),
        partial(normgraph.optimize, target=chosen),
    )
