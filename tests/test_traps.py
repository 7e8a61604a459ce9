"""What isn't a normalization is never fused, and the reason given is the decisive one."""

from collections.abc import Iterable

import pytest

import normgraph
from tests.cases import Build, build
from tests.claims import Trap
from tests.optimizing import optimized
from tests.running import builds, label
from tests.traps import TABLES

# What looks like a normalization; in the other tables stand what doesn't, and what wants care.
LOOKALIKES = ("arithmetic", "linear means", "epsilon", "axes", "guards", "surroundings", "other kinds")
FUSED = ("fused", "native")


def every(names: Iterable[str]) -> list[object]:
    return [
        pytest.param(case, how, id=f"{case.name}-{label(how)}")
        for name in names
        for case in TABLES[name]
        for how in builds(case)
    ]


@pytest.mark.parametrize(("case", "how"), every(LOOKALIKES))
def test_trap_is_not_fused(case: Trap, how: Build) -> None:
    _, report = optimized(case, how)
    invited = case.invites.kind if case.invites is not None else "LayerNormalization"
    assert invited not in [site.kind for site in report.sites if site.status in FUSED], case.why
    if case.rule is not None:
        assert case.rule in [site.rule for site in report.sites if site.status not in FUSED], case.why


@pytest.mark.parametrize(("case", "how"), every(["unrelated"]))
def test_nothing_is_said_of_the_unrelated(case: Trap, how: Build) -> None:
    _, report = optimized(case, how)
    assert list(report.sites) == []


@pytest.mark.parametrize(("case", "how"), every(["opsets", "folds"]))
def test_neighbours_go_on_meaning_the_same(case: Trap, how: Build) -> None:
    optimized(case, how)


@pytest.mark.parametrize(("case", "how"), every(["arithmetic", "linear means", "epsilon"]))
def test_one_reason_is_given_for_one_site(case: Trap, how: Build) -> None:
    reasons = [site.reason for site in normgraph.explain(build(case, how)).sites if site.status == "near_miss"]
    assert len(reasons) <= 1
