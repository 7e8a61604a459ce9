"""The tables of spellings and traps are themselves right: valid, runnable, and what they say they are."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import onnx
import pytest

from tests import spellings, traps
from tests.cases import Build, Case, build, weights
from tests.claims import Norm, Spelling, Trap, claimed
from tests.running import TOLERANCE, builds, error, label, run, trials, truth

SPELLINGS = [case for table in spellings.TABLES.values() for case in table]
TRAPS = [case for table in traps.TABLES.values() for case in table]
# The least error of what a trap invites to: no rounding comes near it.
APART = 1e-3


def every(cases: Iterable[Case]) -> list[object]:
    return [pytest.param(case, how, id=f"{case.name}-{label(how)}") for case in cases for how in builds(case)]


@pytest.mark.parametrize(("case", "how"), every([*SPELLINGS, *TRAPS]))
def test_model_is_valid_and_runs(case: Case, how: Build) -> None:
    model = build(case, how)
    onnx.checker.check_model(model, full_check=True)
    feeds = list(trials(case, how))
    for found, true in zip(run(model, feeds), truth(case, how, feeds), strict=True):
        for name in case.outputs:
            # Float32 loses up to the square of mean over deviation where a variance is taken from moments.
            assert error(found[name], true[name]) < 1000 * TOLERANCE[how.dtype], name


@pytest.mark.parametrize(("case", "how"), every(SPELLINGS))
def test_claim_holds(case: Spelling, how: Build) -> None:
    feeds = list(trials(case, how))
    names = [name for norm in case.claims for name in (norm.of, norm.output)]
    names += [part for norm in case.claims for part in (norm.scale, norm.bias) if f"{part} = " in case.text]
    for fed, true in zip(feeds, truth(case, how, feeds, names), strict=True):
        values = {**fed, **true}
        for norm in case.claims:
            assert error(values[norm.output], claimed(norm, values, case, how.dtype)) < 1e-5, norm


def invitations() -> list[object]:
    return [
        pytest.param(case, how, case.invites, id=f"{case.name}-{label(how)}")
        for case in TRAPS
        for how in builds(case)
        if case.invites is not None
    ]


@pytest.mark.parametrize(("case", "how", "norm"), invitations())
def test_trap_is_not_what_it_looks_like(case: Trap, how: Build, norm: Norm) -> None:
    feeds = list(trials(case, how))
    true = truth(case, how, feeds, [norm.of, norm.output])
    values = ({**fed, **found} for fed, found in zip(feeds, true, strict=True))
    apart = [error(claimed(norm, value, case, how.dtype), value[norm.output]) for value in values]
    assert max(apart) > APART


@pytest.mark.parametrize(("case", "how"), every(table[0] for table in spellings.TABLES.values()))
def test_same_bytes_every_time(case: Case, how: Build) -> None:
    assert build(case, how).SerializeToString() == build(case, how).SerializeToString()


def test_names_are_unique() -> None:
    names = Counter(case.name for case in [*SPELLINGS, *TRAPS])
    assert [name for name, count in names.items() if count > 1] == []


def test_weights_have_both_signs() -> None:
    values = weights("gamma", (8,))
    assert (values < 0).any()
    assert (values > 0).any()
    assert np.abs(values).min() >= 0.25
