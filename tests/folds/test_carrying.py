"""Plans carried out on regions as models of their own: what they compute, whatever was carried out before."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from normgraph.evidence import Experiment
from normgraph.evidence.structure import runners_of
from normgraph.extraction import cut_out
from normgraph.folding import carrying
from normgraph.folding.carrying import WEIGHED, Carrier, _placed
from normgraph.folding.directions import DIRECTIONS
from normgraph.folding.plan import FoldPlan
from tests.core.surveyed import Array, Surveyed, f32, i64, surveyed


def numbers(*shape: int) -> Array:
    return np.random.default_rng(shape).uniform(0.5, 2, shape).astype(np.float32)


CONSTANTS = {
    "w": numbers(4, 4, 1, 1), "v": numbers(4, 4, 1, 1), "m": numbers(5, 5), "g": numbers(4), "d": numbers(5),
    "k": numbers(4, 1, 1), "c": numbers(4, 1, 1), "row": numbers(5), "minus": -numbers(4), "zeros": f32([0] * 4),
    "ones": f32([1] * 4), "twos": f32([2] * 4), "two": f32(2), "sides": i64([0, 0, 1, 1, 0, 0, 1, 1]),
    "scales": f32([1, 1, 2, 2]),}  # fmt: skip
X = "float[N, 4, 5, 5] x"
NORM = "BatchNormalization({0}, g, g, zeros, g)"
SHIFTED = "BatchNormalization({0}, g, b, zeros, g)"
ALIKE = "BatchNormalization({0}, twos, ones, zeros, ones)"


def planned(nodes: str, direction: str, others: Mapping[str, Array] | None = None) -> tuple[FoldPlan, Surveyed]:
    constants = {**CONSTANTS, **(others or {})}
    read = {name: a for name, a in constants.items() if f", {name}" in nodes or f"({name}," in nodes}
    outputs = "y, z" if "z =" in nodes else "y"
    found = surveyed(nodes, X, outputs=outputs, constants=read)
    (plan,) = (p for p in DIRECTIONS[direction](found.model.graph, found.facts) if isinstance(p, FoldPlan))
    return plan, found


def carried(carrier: Carrier, plan: FoldPlan, found: Surveyed) -> list[list[str]]:
    """The operators that each region has once the plan is carried out, which is seen to compute what it did."""
    operators: list[list[str]] = []
    for region in plan.regions:
        fragment, nodes = cut_out(region, found.facts, WEIGHED)
        candidate = carrier(plan, fragment, nodes)
        assert candidate is not None
        assert not any(np.array_equal(a, CONSTANTS["scales"]) for a in candidate.fragment.constants.values())
        ((name, _, shape), *_) = fragment.inputs
        x = np.random.default_rng(1).uniform(-1, 1, [size.static or 2 for size in shape]).astype(np.float32)
        runners = runners_of(Experiment(fragment, candidate, (), ()))
        np.testing.assert_allclose(runners.after({name: x}), runners.before({name: x}), rtol=1e-4, atol=1e-5)
        operators.append([node.op_type for node in candidate.fragment.model.graph.node])
    return operators


@pytest.mark.parametrize(
    ("nodes", "direction", "expected"),
    [
        pytest.param(f"h = Conv(x, w)  y = {NORM.format('h')}", "backward", ["Conv"], id="behind an operator"),
        pytest.param("h = Conv(x, w)  a = Mul(k, h)  y = Add(c, a)", "backward", ["Conv"], id="constants first"),
        pytest.param("h = Conv(x, w)  r = Resize(h, , scales)  y = Mul(r, k)", "backward", ["Conv Resize"],
                     id="through what has an input left out"),
        pytest.param("a = Mul(x, row)  b = Add(a, d)  h = MatMul(b, m)  y = Add(h, d)", "forward", ["MatMul Add"],
                     id="before an operator with an added bias"),
        pytest.param("a = Mul(x, row)  b = Add(a, d)  y = MatMul(b, m)", "forward", ["MatMul Add"],
                     id="before one that gets a bias"),
        pytest.param(f"h = {NORM.format('x')}  y = Conv(h, w)  z = Conv(h, v)", "forward", ["Conv", "Conv"],
                     id="before two operators"),
        pytest.param(f"h = {ALIKE.format('x')}  p = Pad(h, sides, two)  y = Conv(p, w)  z = Conv(h, v)", "forward",
                     ["Pad Conv", "Conv"], id="before two operators, one behind a Pad"),
        pytest.param(f"h = {NORM.format('x')}  p = AveragePool<kernel_shape = [2, 2]>(h)  y = {NORM.format('p')}",
                     "compose", ["BatchNormalization AveragePool"], id="into another map"),
    ],
)  # fmt: skip
def test_a_plan_is_carried_out_on_each_of_its_regions(nodes: str, direction: str, expected: list[str]) -> None:
    assert carried(Carrier(), *planned(nodes, direction)) == [operators.split() for operators in expected]


@pytest.mark.parametrize(
    ("nodes", "direction", "first", "second", "times"),
    [
        pytest.param(f"h = Conv(x, w)  y = {SHIFTED.format('h')}", "backward", {"b": numbers(4)},
                     {"b": numbers(4) * 2}, 1, id="other numbers"),
        pytest.param(f"h = Conv(x, w)  y = {SHIFTED.format('h')}", "backward", {"b": f32([0] * 4)}, {"b": numbers(4)},
                     2, id="a shift where there was none"),
        pytest.param(f"h = Conv(x, w)  y = {SHIFTED.format('h')}", "backward", {"b": numbers(4)}, {"b": f32([0] * 4)},
                     2, id="no shift where there was one"),
        pytest.param(f"h = {NORM.format('x')}  y = Conv(h, few)", "forward", {"few": numbers(1, 4, 1, 1)},
                     {"few": numbers(1, 4, 1, 1) * 2}, 2, id="a bias of one number, which is stored"),
    ],
)  # fmt: skip
def test_what_was_carried_out_is_good_for_other_numbers(
    nodes: str,
    direction: str,
    first: dict[str, Array],
    second: dict[str, Array],
    times: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    carrier, calls, carried_out = Carrier(), list[None](), carrying._carried_out

    def counted(*arguments: Any) -> Any:
        calls.append(None)
        return carried_out(*arguments)

    monkeypatch.setattr(carrying, "_carried_out", counted)
    for others in (first, second):
        carried(carrier, *planned(nodes, direction, others))
    assert len(calls) == times


def test_a_map_that_takes_another_in_keeps_its_own_epsilon() -> None:
    carrier = Carrier()
    for epsilon in (1e-5, 1.0):
        taking = NORM.format("x").replace("BatchNormalization", f"BatchNormalization<epsilon = {epsilon}>")
        nodes = f"h = {taking}  p = AveragePool<kernel_shape = [2, 2]>(h)  y = {NORM.format('p')}"
        assert carried(carrier, *planned(nodes, "compose")) == [["BatchNormalization", "AveragePool"]]


def test_a_copy_is_not_carried_out() -> None:
    plan, found = planned(f"h = Conv(x, w)  y = {NORM.format('h')}  z = Relu(h)", "duplicate")
    fragment, nodes = cut_out(plan.regions[0], found.facts, WEIGHED)
    assert Carrier()(plan, fragment, nodes) is None


@pytest.mark.parametrize(
    ("name", "there"), [pytest.param("h", True, id="all of it"), pytest.param("y", False, id="a part of the map")]
)
def test_a_plan_is_placed_where_all_of_its_map_is(name: str, there: bool) -> None:
    plan, found = planned("h = Conv(x, w)  a = Mul(k, h)  y = Add(c, a)", "backward")
    nodes = list(found.model.graph)
    places = {node: i for i, node in enumerate(nodes) if name == "h" or node.outputs[0].name != name}
    placed = _placed(plan, places)
    assert (placed is not None) is there
    if placed is not None:
        affine = placed.over(nodes).affine
        assert (affine.base.name, affine.output.name) == ("h", "y")
        assert isinstance(affine.base, ir.Value)
