"""Records of folds: what went where, what it was, and in which channel the result is furthest from the truth."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import normgraph
from normgraph.evidence import Evidence, Trial
from normgraph.folding.directions import DIRECTIONS
from normgraph.folding.plan import Refusal, Region
from normgraph.folding.records import records_of, resolved
from normgraph.inventory import Fold, WorstChannel
from tests.core.surveyed import f32, surveyed

CONSTANTS = {
    "w": f32(np.ones((4, 4, 3, 3))), "v": f32(np.ones((4, 4, 1, 1))), "g": f32([1, 2, 3, 4]),
    "u": f32(np.ones((16, 4, 1, 1))), "t": f32(np.ones((4, 16, 1, 1))), "m": f32(np.eye(4)),
}  # fmt: skip
X, ROWS = "float[N, 4, 5, 5] x", "float[N, 3, 4] x"
PADDED = "Conv<pads = [1, 1, 1, 1]>(x, w)"
NORM = "BatchNormalization({0}, g, g, g, g)"


@pytest.mark.parametrize(
    ("direction", "nodes", "inputs", "expected"),
    [
        pytest.param("parallel", f"a = {PADDED}  b = Conv(x, v)  y = Add(a, b)", X, [("b", "operator", "b", None)],
                     id="an operator beside another"),
        pytest.param("parallel", f"a = {PADDED}  y = Add(a, x)", X, [("y", "operator", "y", None)], id="a bare term"),
        pytest.param("parallel", f"a = {PADDED}  b = {NORM.format('x')}  y = Add(a, b)", X, [("b", "map", "b", None)],
                     id="a map beside an operator"),
        pytest.param("chain", "a = Conv(x, u)  y = Conv(a, t)", X, [("a", "operator", "a", None)],
                     id="an operator before another"),
        pytest.param("backward", f"a = Conv(x, v)  y = {NORM.format('a')}", X, [("y", "map", "y", 4)],
                     id="a map behind an operator"),
        pytest.param("duplicate", f"a = Conv(x, v)  y = {NORM.format('a')}  z = Relu(a)", X,
                     [("y", "map", "y", None)], id="a map behind a copy"),
        pytest.param("forward", f"a = {NORM.format('x')}  y = Conv(a, v)", X, [("a", "map", "a", None)],
                     id="a map before an operator"),
        pytest.param("gain", "a = LayerNormalization(x, g)  y = MatMul(a, m)", ROWS, [("a", "map", "a", None)],
                     id="a gain"),
    ],
)  # fmt: skip
def test_what_was_folded_is_told(
    direction: str, nodes: str, inputs: str, expected: list[tuple[str, str, str, int | None]]
) -> None:
    read = {name: array for name, array in CONSTANTS.items() if f", {name})" in nodes or f", {name}," in nodes}
    found = surveyed(nodes, inputs, outputs="y, z" if "z =" in nodes else "y", constants=read)
    (plan,) = (p for p in DIRECTIONS[direction](found.model.graph, found.facts) if not isinstance(p, Refusal))
    told = records_of(plan, ())
    assert [(fold.output, fold.subject, fold.name, fold.channels) for fold in told] == expected
    assert [fold.evidence for fold in told] == [None]
    assert [fold.worst_channel for fold in told] == [None]


@pytest.mark.parametrize(
    ("direction", "nodes", "names", "expected"),
    [
        pytest.param("parallel", f"a = {PADDED}  b = Conv(x, v)  y = Add(a, b)",
                     {"a": "/block/left/Conv", "b": "/block/right/Conv", "y": "/block/Add"}, "block.right",
                     id="without the sum that it is a term of"),
        pytest.param("parallel", f"a = {PADDED}  y = Add(a, x)", {"a": "/block/left/Conv", "y": "/block/Add"}, "block",
                     id="with it where it is all there is"),
        pytest.param("chain", "a = MatMul(x, n)  b = Add(a, g)  y = MatMul(b, o)",
                     {"a": "/block/left/MatMul", "b": "/block/Add", "y": "/block/right/MatMul"}, "block",
                     id="with the sum that is its bias"),
    ],
)  # fmt: skip
def test_a_part_is_called_after_its_module(direction: str, nodes: str, names: dict[str, str], expected: str) -> None:
    constants = {**CONSTANTS, "n": f32(np.ones((5, 4))), "o": f32(np.ones((4, 5)))}
    read = {name: array for name, array in constants.items() if f", {name})" in nodes}
    found = surveyed(nodes, X, constants=read)
    for output, name in names.items():
        found.values[output].producer().name = name  # type: ignore[union-attr]
    (plan,) = (p for p in DIRECTIONS[direction](found.model.graph, found.facts) if not isinstance(p, Refusal))
    assert [fold.name for fold in records_of(plan, ())] == [expected]


def trial(at: tuple[int, ...] | None, after: float, allowed: float = 1.0) -> Trial:
    return Trial("normal", (2, 4, 5, 5), after, after, allowed, at=at)


FIRST, SECOND = (trial((0, 2, 1, 1), 0.5),), (trial((0, 3, 1, 1), 0.25, 0.25),)


@pytest.mark.parametrize(
    ("channels", "trials", "expected"),
    [
        pytest.param((1,), (FIRST,), WorstChannel(2, 0.5), id="one"),
        pytest.param((1, 1), (FIRST, SECOND), WorstChannel(3, 0.25), id="the one closest to its bound"),
        pytest.param((1, 1), (SECOND, FIRST), WorstChannel(3, 0.25), id="whichever comes first"),
        pytest.param((1, 1), (FIRST, (trial((0, 0, 0, 0), 0.0, 0.0),)), WorstChannel(2, 0.5), id="a bound of nothing"),
        pytest.param((3,), (FIRST,), WorstChannel(1, 0.5), id="channels last"),
        pytest.param((4,), (FIRST,), None, id="a dimension that the result hasn't got"),
        pytest.param((None,), (FIRST,), None, id="without channels"),
        pytest.param((1,), ((),), None, id="nothing tried"),
        pytest.param((1,), ((trial(None, 0.5),),), None, id="nowhere in particular"),
    ],
)
def test_the_worst_channel_is_that_closest_to_its_bound(
    channels: tuple[int | None, ...], trials: tuple[tuple[Trial, ...], ...], expected: WorstChannel | None
) -> None:
    found = surveyed(f"a = Conv(x, v)  y = {NORM.format('a')}", X, constants={k: CONSTANTS[k] for k in ("v", "g")})
    (plan,) = (p for p in DIRECTIONS["backward"](found.model.graph, found.facts) if not isinstance(p, Refusal))
    (region,) = plan.regions
    regions = tuple(Region(region.base, region.output, region.nodes, region.graph, channel) for channel in channels)
    proofs = [Evidence(trials=tried) for tried in trials]
    object.__setattr__(plan, "regions", regions)
    (fold,) = records_of(plan, proofs)
    assert fold.worst_channel == expected
    assert fold.evidence is not None


def fold(node: str, into: str | None, direction: str | None) -> Fold:
    return Fold(node, "folded", node, (node,), into, direction)


@pytest.mark.parametrize(
    ("folds", "expected"),
    [
        pytest.param([fold("n", "c", "backward")], ["c"], id="one"),
        pytest.param([fold("n", "c", "backward"), fold("c", "d", "chain")], ["d", "d"], id="merged into another"),
        pytest.param([fold("n", "b, c", "forward"), fold("b", "d", "parallel"), fold("c", "d", "chain")],
                     ["d", "d", "d"], id="of two that become one"),
        pytest.param([fold("n", "b", "backward"), fold("b", "c", "chain"), fold("c", "d", "chain")],
                     ["d", "d", "d"], id="merged twice"),
        pytest.param([fold("n", "m", "compose"), fold("m", "c", "backward")], ["c", "c"], id="a map that folds itself"),
        pytest.param([fold("n", "m", "compose"), fold("m", "b, c", "forward"), fold("b", "d", "chain")],
                     ["d, c", "d, c", "d"], id="a map that folds into two"),
        pytest.param([fold("c", "c", "parallel")], ["c"], id="one that keeps its name"),
        pytest.param([fold("b", "c", "chain"), fold("c", "b", "chain")], ["c", "b"], id="names that aren't unique"),
        pytest.param([fold("b", "b, c", "forward")], ["b, c"], id="a name that is there twice"),
        pytest.param([fold("n", None, None), fold("m", "n", "compose")], [None, "n"], id="none"),
    ],
)  # fmt: skip
def test_into_names_what_is_there_in_the_end(folds: list[Fold], expected: list[str | None]) -> None:
    assert [each.into for each in resolved(folds)] == expected


def test_a_map_that_went_into_another_is_told_by_what_took_both_in() -> None:
    text = f"""<ir_version: 8, opset_import: ["" : 18]> g ({X}) => (float[N, 4, H, W] y) {{
        c = Conv(x, v)  p = MaxPool<kernel_shape = [2, 2]>(c)  n = BatchNormalization(p, minus, g, g, g)
        q = AveragePool<kernel_shape = [2, 2]>(n)  m = BatchNormalization(q, minus, g, g, g)  y = Relu(m) }}"""
    model = onnx.parser.parse_model(text)
    constants = {"v": CONSTANTS["v"], "g": CONSTANTS["g"], "minus": -CONSTANTS["g"]}
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    result = normgraph.optimize(model)
    assert [node.op_type for node in result.to_proto().graph.node] == ["Conv", "MaxPool", "AveragePool", "Relu"]
    assert {(fold.output, fold.direction, fold.into) for fold in result.report.folds} == {
        ("m", "compose", "Conv:c"),
        ("n", "backward", "Conv:c"),
    }
