"""What isn't a normalization is never fused, and the reason given is the decisive one."""

from collections.abc import Iterable

import pytest

from tests.cases import Build
from tests.claims import Trap
from tests.optimizing import optimized
from tests.running import builds, label
from tests.traps import TABLES

# Where a site is found that must not be fused, a reason is due. Beside an operator of another opset, and beside a
# linear operator, fusing and folding are right as long as the outputs stay what they are.
MUST_NOT_FUSE = ("arithmetic", "epsilon", "axes", "surroundings", "other kinds")
FUSED = ("fused", "native")


def every(names: Iterable[str]) -> list[object]:
    return [
        pytest.param(case, how, id=f"{case.name}-{label(how)}")
        for name in names
        for case in TABLES[name]
        for how in builds(case)
    ]


@pytest.mark.parametrize(("case", "how"), every(MUST_NOT_FUSE))
def test_trap_is_left_alone(case: Trap, how: Build) -> None:
    _, report = optimized(case, how)
    assert [site.kind for site in report.sites if site.status in FUSED] == [], case.why
    given = {site.rule for site in report.sites}
    assert given == ({case.rule} if case.rule else set()), case.why


@pytest.mark.parametrize(("case", "how"), every(name for name in TABLES if name not in MUST_NOT_FUSE))
def test_outputs_stay_what_they_are(case: Trap, how: Build) -> None:
    optimized(case, how)
