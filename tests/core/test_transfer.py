"""Transfer functions: each operator means what its version of the standard says, or it is refused with its reason."""

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from normgraph.facts import Facts
from normgraph.interpret import interpret
from normgraph.transfer import TRANSFER, transfer_of
from tests.core.evaluation import Evaluation, bound
from tests.core.observing import exact, observe
from tests.core.surveyed import Surveyed, surveyed

ROW = np.array([0.5, -1.0, 2.0, 3.0])
CROOKED = np.eye(4) - 0.25
CROOKED[2, 1] = 0.0
CONSTANTS: dict[str, Any] = {
    "row": ROW, "two": 2.0, "half": 0.5, "quarter": 0.25, "minus": -1.0, "column": ROW[:2, None], "zero": 0.0,
    "last": [-1], "first": [0], "both": [0, 1], "none": ROW[:0].astype(np.int64), "flat": [-1], "cut": [2, 2, 2],
    "true": True, "false": False, "grown": [3, 2, 4], "plane": np.arange(8.0).reshape(2, 4) / 4, "twice": [1, 2],
    "infinity": np.inf, "largest": 3.5e38, "three": [3, 1, 1], "ones": np.ones(4), "vector": [2.0, 2.0, 2.0, 2.0],
    "halves": np.full((4, 2), 0.5), "centring": np.eye(4) - 0.25, "window": np.full((2, 1, 4), 0.25),
    "kernel": np.full((3, 2, 4), 0.125), "uneven": [[0.5], [0.5], [0.5], [0.25]], "crooked": CROOKED,
    "thin": np.ones((1, 3)), "windows": np.full((4, 1, 4), 0.25), "pairs": np.full((2, 2, 4), 0.25), "fourfold": [1, 4],
    "thrice": [1, 1, 2], "single": [1],
    "other": [1.0, 2.0, 3.0, 2.0], "pair": [1.0, 2.0], "ends": [1.0, 2.0, 0.0, 3.0],
}  # fmt: skip


def followed(nodes: str, inputs: str, opset: int) -> Surveyed:
    """A model of these nodes, with those of the constants that they name."""
    words = {word for part in nodes.replace("(", " ").replace(")", " ").split() for word in part.split(",")}
    used = {name: np.asarray(array) for name, array in CONSTANTS.items() if name in words}
    return surveyed(nodes, inputs, opset=opset, constants=used)


def refusal(nodes: str, inputs: str, opset: int) -> str | None:
    """The rule that y, or what it is made of, breaks; None if it has a form."""
    found = followed(nodes, inputs, opset)
    interpretation = interpret(found.values["x"], found.model.graph, found.facts)
    assert interpretation is not None
    if found.values["y"] in interpretation.forms:
        return None
    return interpretation.unknowns[0].rule if interpretation.unknowns else "unreached"


X = "double[2, 4] x"
NORMALIZED = "double[2, 4, 3] x"
DEFINED = [
    pytest.param("y = Max(x, two)", X, 18, id="Max"),
    pytest.param("y = Max(two, x)", X, 18, id="Max-of-number-first"),
    pytest.param("y = Min(x, half)", X, 18, id="Min"),
    pytest.param(
        "q = Mul(x, x)  v = ReduceMean(q, last)  r = Reciprocal(v)  y = Min(r, two)", X, 18, id="Min-of-inverse"
    ),
    pytest.param("q = Abs(x)  r = Reciprocal(q)  y = Min(r, half)", X, 18, id="Min-of-inverse-size"),
    pytest.param("r = Reciprocal(x)  y = Min(r, half)", X, 18, id="Min-of-inverse-of-either-sign"),
    pytest.param("q = Abs(x)  r = Reciprocal(q)  y = Min(r, minus)", X, 18, id="Min-below-zero"),
    pytest.param("q = Abs(x)  r = Reciprocal(q)  n = Neg(r)  y = Min(n, half)", X, 18, id="Min-of-a-negative-inverse"),
    pytest.param("q = Abs(x)  r = Div(row, q)  y = Min(r, half)", X, 18, id="Min-of-several-inverses"),
    pytest.param(
        "q = Abs(x)  m = ReduceMean(x, first)  p = Mul(q, m)  r = Reciprocal(p)  y = Min(r, half)",
        X,
        18,
        id="Min-of-the-inverse-of-a-product",
    ),
    pytest.param(
        "m = ReduceMean(x, last)  q = Abs(m)  p = Mul(x, q)  r = Reciprocal(p)  y = Min(r, half)",
        X,
        18,
        id="Min-of-the-inverse-of-another-product",
    ),
    pytest.param("y = Max(x)", X, 18, id="Max-of-one"),
    pytest.param("y = Clip<min=-0.5, max=0.25>(x)", X, 10, id="Clip-attributes"),
    pytest.param("y = Clip(x, half)", X, 11, id="Clip-from-below"),
    pytest.param('y = Clip(x, "", half)', X, 13, id="Clip-from-above"),
    pytest.param("y = Clip(x)", X, 13, id="Clip-not-at-all"),
    pytest.param("y = Clip(x, largest)", X, 13, id="Clip-to-one-large-number"),
    pytest.param("y = ReduceSum<axes=[1]>(x)", X, 11, id="ReduceSum-attribute"),
    pytest.param("y = ReduceSum(x, last)", X, 13, id="ReduceSum-input"),
    pytest.param("y = ReduceSum<keepdims=0>(x)", X, 13, id="ReduceSum-all"),
    pytest.param("y = ReduceSum(x, none)", X, 13, id="ReduceSum-empty-axes"),
    pytest.param("y = ReduceSum<noop_with_empty_axes=1>(x, none)", X, 13, id="ReduceSum-noop"),
    pytest.param("y = ReduceSumSquare<noop_with_empty_axes=1>(x)", X, 18, id="ReduceSumSquare-noop-squares"),
    pytest.param("y = ReduceMean<axes=[-2, 1]>(x)", X, 11, id="ReduceMean-mixed-axes"),
    pytest.param("y = Dropout<ratio=0.5>(x)", X, 7, id="Dropout-of-inference"),
    pytest.param("y = Dropout(x)", X, 12, id="Dropout-by-default"),
    pytest.param('y = Dropout(x, "", false)', X, 13, id="Dropout-told-so"),
    pytest.param("y = Dropout(x, half)", X, 13, id="Dropout-with-a-ratio"),
    pytest.param('y = Dropout(x, half, "")', X, 13, id="Dropout-told-nothing"),
    pytest.param("y = Pow(x, vector)", X, 18, id="Pow-by-a-uniform-vector"),
    pytest.param("c = Cast<to=1>(x)  y = Cast<to=11>(c)", X, 18, id="Cast"),
    pytest.param("y = Expand(x, grown)", X, 18, id="Expand"),
    pytest.param("y = Concat<axis=1>(x)", X, 18, id="Concat-of-one"),
    pytest.param("y = Flatten<axis=-1>(x)", NORMALIZED, 18, id="Flatten"),
    pytest.param("y = Reshape(x, cut)", NORMALIZED.replace("3", "1"), 18, id="Reshape-cuts"),
    pytest.param("y = Sum(x, row, x)", X, 18, id="Sum"),
    pytest.param("q = Mul(x, x)  c = Less(q, zero)  y = Where(c, zero, x)", X, 18, id="never-negative"),
    pytest.param("c = Equal(x, x)  y = Where(c, x, zero)", X, 18, id="equal-to-itself"),
    pytest.param("d = Sub(x, x)  c = Equal(d, zero)  y = Where(c, x, two)", X, 18, id="finite"),
    pytest.param("s = Size(x)  n = Cast<to=11>(s)  c = Greater(n, zero)  y = Where(c, x, zero)", X, 18, id="not-empty"),
    pytest.param("y = GlobalAveragePool(x)", "double[2, 3, 4, 5] x", 18, id="GlobalAveragePool"),
    pytest.param("y = InstanceNormalization<epsilon=0.5>(x, row, row)", NORMALIZED, 18, id="InstanceNormalization"),
    pytest.param("y = LayerNormalization<axis=1, epsilon=0.5>(x, column)", "double[3, 2, 4] x", 18, id="LayerNorm"),
    pytest.param("y = BatchNormalization(x, row, row, row, ones)", NORMALIZED, 15, id="BatchNormalization"),
    pytest.param("y = ReduceL1<axes=[1]>(x)", X, 13, id="ReduceL1"),
    pytest.param("y = MatMul(x, halves)", X, 18, id="MatMul-even"),
    pytest.param("y = MatMul(x, thin)", "double[2, 1] x", 18, id="MatMul-of-one-column"),
    pytest.param("y = MatMul(x, ones)", X, 18, id="MatMul-by-a-vector"),
    pytest.param("y = MatMul(ones, x)", "double[3, 4, 2] x", 18, id="MatMul-of-a-vector"),
    pytest.param("y = MatMul(x, centring)", X, 18, id="MatMul-by-a-centring-matrix"),
    pytest.param("y = MatMul(centring, x)", "double[3, 4, 2] x", 18, id="MatMul-of-a-centring-matrix"),
    pytest.param("y = MatMul(x, centring)", "double[4] x", 18, id="MatMul-of-a-vector-by-a-matrix"),
    pytest.param("y = Gemm<transA=1, alpha=0.5>(x, halves)", "double[4, 2] x", 18, id="Gemm-transposed"),
    pytest.param("y = Gemm<transB=1>(x, halves)", "double[3, 2] x", 18, id="Gemm-by-a-transposed-matrix"),
    pytest.param("y = Gemm<beta=2.0>(x, halves, pair)", X, 18, id="Gemm-with-a-bias"),
    pytest.param("y = Gemm<transB=1>(x, centring)", X, 18, id="Gemm-by-a-centring-matrix"),
    pytest.param('y = Einsum<equation="ab->ba">(x)', X, 18, id="Einsum-that-transposes"),
    pytest.param('y = Einsum<equation="...a,a->...">(x, ones)', X, 18, id="Einsum-with-dots"),
    pytest.param('y = Einsum<equation="ab,ab->">(x, x)', X, 18, id="Einsum-of-all-squares"),
    pytest.param('y = Einsum<equation="ab,ab->">(x, x)', "double[N, S] x", 18, id="Einsum-of-dynamic-sizes"),
    pytest.param("y = Conv<group=2>(x, window)", "double[3, 2, 4] x", 18, id="Conv-depthwise"),
    pytest.param("y = Conv(x, kernel)", "double[3, 2, 4] x", 18, id="Conv-of-all"),
    pytest.param("y = AveragePool<kernel_shape=[4, 1]>(x)", "double[2, 3, 4, 5] x", 18, id="AveragePool-of-columns"),
    pytest.param(
        "q = Mul(x, x)  p = Add(q, two)  l = Log(p)  h = Mul(l, half)  y = Exp(h)", X, 18, id="root-by-logarithm"
    ),
    pytest.param("q = Abs(x)  l = ReduceLogSum<axes=[1]>(q)  y = Exp(l)", X, 13, id="sum-by-logarithm"),
]


@pytest.mark.parametrize(("nodes", "inputs", "opset"), DEFINED)
def test_form_is_what_the_operator_computes(nodes: str, inputs: str, opset: int) -> None:
    found = followed(nodes, inputs, opset)
    base = found.values["x"]
    interpretation = interpret(base, found.model.graph, found.facts)
    assert interpretation is not None
    form = interpretation.forms[found.values["y"]]
    sizes = [size if isinstance(size, int) else {"N": 2, "S": 4}[str(size)] for size in base.shape or ()]
    x = np.random.default_rng(2).standard_normal(sizes)
    seen = observe(ReferenceEvaluator(exact(found.proto)), {"x": x})
    evaluation = Evaluation(x, interpretation.layout, bound(interpretation.layout, x.shape, {}))
    assert seen.differs("y", evaluation.array(form)) is None
    assert form.dtype is ir.DataType.DOUBLE


def test_bounds_that_stand_for_none_leave_no_trace() -> None:
    found = followed("y = Clip<min=-3.4028234663852886e+38, max=3.4028234663852886e+38>(x)", X, 10)
    interpretation = interpret(found.values["x"], found.model.graph, found.facts)
    assert interpretation is not None
    assert interpretation.forms[found.values["y"]].value == interpretation.forms[found.values["x"]].value


REFUSED = [
    pytest.param("y = Add(x, z)", X + ", double[2, 4] z", 18, "different-base", id="another-input"),
    pytest.param("y = Max(x, two, half)", X, 18, "clamp", id="Max-of-three"),
    pytest.param("y = Max(x, row)", X, 18, "clamp", id="Max-of-several-numbers"),
    pytest.param("n = Neg(x)  y = Max(x, n)", X, 18, "clamp", id="Max-of-two-values"),
    pytest.param("y = Clip(x, z)", X + ", double z", 13, "clamp", id="Clip-by-an-input"),
    pytest.param("y = Pow(x, row)", X, 18, "exponent", id="Pow-by-several-numbers"),
    pytest.param("y = Pow(x, infinity)", X, 18, "exponent", id="Pow-by-infinity"),
    pytest.param("y = Pow(two, x)", X, 18, "exponent", id="exponential"),
    pytest.param("y = Div(x, zero)", X, 18, "division-by-zero", id="divided-by-zero"),
    pytest.param("y = Div(x, ends)", X, 18, "division-by-zero", id="divided-by-zero-in-one-place"),
    pytest.param("y = Sqrt(x)", X, 18, "sign", id="root-of-either-sign"),
    pytest.param("c = Cast<to=7>(x)  y = Cast<to=11>(c)", X, 18, "integer-base", id="through-integers"),
    pytest.param("y = Cast<to=7>(x)", X, 18, "integer-base", id="to-integers"),
    pytest.param("y = Cast<to=11>(x)", "int64[2, 4] x", 18, "integer-base", id="from-integers"),
    pytest.param("c = Cast<to=9>(x)  y = Cast<to=11>(c)", X, 18, "integer-base", id="through-booleans"),
    pytest.param('y = Dropout(x, "", true)', X, 13, "training-mode", id="Dropout-in-training"),
    pytest.param('y = Dropout(x, "", z)', X + ", bool z", 13, "training-mode", id="Dropout-perhaps-in-training"),
    pytest.param("y = ReduceMean(x, z)", X + ", int64[1] z", 18, "axes", id="axes-at-run-time"),
    pytest.param("y = Reshape(x, z)", X + ", int64[3] z", 18, "reshape", id="shape-at-run-time"),
    pytest.param("y = Reshape(x, z)", X + ", int64[K] z", 18, "shape", id="rank-at-run-time"),
    pytest.param("y = Expand(x, z)", X + ", int64[K] z", 18, "shape", id="expanded-at-run-time"),
    pytest.param("y = Tile(x, twice)", X, 18, "broadcast", id="Tile-of-more-than-one"),
    pytest.param("y = Tile(x, fourfold)", X, 18, "broadcast", id="Tile-of-four-four-times"),
    pytest.param("y = Tile(x, thrice)", X, 18, "shape", id="Tile-of-another-rank"),
    pytest.param("r = Concat<axis=0>(single, z)  y = Tile(x, r)", X + ", int64[1] z", 18, "broadcast",
                 id="Tile-as-often-as-it-is-told"),
    pytest.param("y = Tile(x, z)", X + ", int64[K] z", 18, "shape", id="Tile-at-run-time"),
    pytest.param("y = Concat<axis=0>(x, x)", X, 18, "concat", id="Concat-of-two"),
    pytest.param("t = Transpose(x)  y = Add(x, t)", "double[4, 4] x", 18, "broadcast", id="transposed"),
    pytest.param(
        "m = ReduceMean<keepdims=0>(x, last)  y = Sub(x, m)", "double[4, 4] x", 18, "broadcast", id="dropped-axis"
    ),
    pytest.param("p = Mul(x, row)  y = ReduceMean(p, last)", X, 18, "weighted-mean", id="weights"),
    pytest.param("y = Greater(x, row)", X, 18, "condition", id="compared-with-x"),
    pytest.param(
        "m = ReduceMean(x, last)  d = Sub(x, m)  z = ReduceMean(d, last)  y = Greater(z, zero)", X, 18, "condition",
        id="compared-with-what-only-rounding-leaves",
    ),
    pytest.param("a = Add(x, two)  b = Sub(a, two)  y = Equal(b, x)", X, 18, "condition", id="equal-but-for-rounding"),
    pytest.param("r = Reciprocal(x)  p = Mul(r, x)  y = LessOrEqual(p, ones)", X, 18, "condition", id="nearly-one"),
    pytest.param("y = Expand(x, three)  ", "double[N, 2, 4] x", 18, None, id="dynamic-dimension-expanded"),
    pytest.param("y = Squeeze(x)", "double[N, 4] x", 18, "shape", id="Squeeze-of-what-may-be-one"),
    pytest.param("y = Erf(x)", X, 18, "unreached", id="unknown-operator"),
    pytest.param("y = Exp(x)", X, 18, "unreached", id="exponential-of-no-logarithm"),
    pytest.param("l = Log(x)  h = Mul(l, two)  y = Exp(h)", X, 18, "exponent", id="logarithm-of-either-sign"),
    pytest.param("q = Abs(x)  l = Log(q)  h = Mul(l, row)  y = Exp(h)", X, 18, "exponent", id="several-exponents"),
    pytest.param("q = Abs(x)  l = Log(q)  h = Mul(l, l)  y = Exp(h)", X, 18, "exponent", id="square-of-a-logarithm"),
    pytest.param("a = Add(x, two)  b = Sub(a, two)  d = Sub(b, x)  y = Greater(d, zero)", X, 18, "condition",
                 id="a-difference-that-only-rounding-leaves"),
    pytest.param("a = Add(x, two)  b = Sub(a, two)  d = Sub(b, x)  y = Greater(d, half)", X, 18, "condition",
                 id="what-only-rounding-leaves-compared-with-a-half"),
    pytest.param("y = MatMul(x)", X, 18, "unreached", id="product-of-one"),
    pytest.param("y = MatMul(x, x)", "double[4] x", 18, "unreached", id="product-of-vectors"),
    pytest.param("u = Opaque(x)  y = MatMul(u, x)", X, 18, "unreached", id="product-of-an-unknown-shape"),
    pytest.param("u = Opaque(x)  y = MatMul(x, u)", X, 18, "unreached", id="product-with-an-unknown-shape"),
    pytest.param("m = ReduceMean(x, last)  y = MatMul(x, m)", "double[4, 4] x", 18, "unreached", id="rows-by-a-column"),
    pytest.param("m = ReduceMean(x, first)  y = MatMul(m, x)", "double[4, 4] x", 18, "unreached", id="row-by-columns"),
    pytest.param("y = MatMul(x, uneven)", "double[1, 4] x", 18, "unreached", id="a-row-by-an-uneven-column"),
    pytest.param('y = Einsum<equation="ab,bc->ac">(x, centring)', X, 18, "unreached", id="Einsum-by-a-centring-matrix"),
    pytest.param('y = Einsum<equation="ab,bc->ac">(x, uneven)', X, 18, "unreached", id="Einsum-by-uneven-weights"),
    pytest.param("y = MatMul(x, uneven)", X, 18, "unreached", id="uneven-weights"),
    pytest.param("y = MatMul(x, crooked)", X, 18, "unreached", id="uneven-square"),
    pytest.param("y = MatMul(x, x)", "double[4, 4] x", 18, "unreached", id="product-with-itself"),
    pytest.param('y = Einsum<equation="ab,cb->ac">(x, x)', X, 18, "broadcast", id="Einsum-of-all-pairs"),
    pytest.param('y = Einsum<equation="aa->a">(x)', "double[4, 4] x", 18, "broadcast", id="Einsum-of-a-diagonal"),
    pytest.param('y = Einsum<equation="ab,b->a">(x)', X, 18, "shape", id="Einsum-of-too-few"),
    pytest.param('y = Einsum<equation="ab->ba">(x)', NORMALIZED, 18, "invalid-node", id="Einsum-of-another-rank"),
    pytest.param("y = MatMul(x, centring)", "double[2, 1] x", 18, "invalid-node", id="MatMul-that-does-not-fit"),
    pytest.param('y = Einsum<equation="ab,b">(x, ones)', X, 18, "shape", id="Einsum-without-a-result"),
    pytest.param("y = Conv<pads=[1, 1]>(x, kernel)", "double[3, 2, 2] x", 18, "weighted-mean", id="Conv-padded"),
    pytest.param("y = Conv<group=2>(x, window)", "double[3, 2, 5] x", 18, "weighted-mean", id="Conv-in-part"),
    pytest.param("y = Conv<group=2>(x, windows)", "double[3, 2, 4] x", 18, "weighted-mean", id="Conv-of-two-windows"),
    pytest.param("y = Conv<group=2>(x, pairs)", "double[3, 4, 4] x", 18, "weighted-mean", id="Conv-of-two-channels"),
    pytest.param('y = Conv<auto_pad="SAME_UPPER">(x, kernel)', "double[3, 2, 4] x", 18, "weighted-mean",
                 id="Conv-that-pads-by-itself"),
    pytest.param('y = AveragePool<kernel_shape=[4], auto_pad="SAME_UPPER">(x)', "double[3, 2, 4] x", 18, "unreached",
                 id="pool-that-pads-by-itself"),
    pytest.param("u = Opaque(x)  y = AveragePool<kernel_shape=[4]>(u)", X, 18, "unreached", id="pool-of-unknown-shape"),
    pytest.param("y = AveragePool(x)", X, 18, "unreached", id="pool-without-a-window"),
    pytest.param(
        "y = AveragePool<kernel_shape=[3], pads=[1, 1]>(x)", "double[3, 2, 4] x", 18, "unreached", id="pool-padded"
    ),
    pytest.param(
        "y = AveragePool<kernel_shape=[1], strides=[2]>(x)", "double[3, 2, 4] x", 18, "unreached", id="pool-of-a-part"
    ),
    pytest.param(
        "y = BatchNormalization<training_mode=1>(x, row, row, row, ones)", NORMALIZED, 15, "training-mode", id="BN-15"
    ),
    pytest.param(
        "y, m, v, s, t = BatchNormalization(x, row, row, row, ones)", NORMALIZED, 9, "training-mode", id="BN-9"
    ),
    pytest.param(
        "y, m, v, s, t = BatchNormalization(x, row, row, row, ones)", NORMALIZED, 7, "training-mode", id="BN-7"
    ),
    pytest.param(
        "y = BatchNormalization<spatial=0>(x, plane, plane, plane, plane)", "double[3, 2, 4] x", 7, "spatial",
        id="BN-7-per-position",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("nodes", "inputs", "opset", "rule"), REFUSED)
def test_what_has_no_form_says_why(nodes: str, inputs: str, opset: int, rule: str | None) -> None:
    assert refusal(nodes, inputs, opset) == rule


def test_batch_normalization_of_inference_before_14_has_a_form() -> None:
    nodes = "y = BatchNormalization(x, row, row, row, ones)"
    assert refusal(nodes, NORMALIZED, 9) is None
    assert refusal(nodes.replace("y =", 'y, "", "" ='), NORMALIZED, 9) is None


def test_operators_of_other_domains_are_not_known() -> None:
    found = surveyed("y = Neg(x)", X)
    node = next(iter(found.model.graph))
    assert transfer_of(node, Facts()) is TRANSFER["Neg"]
    node.domain = "com.microsoft"
    assert transfer_of(node, Facts()) is None


ASSUMED = [
    pytest.param("y = Add(x, row)", "double[N, S] x", {1: 4}, id="constant"),
    pytest.param("y = Expand(x, twice)", "double[N, S] x", {1: 2}, id="expanded"),
    pytest.param("s = Sub(x, row)  y = Mul(s, row)", "double[N, S] x", {1: 4}, id="the-same-twice"),
    pytest.param("y = MatMul(x, centring)", "double[N, S] x", {1: 4}, id="matrix"),
    pytest.param("y = Add(x, half)", "double[N, S] x", {}, id="number"),
    pytest.param("y = Add(x, row)", "double[N, 4] x", {}, id="static"),
]


@pytest.mark.parametrize(("nodes", "inputs", "assumed"), ASSUMED)
def test_size_that_a_constant_demands_is_noted(nodes: str, inputs: str, assumed: dict[int, int]) -> None:
    found = followed(nodes, inputs, 18)
    interpretation = interpret(found.values["x"], found.model.graph, found.facts)
    assert interpretation is not None
    assert {axis.index: size for axis, size in interpretation.assumed.items()} == assumed


def test_dynamic_dimension_cannot_have_two_sizes() -> None:
    nodes = "a = Add(x, row)  b = Add(x, pair)  y = Add(a, b)"
    assert refusal(nodes, "double[N, S] x", 18) == "broadcast"
