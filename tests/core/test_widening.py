"""Models in float64: what is no double on purpose stays so, everything else is computed in double."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import normgraph
from normgraph.verification.truth import truth_of
from normgraph.widening import CAST, OTHERWISE, in_double, obstacle
from tests.running import run

X = (np.linspace(-2, 3, 12).reshape(3, 4) / 3).astype(np.float32)
IMAGE = X.reshape(1, 1, 3, 4)
ONE_THIRD = np.float32(1 / 3)
DIMS = "1, 1, 3, 4"
SCALES = np.asarray([1, 1, 2, 2], np.float32)
Expected = Callable[[Any], Any]


def model(nodes: str, dims: str = "3, 4", opset: int = 17, functions: str = "", **constants: Any) -> onnx.ModelProto:
    """A model of one input x and one output y, both of float32."""
    imports = f'"" : {opset}' + (', "local" : 1' if functions else "")
    text = f"<ir_version: 8, opset_import: [{imports}]> g (float[{dims}] x) => (float y) {{ {nodes} }} {functions}"
    made = onnx.parser.parse_model(text)
    made.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * len(dims.split(","))))
    made.graph.initializer.extend(numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items())
    return made


def double(array: Any) -> Any:
    return np.asarray(array, np.float64)


def nearest(x: Any) -> Any:
    return double(x).repeat(2, axis=2).repeat(2, axis=3)


def quantized(x: Any) -> Any:
    return double((np.rint(double(x) / np.float32(0.1)) * np.float32(0.1)).astype(np.float32))


IF = """c = Constant<value: tensor = bool {1}>()
    y = If (c) <then_branch = a () => (float[3, 4] p) {
                    k = Constant<value_float: float = 0.333333343>()  p = Mul(x, k) },
                else_branch = b () => (float[3, 4] q) { q = Neg(x) }>"""
LOOP = """n = Constant<value: tensor = int64 {3}>()  c = Constant<value: tensor = bool {1}>()
    y = Loop (n, c, x) <body = b (int64 i, bool go, float[3, 4] a) => (bool on, float[3, 4] s) {
        on = Identity(go)  s = Mul(a, third) }>"""
SCAN = """s = Constant<value: tensor = float[4] {0, 0, 0, 0}>()
    last, y = Scan <num_scan_inputs = 1, body = b (float[4] a, float[4] r) => (float[4] t, float[4] u) {
        t = Add(a, r)  u = Mul(t, third) }> (s, x)"""
CASTING = """<domain: "local", opset_import: ["" : 17]> half <kind> (a) => (b) { b = Cast <to: int = @kind> (a) }"""
SEQUENCE = (
    "e = SequenceEmpty<dtype = 1>()  s = SequenceInsert(e, x)  i = Constant<value_int = 0>()  a = SequenceAt(s, i)"
)
NAMED = """<domain: "local", opset_import: ["" : 17]> thirds (a) => (b)
    { k = Constant<value_floats: floats = [0.333333343]>()  b = Mul(a, k) }"""


@pytest.mark.parametrize(
    ("built", "expected"),
    [
        pytest.param(model("y = Mul(x, k)", k=ONE_THIRD), lambda x: double(x) * ONE_THIRD, id="initializer"),
        pytest.param(
            model("k = Constant<value_float: float = 0.333333343>()  y = Mul(x, k)"),
            lambda x: double(x) * ONE_THIRD,
            id="Constant of a number",
        ),
        pytest.param(
            model("h = Cast<to = 10>(x)  t = Mul(h, k)  y = Cast<to = 1>(t)", k=np.float16(1 / 3)),
            lambda x: double(x) * double(np.float16(1 / 3)),
            id="through float16",
        ),
        pytest.param(
            model("h = CastLike(x, k)  t = Mul(h, k)  y = CastLike(t, x)", k=np.float16(1 / 3)),
            lambda x: double(x) * double(np.float16(1 / 3)),
            id="CastLike",
        ),
        pytest.param(
            model("i = Cast<to = 7>(x)  f = Cast<to = 1>(i)  y = Sub(x, f)"),
            lambda x: double(x) - np.trunc(x),
            id="Cast to integers stays",
        ),
        pytest.param(
            model("s = Shape(x)  f = ConstantOfShape<value: tensor = float[1] {0.333333343}>(s)  y = Mul(x, f)"),
            lambda x: double(x) * ONE_THIRD,
            id="ConstantOfShape",
        ),
        pytest.param(
            model("s = Shape(x)  f = ConstantOfShape(s)  y = Add(x, f)"), double, id="ConstantOfShape of zeros"
        ),
        pytest.param(
            model("f = EyeLike<dtype = 1>(x)  y = Add(x, f)"), lambda x: double(x) + np.eye(3, 4), id="EyeLike"
        ),
        pytest.param(
            model("r = Range(a, b, d)  y = Mul(x, r)", a=ONE_THIRD, b=np.float32(1.25), d=np.float32(0.25)),
            lambda x: double(x) * (double(ONE_THIRD) + 0.25 * np.arange(4)),
            id="Range",
        ),
        pytest.param(
            model("y = Clip(x, a, b)", a=-ONE_THIRD, b=ONE_THIRD),
            lambda x: np.clip(double(x), -double(ONE_THIRD), double(ONE_THIRD)),
            id="Clip with bounds",
        ),
        pytest.param(
            model("t = Mul(x, k)  y = Clip<min = -0.25, max = 0.5>(t)", opset=10, k=ONE_THIRD),
            lambda x: np.clip(double(x) * ONE_THIRD, -0.25, 0.5),
            id="Clip with attributes",
        ),
        pytest.param(
            model('y = Resize<mode = "nearest">(x, r, s)', DIMS, 11, r=np.zeros(8, np.float32), s=SCALES),
            nearest,
            id="Resize of opset 11, with a region",
        ),
        pytest.param(
            model('y = Resize<mode = "nearest">(x, , s)', DIMS, s=SCALES), nearest, id="Resize by an initializer"
        ),
        pytest.param(
            model(
                's = Constant<value: tensor = float[4] {1, 1, 2, 2}>()  y = Resize<mode = "nearest">(x, , s)', DIMS
            ),
            nearest,
            id="Resize by a Constant",
        ),
        pytest.param(
            model('s = Add(a, a)  y = Resize<mode = "nearest">(x, , s)', DIMS, a=SCALES / 2),
            nearest,
            id="Resize by what is computed",
        ),
        pytest.param(
            model('a = ReduceSum(s)  b = Mul(x, a)  y = Resize<mode = "nearest">(b, , s)', DIMS, s=SCALES),
            lambda x: 6 * nearest(x),
            id="factors that something else reads, too",
        ),
        pytest.param(
            model('y = Resize<mode = "nearest">(x, , , z)', DIMS, z=np.asarray([1, 1, 6, 8])),
            nearest,
            id="Resize to sizes",
        ),
        pytest.param(
            model('y = Upsample<mode = "nearest">(x, s)', DIMS, 9, s=SCALES), nearest, id="Upsample"
        ),
        pytest.param(
            model("q = QuantizeLinear(x, s, z)  y = DequantizeLinear(q, s, z)", s=np.float32(0.1), z=np.int8(0)),
            quantized,
            id="quantized and back",
        ),
        pytest.param(
            model("f = DequantizeLinear(w, s)  y = Mul(x, f)", w=np.int8(3), s=ONE_THIRD),
            lambda x: double(x) * (np.float32(3) * ONE_THIRD),
            id="quantized weight",
        ),
        pytest.param(
            model("q, s, z = DynamicQuantizeLinear(x)  d = DequantizeLinear(q, s, z)  e = Mul(d, n)  y = Sub(x, e)",
                  n=np.float32(0)),
            double,
            id="dynamically quantized",
        ),
        pytest.param(model(IF), lambda x: double(x) * ONE_THIRD, id="If"),
        pytest.param(model(LOOP, third=ONE_THIRD), lambda x: double(x) * double(ONE_THIRD) ** 3, id="Loop"),
        pytest.param(model(SCAN, third=ONE_THIRD), lambda x: np.cumsum(double(x), 0) * ONE_THIRD, id="Scan"),
        pytest.param(
            model(f"{SEQUENCE}  y = Mul(a, k)", k=ONE_THIRD), lambda x: double(x) * ONE_THIRD, id="sequence"
        ),
        pytest.param(
            model("o = Optional(x)  a = OptionalGetElement(o)  y = Mul(a, k)", opset=18, k=ONE_THIRD),
            lambda x: double(x) * ONE_THIRD,
            id="optional",
        ),
        pytest.param(
            model("y = local.thirds(x)", functions=NAMED), lambda x: double(x) * ONE_THIRD, id="function"
        ),
        pytest.param(
            model("h = local.half<kind = 10>(x)  t = Mul(h, k)  y = local.half<kind = 1>(t)", functions=CASTING,
                  k=np.float16(1 / 3)),
            lambda x: double(x) * double(np.float16(1 / 3)),
            id="function that is told a type",
        ),
    ],
)  # fmt: skip
def test_model_is_computed_in_float64(built: onnx.ModelProto, expected: Expected, tmp_path: Path) -> None:
    before = built.SerializeToString()
    exact = in_double(built)
    assert built.SerializeToString() == before
    onnx.checker.check_model(exact, full_check=True)
    fed = IMAGE if len(built.graph.input[0].type.tensor_type.shape.dim) == 4 else X
    (made,) = run(built, [{"x": fed}])
    truth = truth_of(ir.from_proto(built), tmp_path, {"x": fed}, made)
    assert truth.how.startswith("the first model with every floating tensor a double")
    found = truth.run({"x": fed})["y"]
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected(fed), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize(
    "built",
    [
        pytest.param(model('y = Resize<mode = "nearest">(x, s)', DIMS, 10, s=SCALES), id="Resize of opset 10"),
        pytest.param(
            model("i = Cast<to = 6>(x)  q = QuantizeLinear(i, s)  y = DequantizeLinear(q, s)", s=ONE_THIRD),
            id="integers quantized",
        ),
        pytest.param(
            model("h = Cast<to = 10>(x)  q = QuantizeLinear(h, s)  y = DequantizeLinear<output_dtype = 1>(q, s)",
                  opset=23, s=np.float16(0.5)),
            id="float16 quantized",
        ),
        pytest.param(model("n = Shape<start = 1>(x)  m = Squeeze(n)  w = HannWindow(m)  y = Mul(x, w)"), id="window"),
        pytest.param(model(f"{SEQUENCE}  y = Neg(a)".replace("<dtype = 1>", "")), id="sequence without a type"),
    ],
)  # fmt: skip
def test_counterpart_of_what_nothing_here_runs_is_valid(built: onnx.ModelProto) -> None:
    onnx.checker.check_model(built, full_check=True)
    onnx.checker.check_model(in_double(built), full_check=True)


@pytest.mark.parametrize("operator", ["LayerNormalization", "RMSNormalization"])
def test_statistics_are_taken_in_float64(operator: str) -> None:
    built = model(f"y = {operator}<stash_type = 1>(x, k)", opset=23, k=np.ones(4, np.float32))
    (node,) = in_double(built).graph.node
    assert helper.get_node_attr_value(node, "stash_type") == TensorProto.DOUBLE


def test_optional_of_nothing_is_one_of_doubles() -> None:
    nothing = onnx.TypeProto()
    nothing.sequence_type.elem_type.tensor_type.elem_type = TensorProto.FLOAT16
    node = helper.make_node("Optional", [], ["o"], type=nothing)
    value = helper.make_value_info("o", helper.make_optional_type_proto(nothing))
    graph = helper.make_graph([node], "g", [], [value])
    exact = in_double(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]))
    onnx.checker.check_model(exact, full_check=True)
    declared = exact.graph.output[0].type.optional_type.elem_type.sequence_type.elem_type
    assert declared.tensor_type.elem_type == TensorProto.DOUBLE


def test_sparse_weights_become_doubles() -> None:
    built = model("y = Mul(x, k)")
    values = helper.make_tensor("k", TensorProto.FLOAT, [1], [float(ONE_THIRD)])
    sparse = helper.make_sparse_tensor(values, helper.make_tensor("at", TensorProto.INT64, [1], [2]), [4])
    built.graph.sparse_initializer.append(sparse)
    (widened,) = in_double(built).graph.sparse_initializer
    assert numpy_helper.to_array(widened.values).dtype == np.float64


def test_selected_boxes_are_what_they_were() -> None:
    boxes = np.asarray([[[0, 0, 1, 1], [0, 0, 1, 1.05], [2, 2, 3, 3]]], np.float32)
    text = """<ir_version: 8, opset_import: ["" : 17]> g (float[1, 3, 4] x) => (int64[N, 3] y)
        { s = Constant<value: tensor = float[1, 1, 3] {0.9, 0.8, 0.7}>()  n = Constant<value: tensor = int64 {3}>()
          t = Constant<value: tensor = float {0.5}>()  y = NonMaxSuppression(x, s, n, t) }"""
    exact = in_double(onnx.parser.parse_model(text))
    onnx.checker.check_model(exact, full_check=True)
    (found,) = run(exact, [{"x": boxes.astype(np.float64)}])
    assert found["y"].tolist() == [[0, 0, 0], [0, 0, 2]]


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        pytest.param("y = RandomNormalLike(x)", "RandomNormalLike 'y' draws other", id="drawn"),
        pytest.param("i = BitCast<to = 6>(x)  y = Cast<to = 1>(i)", "BitCast 'i' takes other bits", id="bits"),
        pytest.param(IF.replace("Neg(", "RandomNormalLike("), "RandomNormalLike 'q'", id="in a subgraph"),
        pytest.param("y = Neg(x)", None, id="neither"),
    ],
)  # fmt: skip
def test_what_would_be_another_computation_is_named(nodes: str, reason: str | None) -> None:
    found = obstacle(model(nodes, opset=17))
    assert found == reason if found is None or reason is None else found.startswith(reason)


def test_every_operator_that_takes_floats_but_no_doubles_is_known() -> None:
    """Those in which a result would be rounded on its way aren't cast: ONNX Runtime refuses them in double."""
    computing = {"CausalConvWithState", "Celu", "LayerNormalization", "LinearAttention", "RotaryEmbedding"}
    narrow = {
        schema.name
        for schema in onnx.defs.get_all_schemas_with_history()
        for formal in (*schema.inputs, *schema.outputs)
        if not schema.domain and "tensor(float)" in formal.types and "tensor(double)" not in formal.types
    }
    assert narrow == {*CAST, *computing}
    assert not set(OTHERWISE) & narrow


def test_text_counted_is_a_double() -> None:
    node = helper.make_node(
        "TfIdfVectorizer", ["x"], ["y"], mode="TF", min_gram_length=1, max_gram_length=1, max_skip_count=0,
        ngram_counts=[0], ngram_indexes=[0, 1], pool_int64s=[5, 7],
    )  # fmt: skip
    values = [helper.make_tensor_value_info(n, t, [k]) for n, t, k in (("x", TensorProto.INT64, 4), ("y", 1, 2))]
    built = helper.make_model(
        helper.make_graph([node], "g", values[:1], values[1:]), opset_imports=[helper.make_opsetid("", 17)]
    )
    exact = in_double(built)
    onnx.checker.check_model(exact, full_check=True)
    (found,) = ReferenceEvaluator(exact).run(None, {"x": np.asarray([5, 7, 7, 1])})
    assert (found.dtype, found.tolist()) == (np.float64, [1.0, 2.0])


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        pytest.param({"y": X}, "", id="what it makes"),
        pytest.param({"y": X + np.float32(5e-4)}, "", id="roughly"),
        pytest.param({"y": X + np.float32(1e-2)}, "'y' differs by 0.01", id="something else"),
        pytest.param({"y": X[:2]}, "'y' has shape [3, 4] in place of [2, 4]", id="another shape"),
    ],
)
def test_what_computes_something_else_in_float64_is_no_truth(made: Any, reason: str, tmp_path: Path) -> None:
    truth = truth_of(ir.from_proto(model("y = Identity(x)")), tmp_path, {"x": X}, made)
    assert truth.how.startswith("not computed" if reason else "the first model")
    assert reason in truth.how


def test_a_model_that_draws_random_numbers_has_no_truth() -> None:
    built = model("r = RandomUniformLike<seed = 1.0>(x)  z = Mul(r, n)  y = Add(x, z)", n=np.float32(0))
    found = normgraph.verify(built, built)
    assert found.passed
    assert found.truth == "not computed: RandomUniformLike 'r' draws other random numbers in float64"
