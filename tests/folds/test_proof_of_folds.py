"""A fold isn't proven where its original is in doubt: where the runtime and float64 don't agree about it at all."""

import numpy as np
import onnx_ir as ir
import pytest

from normgraph.evidence import Evidence, Trial, Ulps
from normgraph.folding import proof
from normgraph.folding.plan import FoldPlan
from normgraph.folding.plans import BACKWARD, plans_for
from normgraph.folding.proof import Prover
from tests.core.surveyed import f32, surveyed
from tests.folds.claims import norm

EPSILON = float(np.finfo(np.float32).eps)


def tried(family: str, relative: float | None) -> Trial:
    """A trial in which all but one element in a hundred of the original err by at most this much of themselves."""
    ulps = None if relative is None else Ulps(relative / EPSILON, relative / EPSILON)
    return Trial(family, (2, 4), 0.0, 0.0, 1.0, ulps)


@pytest.mark.parametrize(
    ("trials", "dtype", "agreed"),
    [
        pytest.param([tried("normal", 0.25)], ir.DataType.FLOAT, True, id="rounding"),
        pytest.param([tried("normal", 0.5)], ir.DataType.FLOAT, False, id="another function"),
        pytest.param([tried("normal", 0.25), tried("subnormal", 0.5)], ir.DataType.FLOAT, True, id="at the extremes"),
        pytest.param([tried("normal", None)], ir.DataType.FLOAT, True, id="not measured"),
        pytest.param([tried("normal", 0.5)], None, True, id="of unknown type"),
    ],
)
def test_original_of_another_function_proves_nothing(
    trials: list[Trial], dtype: ir.DataType | None, agreed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = {name: f32([1, 2, 3, 4]) for name in ("gamma", "beta", "mean", "variance")}
    found = surveyed(
        f"h = Conv(x, w)  y = {norm('h')}",
        "float[N, 4, 5, 5] x",
        constants={**constants, "w": f32(np.ones((4, 4, 3, 3)))},
    )
    (plan,) = (p for p in plans_for(BACKWARD, found.model.graph, found.facts) if isinstance(p, FoldPlan))
    monkeypatch.setattr(proof, "compare", lambda *_: Evidence(trials=tuple(trials), dtype=dtype))
    evidence = Prover()(plan, plan.regions[0], found.facts)
    assert evidence.accepted is agreed
    assert (evidence.failure is None) is agreed
    assert agreed or "BatchNormalization, Conv" in (evidence.failure or "")
