"""What folds leave in the graph: content that is stored once, norms whose gain moves on, proofs that prove it."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from normgraph.execution import NotRunnable
from normgraph.extraction import original_fragment
from normgraph.folding.alone import folded_alone
from normgraph.folding.changes import Store
from normgraph.folding.channel_map import ChannelMap, identity
from normgraph.folding.directions import DIRECTIONS
from normgraph.folding.plan import FoldPlan, Region
from normgraph.rewrite import Names
from tests.cases import weights
from tests.core.surveyed import Array, f32, known, surveyed
from tests.folds.claims import FoldCase, hit, norm
from tests.optimizing import optimized
from tests.running import builds

ROW = f32([1, 2])


def stored() -> tuple[Store, ir.Graph]:
    found = surveyed("y = Neg(x)", "float[2] x")
    return Store(Names(found.model)), found.model.graph


@pytest.mark.parametrize(
    ("other", "same"),
    [
        pytest.param(f32([1, 2]), True, id="the same"),
        pytest.param(f32([1, 3]), False, id="another number"),
        pytest.param(f32([2, 2]), False, id="another number at the beginning"),
        pytest.param(f32([[1, 2]]), False, id="another shape"),
        pytest.param(np.asarray([1, 2], np.float64), False, id="another type"),
    ],
)
def test_content_is_stored_once(other: Array, same: bool) -> None:
    store, graph = stored()
    first = store.initializer(graph, "a", ROW)
    assert (store.initializer(graph, "b", other) is first) is same


def test_nothing_is_stored_once_that_is_there_no_longer() -> None:
    store, graph = stored()
    first = store.initializer(graph, "a", ROW)
    del graph.initializers["a"]
    again = store.initializer(graph, "a", ROW)
    assert again is not first
    assert again.graph is graph


def test_content_without_elements_is_stored_once() -> None:
    store, graph = stored()
    assert store.initializer(graph, "a", ROW[:0]) is store.initializer(graph, "b", ROW[:0])


@pytest.mark.parametrize(
    ("nodes", "planned"),
    [
        pytest.param("n = LayerNormalization(x, g)  y = MatMul(n, w)", True, id="its own"),
        pytest.param("n = com.microsoft.SimplifiedLayerNormalization(x, g)  y = MatMul(n, w)", True, id="Microsoft's"),
        pytest.param("n = custom.LayerNormalization(x, g)  y = MatMul(n, w)", False, id="of another domain"),
        pytest.param("u = Opaque(x)  n = LayerNormalization(u, g)  y = MatMul(n, w)", False, id="of an unknown shape"),
        pytest.param("n = LayerNormalization(x, g)  d = MatMul(n, w)  y = Neg(x)", False, id="that nothing reads"),
    ],
)
def test_gain_of_a_norm_moves_on(nodes: str, planned: bool) -> None:
    text = f"""<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1, "custom" : 1]>
        g (float[2, 3, 4] x) => (float[2, 3, 5] y) <float[2, 3, 4] n> {{ {nodes} }}"""
    text = text.replace("<float[2, 3, 4] n>", "") if "Opaque" in nodes else text
    model = onnx.parser.parse_model(text)
    constants = {"g": f32([1, 2, 3, 4]), "w": f32(np.ones((4, 5)))}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in constants.items())
    found = known(model)
    assert bool(list(DIRECTIONS["gain"](found.model.graph, found.facts))) is planned


def test_a_norm_whose_gain_is_left_out_is_left_alone() -> None:
    found = surveyed("n = LayerNormalization(x, g, b)  y = Relu(n)", "float[2, 4] x", constants={"g": ROW, "b": ROW})
    node = found.values["n"].producer()
    assert node is not None
    node.replace_input_with(1, None)
    assert list(DIRECTIONS["gain"](found.model.graph, found.facts)) == []


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param(identity(1), identity(1), True, id="the same"),
        pytest.param(identity(1), ChannelMap(f32([2]), f32([0])), False, id="another scale"),
        pytest.param(identity(1), ChannelMap(f32([1]), f32([2])), False, id="another shift"),
    ],
)
def test_maps_are_compared(one: ChannelMap, other: ChannelMap, same: bool) -> None:
    assert one.is_same(other) is same


def test_a_region_in_which_nothing_can_be_folded_proves_nothing() -> None:
    constants = {name: f32([1, 2, 3, 4]) for name in ("gamma", "beta", "mean", "variance")}
    found = surveyed(f"h = Conv(x, w)  y = {norm('h')}  z = Relu(y)", "float[2, 4, 5, 5] x",
                     constants={**constants, "w": f32(np.ones((4, 4, 3, 3)))})  # fmt: skip
    (plan,) = (p for p in DIRECTIONS["backward"](found.model.graph, found.facts) if isinstance(p, FoldPlan))
    (region,) = plan.regions
    assert folded_alone(original_fragment(region, found.facts), "backward") is not None
    alone = Region(found.values["h"], found.values["y"], plan.affine.nodes, region.graph)
    with pytest.raises(NotRunnable, match="can't be folded"):
        folded_alone(original_fragment(alone, found.facts), "backward")


STEEP = [1.0, 1.0, 1e4, 1.0]
TOLD = [
    hit("behind Conv", f"h = Conv(x, w)  y = {norm('h')}", "Conv", constants={"w": (4, 4, 3, 3), "gamma": STEEP}),
    hit("behind Conv, gains alike", "h = Conv(x, w)  y = BatchNormalization(h, g, b, b, g)", "Conv",
        constants={"w": (4, 4, 3, 3), "g": [2.0] * 4, "b": [0.0] * 4}),
    hit("behind Gemm", f"h = Gemm(x, w)  y = {norm('h')}", "Gemm", dims="B 6",
        constants={"w": (6, 4), "gamma": STEEP}),
    hit("behind Gemm, gains alike", "h = Gemm(x, w)  y = BatchNormalization(h, g, b, b, g)", "Gemm", dims="B 6",
        constants={"w": (6, 4), "g": [2.0] * 4, "b": [0.0] * 4}),
    hit("behind a matrix from the left", "h = MatMul(w, x)  y = Mul(h, k)", "MatMul", dims="B 6 5",
        constants={"w": (4, 6), "k": np.asarray(STEEP).reshape(4, 1)}),
    hit("behind a Transpose", "h = Conv(x, w)  t = Transpose<perm=[0, 2, 3, 1]>(h)  y = Mul(t, k)", "Conv Transpose",
        constants={"w": (4, 4, 3, 3), "k": STEEP}),
    hit("before Conv", f"h = {norm('x')}  y = Conv(h, w)", "Conv", "forward",
        constants={"w": weights("w", (4, 4, 1, 1)) * np.asarray(STEEP).reshape(4, 1, 1, 1)}),
]  # fmt: skip


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in TOLD])
def test_its_channels_are_counted_and_the_worst_is_told(case: FoldCase) -> None:
    _, report = optimized(case, builds(case)[0])
    (fold,) = report.folds
    assert fold.channels == (4 if fold.direction == "backward" else None)
    if "alike" not in case.name:
        assert fold.worst_channel is not None
        assert fold.worst_channel.index == 2
