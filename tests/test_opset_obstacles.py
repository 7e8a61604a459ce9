"""Near misses: what can't be raised is named with its reason, and the model stays as it was."""

from typing import Any

import onnx
import onnx_ir as ir
import pytest

from normgraph.errors import OpsetError
from normgraph.opset import obstacles, raise_opset
from tests.opset_models import IMAGE, case, parsed

FLOAT8 = "float8e4m3fnuz"
SCAN = "y = Scan<num_scan_inputs=1, body = b (float a) => (float c) { c = Neg(a) }>(, x)"
BRANCHES = (
    "y = If(c) <then_branch = t () => (float[] a) { a = Softmax<axis=1>(x) },"
    " else_branch = e () => (float[] b) { b = Neg(x) }>"
)
SQUEEZES = '<domain: "local", opset_import: ["": 11]> f <axes> (x) => (y) { y = Squeeze<axes: ints = @axes>(x) }'
LOOP = (
    "v, s = Loop<body = b (int64 i, bool k, float[2] a) => (bool l, float[2] w, int64[2] t)"
    " { l = Identity(k) w = Neg(a) t = Cast<to=7>(a) }>(m, , x) y = Erf(s)"
)
TRAINED = "y, m, v, p, q = BatchNormalization(x, s, s, s, s)"


def stuck(name: str, opset: int, target: int, where: str, why: str, *texts: str, **more: str) -> Any:
    model, reached = case(name, opset, target, *texts, **more).values
    op_type, version = where.split()
    return pytest.param(model, reached, (op_type, int(version)), why, id=name)


STUCK = [
    stuck(
        "BatchNormalization-trains",
        9,
        14,
        "BatchNormalization 14",
        "trains",
        "float[2,3] x, float[3] s",
        TRAINED,
    ),
    stuck(
        "BatchNormalization-each-element",
        7,
        9,
        "BatchNormalization 9",
        "every element",
        "float[2,3] x, float[3] s",
        "y = BatchNormalization<spatial=0>(x, s, s, s, s)",
    ),
    stuck(
        "BatchNormalization-trains-in-half",
        14,
        15,
        "BatchNormalization 15",
        "float16",
        "float16[2,3] x, float16[3] s",
        "y, m, v = BatchNormalization<training_mode=1>(x, s, s, s, s)",
        "float16[] y",
    ),
    stuck(
        "Clip-half-unbounded",
        7,
        11,
        "Clip 11",
        "'max'",
        "float16[2] x",
        "y = Clip<min=0.0>(x)",
        "float16[] y",
    ),
    stuck("Clip-unknown-type", 9, 11, "Clip 11", "unknown", "float[2] x", "a = local.f(x) y = Clip<min=0.0>(a)"),
    stuck("Cast-to-float8", 23, 24, "Cast 24", FLOAT8, "float[2] x", "y = Cast<to=18>(x)", f"{FLOAT8}[] y"),
    stuck(
        "CastLike-float8",
        23,
        24,
        "CastLike 24",
        FLOAT8,
        f"float[2] x, {FLOAT8} z",
        "y = CastLike(x, z)",
        f"{FLOAT8}[] y",
    ),
    stuck(
        "QuantizeLinear-float8",
        23,
        24,
        "QuantizeLinear 24",
        FLOAT8,
        f"float[2] x, float s, {FLOAT8} z",
        "y = QuantizeLinear(x, s, z)",
        f"{FLOAT8}[] y",
    ),
    stuck(
        "QuantizeLinear-int32",
        13,
        19,
        "QuantizeLinear 19",
        "int32",
        "int32[2] x, float s",
        "y = QuantizeLinear(x, s)",
        "uint8[] y",
    ),
    stuck(
        "ConvTranspose-output-shape",
        9,
        11,
        "ConvTranspose 11",
        "splits",
        f"{IMAGE}, float[1,1,2,2] w",
        "y = ConvTranspose<output_shape=[8,8], strides=[2,2]>(x, w)",
    ),
    stuck(
        "ConvTranspose-same",
        9,
        11,
        "ConvTranspose 11",
        "splits",
        f"{IMAGE}, float[1,1,3,3] w",
        'y = ConvTranspose<auto_pad="SAME_UPPER", strides=[2,2]>(x, w)',
    ),
    stuck(
        "Dropout-read-mask-of-10",
        7,
        10,
        "Dropout 10",
        "boolean",
        "float[2] x",
        "y, m = Dropout(x) z = Neg(m)",
        "float[] z",
    ),
    stuck(
        "Dropout-read-mask-of-12",
        10,
        12,
        "Dropout 12",
        "inference",
        "float[2] x",
        "y, m = Dropout(x)",
        "bool[] m",
    ),
    stuck("Erf-of-what-a-loop-collects", 11, 13, "Erf 13", "unknown", "int64 m, float[2] x", LOOP),
    stuck("Erf-integer", 9, 13, "Erf 13", "int32", "int32[2] x", "y = Erf(x)", "int32[] y"),
    stuck(
        "ReduceLogSum-integer",
        18,
        28,
        "ReduceLogSum 28",
        "int64",
        "int64[2] x",
        "y = ReduceLogSum(x)",
        "int64[] y",
    ),
    stuck("Mod-fmod-integer", 10, 13, "Mod 13", "int32", "int32[2] x", "y = Mod<fmod=1>(x, x)", "int32[] y"),
    stuck(
        "GroupNormalization-dynamic-scale",
        18,
        21,
        "GroupNormalization 21",
        "scale",
        "float[1,4,3] x, float[2] s",
        "y = GroupNormalization<num_groups=2>(x, s, s)",
    ),
    stuck(
        "GroupNormalization-dynamic-channels",
        18,
        21,
        "GroupNormalization 21",
        "channels",
        "float[1,C,3] x",
        "y = GroupNormalization<num_groups=2>(x, s, s)",
        constants="float[2] s = {1,2}",
    ),
    stuck(
        "OneHot-maybe-negative",
        9,
        11,
        "OneHot 11",
        "negative",
        "int64[2] i, float[2] v",
        "y = OneHot(i, d, v)",
        constants="int64 d = {3}",
    ),
    stuck(
        "OneHot-negative",
        9,
        11,
        "OneHot 11",
        "negative",
        "float[2] v",
        "y = OneHot(i, d, v)",
        constants="int64 d = {3}, int64[2] i = {0,-1}",
    ),
    stuck(
        "Pad-unknown-type",
        9,
        11,
        "Pad 11",
        "unknown",
        "float[2] x",
        "a = local.f(x) y = Pad<pads=[1,1], value=1.0>(a)",
    ),
    *(
        stuck(
            f"{name}-window-in-padding",
            12,
            22,
            f"{name} 22",
            "drops windows",
            IMAGE,
            f"y = {name}<{pooled}, ceil_mode=1>(x)",
        )
        for name in ("AveragePool", "MaxPool")
        for pooled in (
            "kernel_shape=[2,2], strides=[2,2], pads=[1,1,1,1]",
            "kernel_shape=[1,2], strides=[2,2]",
        )
    ),
    stuck(
        "AveragePool-beyond-padding",
        11,
        19,
        "AveragePool 19",
        "beyond",
        IMAGE,
        "y = AveragePool<kernel_shape=[3,3], strides=[2,2], ceil_mode=1, count_include_pad=1>(x)",
    ),
    stuck(
        "ReduceMean-no-axes",
        11,
        18,
        "ReduceMean 18",
        "empty",
        "float[2] x",
        "y = ReduceMean<axes: ints = []>(x)",
    ),
    stuck(
        "Resize-linear",
        10,
        11,
        "Resize 11",
        "linear",
        IMAGE,
        'y = Resize<mode="linear">(x, s)',
        constants="float[4] s = {1,1,2,2}",
    ),
    stuck(
        "Resize-by-default-of-input",
        10,
        11,
        "Resize 11",
        "nearest",
        f"{IMAGE}, float[4] s = {{1,1,2,2}}",
        "y = Resize(x, s)",
    ),
    stuck("Resize-by-input", 10, 11, "Resize 11", "nearest", f"{IMAGE}, float[4] s", "y = Resize(x, s)"),
    stuck(
        "Resize-shrinks",
        10,
        11,
        "Resize 11",
        "nearest",
        IMAGE,
        "y = Resize(x, s)",
        constants="float[4] s = {1,1,0.5,2}",
    ),
    stuck("Upsample-by-fraction", 7, 11, "Resize 11", "nearest", IMAGE, "y = Upsample<scales=[1.,1.,1.5,2.]>(x)"),
    stuck(
        "Resize-tf-half-pixel",
        11,
        13,
        "Resize 13",
        "tf_half_pixel",
        f"{IMAGE}, float[0] r, float[4] s",
        'y = Resize<coordinate_transformation_mode="tf_half_pixel_for_nn">(x, r, s)',
    ),
    stuck(
        "Resize-sizes-beside-scales",
        11,
        13,
        "Resize 13",
        "either",
        f"{IMAGE}, float[0] r, float[4] s, int64[4] z",
        "y = Resize(x, r, s, z)",
    ),
    stuck("Scan-8", 8, 9, "Scan 9", "batch", "float[1,2] x", SCAN),
    stuck("Softmax-of-maybe-empty", 11, 13, "Softmax 13", "empty", "float[N,2,2] x", "y = Softmax(x)"),
    stuck("Softmax-axis-of-no-input", 11, 13, "Softmax 13", "none of", "float[2] x", "y = Softmax(x)"),
    stuck("unknown-operator", 11, 17, "Nonsense 11", "no such operator", "float[2] x", "y = Nonsense(x)"),
    stuck("operator-of-a-later-opset", 11, 17, "Gelu 11", "no such operator", "float[2] x", "y = Gelu(x)"),
    stuck(
        "Squeeze-axes-of-caller",
        11,
        13,
        "Squeeze 13",
        "'axes'",
        "float[2,1] x",
        "y = local.f<axes=[1]>(x)",
        functions=SQUEEZES,
    ),
    stuck("in-a-subgraph", 11, 18, "Softmax 13", "none of", "bool c, float[2] x", BRANCHES),
]


@pytest.mark.parametrize(("model", "target", "where", "why"), STUCK)
def test_obstacle_is_named_and_model_left_alone(
    model: onnx.ModelProto, target: int, where: tuple[str, int], why: str
) -> None:
    read = ir.from_proto(model)
    before = ir.to_proto(read).SerializeToString(deterministic=True)
    (obstacle,) = obstacles(read, target)
    assert (obstacle.op_type, obstacle.version) == where
    assert why in obstacle.reason
    if obstacle.version > model.opset_import[0].version:
        assert not obstacles(read, obstacle.version - 1)
    with pytest.raises(OpsetError, match=f"{where[0]} .*opset {where[1]}.*keep the opset"):
        raise_opset(read, target)
    assert ir.to_proto(read).SerializeToString(deterministic=True) == before


def test_every_obstacle_is_found_and_the_first_ones_told() -> None:
    model = ir.from_proto(parsed(9, "int32[2] x", " ".join(f"y{i} = Erf(x)" for i in range(5)), "int32[] y0"))
    assert [obstacle.node.outputs[0].name for obstacle in obstacles(model, 13)] == [f"y{i}" for i in range(5)]
    with pytest.raises(OpsetError, match="and 2 more"):
        raise_opset(model, 13)


@pytest.mark.parametrize(
    ("opset", "target", "why"),
    [
        pytest.param(5, 13, "no opset below 7", id="too-old"),
        pytest.param(17, 13, "only be raised", id="lowered"),
        pytest.param(17, 999, "knows no opset above", id="unknown-target"),
    ],
)
def test_opset_out_of_range_is_an_error(opset: int, target: int, why: str) -> None:
    model = ir.from_proto(parsed(opset, "float[2] x", "y = Relu(x)"))
    for function in (obstacles, raise_opset):
        with pytest.raises(OpsetError, match=why):
            function(model, target)
    assert model.opset_imports[""] == opset
