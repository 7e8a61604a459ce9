"""Raising the opset: what is adapted computes the same as before, what isn't stays as it is."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from normgraph.errors import OpsetError
from normgraph.opset import obstacles, raise_opset
from tests.opset_models import IMAGE, Array, case, fed, parsed, run

STATISTICS = "float[3] s = {1,2,3}, float[3] b = {0,1,2}, float[3] m = {1,0,1}, float[3] v = {1,2,3}"
KERNEL = "float[1,1,2,2] w = {1,2,3,4}"
IN_PIXELS = 'coordinate_transformation_mode="align_corners"'


def raised(model: onnx.ModelProto, target: int) -> onnx.ModelProto:
    read = ir.from_proto(model)
    raise_opset(read, target)
    return ir.to_proto(read)


def assert_computes_the_same(
    after: onnx.ModelProto, before: onnx.ModelProto, feeds: dict[str, Array] | None = None
) -> None:
    """Bit for bit, in ONNX Runtime; and the model is valid."""
    feeds = fed(before) if feeds is None else feeds
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(after, strict_mode=True, data_prop=True))
    for found, wanted in zip(run(after, feeds), run(before, feeds), strict=True):
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted, strict=True)


ADAPTED = [
    case("Squeeze", 7, 23, "float[2,1,3] x", "y = Squeeze<axes=[1]>(x)"),
    case("Squeeze-negative", 11, 13, "float[2,1,3] x", "y = Squeeze<axes=[-2]>(x)"),
    case("Squeeze-all", 7, 23, "float[2,1,3] x", "y = Squeeze(x)"),
    case("Unsqueeze", 9, 24, "float[2,3] x", "y = Unsqueeze<axes=[0,3]>(x)"),
    case("ReduceSum", 11, 13, "float[2,3,4] x", "y = ReduceSum<axes=[1], keepdims=0>(x)"),
    case("ReduceSum-all", 11, 13, "float[2,3,4] x", "y = ReduceSum(x)"),
    *(
        case(name, 11, 20, "float[2,3,4] x", f"y = {name}<axes=[-1]>(x)")
        for name in ("ReduceL1", "ReduceL2", "ReduceMax", "ReduceMin", "ReduceMean", "ReduceProd")
    ),
    case("ReduceSumSquare", 13, 18, "float[2,3] x", "y = ReduceSumSquare<axes=[0]>(x)"),
    case("ReduceLogSum", 13, 23, "float[2,3] x", "e = Abs(x) y = ReduceLogSum<axes=[0]>(e)"),
    case("ReduceLogSumExp", 13, 23, "float[2,3] x", "y = ReduceLogSumExp<axes=[0]>(x)"),
    case("Split", 11, 18, "float[5,2] x", "y, z = Split<axis=0, split=[2,3]>(x)", "float[] y, float[] z"),
    case("Split-equal", 11, 18, "float[6] x", "y, z = Split(x)", "float[] y, float[] z"),
    case("Split-input", 13, 18, "float[5] x", "y = Split(x, s)", constants="int64[1] s = {5}"),
    case("Slice-first-axes", 7, 17, "float[3,4] x", "y = Slice<starts=[1], ends=[-1]>(x)"),
    case("Slice", 9, 13, "float[3,4] x", f"y = Slice<axes=[1], starts=[-9], ends=[{2**63 - 1}]>(x)"),
    case("TopK", 8, 11, "float[3,5] x", "y, z = TopK<k=2>(x)", "float[] y, int64[] z"),
    case("Clip", 9, 13, "float[2,3] x", "y = Clip<min=-1.0, max=0.5>(x)"),
    case("Clip-above", 9, 12, "float[2,3] x", "y = Clip<max=0.5>(x)"),
    case("Clip-type-from-producers", 9, 11, "float[2,3] x", "s = Abs(x) t = Add(s, s) y = Clip<min=1.0>(t)"),
    case("Dropout", 9, 13, "float[2,3] x", "y = Dropout<ratio=0.25>(x)"),
    case("Dropout-unread-mask", 7, 22, "float[2,3] x", "y, m = Dropout(x)"),
    case("Pad", 9, 19, "float[2,3] x", "y = Pad<pads=[0,1,0,2], value=0.5>(x)"),
    case("Pad-with-zeros", 9, 13, "float[3,4] x", "y = Pad<pads=[1,0,1,-1]>(x)"),
    case("Pad-reflect", 9, 18, "float[3,4] x", 'y = Pad<mode="reflect", pads=[1,0,1,2], value=2.0>(x)'),
    case("Upsample-7", 7, 19, "float[1,1,2,3] x", "y = Upsample<scales=[1.,1.,2.,3.]>(x)"),
    case("Upsample-9", 9, 11, IMAGE, "y = Upsample(x, s)", constants="float[4] s = {1,1,3,2}"),
    case("Resize-10", 10, 13, IMAGE, "y = Resize(x, s)", constants="float[4] s = {1,1,5,7}"),
    case(
        "Resize-to-sizes",
        11,
        19,
        IMAGE,
        f'y = Resize<mode="cubic", {IN_PIXELS}>(x, r, r, z)',
        constants="float[0] r = {}, int64[4] z = {1,1,6,3}",
    ),
    case(
        "Resize-by-scales",
        11,
        19,
        IMAGE,
        'y = Resize<mode="linear">(x, r, s)',
        constants="float[0] r = {}, float[4] s = {1,1,0.6,2}",
    ),
    *(
        case(f"{name}-over-several-axes", 11, 17, "float[N,3,4] x", f"y = {name}<axis=1>(x)")
        for name in ("Softmax", "LogSoftmax", "Hardmax")
    ),
    case("Softmax-default-axis", 8, 13, "float[2,3,4] x", "y = Softmax(x)", "float[2,3,4] y"),
    case("Softmax-negative-axis", 11, 23, "float[2,3,4] x", "y = Softmax<axis=-2>(x)"),
    case("Softmax-empty", 11, 14, "float[2,3,0,4] x", "y = Softmax<axis=1>(x)"),
    case("Softmax-axes-of-one", 11, 13, "float[2,3,1,1] x", "y = Softmax(x)"),
    case("Softmax-of-matrix", 11, 13, "float[2,3] x", "y = Softmax(x)"),
    case("Softmax-last-axis", 11, 13, "float[2,3,4] x", "a = Abs(x) y = Softmax<axis=-1>(a)"),
    case(
        "BatchNormalization",
        7,
        15,
        "float[2,3,2] x",
        "y = BatchNormalization<spatial=1>(x, s, b, m, v)",
        constants=STATISTICS,
    ),
    case("Scatter", 9, 18, "float[3] x, float[2] u, int64[2] i", "y = Scatter(x, i, u)"),
    case("OneHot", 9, 11, "float[2] x", "y = OneHot(i, d, x)", constants="int64[2] i = {0,2}, int64 d = {3}"),
    case("GridSample", 16, 22, f"{IMAGE}, float[1,2,2,2] g", "y = GridSample(x, g)"),
    case("GridSample-bicubic", 16, 20, f"{IMAGE}, float[1,2,2,2] g", 'y = GridSample<mode="bicubic">(x, g)'),
    case("DFT", 17, 20, "float[2,4,3,1] x", "y = DFT<axis=2, onesided=1>(x)"),
    case("DFT-default-axis", 17, 20, "float[2,4,3,1] x", "y = DFT(x)"),
    case(
        "RoiAlign",
        10,
        16,
        IMAGE,
        "y = RoiAlign<output_height=2, output_width=2>(x, r, b)",
        constants="float[1,4] r = {0.25,0.5,3,2.5}, int64[1] b = {0}",
    ),
    case(
        "GroupNormalization",
        18,
        21,
        "float[1,4,3] x",
        "y = GroupNormalization<num_groups=2>(x, s, b)",
        "float[1,4,3] y",
        constants="float[2] s = {2,3}, float[2] b = {1,-1}",
    ),
    case(
        "GroupNormalization-double",
        18,
        21,
        "double[1,2,3] x, double[2] s",
        "y = GroupNormalization<num_groups=2>(x, s, s)",
        "double[1,2,3] y",
    ),
    case("Erf", 9, 13, "float[2] x", "y = Erf(x)"),
    case("Mod-fmod", 10, 13, "float[2] x, float[2] z", "y = Mod<fmod=1>(x, z)"),
    case("QuantizeLinear", 13, 23, "float[3] x", "y = QuantizeLinear(x, s)", "uint8[] y", "float s = {0.5}"),
    case("Cast", 9, 24, "float[2] x", "y = Cast<to=6>(x)", "int32[] y"),
]


@pytest.mark.parametrize(("model", "target"), ADAPTED)
def test_raised_model_computes_the_same(model: onnx.ModelProto, target: int) -> None:
    assert not obstacles(ir.from_proto(model), target)
    after = raised(model, target)
    assert [(o.domain, o.version) for o in after.opset_import] == [("", target), ("local", 1)]
    assert_computes_the_same(after, model)


# What a version only reworded; ONNX Runtime and ONNX's shape inference agree that nothing changed.
REWORDED = [
    *(
        case(
            f"{name}-{pad}",
            7,
            23,
            "float[1,1,7,7] x",
            f'y = {name}<kernel_shape=[2,2], strides=[2,3], auto_pad="{pad}">({args})',
            constants=KERNEL,
        )
        for name, args in (("Conv", "x, w"), ("AveragePool", "x"), ("MaxPool", "x"), ("LpPool", "x"))
        for pad in ("SAME_UPPER", "SAME_LOWER", "VALID")
    ),
    case(
        "MaxPool-ceil",
        10,
        22,
        "float[1,1,7,7] x",
        "y = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1], ceil_mode=1>(x)",
    ),
    case(
        "MaxPool-ceil-padded-before",
        10,
        22,
        "float[1,1,7,7] x",
        "y = MaxPool<kernel_shape=[2,2], strides=[2,2], pads=[1,1,0,0], ceil_mode=1>(x)",
    ),
    case(
        "AveragePool-ceil",
        10,
        22,
        "float[1,1,7,7] x",
        "y = AveragePool<kernel_shape=[2,2], strides=[2,2], ceil_mode=1>(x)",
    ),
    case(
        "ConvTranspose",
        7,
        22,
        IMAGE,
        "y = ConvTranspose<strides=[2,2], output_padding=[1,1]>(x, w)",
        constants=KERNEL,
    ),
    case("Gemm", 7, 13, "float[2,3] x, float[3,2] w, float[2] b", "y = Gemm<alpha=0.5>(x, w, b)"),
    case("DepthToSpace", 7, 23, "float[1,8,2,2] x", "y = DepthToSpace<blocksize=2>(x)"),
    case(
        "Slice-backwards",
        10,
        23,
        "float[5] x",
        "y = Slice(x, s, e, a, t)",
        constants="int64[1] s = {9}, int64[1] e = {-9}, int64[1] a = {0}, int64[1] t = {-2}",
    ),
    case("Gather", 7, 13, "float[3,2] x, int64[2] i", "y = Gather(x, i)"),
    case("Reshape-zero", 7, 23, "float[2,3,4] x", "y = Reshape(x, s)", constants="int64[2] s = {0,-1}"),
    case("GRU", 7, 22, "float[2,1,3] x, float[1,6,3] w, float[1,6,2] r", "y = GRU<hidden_size=2>(x, w, r)"),
    case("Max", 7, 13, "float[2,3] x, float[2,3] z", "y = Max(x, z)"),
    case("LRN", 7, 13, "float[1,4,2,2] x", "y = LRN<size=3>(x)"),
    case(
        "Range",
        11,
        27,
        "int64 n",
        "y = Range(s, n, d)",
        "int64[N] y",
        constants="int64 s = {-4}, int64 d = {2}",
    ),
]


@pytest.mark.parametrize(("model", "target"), REWORDED)
def test_node_of_reworded_operator_stays_as_it_is(model: onnx.ModelProto, target: int) -> None:
    after = raised(model, target)
    assert after.graph == ir.to_proto(ir.from_proto(model)).graph
    assert_computes_the_same(after, model)


def test_infinity_is_clipped_as_before() -> None:
    model = parsed(9, "float[4] x", "y = Clip<min=-1.0>(x)")
    feeds = {"x": np.array([-np.inf, 0, 2, np.inf], np.float32)}
    assert_computes_the_same(raised(model, 13), model, feeds)


def test_model_at_its_opset_already_stays_as_it_is() -> None:
    model = ir.to_proto(ir.from_proto(parsed(17, "float[2,3] x", "y = ReduceMean<axes=[1]>(x)")))
    assert raised(model, 17) == model


@pytest.mark.parametrize(
    ("before", "target", "after"),
    [
        pytest.param(3, 7, 3, id="goes-with-the-opset"),
        pytest.param(4, 17, 8, id="too-low"),
        pytest.param(10, 17, 10, id="high-enough"),
    ],
)
def test_ir_version_is_raised_only_if_it_must(before: int, target: int, after: int) -> None:
    model = parsed(7, "float[2] x", "y = Abs(x)")
    model.ir_version = before
    assert raised(model, target).ir_version == after


def test_constants_are_added_once_for_each_content_under_free_names() -> None:
    model = parsed(
        11,
        "float[2,1,3] axes",
        "a = ReduceSum<axes=[1]>(axes) b = ReduceSum<axes=[0]>(a) c = Squeeze<axes=[1]>(a) y = Add(b, c)",
    )
    after = raised(model, 13)
    assert [tensor.name for tensor in after.graph.initializer] == ["axes_1", "axes_2"]
    assert [list(node.input)[1] for node in after.graph.node] == ["axes_1", "axes_2", "axes_1", "c"]
    assert after.SerializeToString() == raised(model, 13).SerializeToString()
    assert_computes_the_same(after, model)


def test_flattened_softmax_hands_its_name_and_its_readers_to_the_reshaped_result() -> None:
    outputs = "float[2,3,4] s, float[2,3,4] y"
    model = parsed(11, "float[2,3,4] x", "s = Softmax<axis=1>(x) n = Neg(s) y = Add(n, s)", outputs)
    model.graph.node[0].doc_string = "kept"
    after = raised(model, 17)
    operators = [node.op_type for node in after.graph.node]
    assert operators == ["Shape", "Flatten", "Softmax", "Reshape", "Neg", "Add"]
    assert after.graph.node[2].doc_string == "kept"
    assert list(after.graph.node[3].output) == ["s"]
    assert list(after.graph.output) == list(ir.to_proto(ir.from_proto(model)).graph.output)
    assert_computes_the_same(after, model)


def test_nodes_in_subgraphs_are_raised_too() -> None:
    branches = (
        "y = If(c) <then_branch = t () => (float[3] a) { a = Squeeze<axes=[0]>(x) },"
        " else_branch = e () => (float[3] b) { s = Softmax<axis=0>(x) b = Squeeze<axes=[0]>(s) }>"
    )
    model = parsed(11, "bool[1] c, float[1,3] x", branches, "float[3] y")
    after = raised(model, 17)
    assert [tensor.name for tensor in after.graph.initializer] == ["axes"]
    for condition in (True, False):
        feeds = {"c": np.array([condition]), "x": np.array([[1, 2, 4]], np.float32)}
        assert_computes_the_same(after, model, feeds)


SQUEEZES_MEAN = "f (x) => (y) { m = ReduceMean<axes=[1]>(x) s = Softmax<axis=0>(m) y = Squeeze<axes=[1]>(s) }"


def test_function_is_raised_with_its_model() -> None:
    model = parsed(
        11,
        "float[2,3] x",
        "y = local.f(x)",
        "float[2] y",
        functions=f'<domain: "local", opset_import: ["": 11]> {SQUEEZES_MEAN}',
    )
    after = raised(model, 18)
    assert [(o.domain, o.version) for o in after.functions[0].opset_import] == [("", 18)]
    operators = [node.op_type for node in after.functions[0].node]
    assert operators == ["Constant", "ReduceMean", "Shape", "Flatten", "Softmax", "Reshape", "Squeeze"]
    assert not after.graph.initializer
    assert_computes_the_same(after, model)


def test_function_that_imports_no_lower_opset_stays_as_it_is() -> None:
    functions = (
        '<domain: "local", opset_import: ["": 18]> f (x) => (y) { y = Neg(x) }'
        '<domain: "local", opset_import: ["local": 1]> h (x) => (y) { y = local.f(x) }'
    )
    model = parsed(13, "float[2,3] x", "y = local.h(x)", functions=functions)
    assert list(raised(model, 17).functions) == list(ir.to_proto(ir.from_proto(model)).functions)


def test_function_in_the_default_domain_is_not_taken_for_an_operator() -> None:
    functions = '<domain: "", opset_import: ["": 11]> Nonsense (x) => (y) { y = Neg(x) }'
    model = parsed(11, "float[2,3] x", "y = Nonsense(x)", functions=functions)
    assert not obstacles(ir.from_proto(model), 17)


def test_too_old_function_is_an_error() -> None:
    functions = '<domain: "local", opset_import: ["": 6]> f (x) => (y) { y = Neg(x) }'
    model = ir.from_proto(parsed(13, "float[2,3] x", "y = local.f(x)", functions=functions))
    with pytest.raises(OpsetError, match="'f' is at 6"):
        raise_opset(model, 17)


@pytest.mark.parametrize(
    ("imports", "after"),
    [
        pytest.param({"ai.onnx": 11}, {"ai.onnx": 17}, id="by-its-long-name"),
        pytest.param({"local": 1}, {"local": 1, "": 17}, id="not-at-all"),
    ],
)
def test_default_domain_may_be_imported(imports: dict[str, int], after: dict[str, int]) -> None:
    model = ir.from_proto(parsed(11, "float[2,3] x", "y = local.f(x)"))
    model.opset_imports.clear()
    model.opset_imports.update(imports)
    raise_opset(model, 17)
    assert model.opset_imports == after


@pytest.mark.parametrize("body", ["Clip<min=-1.0, max=0.1>(x)", "Pad<pads=[1,1], value=0.1>(x)"])
def test_constants_take_on_the_type_of_what_they_meet(body: str) -> None:
    after = raised(parsed(9, "float16[2] x", f"y = {body}", "float16[] y"), 13)
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(after, strict_mode=True))
    found = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in after.graph.initializer}
    assert found[list(after.graph.node[0].input)[2]] == np.float16(0.1)


def test_type_is_followed_to_where_it_is_told() -> None:
    body = "a = Cast<to=1>(x) b = Transpose(a) c, m = MaxPool<kernel_shape=[1]>(b) y = Erf(c)"
    model = ir.from_proto(parsed(11, "double[1,1,4] x", body))
    assert not obstacles(model, 13)
    integers = ir.from_proto(parsed(11, "double[1,1,4] x", body.replace("Erf(c)", "Erf(m)")))
    assert [obstacle.op_type for obstacle in obstacles(integers, 13)] == ["Erf"]


def test_inputs_without_a_meaning_are_left_out() -> None:
    reflected = raised(parsed(9, "float[3] x", 'y = Pad<mode="reflect", pads=[1,1], value=2.0>(x)'), 13)
    assert list(reflected.graph.node[0].input) == ["x", "pads"]
    constants = "float[0] r = {}, int64[1] z = {6}"
    resized = raised(parsed(11, "float[3] x", "y = Resize(x, r, r, z)", constants=constants), 13)
    assert list(resized.graph.node[0].input) == ["x", "r", "", "z"]
