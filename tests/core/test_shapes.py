"""Shapes: static ones as ONNX's own inference has them, dynamic ones only as far as they are certain."""

import numpy as np
import onnx
import pytest

from normgraph.shapes import SHAPE_RULES
from tests.core.surveyed import Constants, surveyed

UNARY = (
    "Abs Ceil Celu Cos Elu Erf Exp Floor Gelu HardSigmoid HardSwish Hardmax Identity IsNaN LeakyRelu Log LogSoftmax "
    "LpNormalization Mish Neg Reciprocal Relu Round Selu Sigmoid Sign Sin Softmax Softplus "
    "Softsign Sqrt Tan Tanh ThresholdedRelu Trilu Clip Dropout Swish"
).split()
BINARY = "Add Div Max Mean Min Mul PRelu Pow Sub Sum".split()
COMPARED = "Equal Greater GreaterOrEqual Less LessOrEqual".split()
REDUCED = (
    "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare"
).split()
OPERANDS = "float[2, 3, 4] a, float[3, 1] b, bool[3, 1] p, int64[2, 1] i, uint8[2, 3, 4] u, float[4] c, float[3] d"

STATIC = [
    *(pytest.param(f"y = {op}(a)", id=op) for op in UNARY),
    *(pytest.param(f"y = {op}(a, b)", id=op) for op in [*BINARY, *COMPARED]),
    *(pytest.param(f"y = {op}<keepdims=0>(a, axes)", id=f"{op}-dropped") for op in REDUCED),
    *(pytest.param(f"y = {op}(a, axes)", id=f"{op}-kept") for op in REDUCED),
    pytest.param("y = ReduceSum(a)", id="ReduceSum-all"),
    pytest.param("y = ReduceSum<noop_with_empty_axes=1>(a)", id="ReduceSum-none"),
    pytest.param("y = And(p, p)", id="And"),
    pytest.param("y = Or(p, p)", id="Or"),
    pytest.param("y = Xor(p, p)", id="Xor"),
    pytest.param("y = Not(p)", id="Not"),
    pytest.param("y = Mod(i, i)", id="Mod"),
    pytest.param('y = BitShift<direction="LEFT">(u, u)', id="BitShift"),
    pytest.param("y = Where(p, a, b)", id="Where"),
    pytest.param("y = Cast<to=7>(a)", id="Cast"),
    pytest.param("y = CastLike(a, i)", id="CastLike"),
    pytest.param("y = CumSum(a, zero)", id="CumSum"),
    pytest.param("q = QuantizeLinear(a, s, z)  y = DequantizeLinear(q, s, z)", id="QuantizeLinear"),
    pytest.param("y = LayerNormalization(a, c)", id="LayerNormalization"),
    pytest.param("y = RMSNormalization(a, c)", id="RMSNormalization"),
    pytest.param("y = InstanceNormalization(a, d, d)", id="InstanceNormalization"),
    pytest.param("y = BatchNormalization(a, d, d, d, d)", id="BatchNormalization"),
    pytest.param("y = Concat<axis=-2>(a, a, a)", id="Concat"),
    pytest.param("y = ConstantOfShape(sizes)", id="ConstantOfShape"),
    pytest.param("y = Expand(b, sizes)", id="Expand"),
    pytest.param("y = Flatten<axis=-1>(a)", id="Flatten"),
    pytest.param("y = Flatten<axis=0>(a)", id="Flatten-0"),
    pytest.param("y = Gather<axis=-2>(a, i)", id="Gather"),
    pytest.param("y = Gather(a, zero)", id="Gather-scalar"),
    pytest.param("y = Gemm<transA=1>(b, b)", id="Gemm-transA"),
    pytest.param("y = Gemm<transB=1>(b, b)", id="Gemm-transB"),
    pytest.param("t = Transpose(a)  y = MatMul(a, turned)", id="MatMul"),
    pytest.param("y = Range(zero, nine, two)", id="Range"),
    pytest.param("y = Range(nine, zero, four)", id="Range-of-nothing"),
    pytest.param("y = Range(fs, fe, fd)", id="Range-of-floats"),
    pytest.param("y = Reshape(a, target)", id="Reshape"),
    pytest.param("y = Reshape<allowzero=1>(empty, none)", id="Reshape-allowzero"),
    pytest.param("y = Slice(a, one, last, axes, step)", id="Slice"),
    pytest.param("y = Slice(a, last, first, axes, back)", id="Slice-backwards"),
    pytest.param("y = Slice(a, one, last)", id="Slice-first-axis"),
    pytest.param("y, w = Split<axis=-1>(a, parts)", id="Split"),
    pytest.param("y, w = Split<num_outputs=2, axis=2>(a)", id="Split-evenly"),
    pytest.param("y = Squeeze(i)", id="Squeeze"),
    pytest.param("y = Squeeze(i, axes)", id="Squeeze-axes"),
    pytest.param("y = Transpose(a)", id="Transpose"),
    pytest.param("y = Transpose<perm=[1, 2, 0]>(a)", id="Transpose-perm"),
    pytest.param("y = Unsqueeze(a, ends)", id="Unsqueeze"),
    pytest.param("y = Conv(image, kernel)", id="Conv"),
    pytest.param("y = Conv<pads=[1, 0, 2, 1], strides=[2, 1], dilations=[1, 2]>(image, kernel)", id="Conv-pads"),
    pytest.param('y = Conv<auto_pad="SAME_UPPER", strides=[2, 3]>(image, kernel)', id="Conv-same"),
    pytest.param('y = Conv<auto_pad="VALID">(image, kernel)', id="Conv-valid"),
    pytest.param("y = MaxPool<kernel_shape=[2, 3], strides=[2, 2]>(image)", id="MaxPool"),
    pytest.param("y = AveragePool<kernel_shape=[3, 3], pads=[1, 1, 1, 1]>(image)", id="AveragePool"),
    pytest.param("y = GlobalAveragePool(image)", id="GlobalAveragePool"),
    pytest.param("y = GlobalMaxPool(image)", id="GlobalMaxPool"),
]
# ONNX's inference goes through their bodies, and gets lost there.
BY_DEFINITION = [
    pytest.param("y = GroupNormalization<num_groups=3>(a, d, d)", id="GroupNormalization"),
    pytest.param("y = MeanVarianceNormalization<axes=[0, 2]>(a)", id="MeanVarianceNormalization"),
    pytest.param("y = SimplifiedLayerNormalization(a, d)", id="SimplifiedLayerNormalization"),
]
CONSTANTS: Constants = {
    "nine": 9, "two": 2, "four": 4, "fs": np.float32(0), "fe": np.float32(1), "fd": np.float32(0.3),
    "axes": [-1], "zero": 0, "sizes": [2, 1, 4], "target": [0, -1, 2], "one": [1], "last": [9], "step": [2],
    "first": [-9], "back": [-2], "parts": [1, 3], "ends": [0, -1], "none": [0, 3],
}  # fmt: skip


@pytest.mark.parametrize("nodes", STATIC)
def test_static_shape_is_onnx_own(nodes: str) -> None:
    declared = f"{OPERANDS}, float[1, 3, 7, 8] image, float[5, 3, 2, 3] kernel, float[2, 4, 5] turned, float[0] empty"
    declared += ", float s, uint8 z"
    found = surveyed(nodes, declared, opset=24, constants=CONSTANTS)
    inferred = onnx.shape_inference.infer_shapes(found.proto, strict_mode=True, data_prop=True).graph.output[0]
    expected = tuple(dim.dim_value for dim in inferred.type.tensor_type.shape.dim)
    shape = found.facts.shape(found.values["y"])
    assert shape is not None
    assert tuple(size.static for size in shape) == expected


@pytest.mark.parametrize("nodes", BY_DEFINITION)
def test_norm_keeps_the_shape(nodes: str) -> None:
    found = surveyed(nodes, OPERANDS, opset=21)
    assert found.facts.shape(found.values["y"]) == found.facts.shape(found.values["a"])


def test_every_rule_is_tried() -> None:
    texts = " ".join(str(case.values[0]) for case in [*STATIC, *BY_DEFINITION])
    assert not [operator for operator in SHAPE_RULES if f" {operator}(" not in texts and f" {operator}<" not in texts]


DYNAMIC = [
    pytest.param("y = Add(a, b)", "float[N, 4] a, float[N, 1] b", "N 4", id="the-same-name"),
    pytest.param("y = Add(a, b)", "float[N, 4] a, float[M, 1] b", "? 4", id="two-names"),
    pytest.param("y = Add(a, b)", "float[N, 4] a, float[3, 1] b", "3 4", id="name-and-number"),
    pytest.param("y = Add(a, b)", "float[N, 4] a, float[1, M] b", "N 4", id="name-and-one"),
    pytest.param("y = Flatten(a)", "float[N, 2, M] a", "N 2*M", id="product"),
    pytest.param("y = Reshape(a, minus)", "float[N, 2, M] a", "2*M*N", id="inferred"),
    pytest.param("y = Reshape(a, pair)", "float[N, 6] a", "N 3 2", id="quotient"),
    pytest.param("y = Reshape(a, pair)", "float[N, M] a", "N 3 ?", id="quotient-unknown"),
    pytest.param("y = Squeeze(a)", "float[N, 1] a", None, id="squeeze-of-what-may-be-one"),
    pytest.param("y = Squeeze(a, one)", "float[N, 1] a", "N", id="squeeze-of-what-is-named"),
    pytest.param("y = Squeeze(a, none)", "float[N, 3] a", None, id="squeeze-of-an-empty-list"),
    pytest.param("y = Squeeze(a, one)", "float[N, 3] a", None, id="squeeze-of-what-is-not-one"),
    pytest.param("y = Slice(a, i, one)", "float[5, 4] a, int64[1] i", "? ?", id="slice-from-somewhere"),
    pytest.param("y = Slice(a, one, one, one, i)", "float[5, 4] a, int64[1] i", "5 ?", id="slice-by-some-step"),
    pytest.param("y = Slice(a, one, one, i)", "float[5, 4] a, int64[1] i", "? ?", id="slice-of-some-axis"),
    pytest.param("y = Slice(a, one, one, one)", "float[N, M] a", "N ?", id="slice-of-a-name"),
    pytest.param("y, z = Split(a, i)", "float[6, M] a, int64[2] i", "? M", id="split-somewhere"),
    pytest.param("y = Concat<axis=0>(a, b)", "float[N, M] a, float[2, 3] b", "? 3", id="concat"),
    pytest.param("y = Expand(a, i)", "float[N, 1] a, int64[2] i", "? ?", id="expand-to-something"),
    pytest.param("s = Shape(b)  y = Expand(a, s)", "float[1, 4] a, float[N, 1] b", "N 4", id="expand-like"),
    pytest.param("y = Range(k, i, k)", "int64 i, int64 k", "?", id="range-of-something"),
    pytest.param("y = ReduceSum(a, i)", "float[N, 4] a, int64[1] i", None, id="reduced-over-something"),
    pytest.param("y = Conv(a, b)", "float[N, 3, H, W] a, float[5, 3, 3, 3] b", "N 5 ? ?", id="conv"),
    pytest.param(
        "y = Conv<pads=[1, 0, 1, 1], dilations=[1, 2]>(a, b)",
        "float[N, 3, H, W] a, float[5, 3, 3, 3] b",
        "N 5 H ?",
        id="conv-padded-as-it-takes",
    ),
    pytest.param(
        "y = Conv<pads=[1, 1, 1, 1], strides=[1, 2]>(a, b)",
        "float[N, 3, H, W] a, float[5, 3, 3, 3] b",
        "N 5 H ?",
        id="conv-with-a-stride",
    ),
    pytest.param(
        'y = Conv<auto_pad="SAME_LOWER">(a, b)', "float[N, 3, H, W] a, float[5, 3, 3, 3] b", "N 5 H W", id="conv-same"
    ),
    pytest.param(
        'y = Conv<auto_pad="VALID">(a, b)', "float[N, 3, H, W] a, float[5, 3, 1, 3] b", "N 5 H ?", id="conv-valid"
    ),
    pytest.param("y = AveragePool<kernel_shape=[1, 2]>(a)", "float[N, 3, H, 2] a", "N 3 H 1", id="window-of-one-row"),
    pytest.param("y = MaxPool<kernel_shape=[2], ceil_mode=1>(a)", "float[N, 3, 7] a", "N 3 ?", id="ceil-mode"),
    pytest.param("y = MatMul(a, b)", "float[B, S, 4] a, float[4, 7] b", "B S 7", id="matmul"),
    pytest.param("y = Abs(a)", "float a", "", id="scalar"),
]


@pytest.mark.parametrize(("nodes", "inputs", "expected"), DYNAMIC)
def test_dynamic_shape_is_what_is_certain(nodes: str, inputs: str, expected: str | None) -> None:
    constants = {"minus": [-1], "pair": [0, 3, -1], "one": [1], "none": [0][:0]}
    found = surveyed(nodes, inputs, constants={k: v for k, v in constants.items() if f" {k}" in nodes})
    shape = found.facts.shape(found.values["y"])
    shown = None if shape is None else " ".join("?" if "?" in str(size) else str(size) for size in shape)
    assert shown == expected


def test_sizes_that_are_unknown_are_not_taken_for_each_other() -> None:
    found = surveyed("y = NonZero(a)  z = NonZero(b)", "float[N] a, float[N] b")
    left, right = (found.facts.shape(found.values[name]) for name in "yz")
    assert left is not None
    assert right is not None
    assert left[1] != right[1]
