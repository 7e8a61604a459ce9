"""Two maps that don't become one, though only operators that a map may pass stand between them."""

import pytest

from tests.cases import Build
from tests.folds.claims import miss, norm
from tests.optimizing import operators, optimized
from tests.running import builds, label

FIRST = f"r = Relu(x)  n = {norm('r')}"

TABLE = [
    miss("a negative gain behind MaxPool",
         f"{FIRST}  p = MaxPool<kernel_shape=[2, 2]>(n)  b = {norm('p')}  y = Relu(b)", "negative-gain"),
    miss("the first is read elsewhere",
         f"{FIRST}  p = AveragePool<kernel_shape=[1, 1]>(n)  b = {norm('p')}  s = Sigmoid(n)  y = Add(b, s)",
         "no-neighbour"),
    miss("an activation between", f"{FIRST}  s = Sigmoid(n)  b = {norm('s')}  y = Relu(b)", "no-neighbour"),
    miss("the first's scale may be overridden",
         "r = Relu(x)  n = BatchNormalization(r, own, beta, mean, variance)  p = AveragePool<kernel_shape=[2, 2]>(n)  "
         f"b = {norm('p')}  y = Relu(b)", "no-neighbour", constants={"own": (4,)}, overridable=("own",)),
    miss("along space, behind a Transpose",
         f"{FIRST}  t = Transpose<perm=[0, 2, 1, 3]>(n)  b = {norm('t')}  y = Relu(b)", "no-neighbour", dims="B 4 4 4"),
]  # fmt: skip
CASES = [pytest.param(case, how, id=f"{case.name}-{label(how)}") for case in TABLE for how in builds(case)]


@pytest.mark.parametrize(("case", "how"), CASES)
def test_both_stay(case: object, how: Build) -> None:
    model, report = optimized(case, how)  # type: ignore[arg-type]
    assert operators(model)["BatchNormalization"] == 2
    assert [fold.status for fold in report.folds] == ["kept", "kept"]
    assert case.rule in {fold.rule for fold in report.folds}, report.folds  # type: ignore[attr-defined]
