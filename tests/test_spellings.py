"""Every spelling of a normalization is found, and fused into what computes the same."""

from collections import Counter

import numpy as np
import pytest

from tests.cases import Build
from tests.claims import Spelling, number
from tests.optimizing import nodes_of, operators, optimized
from tests.running import builds, label
from tests.spellings import TABLES

# The kinds that must be found; the spellings of the others must merely not be harmed.
FOUND = ("LayerNormalization",)
EPSILONS = {"LayerNormalization": "epsilon"}


def every(kinds: list[str]) -> list[object]:
    return [
        pytest.param(
            case,
            how,
            id=f"{case.name}-{label(how)}",
            marks=pytest.mark.xfail(reason=case.hard, strict=True) if case.hard else (),
        )
        for kind in kinds
        for case in TABLES[kind]
        for how in builds(case)
    ]


@pytest.mark.parametrize(("case", "how"), every([kind for kind in TABLES if kind in FOUND]))
def test_spelling_is_found(case: Spelling, how: Build) -> None:
    model, report = optimized(case, how)
    found = [str(site.kind) for site in report.sites if site.status in ("fused", "native")]
    assert sorted(found) == sorted(norm.kind for norm in case.claims)
    if case.after is not None:
        assert operators(model) == Counter(case.after.split())
    for kind in FOUND:
        stored = [a.f for node in nodes_of(model, kind) for a in node.attribute if a.name == "epsilon"]
        claimed = [number(case, norm.epsilon, how.dtype) for norm in case.claims if norm.kind == kind]
        np.testing.assert_allclose(sorted(stored), sorted(claimed), rtol=1e-5, atol=0)


@pytest.mark.parametrize(("case", "how"), every([kind for kind in TABLES if kind not in FOUND]))
def test_spelling_of_another_kind_is_not_harmed(case: Spelling, how: Build) -> None:
    optimized(case, how)
