"""The operators that stand in for those of onnx's reference evaluator."""

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from normgraph.reference_operators import OPERATORS

HALF = np.float16
NAMES = {
    np.float16: "float16",
    np.float32: "float",
    np.float64: "double",
    np.int64: "int64",
    ml_dtypes.bfloat16: "bfloat16",
}


def reduced(operator: str, x: np.ndarray, opset: int, axes: str = "", keepdims: str = "") -> np.ndarray:
    """The reduction as a model; axes are an attribute before the opset at which they become an operand."""
    operand = opset >= (13 if operator == "ReduceSum" else 18)
    attributes = ", ".join(part for part in ("" if operand or not axes else f"axes = {axes}", keepdims) if part)
    constant = f"a = Constant<value_ints = {axes}>()" if operand and axes else ""
    name = NAMES[x.dtype.type]
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : {opset}]> g ({name}[2, 3, 4] x) => ({name}[M] y)'
        f"{{ {constant} y = {operator}{f'<{attributes}>' if attributes else ''}(x{', a' if constant else ''}) }}"
    )
    return np.asarray(ReferenceEvaluator(model, new_ops=OPERATORS).run(None, {"x": x})[0])


REDUCTIONS = [
    pytest.param("[1]", "", (1,), True, id="one-axis"),
    pytest.param("[-1, 0]", "", (0, 2), True, id="several-axes"),
    pytest.param("[2]", "keepdims = 0", (2,), False, id="dimension-dropped"),
    pytest.param("", "", (0, 1, 2), True, id="all-axes"),
    pytest.param("", "keepdims = 0", (0, 1, 2), False, id="all-axes-dropped"),
]


@pytest.mark.parametrize("opset", [11, 13, 18])
@pytest.mark.parametrize("operator", ["ReduceMean", "ReduceSum"])
@pytest.mark.parametrize(("axes", "keepdims", "over", "kept"), REDUCTIONS)
def test_reductions_are_those_of_numpy(
    operator: str, opset: int, axes: str, keepdims: str, over: tuple[int, ...], kept: bool
) -> None:
    x = np.arange(24, dtype=np.float64).reshape(2, 3, 4) ** 2
    function = np.mean if operator == "ReduceMean" else np.sum
    np.testing.assert_allclose(reduced(operator, x, opset, axes, keepdims), function(x, axis=over, keepdims=kept))


def test_no_axes_may_mean_nothing_to_do() -> None:
    x = np.ones((2, 3, 4), np.float32)
    assert reduced("ReduceSum", x, 18, "", "noop_with_empty_axes = 1").shape == (2, 3, 4)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_short_floats_are_summed_up_in_longer_ones(dtype: type[np.generic]) -> None:
    x = np.full((2, 3, 4), 40000.0).astype(dtype)
    assert np.all(reduced("ReduceMean", x, 18, "[0, 1, 2]") == x[0, 0, 0])  # the sum itself is beyond float16
    small = np.full((2, 3, 4), 1.0).astype(dtype)
    small[0, 0, 0] = 2000.0
    wide = np.asarray(2023.0).astype(dtype)
    assert reduced("ReduceSum", small, 18, "[0, 1, 2]").reshape(()) == wide


def test_whole_numbers_stay_whole() -> None:
    x = np.arange(24).reshape(2, 3, 4)
    assert reduced("ReduceSum", x, 13, "[0, 1, 2]").reshape(()) == 276
