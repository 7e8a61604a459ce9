"""Spellings and traps mean the same up to the newest opset that onnx has; the other tables of tests end at 23."""

from collections.abc import Iterable

import onnx
import pytest

from tests.cases import Build, Case
from tests.claims import Spelling, Trap
from tests.optimizing import optimized, target_for
from tests.running import SIZES
from tests.spellings import TABLES as SPELLINGS
from tests.traps import TABLES as TRAPS

#: The last opset of a text that goes on meaning the same, in the tables.
OPEN = 23
NEWEST = range(OPEN + 1, onnx.defs.onnx_opset_version() + 1)
#: What looks like a normalization, and isn't.
LOOKALIKES = ("arithmetic", "linear means", "epsilon", "axes", "guards", "surroundings", "other kinds", "unrelated")


def every(cases: Iterable[Case]) -> list[object]:
    """Each case at one of the opsets by turns, with one of its types; the rest where time is no matter."""
    found: list[object] = []
    for position, case in enumerate(case for case in cases if case.opsets[1] == OPEN):
        for opset in NEWEST:
            turn = position + opset
            dtype = case.dtypes[turn // len(NEWEST) % len(case.dtypes)]
            how = Build(opset, dtype, sizes=SIZES[0] if turn % 2 else None, constant_nodes=bool(turn % 3))
            marks = [] if turn % len(NEWEST) == 0 and position % 2 else [pytest.mark.slow]
            found.append(pytest.param(case, how, id=f"{case.name}-{opset}-{dtype}", marks=marks))
    return found


@pytest.mark.parametrize(
    ("case", "how"), every(case for kind in SPELLINGS for case in SPELLINGS[kind] if not case.hard)
)
def test_spelling_is_found_at_the_newest_opsets(case: Spelling, how: Build) -> None:
    model, report = optimized(case, how, target=target_for(how))
    found = sorted(str(site.kind) for site in report.sites if site.status in ("fused", "native"))
    wanted = [norm.kind for norm in case.claims]
    if set(wanted) <= {"LayerNormalization"}:
        assert found == wanted
    assert model.opset_import[0].version == how.opset


@pytest.mark.parametrize(("case", "how"), every(case for name in LOOKALIKES for case in TRAPS[name]))
def test_trap_is_not_fused_at_the_newest_opsets(case: Trap, how: Build) -> None:
    _, report = optimized(case, how, target=target_for(how))
    invited = case.invites.kind if case.invites is not None else "LayerNormalization"
    assert invited not in [site.kind for site in report.sites if site.status in ("fused", "native")], case.why
    if case.rule is not None:
        assert case.rule in [site.rule for site in report.sites if site.status not in ("fused", "native")], case.why


@pytest.mark.parametrize(("case", "how"), every(case for name in ("opsets", "folds") for case in TRAPS[name]))
def test_neighbours_go_on_meaning_the_same_at_the_newest_opsets(case: Trap, how: Build) -> None:
    optimized(case, how)
