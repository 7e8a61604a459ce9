"""What a model computes in float64 by NumPy and the kernels: the same as ONNX Runtime on a model of doubles."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from normgraph import doubles
from normgraph.doubles import OPERATORS, Doubles, NotComputed
from normgraph.evidence import Evidence, Experiment, OnceEach, Trial, Ulps, conduct, experiment
from normgraph.evidence.conducting import confirmed
from normgraph.evidence.structure import in_doubles, runners_of
from normgraph.execution import Session
from normgraph.targets import TARGETS
from normgraph.widening import in_double
from tests.core.test_evidence import lowered, matched, with_attribute

#: What the bodies below read: x and z of one shape, rows that broadcast to it, matrices, whole numbers.
INPUTS = (
    "float[2, 3, 4] x, float[2, 3, 4] z, float[4] rows, float[3, 1] column, float[5, 3, 6, 7] image, "
    "float[4, 5] matrix, int64[3] whole, int64[3] other"
)
CONSTANTS = (
    "<int64[1] last = {-1}, int64[2] both = {0, 2}, int64[1] one = {1}, float two = {2}, float half = {0.5}, "
    "int64[3] sizes = {0, -1, 2}, int64[2] chosen = {2, -1}, int64[0] none = {}, float least = {-0.5}>"
)
#: Weights of convolutions, and the parameters of a BatchNormalization.
WEIGHTS = {"depthwise": (6, 1, 3, 3), "kernel": (4, 3, 2, 2), "spread": (3, 2, 2, 2), "s": (3,)}
VARIANCES = np.asarray([0.5, 1.5, 2.0], np.float32)


def model(body: str, opset: int) -> onnx.ModelProto:
    built = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : {opset}]> g ({INPUTS}) => (float[N] y) {CONSTANTS} {{ {body} }}'
    )
    del built.graph.output[0].type.tensor_type.shape.dim[:]
    built.graph.output[0].type.tensor_type.ClearField("shape")
    return built


def feed() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0).standard_normal
    shapes = {"x": (2, 3, 4), "z": (2, 3, 4), "rows": 4, "column": (3, 1), "image": (5, 3, 6, 7), "matrix": (4, 5)}
    floats = {name: draw(shape) for name, shape in shapes.items()}
    return {**floats, "whole": np.asarray([-7, 7, -6]), "other": np.asarray([2, -2, 4])}


#: A body for each way in which an operator may be written, and the opset that it is written at.
ROWS = [
    ("y = Abs(x)", 13),
    ("y = Add(x, column)", 13),
    ("e = Equal(x, x) f = And(e, e) y = Where(f, x, z)", 13),
    ("y = BatchNormalization<epsilon = 0.01>(image, s, s, s, v)", 15),
    ("y = BatchNormalization(image, s, s, s, v)", 15),
    ("y = Cast<to = 1>(whole)", 13),
    ("i = Cast<to = 7>(x) y = Cast<to = 1>(i)", 13),
    ("b = Cast<to = 9>(x) i = Cast<to = 1>(b) y = Mul(i, x)", 13),
    ("y = Clip(x, least, half)", 13),
    ("y = Clip(x, least)", 13),
    ("y = Clip(x, , half)", 13),
    ("y = Concat<axis = -1>(x, z, x)", 13),
    ("y = Conv<pads = [1, 0, 0, 1], strides = [2, 1], dilations = [1, 2]>(image, kernel)", 11),
    ("y = Conv<auto_pad = \"SAME_UPPER\", strides = [2, 2], kernel_shape = [2, 2]>(image, kernel, rows)", 11),
    ("y = Conv<auto_pad = \"SAME_LOWER\">(image, kernel, rows)", 11),
    ("y = Conv<auto_pad = \"VALID\">(image, kernel, rows)", 11),
    ("d = Conv<group = 3>(image, depthwise) y = Neg(d)", 11),
    ("y = ConvTranspose<strides = [2, 1], output_padding = [1, 0], pads = [1, 1, 0, 0]>(image, spread)", 11),
    ("y = Div(x, z)", 13),
    ("q = Div(whole, other) y = Cast<to = 1>(q)", 13),
    ("s = Shape(x) y = Expand(column, s)", 13),
    ("y = Expand(x, one)", 13),
    ("y = Flatten(x)", 13),
    ("y = Flatten<axis = -1>(x)", 13),
    ("y = Flatten<axis = 0>(x)", 13),
    ("y = Gather<axis = 1>(x, chosen)", 13),
    ("y = Gather(rows, chosen)", 13),
    ("f = Flatten<axis = 2>(x) y = Gemm<alpha = 0.5, beta = 2.0>(f, matrix, half)", 13),
    ("f = Flatten<axis = 2>(x) y = Gemm<transA = 1, transB = 0>(matrix, matrix)", 13),
    ("y = Gemm<transB = 1>(matrix, matrix)", 13),
    ("y = Identity(x)", 13),
    ("y = LayerNormalization<axis = -1, epsilon = 0.01>(x, rows, rows)", 17),
    ("y = LayerNormalization(x, rows)", 17),
    ("y = MatMul(x, matrix)", 13),
    ("y = Max(x, z, rows)", 13),
    ("y = Min(x, z, half)", 13),
    ("y = Mul(x, rows)", 13),
    ("y = Pow(x, two)", 13),
    ("a = Abs(x) y = Pow(a, half)", 13),
    ("a = Abs(x) y = Pow(a, z)", 13),
    ("y = Reciprocal(x)", 13),
    ("y = ReduceL2<axes = [1]>(x)", 13),
    ("y = ReduceMax<axes = [1, -1], keepdims = 0>(x)", 13),
    ("y = ReduceMean<axes = [-1]>(x)", 13),
    ("y = ReduceMean(x, both)", 18),
    ("y = ReduceMean<keepdims = 0>(x)", 13),
    ("y = ReduceMin<axes = [0]>(x)", 13),
    ("y = ReduceProd<axes = [2]>(x)", 13),
    ("y = ReduceSum(x, last)", 13),
    ("y = ReduceSum<keepdims = 0>(x, both)", 13),
    ("y = ReduceSumSquare<axes = [0, 1], keepdims = 1>(x)", 13),
    ("y = Reshape(x, sizes)", 13),
    ("s = Shape<start = 1, end = -1>(x) y = Cast<to = 1>(s)", 15),
    ("a = Abs(x) y = Sqrt(a)", 13),
    ("r = ReduceSum(x, last) y = Squeeze(r, last)", 13),
    ("r = ReduceSum<axes = [2]>(x) y = Squeeze<axes = [2]>(r)", 11),
    ("r = ReduceMean<axes = [1]>(x) y = Squeeze(r)", 13),
    ("y = Sub(column, x)", 13),
    ("y = Sum(x, z, rows)", 13),
    ("y = Transpose(x)", 13),
    ("y = Transpose<perm = [1, 0, 2]>(x)", 13),
    ("y = Unsqueeze(x, both)", 13),
    ("y = Unsqueeze<axes = [0, 2]>(x)", 11),
]  # fmt: skip


def prepared(body: str, opset: int) -> onnx.ModelProto:
    """The body as a model, weights that few need among its initializers."""
    built = model(body, opset)
    draw = np.random.default_rng(1).standard_normal
    weights = {"v": VARIANCES, **{name: draw(shape).astype(np.float32) for name, shape in WEIGHTS.items()}}
    made = {name for node in built.graph.node for name in node.output}
    built.graph.initializer.extend(
        onnx.numpy_helper.from_array(array, name) for name, array in weights.items() if name not in made
    )
    return built


@pytest.mark.parametrize(("body", "opset"), [pytest.param(*row, id=row[0]) for row in ROWS])
def test_it_is_what_onnx_runtime_computes(body: str, opset: int) -> None:
    built, given = prepared(body, opset), feed()
    found = Doubles(built)(given)
    assert found.dtype == np.float64
    if "Conv" in body:  # of which ONNX Runtime has none for doubles
        expected = Session(built)({n: a.astype(np.float32) if a.dtype.kind == "f" else a for n, a in given.items()})
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    else:
        np.testing.assert_allclose(found, Session(in_double(built))(given), rtol=1e-12, atol=1e-12, strict=True)


def test_every_row_is_tested() -> None:
    tested = {node.op_type for body, opset in ROWS for node in model(body, opset).graph.node}
    assert set(OPERATORS) - tested == {"RMSNormalization"}


def test_rms_normalization_is_the_standard_s() -> None:
    built = prepared("y = RMSNormalization<axis = -1, epsilon = 0.01>(x, rows)", 23)
    given = feed()
    mean = np.mean(given["x"] ** 2, axis=-1, keepdims=True)
    expected = given["x"] * (mean + float(np.float32(0.01))) ** -0.5 * given["rows"]
    np.testing.assert_allclose(Doubles(built)(given), expected, rtol=1e-14)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("y = Softmax(x)", id="no-row"),
        pytest.param("y = some.domain.Add(x, x)", id="another-domain"),
        pytest.param("y = Reshape<allowzero = 1>(x, sizes)", id="allowzero"),
        pytest.param("y, m = LayerNormalization(x, rows)", id="further-results"),
        pytest.param("y = BatchNormalization<training_mode = 1>(image, s, s, s, v)", id="training"),
        pytest.param("y = Cast<to = 17>(x)", id="cast-to-eight-bits"),
        pytest.param("y = Cast<to = 8>(x)", id="cast-to-text"),
        pytest.param("y = Cast<to = 99>(x)", id="cast-to-an-unknown-type"),
        pytest.param("y = Concat(x, x)", id="missing-attribute"),
        pytest.param("y = Add<axis = 1>(x, x)", id="unknown-attribute"),
    ],
)
def test_what_has_no_row_is_left_to_others(body: str) -> None:
    with pytest.raises(NotComputed):
        Doubles(prepared(body, 17))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("y = Add(x, matrix)", id="shapes-that-do-not-fit"),
        pytest.param("y = Gather(rows, whole)", id="index-beyond"),
        pytest.param("y = ReduceMean(whole)", id="mean-of-whole-numbers"),
        pytest.param("y = ReduceL2(whole)", id="length-of-whole-numbers"),
        pytest.param("r = ReduceSum(x, last) y = Squeeze(r, none)", id="squeezed-over-no-axes"),
        pytest.param("y = Clip(x, rows)", id="several-bounds"),
        pytest.param("z = Sub(x, x) y = Div(z, z)", id="not-a-number"),
        pytest.param("z = Sub(x, x) y = Div(x, z)", id="infinities"),
        pytest.param("y = ReduceSum<noop_with_empty_axes = 1>(x)", id="no-axes"),
        pytest.param("y = Add(x, nothing)", id="missing-operand"),
    ],
)
def test_what_cannot_be_computed_is_left_to_others(body: str) -> None:
    with pytest.raises(NotComputed):
        Doubles(prepared(body, 17))(feed())


def test_an_empty_batch_has_no_mean() -> None:
    given = {**feed(), "x": np.zeros((0, 3, 4))}
    assert Doubles(prepared("y = ReduceMean<axes = [-1]>(x)", 13))(given).shape == (0, 3, 1)
    with pytest.raises(NotComputed):
        Doubles(prepared("y = ReduceMean<axes = [0]>(x)", 13))(given)


def test_an_original_that_float64_does_not_follow_is_not_true() -> None:
    def evidence(p99: float) -> Evidence:
        trial = Trial("normal", (4,), 0.0, 0.0, 1.0, Ulps(p99, p99), Ulps(p99, p99))
        return Evidence((trial,), dtype=ir.DataType.FLOAT)

    assert evidence(100.0).original_is_true
    assert not evidence(2.0**23).original_is_true
    assert Evidence().original_is_true


@pytest.fixture
def mistaken(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], None]:
    """Puts a mistake in the place of the square root."""

    def put(root: Callable[..., Any]) -> None:
        rows: Mapping[str, Any] = {**OPERATORS, "Sqrt": lambda _: root}
        monkeypatch.setattr(doubles, "OPERATORS", MappingProxyType(rows))
        in_doubles.cache_clear()

    yield put  # type: ignore[misc]
    in_doubles.cache_clear()


def refuses(_: np.ndarray) -> np.ndarray:
    raise ValueError("no")


def conducted_once(proven: Experiment) -> Evidence:
    return OnceEach()(proven)


@pytest.mark.parametrize(
    "conducting", [pytest.param(conduct, id="alone"), pytest.param(conducted_once, id="once-each")]
)
@pytest.mark.parametrize(
    "root",
    [
        pytest.param(lambda x: x * 0 + 1e-6, id="another-function"),
        pytest.param(lambda x: np.sqrt(x) * 1.001, id="nearly-the-same"),
        pytest.param(lambda x: x * 0 + 1e300, id="nothing-but-the-bias"),
        pytest.param(lambda x: np.sqrt(x) * (1 + (np.arange(x.size) == 0).reshape(x.shape)), id="in-few-elements"),
        pytest.param(refuses, id="refused"),
    ],
)
def test_a_mistake_that_the_original_shows_proves_nothing_and_refuses_nothing(
    root: Callable[..., Any],
    conducting: Callable[[Experiment], Evidence],
    mistaken: Callable[[Callable[..., Any]], None],
) -> None:
    """Where the truth isn't that of the original, it is computed by others, and so are all figures of the evidence."""
    match, found = matched("float[N, 6, 6, 6, 4] x")
    right = lowered(match, found)
    both = (right, with_attribute(right, "epsilon", 2e-5))
    proven = [experiment(match, each, TARGETS["onnxruntime"], found.facts) for each in both]
    true = [conduct(each, runners_of(each).by_others()) for each in proven]
    assert [evidence.accepted for evidence in true] == [True, False]
    mistaken(root)
    assert [conducting(each) for each in proven] == true


def test_an_original_confirms_no_truth_that_is_nothing() -> None:
    def evidence(before: float, magnitude: float) -> Evidence:
        trial = Trial("normal", (4,), before, 0.0, 4 * before, Ulps(0.0, 0.0), magnitude=magnitude)
        return Evidence((trial,), dtype=ir.DataType.FLOAT)

    assert confirmed(evidence(0.0, 0.0))
    assert confirmed(evidence(1e-5, 1.0))
    assert not confirmed(evidence(1e-3, 1.0))
    assert not confirmed(evidence(1.0, 0.0))
