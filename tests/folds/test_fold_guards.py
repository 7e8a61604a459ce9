"""Guards of folding that nothing else comes by: each test fails where its guard is taken out."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

import normgraph
from normgraph.folding.directions import DIRECTIONS
from normgraph.folding.plan import Refusal
from normgraph.folding.plans import MAXIMAL_PASSAGES, reads_shape
from tests.core.surveyed import known

CHANNELS = 4
CONSTANTS = {
    "scale": np.asarray([0.5, 1.5, 2.0, 3.0], np.float32),
    "shift": np.zeros(CHANNELS, np.float32),
    "mean": np.full(CHANNELS, 0.5, np.float32),
    "var": np.ones(CHANNELS, np.float32),
    "w": np.random.default_rng(0).standard_normal((CHANNELS, CHANNELS, 3, 3)).astype(np.float32),
}
BATCH = "b = BatchNormalization(x, scale, shift, mean, var)"
PADDED = "Conv<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>"


def folds(nodes: str, outputs: str) -> list[tuple[str, str | None]]:
    text = f"""<ir_version: 8, opset_import: ["" : 17]> g (float[N, {CHANNELS}, 5, 5] x) => ({outputs}) {{ {nodes} }}"""
    model = onnx.parser.parse_model(text)
    read = {name for node in model.graph.node for name in node.input}
    model.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in CONSTANTS.items() if n in read)
    return [(fold.status, fold.rule) for fold in normgraph.optimize(model).report.folds]


@pytest.mark.parametrize(
    ("convolutions", "expected"),
    [
        pytest.param(1, [("folded", None)], id="as many nodes as it saves"),
        pytest.param(2, [("kept", "no-gain")], id="more nodes than it saves"),
    ],
)
def test_padding_with_the_mean_may_take_no_more_nodes_than_it_saves(
    convolutions: int, expected: list[tuple[str, str | None]]
) -> None:
    nodes = " ".join(f"y{i} = {PADDED}(b, w)" for i in range(convolutions))
    outputs = ", ".join(f"float[N, {CHANNELS}, 5, 5] y{i}" for i in range(convolutions))
    assert folds(f"{BATCH} {nodes}", outputs) == expected


@pytest.mark.parametrize(
    ("passages", "expected"),
    [
        pytest.param(4, "folded", id="a few"),
        pytest.param(MAXIMAL_PASSAGES + 1, "kept", id="more than are looked through"),
    ],
)
def test_a_way_has_an_end(passages: int, expected: str) -> None:
    way = " ".join(f"t{i + 1} = Transpose<perm = [0, 1, 3, 2]>(t{i})" for i in range(passages))
    last = BATCH.replace("(x,", f"(t{passages},").replace("b =", "y =")
    found = folds(f"t0 = {PADDED}(x, w) {way} {last}", f"float[N, {CHANNELS}, 5, 5] y")
    assert expected in [status for status, _ in found]
    assert {"folded", "kept"} - {expected} != {status for status, _ in found}


@pytest.mark.parametrize(
    ("operator", "domain", "expected"),
    [
        pytest.param("Shape", "", True, id="Shape"),
        pytest.param("Size", "", True, id="Size"),
        pytest.param("Shape", "custom", False, id="Shape of another domain"),
        pytest.param("Neg", "", False, id="another operator"),
    ],
)
def test_only_the_standard_shape_reads_nothing_but_the_shape(operator: str, domain: str, expected: bool) -> None:
    node = ir.Node(domain, operator, [ir.Value(name="x")])
    assert reads_shape(node) is expected


def test_an_operator_that_is_reached_on_two_ways_takes_nothing() -> None:
    half = BATCH.replace("(x,", "(k,").replace("b =", "y =")
    text = f"""<ir_version: 8, opset_import: ["" : 17]> g (float[N, {CHANNELS}, 5, 5] x) => (float[N, 8, 5, 5] y)
        {{ c = {PADDED}(x, w)  k = Concat<axis = 1>(c, c)  {half} }}"""
    model = onnx.parser.parse_model(text)
    twice = {name: np.tile(array, 2) if array.ndim == 1 else array for name, array in CONSTANTS.items()}
    twice["scale"] = np.arange(1, 9, dtype=np.float32)  # the halves differ: no weights do for both
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in twice.items())
    assert [(f.status, f.rule) for f in normgraph.optimize(model).report.folds] == [("kept", "layout")]


HUGE, SQUARE = np.full((4, 4), 3e38, np.float32), np.eye(4, dtype=np.float32)
WIDE, NARROW = np.ones((4, 16), np.float32), np.ones((16, 4), np.float32)


@pytest.mark.parametrize(
    ("direction", "nodes", "constants"),
    [
        pytest.param("parallel", "a = MatMul(x, w) b = MatMul(x, w) y = custom.Add(a, b)", {"w": SQUARE}, id="the sum"),
        pytest.param(
            "parallel",
            "a = MatMul(x, w) b = MatMul(x, w) s = custom.Add(a, x) y = Add(s, b)",
            {"w": SQUARE},
            id="a sum within",
        ),
        pytest.param("parallel", "a = MatMul(x, w) b = MatMul(x, w) y = Add(a, b)", {"w": HUGE}, id="beyond the type"),
        pytest.param(
            "parallel",
            "u = custom.Opaque(x) a = MatMul(u, w) b = MatMul(u, w) y = Add(a, b)",
            {"w": SQUARE},
            id="an input of no known rank",
        ),
        pytest.param(
            "chain",
            "a = MatMul(x, w) s = custom.Add(a, c) y = MatMul(s, v)",
            {"w": WIDE, "v": NARROW, "c": np.ones(16, np.float32)},
            id="a bias by another operator",
        ),
        pytest.param(
            "chain", "a = custom.MatMul(x, w) y = MatMul(a, v)", {"w": WIDE, "v": NARROW}, id="a custom MatMul"
        ),
        pytest.param(
            "chain",
            "a = MatMul(x, w) y = MatMul(a, v)",
            {"w": WIDE * np.float32(1e25), "v": NARROW * np.float32(1e25)},
            id="a product beyond the type",
        ),
        pytest.param(
            "backward",
            "h = custom.MatMul(x, w) y = Mul(h, k)",
            {"w": SQUARE, "k": np.asarray([1, 2, 3, 4], np.float32)},
            id="a map behind a custom MatMul",
        ),
        pytest.param(
            "backward",
            "a = MatMul(x, w) h = custom.Identity(a) y = Mul(h, k)",
            {"w": SQUARE, "k": np.asarray([1, 2, 3, 4], np.float32)},
            id="a map behind a custom passage",
        ),
    ],
)
def test_nothing_is_planned(direction: str, nodes: str, constants: dict[str, np.ndarray]) -> None:
    text = f"""<ir_version: 8, opset_import: ["" : 17, "custom" : 1]> g (float[N, 4] x) => (float[N, 4] y)
        <float[N, 4] a, float[N, 4] b, float[N, 4] s, float[N, 4] h> {{ {nodes} }}"""
    if direction == "chain":
        text = text.replace("float[N, 4] a", "float[N, 16] a").replace("float[N, 4] s", "float[N, 16] s")
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    found = known(model)
    plans = DIRECTIONS[direction](found.model.graph, found.facts)
    assert [plan for plan in plans if not isinstance(plan, Refusal)] == []


@pytest.mark.parametrize(
    ("direction", "nodes"),
    [
        pytest.param("chain", "h = Conv<SAME>(x, wide) y = Conv(h, p)", id="before a pointwise layer"),
        pytest.param("chain", "h = Conv(x, q) y = Conv<SAME>(h, narrow)", id="behind a pointwise layer"),
        pytest.param(
            "parallel", "h = Conv<SAME>(x, w) b = Conv<strides = [2, 2]>(x, r) y = Add(h, b)", id="beside one"
        ),
        pytest.param(
            "forward",
            f"{BATCH} y = ConvTranspose<pads = [2, 2, 2, 2], output_shape = [8, 8]>(b, w)",
            id="of a size that is given",
        ),
        pytest.param(
            "forward",
            f"{BATCH} y = ConvTranspose<dilations = [2, 2], pads = [4, 4, 4, 4], output_padding = [1, 1]>(b, w)",
            id="of a size that is more than its input and its kernel make",
        ),
    ],
)
def test_nothing_is_planned_where_padding_depends_on_the_size(direction: str, nodes: str) -> None:
    same = 'auto_pad = "SAME_UPPER", strides = [2, 2]'
    text = f"""<ir_version: 8, opset_import: ["" : 17]> g (float[N, 4, H, L] x) => (float[N, 4, K, M] y)
        {{ {nodes.replace("SAME", same)} }}"""
    model = onnx.parser.parse_model(text)
    kernels = {
        "wide": np.ones((16, 4, 3, 3)), "p": np.ones((4, 16, 1, 1)), "q": np.ones((16, 4, 1, 1)),
        "narrow": np.ones((4, 16, 3, 3)), "r": np.ones((4, 4, 1, 1)),
    }  # fmt: skip
    constants = {**CONSTANTS, "shift": np.ones(CHANNELS), **kernels}
    read = {name for node in model.graph.node for name in node.input}
    tensors = [numpy_helper.from_array(a.astype(np.float32), n) for n, a in constants.items() if n in read]
    model.graph.initializer.extend(tensors)
    found = known(model)
    plans = DIRECTIONS[direction](found.model.graph, found.facts)
    assert [plan for plan in plans if not isinstance(plan, Refusal)] == []
