"""Every spelling of a normalization is found, and fused into what computes the same."""

from collections import Counter

import numpy as np
import pytest

from tests.cases import Build, build
from tests.claims import Spelling, number
from tests.optimizing import nodes_of, operators, optimized, target_for
from tests.running import builds, label, run
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
    model, report = optimized(case, how, target=target_for(how))
    found = [str(site.kind) for site in report.sites if site.status in ("fused", "native")]
    assert sorted(found) == sorted(norm.kind for norm in case.claims)
    if case.after is not None:
        assert operators(model) == Counter(case.after.split())
    for kind in FOUND:
        stored = [a.f for node in nodes_of(model, kind) for a in node.attribute if a.name == "epsilon"]
        claimed = [number(case, norm.epsilon, how.dtype) for norm in case.claims if norm.kind == kind]
        np.testing.assert_allclose(sorted(stored), sorted(claimed), rtol=1e-5, atol=0)


# What the standard's operators express otherwise than the claim has it, which is as exact.
OTHERWISE = {
    "instance: without gain and bias": ("LayerNormalization",),
    "instance: three spatial axes": ("LayerNormalization",),
    "instance: gain and bias that are fed": ("LayerNormalization",),
    "run time: adaptive instance norm": ("LayerNormalization",),
    "run time: adaptive instance norm, channels last": ("LayerNormalization",),
    "run time: adaptive instance norm, per pixel": ("LayerNormalization",),
    "group: groups of one channel": ("InstanceNormalization",),
    "group: no spatial axis": ("BatchNormalization", "LayerNormalization"),
    "mean-variance: batch and space, no epsilon": ("LayerNormalization",),
    "Lp: over a whole sample": ("RMSNormalization",),
    "Lp: epsilon added to the sum": ("RMSNormalization",),
    "Lp: epsilon added to the sum, Pow": ("RMSNormalization",),
}
# What is recognised and stays: it stands in as few nodes as it can, or has no operator of this type.
STAYING = {
    "Lp: PyTorch, over channels": "guard",
    "Lp: norm at least epsilon": "guard",
    "Lp: L1 norm at least epsilon": "guard",
    "Lp: epsilon added to the norm": "guard",
    "Lp: epsilon added to the L1 norm": "guard",
    "Lp: float16 that computes in float": "no-kernel",
}
# A scale or a shift by itself is one node already, and only the second dimension can be a BatchNormalization's.
NOT_ONE = ("batch: scale alone", "batch: shift alone", "batch: channels last")


@pytest.mark.parametrize(
    ("case", "how"),
    [pytest.param(case, builds(case)[-1], id=case.name) for kind in TABLES for case in TABLES[kind] if not case.hard],
)
def test_the_standard_has_an_operator_for_every_spelling(case: Spelling, how: Build) -> None:
    """With ``--target onnx --opset 23`` each becomes its operator, whatever that costs on some runtime."""
    model, report = optimized(case, how, target="onnx", opset=23)
    found = sorted(str(site.kind) for site in report.sites if site.status in ("fused", "native"))
    if case.name in STAYING:
        assert [site.rule for site in report.sites if site.status == "kept"] == [STAYING[case.name]]
        assert [site.kind for site in report.sites] == [norm.kind for norm in case.claims]
    elif case.name not in NOT_ONE:
        assert tuple(found) == OTHERWISE.get(case.name, tuple(sorted(norm.kind for norm in case.claims)))
    assert model.opset_import[0].version == 23


@pytest.mark.parametrize(("case", "how"), every([kind for kind in TABLES if kind not in FOUND]))
def test_spelling_of_another_kind_is_not_harmed(case: Spelling, how: Build) -> None:
    optimized(case, how)


@pytest.mark.parametrize("case", [case for case in TABLES["LpNormalization"] if case.claims[0].guard == "zero stays"])
def test_a_vector_of_zeros_stays_one(case: Spelling) -> None:
    """As LpNormalization has it; an RMSNormalization would make it not a number."""
    how = builds(case)[-1]
    model, report = optimized(case, how, target="onnx", opset=23)
    assert report.kinds("fused") == {"LpNormalization": 1}
    zeros = np.zeros((2, 3, 8), np.float32)
    zeros[0, 1] = np.arange(8)
    (before,), (after,) = (run(each, [{"x": zeros}]) for each in (build(case, how), model))
    assert np.isfinite(before["y"]).all()
    np.testing.assert_allclose(after["y"], before["y"], rtol=1e-5, atol=1e-6)
