"""SimplifiedLayerNormalization, which ONNX Runtime has in the standard's domain though the standard hasn't got it."""

import numpy as np
import onnx
import pytest

import normgraph
from tests.running import run

RANDOM = np.random.default_rng(5)
TENSORS = {"g": RANDOM.standard_normal(8), "w": RANDOM.standard_normal((8, 6)), "v": RANDOM.standard_normal((8, 5))}
NORM = "n = SimplifiedLayerNormalization <axis = -1> (x, g)"


def model(body: str, output: str = "float[B, S, 6] y") -> onnx.ModelProto:
    built = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> test (float[B, S, 8] x) => ({output}) {{ {body} }}'
    )
    for name, array in TENSORS.items():
        if any(name in node.input for node in built.graph.node):
            built.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    return built


def gains(built: onnx.ModelProto) -> list[np.ndarray]:
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in built.graph.initializer}
    return [stored[node.input[1]] for node in built.graph.node if node.op_type == "SimplifiedLayerNormalization"]


@pytest.mark.parametrize(
    ("body", "into"),
    [
        pytest.param(f"{NORM} y = MatMul(n, w)", 1, id="one product"),
        pytest.param(f"{NORM} a = MatMul(n, w) b = MatMul(n, v) y = Concat<axis = -1>(a, b)", 2, id="two products"),
        pytest.param(f"{NORM} i = Identity(n) y = MatMul(i, w)", 1, id="through Identity"),
    ],
)
def test_gain_goes_into_every_product_behind_it(body: str, into: int) -> None:
    before = model(body)
    result = normgraph.optimize(before, fold_gain=True)
    (fold,) = result.report.folds
    assert (fold.status, fold.direction) == ("folded", "gain")
    assert len((fold.into or "").split(", ")) == into
    after = result.to_proto()
    assert all((gain == 1).all() for gain in gains(after))
    feeds = [{"x": RANDOM.standard_normal((2, 3, 8)).astype(np.float32)}]
    for one, other in zip(run(before, feeds), run(after, feeds), strict=True):
        np.testing.assert_allclose(one["y"], other["y"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        pytest.param(f"{NORM} a = MatMul(n, w) r = Relu(n) y = Concat<axis = -1>(a, r)", "no-neighbour", id="Relu too"),
        pytest.param(f"{NORM} t = Transpose<perm = [0, 2, 1]>(n) y = MatMul(t, t)", "no-neighbour", id="no weight"),
    ],
)
def test_gain_that_something_else_reads_stays(body: str, rule: str) -> None:
    before = model(body, "float[B, P, Q] y")
    result = normgraph.optimize(before, fold_gain=True)
    (fold,) = result.report.folds
    assert (fold.status, fold.rule) == ("kept", rule)
    np.testing.assert_array_equal(gains(result.to_proto())[0], gains(before)[0])


def test_gain_stays_unless_asked_for() -> None:
    before = model(f"{NORM} y = MatMul(n, w)")
    result = normgraph.optimize(before)
    assert not result.report.folds
    np.testing.assert_array_equal(gains(result.to_proto())[0], gains(before)[0])
