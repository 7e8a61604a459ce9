"""Maps in the weights of linear operators: W·(a·u + b) + w and a·(W·u + w) + b on numbers, or why they don't go in."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from normgraph.diagnosis import Shortfall
from normgraph.folding.channel_map import ChannelMap
from normgraph.folding.linear import Linear, linear_of
from normgraph.folding.linear_operator import Weights
from normgraph.folding.normalizations import normalization_of
from tests.core.surveyed import Array, Surveyed, surveyed
from tests.folds.carried import Extents, random_map

SIZES = {"N": 2, "H": 5, "S": 3}
IMAGE, BATCH, STACK = "double[N, 4, 5, H] x", "double[N, 4] x", "double[N, 3, 4] x"
CHANNELS: Extents = (1, 4, 1, 1)
EVEN = ChannelMap(np.full(CHANNELS, 2.0), np.full(CHANNELS, 3.0))
SCALED = ChannelMap(random_map(CHANNELS).scale, np.zeros((1, 1, 1, 1)))
SHIFTED = ChannelMap(np.ones((1, 1, 1, 1)), random_map(CHANNELS).shift)


def numbers(*shape: int) -> Array:
    return np.random.default_rng(shape).uniform(-1, 1, shape)


def made(nodes: str, inputs: str, shapes: dict[str, Extents]) -> tuple[Surveyed, Linear | None]:
    constants = {name: numbers(*shape) for name, shape in shapes.items()}
    constants.update({"v": np.abs(constants["v"]) + 0.5} if "v" in constants else {})  # a variance
    found = surveyed(nodes, inputs, constants=constants)
    node = found.values["y"].producer()
    assert node is not None
    return found, linear_of(node, found.facts) or normalization_of(node, found.facts)


def evaluated(model: onnx.ModelProto, x: Array) -> Array:
    return np.asarray(ReferenceEvaluator(model).run(None, {"x": x})[0])


def reweighted(model: onnx.ModelProto, linear: Linear, weights: Weights, x: Array) -> Array:
    """What the operator computes with other weights, its bias added behind it."""
    told = onnx.ModelProto()
    told.CopyFrom(model)
    (node,) = told.graph.node
    data, position = node.input[linear.row.data], linear.row.weight
    node.input[:] = [data, "new"] if position == 1 else ["new", data]
    gone = {"alpha", "beta"} | ({"pads", "auto_pad"} if weights.fill is not None else set())
    kept = [attribute for attribute in node.attribute if attribute.name not in gone]
    del node.attribute[:]
    node.attribute.extend(kept)
    told.graph.initializer.append(numpy_helper.from_array(weights.weight, "new"))
    if weights.fill is not None:
        sides = [(0, 0), (0, 0), *zip(weights.fill.begin, weights.fill.end, strict=True)]
        x = np.pad(x, sides, constant_values=weights.fill.value)
    return evaluated(told, x) + weights.bias


def row(
    name: str, nodes: str, extents: Extents | ChannelMap, *, inputs: str = IMAGE, says: str | None = None,
    **shapes: Extents,
) -> object:  # fmt: skip
    channel_map = extents if isinstance(extents, ChannelMap) else random_map(extents)
    return pytest.param(nodes, inputs, shapes, channel_map, *(() if says is None else (says,)), id=name)


W: dict[str, Extents] = {"w": (6, 4, 3, 2)}
SIX: Extents = (1, 6, 1, 1)
PADS = "pads = [1, 0, 1, 1]"
HEADS = '"bsi,ihd->bhsd"'
BEHIND = [
    row("Conv", "y = Conv(x, w)", SIX, **W),
    row("Conv with a bias, in groups", "y = Conv<group = 2>(x, w, c)", SIX, w=(6, 2, 3, 2), c=(6,)),
    row("ConvTranspose", "y = ConvTranspose(x, w)", SIX, w=(4, 6, 2, 2)),
    row("ConvTranspose with a bias", "y = ConvTranspose<strides = [2, 2]>(x, w, c)", SIX, w=(4, 6, 2, 2), c=(6,)),
    row("Gemm", "y = Gemm<alpha = 0.5, beta = 2.0>(x, w, c)", (1, 5), inputs=BATCH, w=(4, 5), c=(5,)),
    row("Gemm, one number", "y = Gemm(x, w)", (1, 1), inputs=BATCH, w=(4, 5)),
    row("Gemm of a transposed matrix", "y = Gemm<transB = 1>(x, w)", (1, 5), inputs=BATCH, w=(5, 4)),
    row("Gemm, a bias per row", "y = Gemm(x, w, c)", (1, 5), inputs="double[3, 4] x", w=(4, 5), c=(3, 1)),
    row("Gemm, the constant on the left", "y = Gemm<alpha = 0.5>(w, x, c)", (5, 1), inputs="double[4, N] x", w=(5, 4),
        c=(5, 1)),
    row("Gemm, a transposed constant on the left", "y = Gemm<transA = 1, transB = 1>(w, x)", (5, 1), inputs=BATCH,
        w=(4, 5)),
    row("MatMul", "y = MatMul(x, w)", (1, 1, 5), inputs=STACK, w=(4, 5)),
    row("MatMul of a matrix", "y = MatMul(x, w)", (1, 5), inputs=BATCH, w=(4, 5)),
    row("MatMul, a matrix each", "y = MatMul(x, w)", (1, 3, 1, 5), inputs="double[N, 3, 2, 4] x", w=(3, 4, 5)),
    row("MatMul, as many matrices as there is one of", "y = MatMul(x, w)", (3, 1, 5), inputs="double[S, 4] x",
        w=(3, 4, 5)),
    row("MatMul, the constant on the left", "y = MatMul(w, x)", (1, 5, 1), inputs="double[N, 4, S] x", w=(5, 4)),
    row("Einsum", 'y = Einsum<equation = "bsi,io->bso">(x, w)', (1, 1, 5), inputs=STACK, w=(4, 5)),
    row("Einsum over heads", f"y = Einsum<equation = {HEADS}>(x, w)", (1, 2, 1, 5), inputs=STACK, w=(4, 2, 5)),
    row("Einsum, the labels of its weight in another order", 'y = Einsum<equation = "b s i, d h i -> b h s d">(x, w)',
        (1, 2, 1, 5), inputs=STACK, w=(5, 2, 4)),
    row("Einsum, the constant first", 'y = Einsum<equation = "oi,bi->bo">(w, x)', (1, 5), inputs=BATCH, w=(5, 4)),
    row("BatchNormalization", "y = BatchNormalization(x, g, b, m, v)", CHANNELS, g=(4,), b=(4,), m=(4,), v=(4,)),
]  # fmt: skip
BEFORE = [
    row("Conv", "y = Conv(x, w)", CHANNELS, **W),
    row("Conv with a bias, in groups", "y = Conv<group = 2>(x, w, c)", CHANNELS, w=(6, 2, 3, 2), c=(6,)),
    row("Conv for each channel", "y = Conv<group = 4>(x, w)", CHANNELS, w=(8, 1, 3, 2)),
    row("Conv that pads, nothing added", f"y = Conv<{PADS}>(x, w)", SCALED, **W),
    row("Conv that pads, one number before it", f"y = Conv<{PADS}>(x, w)", EVEN, **W),
    row("Conv that pads by itself", 'y = Conv<auto_pad = "SAME_LOWER">(x, w)', EVEN, **W),
    row("Conv that is told not to pad", 'y = Conv<auto_pad = "VALID", pads = [0, 0, 0, 0]>(x, w)', CHANNELS, **W),
    row("ConvTranspose, nothing added", "y = ConvTranspose<strides = [2, 1]>(x, w)", SCALED, w=(4, 6, 2, 2)),
    row("ConvTranspose that cuts off its borders", "y = ConvTranspose<pads = [1, 2, 1, 2]>(x, w)", CHANNELS,
        w=(4, 6, 2, 3)),
    row("ConvTranspose with gaps that cuts off its borders",
        "y = ConvTranspose<dilations = [2, 1], pads = [2, 1, 2, 1]>(x, w)", CHANNELS, w=(4, 6, 2, 2)),
    row("Gemm", "y = Gemm<alpha = 0.5, beta = 2.0>(x, w, c)", (1, 4), inputs=BATCH, w=(4, 5), c=(5,)),
    row("Gemm, one number", "y = Gemm(x, w)", (1, 1), inputs=BATCH, w=(4, 5)),
    row("Gemm of transposed matrices", "y = Gemm<transA = 1, transB = 1>(x, w)", (4, 1), inputs="double[4, N] x",
        w=(5, 4)),
    row("Gemm, the constant on the left", "y = Gemm(w, x, c)", (4, 1), inputs="double[4, N] x", w=(5, 4), c=(5, 1)),
    row("Gemm, a transposed operand behind the constant", "y = Gemm<transB = 1>(w, x)", (1, 4), inputs=BATCH, w=(5, 4)),
    row("MatMul", "y = MatMul(x, w)", (1, 1, 4), inputs=STACK, w=(4, 5)),
    row("MatMul, one number", "y = MatMul(x, w)", (1, 1, 1), inputs=STACK, w=(4, 5)),
    row("MatMul, a matrix each", "y = MatMul(x, w)", (1, 3, 1, 4), inputs="double[N, 3, 2, 4] x", w=(3, 4, 5)),
    row("MatMul, a shift each", "y = MatMul(x, w)", ChannelMap(np.full((1, 1, 1), 2.0), numbers(1, 3, 4)), inputs=STACK,
        w=(4, 5)),
    row("MatMul, the constant on the left", "y = MatMul(w, x)", (1, 4, 1), inputs="double[N, 4, S] x", w=(5, 4)),
    row("Einsum", 'y = Einsum<equation = "bsi,io->bso">(x, w)', (1, 1, 4), inputs=STACK, w=(4, 5)),
    row("Einsum, the constant first", 'y = Einsum<equation = "hoi,bhi->bho">(w, x)', (1, 3, 4), inputs=STACK,
        w=(3, 5, 4)),
    row("Einsum that sums over more than its weight's axes, nothing added",
        'y = Einsum<equation = "bsi,io->bo">(x, w)', ChannelMap(numbers(1, 1, 4), np.zeros((1, 1, 1))), inputs=STACK,
        w=(4, 5)),
]  # fmt: skip


@pytest.mark.parametrize(("nodes", "inputs", "shapes", "channel_map"), BEHIND)
def test_map_goes_into_the_weights_before_it(
    nodes: str, inputs: str, shapes: dict[str, Extents], channel_map: ChannelMap
) -> None:
    found, linear = made(nodes, inputs, shapes)
    assert linear is not None
    weights = linear.row.behind(linear.node, linear.weights(), channel_map)
    assert isinstance(weights, Weights), weights
    x = fed(found)
    true = channel_map.scale * evaluated(found.proto, x) + channel_map.shift
    if linear.node.op_type == "BatchNormalization":
        told = onnx.ModelProto()
        told.CopyFrom(found.proto)
        for name, array in (("g", weights.weight), ("b", weights.bias.reshape(-1))):
            (tensor,) = [tensor for tensor in told.graph.initializer if tensor.name == name]
            tensor.CopyFrom(numpy_helper.from_array(array, name))
        np.testing.assert_allclose(evaluated(told, x), true, rtol=1e-9)
    else:
        np.testing.assert_allclose(reweighted(found.proto, linear, weights, x), true, rtol=1e-9, atol=1e-12)


def fed(found: Surveyed) -> Array:
    (value,) = found.proto.graph.input
    shape = [SIZES.get(d.dim_param, d.dim_value) for d in value.type.tensor_type.shape.dim]
    return np.random.default_rng(1).standard_normal(shape)


@pytest.mark.parametrize(("nodes", "inputs", "shapes", "channel_map"), BEFORE)
def test_map_goes_into_the_weights_behind_it(
    nodes: str, inputs: str, shapes: dict[str, Extents], channel_map: ChannelMap
) -> None:
    found, linear = made(nodes, inputs, shapes)
    assert linear is not None
    weights = linear.row.before(linear.node, linear.weights(), channel_map)
    assert isinstance(weights, Weights), weights
    x = fed(found)
    true = evaluated(found.proto, channel_map.scale * x + channel_map.shift)
    np.testing.assert_allclose(reweighted(found.proto, linear, weights, x), true, rtol=1e-9, atol=1e-12)


NOT_BEHIND = [
    row("Conv, along space", "y = Conv(x, w)", (1, 1, 3, 1), **W, says="Conv"),
    row("Conv, another number of channels", "y = Conv(x, w)", (1, 3, 1, 1), **W, says="Conv"),
    row("ConvTranspose, along space", "y = ConvTranspose(x, w)", (1, 1, 6, 1), w=(4, 6, 2, 2), says="ConvTranspose"),
    row("Gemm, along rows", "y = Gemm(x, w)", (3, 1), inputs="double[3, 4] x", w=(4, 5), says="Gemm"),
    row("Gemm, along rows and columns", "y = Gemm(x, w)", (3, 5), inputs="double[3, 4] x", w=(4, 5), says="Gemm"),
    row("Gemm, the constant on the left, along columns", "y = Gemm(w, x)", (1, 5), inputs="double[4, 5] x", w=(5, 4),
        says="Gemm"),
    row("Gemm of one column that is added to many", "y = Gemm(x, w, c)", (1, 5), inputs="double[3, 4] x", w=(4, 1),
        c=(5,), says="Gemm"),
    row("MatMul, along rows", "y = MatMul(x, w)", (1, 3, 1), inputs=STACK, w=(4, 5), says="MatMul"),
    row("MatMul, along the batch", "y = MatMul(x, w)", (2, 1, 5), inputs="double[2, 3, 4] x", w=(4, 5), says="MatMul"),
    row("MatMul, the constant on the left, along columns", "y = MatMul(w, x)", (1, 1, 3), inputs="double[N, 4, 3] x",
        w=(5, 4), says="MatMul"),
    row("Einsum, along what its weight hasn't got", 'y = Einsum<equation = "bsi,io->bso">(x, w)', (1, 3, 1),
        inputs=STACK, w=(4, 5), says="Einsum"),
    row("Einsum, of another size", 'y = Einsum<equation = "bsi,io->bso">(x, w)', (1, 1, 5), inputs=STACK, w=(4, 1),
        says="Einsum"),
    row("BatchNormalization, along space", "y = BatchNormalization(x, g, b, m, v)", (1, 1, 5, 1), g=(4,), b=(4,),
        m=(4,), v=(4,), says="BatchNormalization"),
]  # fmt: skip
NOT_BEFORE = [
    row("Conv, along space", "y = Conv(x, w)", (1, 1, 5, 1), **W, says="the channels of Conv"),
    row("Conv that pads, a number each", f"y = Conv<{PADS}>(x, w)", CHANNELS, **W, says="no one number"),
    row("Conv that pads, a shift each", f"y = Conv<{PADS}>(x, w)", SHIFTED, **W, says="no one number"),
    row("Conv that pads, a gain of zero", f"y = Conv<{PADS}>(x, w)",
        ChannelMap(np.zeros((1, 1, 1, 1)), np.ones((1, 1, 1, 1))), **W, says="no one number"),
    row("Conv that pads by itself, who knows how far", 'y = Conv<auto_pad = "SAME_UPPER", strides = [2, 2]>(x, w)',
        EVEN, **W, says="a size that isn't known"),
    row("ConvTranspose, along space", "y = ConvTranspose(x, w)", (1, 1, 5, 1), w=(4, 6, 2, 2),
        says="the channels of ConvTranspose"),
    row("ConvTranspose", "y = ConvTranspose(x, w)", CHANNELS, w=(4, 6, 2, 2), says="whole kernel"),
    row("ConvTranspose with strides", "y = ConvTranspose<strides = [2, 1], pads = [1, 1, 1, 1]>(x, w)", CHANNELS,
        w=(4, 6, 2, 2), says="whole kernel"),
    row("ConvTranspose that pads by itself", 'y = ConvTranspose<auto_pad = "SAME_UPPER">(x, w)', CHANNELS,
        w=(4, 6, 1, 1), says="whole kernel"),
    row("ConvTranspose to a shape", "y = ConvTranspose<output_shape = [6, 6]>(x, w)", CHANNELS, w=(4, 6, 2, 2),
        says="whole kernel"),
    row("ConvTranspose that cuts off too little", "y = ConvTranspose<pads = [1, 2, 1, 1]>(x, w)", CHANNELS,
        w=(4, 6, 2, 3), says="whole kernel"),
    row("Gemm, along rows", "y = Gemm(x, w)", (3, 1), inputs="double[3, 4] x", w=(4, 5), says="Gemm"),
    row("Gemm, a shift along rows", "y = Gemm(x, w)", ChannelMap(np.ones((1, 1)), numbers(3, 1)),
        inputs="double[3, 4] x", w=(4, 5), says="Gemm"),
    row("Gemm, the constant on the left, along columns", "y = Gemm(w, x)", (1, 3), inputs="double[4, 3] x", w=(5, 4),
        says="Gemm"),
    row("MatMul, along rows", "y = MatMul(x, w)", (1, 3, 1), inputs=STACK, w=(4, 5), says="MatMul"),
    row("MatMul, along the batch", "y = MatMul(x, w)", (2, 1, 4), inputs="double[2, 3, 4] x", w=(4, 5), says="MatMul"),
    row("MatMul, the constant on the left, along columns", "y = MatMul(w, x)", (1, 1, 3), inputs="double[N, 4, 3] x",
        w=(5, 4), says="MatMul"),
    row("Einsum, along what its weight hasn't got", 'y = Einsum<equation = "bsi,io->bso">(x, w)', (1, 3, 1),
        inputs=STACK, w=(4, 5), says="Einsum"),
    row("Einsum, a shift along what its weight hasn't got", 'y = Einsum<equation = "bsi,io->bso">(x, w)',
        ChannelMap(np.ones((1, 1, 1)), numbers(1, 3, 1)), inputs=STACK, w=(4, 5), says="Einsum"),
    row("Einsum that sums over more than its weight's axes", 'y = Einsum<equation = "bsi,io->bo">(x, w)', (1, 1, 4),
        inputs=STACK, w=(4, 5), says="an axis that its weight hasn't got"),
    row("BatchNormalization", "y = BatchNormalization(x, g, b, m, v)", CHANNELS, g=(4,), b=(4,), m=(4,), v=(4,),
        says="BatchNormalization"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "nodes", "inputs", "shapes", "channel_map", "says"),
    [
        pytest.param(before, *given.values, id=f"{side} {given.id}")  # type: ignore[attr-defined]
        for before, side, rows in ((False, "behind", NOT_BEHIND), (True, "before", NOT_BEFORE))
        for given in rows
    ],
)
def test_map_does_not_go_into_the_weights(
    before: bool, nodes: str, inputs: str, shapes: dict[str, Extents], channel_map: ChannelMap, says: str
) -> None:
    _, linear = made(nodes, inputs, shapes)
    assert linear is not None
    absorb = linear.row.before if before else linear.row.behind
    refusal = absorb(linear.node, linear.weights(), channel_map)
    assert isinstance(refusal, Shortfall)
    assert says in refusal.reason


@pytest.mark.parametrize(
    ("nodes", "inputs", "shapes"),
    [
        pytest.param("y = MatMul(x, w)", BATCH, {"w": (4,)}, id="MatMul with a vector"),
        pytest.param("y = MatMul(x, w)", "double[4] x", {"w": (4, 5)}, id="MatMul of a vector"),
        pytest.param('y = Einsum<equation = "bi,io">(x, w)', BATCH, {"w": (4, 5)}, id="Einsum without an arrow"),
        pytest.param('y = Einsum<equation = "bi->b">(x)', BATCH, {}, id="Einsum of one"),
        pytest.param('y = Einsum<equation = "bi,io,o->bo">(x, w, v)', BATCH, {"w": (4, 5), "v": (5,)},
                     id="Einsum of three"),
        pytest.param('y = Einsum<equation = "...i,io->...o">(x, w)', BATCH, {"w": (4, 5)}, id="Einsum of any rank"),
        pytest.param('y = Einsum<equation = "bi,ii->bi">(x, w)', BATCH, {"w": (4, 4)}, id="Einsum of a diagonal"),
        pytest.param('y = Einsum<equation = "ii,io->io">(x, w)', "double[4, 4] x", {"w": (4, 5)},
                     id="Einsum of its input's diagonal"),
        pytest.param("y = BatchNormalization<training_mode = 1>(x, g, b, m, v)", IMAGE,
                     dict.fromkeys("gbmv", (4,)), id="BatchNormalization that trains"),
        pytest.param("y, p, q = BatchNormalization(x, g, b, m, v)", IMAGE, dict.fromkeys("gbmv", (4,)),
                     id="BatchNormalization that tells its statistics"),
        pytest.param("y = BatchNormalization<spatial = 0>(x, g, b, m, v)", IMAGE, dict.fromkeys("gbmv", (4,)),
                     id="BatchNormalization of positions"),
        pytest.param("y = custom.BatchNormalization(x, g, b, m, v)", IMAGE, dict.fromkeys("gbmv", (4,)),
                     id="a custom BatchNormalization"),
        pytest.param("y = InstanceNormalization(x, g, b)", IMAGE, dict.fromkeys("gb", (4,)), id="another norm"),
    ],
)  # fmt: skip
def test_it_is_no_linear_operator(nodes: str, inputs: str, shapes: dict[str, Extents]) -> None:
    assert made(nodes, inputs, shapes)[1] is None
