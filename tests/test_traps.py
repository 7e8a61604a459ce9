"""What isn't a normalization is never fused, and the reason given is the decisive one."""

from collections.abc import Iterable

import pytest

import normgraph
from tests.cases import Build, build
from tests.claims import Trap
from tests.optimizing import optimized, target_for
from tests.running import builds, label
from tests.spellings import TABLES as SPELLINGS
from tests.traps import TABLES

# What looks like a normalization; in the other tables stand what doesn't, and what wants care.
LOOKALIKES = ("arithmetic", "linear means", "epsilon", "axes", "guards", "surroundings", "other kinds", "runtime gains")
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
    _, report = optimized(case, how, target=target_for(how))
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


#: What other optimizers are known to get wrong → the case that shows it: a trap, or a spelling that it would break.
KNOWN_MISTAKES = [
    ("an exponent other than two taken for a square", "fourth power for a square"),
    ("the sign of mean minus x lost", "scaled: mean minus x"),
    ("the deviation divided by the centred value", "the wrong way up"),
    ("keepdims = 0 where the broadcast then means something else", "keepdims 0 in a square matrix"),
    ("a norm over channels taken for one over the last axis", "in part: channels first, gain along the last axis"),
    ("mean and variance over different axes", "mean over the last axis, variance over the one before"),
    ("the result of a Div taken for the gain", "in part: gain by a quotient that is fed"),
    ("a gain of a shape that doesn't fit", "in part: gain per row and column"),
    ("a bias of a shape that doesn't fit", "in part: bias per row"),
    ("gain and bias confused", "affine: bias before gain"),
    ("an inner value that is an output", "context: normalized value is an output"),
    ("an inner value that something else reads", "context: normalized value read by a second gain"),
    ("a BatchNormalization in training mode folded", "fold: training mode behind a convolution"),
    ("Gemm's beta applied twice", "fold: Gemm with alpha and beta"),
    ("an initializer baked in that a caller may override", "in part: overridable gain"),
    ("an axis baked in that a caller may override", "overridable axes"),
    ("a residual taken for the bias", "in part: residual"),
    ("a gain that is fed taken for Scale", "in part: gain that is fed, per element"),
    ("epsilon outside the root", "epsilon outside the root"),
    ("epsilon at another precision than the stored one", "epsilon that float32 rounds"),
    ("epsilon per channel", "epsilon per channel"),
    ("a shift folded through padding", "fold: before a convolution that pads"),
    ("the channels of a grouped convolution confused", "fold: before a grouped convolution"),
    ("the channels of a depthwise convolution confused", "fold: before a depthwise convolution"),
    ("the channels of a transposed convolution confused", "fold: behind a grouped transposed convolution"),
    ("a weight folded into that another node reads", "fold: weight that two convolutions share"),
    ("a convolution folded into whose result something else reads", "fold: convolution that something else reads"),
    ("Softmax of another meaning after the opset was raised", "opset: Softmax by default"),
    ("Split of another meaning after the opset was raised", "opset: Split by default"),
    ("Resize of another meaning after the opset was raised", "opset: Resize"),
    ("reduced axes lost when the opset was raised", "opset: ReduceMax"),
]


@pytest.mark.parametrize(("mistake", "name"), [pytest.param(*row, id=row[0]) for row in KNOWN_MISTAKES])
def test_known_mistake_has_a_case(mistake: str, name: str) -> None:
    cases = [case.name for table in (*TABLES.values(), *SPELLINGS.values()) for case in table]
    assert cases.count(name) == 1
