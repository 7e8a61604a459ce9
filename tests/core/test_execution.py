"""Running small models: what types don't allow is refused, whoever computes it."""

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import parser

from normgraph.execution import NotRunnable, Reference, runner_of, well_typed

HEADER = '<ir_version: 10, opset_import: ["": 17]> fragment '
NORM = "n, mean, r = LayerNormalization(x, g)"
WITHOUT_SCHEMA = "y = SimplifiedLayerNormalization(x, g)"
BFLOAT16 = ml_dtypes.bfloat16

# ONNX Runtime can't be fed bfloat16, so onnx's reference evaluator computes it.
RIGHT = [
    pytest.param(BFLOAT16, f"float[2, 1] mean) {{ {NORM} }}", np.float32, id="statistic"),
    pytest.param(BFLOAT16, f"bfloat16[2, 4] y) {{ {NORM} c = Cast<to=16>(mean) y = Sub(x, c) }}", BFLOAT16, id="cast"),
    pytest.param(BFLOAT16, f"bfloat16[2, 4] y) {{ {WITHOUT_SCHEMA} }}", BFLOAT16, id="operator-without-a-schema"),
    pytest.param(np.float64, f"double[2, 1] r) {{ {NORM} }}", np.float64, id="statistic-in-double"),
]
WRONG = [
    pytest.param(np.float16, f"float16[2, 4] y) {{ {NORM} y = Sub(x, mean) }}", id="operands-in-half"),
    pytest.param(BFLOAT16, f"bfloat16[2, 4] y) {{ {NORM} y = Sub(x, mean) }}", id="operands"),
    pytest.param(BFLOAT16, f"bfloat16[2, 4] y) {{ {NORM} d = Sub(x, mean) y = Cast<to=16>(d) }}", id="operands-within"),
    pytest.param(BFLOAT16, f"bfloat16[2, 1] mean) {{ {NORM} }}", id="statistic"),
    pytest.param(BFLOAT16, f"float[2, 4] y) {{ {WITHOUT_SCHEMA} }}", id="operator-without-a-schema"),
]


def model(dtype: type[np.generic], rest: str) -> onnx.ModelProto:
    """A model of x and g, both of this type."""
    name = {np.float64: "double"}.get(dtype, np.dtype(dtype).name)
    return parser.parse_model(f"{HEADER} ({name}[2, 4] x, {name}[4] g) => ({rest}")


def fed(dtype: type[np.generic]) -> dict[str, np.ndarray]:
    return {"x": np.arange(8).reshape(2, 4).astype(dtype), "g": np.ones(4, dtype)}


@pytest.mark.parametrize(("dtype", "rest", "made"), RIGHT)
def test_model_whose_types_go_together_is_computed(dtype: type[np.generic], rest: str, made: type[np.generic]) -> None:
    right = model(dtype, rest)
    assert well_typed(right) is right
    assert Reference(right)(fed(dtype)).dtype == made


@pytest.mark.parametrize(("dtype", "rest"), WRONG)
def test_model_whose_types_do_not_is_refused(dtype: type[np.generic], rest: str) -> None:
    with pytest.raises(NotRunnable, match=r"types don't go together|evaluator makes \w+ of what is to be \w+"):
        runner_of(model(dtype, rest))(fed(dtype))
