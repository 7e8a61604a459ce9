"""What a fold puts in is held against the truth in float64, where only the rounding of its weights may show."""

import numpy as np
import pytest

from normgraph.evidence import agreement
from tests.folds.test_folds_once_each import DENSE, PRODUCT, SAME, Mistake, at, layer, proofs, stacked

NETWORKS = {
    "conv": stacked([SAME, SAME], dtype="float16"),
    "gemm": stacked([DENSE, DENSE], kernel=(), dtype="float16"),
    "product": stacked([PRODUCT, PRODUCT], kernel=(), dtype="float16"),
    "wide": stacked([SAME, SAME], widths=(4, 16, 8), dtype="float16"),
    "transposed": stacked(
        [layer("h{i} = ConvTranspose({x}, w{i})  n{i} = BatchNormalization({h}, g{i}, b{i}, m{i}, v{i})  ")] * 2,
        dtype="float16",
    ),
}

#: What the bound on errors in float16 lets pass: 16 units in the last place of the largest value.
SLIGHT = [
    pytest.param(lambda w, b, e: (w * 1.01, b), id="weights-off-by-a-hundredth"),
    pytest.param(lambda w, b, e: (w, b * 1.01), id="bias-off-by-a-hundredth"),
    pytest.param(lambda w, b, e: (w, b + 0.01 * at(1, b)), id="one-bias-a-little-off"),
]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("mistake", SLIGHT)
def test_what_is_wrong_by_less_than_the_bound_is_told(
    network: str, mistake: Mistake, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = proofs(NETWORKS[network], mistake, 0.0)
    assert first.accepted, first.describe()
    assert not second.accepted
    assert "in float64 it differs by" in second.describe()
    monkeypatch.setattr(agreement, "is_coarse", lambda dtype: False)
    assert all(evidence.accepted for evidence in proofs(NETWORKS[network], mistake, 0.0))


@pytest.mark.parametrize("factor", [1.0, 1 / 3, 1e-3])
def test_rounding_of_weights_is_allowed_for(factor: float) -> None:
    """Whatever their size: small weights are rounded by more of themselves."""
    right = stacked([SAME, SAME], dtype="float16", factors=(factor, factor))
    assert all(evidence.accepted for evidence in proofs(right, lambda w, b, _: (w, b), 0.0))


def test_weights_that_are_all_alike_are_rounded_alike() -> None:
    """Then what rounding does adds up over all of them, and is still rounding."""
    constants = {f"w{i}": np.full((4, 4, 3, 3), 0.1) for i in range(2)}
    alike = {f"{name}{i}": np.full(4, 1.37) for name in "gbmv" for i in range(2)}
    network = stacked([SAME, SAME], dtype="float16", constants={**constants, **alike})
    assert all(evidence.accepted for evidence in proofs(network, lambda w, b, _: (w, b), 0.0))
