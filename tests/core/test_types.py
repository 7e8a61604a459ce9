"""Element types: read off the operators' schemas, and left open where these don't tell."""

import numpy as np
import onnx_ir as ir
import pytest

from tests.core.surveyed import surveyed

INPUTS = "float[4] f, float16[4] h, double[4] d, int64[4] i, bool[4] b, uint8[4] u, float[2, 3, 4] n, bool c"

TOLD = [
    pytest.param("y = Add(h, h)", "FLOAT16", id="like-its-operands"),
    pytest.param("y = Pow(h, f)", "FLOAT16", id="like-the-first-operand"),
    pytest.param("y = Where(b, d, d)", "DOUBLE", id="like-the-second-operand"),
    pytest.param("y = Cast<to=16>(f)", "BFLOAT16", id="Cast"),
    pytest.param("y = CastLike(f, h)", "FLOAT16", id="CastLike"),
    pytest.param("y = Shape(f)", "INT64", id="Shape"),
    pytest.param("y = Equal(f, f)", "BOOL", id="Equal"),
    pytest.param("y = ArgMax(f)", "INT64", id="ArgMax"),
    pytest.param("y = ConstantOfShape<value=double[1]{1}>(i)", "DOUBLE", id="ConstantOfShape"),
    pytest.param("y = ConstantOfShape(i)", "FLOAT", id="ConstantOfShape-of-zero"),
    pytest.param("y = RandomNormal<shape=[2], dtype=11>()", "DOUBLE", id="RandomNormal"),
    pytest.param("y = RandomNormal<shape=[2]>()", "FLOAT", id="RandomNormal-without"),
    pytest.param("z, y = Dropout(h)", "BOOL", id="second-output"),
    pytest.param("z, y = Split<num_outputs=2>(h)", "FLOAT16", id="variadic-output"),
    pytest.param("z, y = TopK(h, one)", "INT64", id="indices"),
    pytest.param("y = DequantizeLinear(u, f0)", "FLOAT", id="like-the-scale"),
    pytest.param("y = QuantizeLinear(n, f0, u0)", "UINT8", id="like-the-zero-point"),
]
NOT_TOLD = [
    pytest.param("y = EyeLike(n)", id="only-by-an-attribute"),
    pytest.param("s = SequenceConstruct(f, f)  y = SequenceAt(s, c0)", id="out-of-a-sequence"),
    pytest.param("y = QuantizeLinear(n, f0)", id="no-zero-point"),
]
CONSTANTS = {"one": [1], "f0": 0.5, "u0": 0, "c0": 0}


def dtype(nodes: str, inputs: str = INPUTS) -> ir.DataType | None:
    """The type of y."""
    types = {"f0": np.float32, "u0": np.uint8}
    used = {n: np.asarray(v, types.get(n, np.int64)) for n, v in CONSTANTS.items() if n in nodes}
    found = surveyed(nodes, inputs, constants=used)
    return found.facts.dtype(found.values["y"])


@pytest.mark.parametrize(("nodes", "expected"), TOLD)
def test_type_is_told(nodes: str, expected: str) -> None:
    assert dtype(nodes) == ir.DataType[expected]


@pytest.mark.parametrize("nodes", NOT_TOLD)
def test_type_is_not_guessed(nodes: str) -> None:
    assert dtype(nodes) is None


def test_values_that_a_loop_carries_have_types_of_their_own() -> None:
    body = (
        "body (int64 k, bool going, int64[4] p, float[4] q) => (bool on, int64[4] pp, float[4] qq) "
        "{ on = Identity(going) pp = Identity(p) qq = Identity(q) }"
    )
    nodes = f"z, y = Loop<body = {body}>(trips, c, i, f)  w = Neg(y)"
    found = surveyed(nodes, INPUTS, constants={"trips": 3})
    assert found.facts.dtype(found.values["y"]) is not ir.DataType.INT64
    assert found.facts.dtype(found.values["w"]) is not ir.DataType.INT64


def test_declared_type_stands() -> None:
    found = surveyed("y = Add(h, h)", INPUTS, outputs="float16[4] y")
    assert found.facts.dtype(found.values["y"]) is ir.DataType.FLOAT16


def test_operator_that_its_opset_does_not_have_has_no_type() -> None:
    found = surveyed("y = Gelu(f)", INPUTS, opset=17)
    assert found.facts.dtype(found.values["y"]) is None
