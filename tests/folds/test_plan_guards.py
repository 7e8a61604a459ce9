"""What a search for linear operators refuses, and the reason that it has at hand: each row fails without its guard."""

import numpy as np
import onnx_ir as ir
import pytest

from normgraph.diagnosis import Shortfall
from normgraph.folding.channel_map import identity
from normgraph.folding.directions import DIRECTIONS
from normgraph.folding.linear import linear_of
from normgraph.folding.moves import called
from normgraph.folding.plan import FoldPlan, Refusal
from normgraph.folding.plans import FORWARD, MAXIMAL_PASSAGES, _Walk, plans_for
from tests.core.surveyed import f32, surveyed
from tests.folds.claims import norm

CONSTANTS = {
    "gamma": f32([0.5, 1.5, 2, 3]), "beta": f32([1, 2, 3, 4]), "mean": f32([0.5] * 4), "variance": f32([1] * 4),
    "k": f32([[1], [2], [3], [4]]), "one": f32(1), "eight": f32(range(1, 9)), "row": np.asarray([0, 4, -1]),
    "w": f32(np.ones((4, 4, 1, 1))), "wide": f32(np.ones((4, 8, 1, 1))),
}  # fmt: skip
FLAT = "f = Flatten(x)  a = Add(f, one)  r = Reshape(a, row)"
WAY = "  ".join(f"t{i + 1} = Transpose<perm = [0, 1, 3, 2]>(t{i})" for i in range(MAXIMAL_PASSAGES + 1))
LAST = f"t{MAXIMAL_PASSAGES + 1}"


SPACE = "float[B, 4, H, W] x"


def refusals(direction: str, nodes: str, inputs: str) -> list[Shortfall]:
    """What is refused in one direction, on its own."""
    read = {name: array for name, array in CONSTANTS.items() if f", {name}" in nodes}
    found = surveyed(nodes, inputs, constants=read)
    plans = list(DIRECTIONS[direction](found.model.graph, found.facts))
    return [plan.shortfall for plan in plans if isinstance(plan, Refusal)]


@pytest.mark.parametrize(
    ("direction", "nodes", "inputs", "rule", "says"),
    [
        pytest.param("backward", f"{FLAT}  y = Mul(r, k)", SPACE, "layout", "an axis that what it maps hasn't got",
                     id="a part of a dimension of unknown size, backward"),
        pytest.param("forward", f"{FLAT}  y = Mul(r, k)", SPACE, "layout", "an axis that what it maps hasn't got",
                     id="a part of a dimension of unknown size, forward"),
        pytest.param("forward", f"{FLAT}  y = Mul(r, k)", "float[B, 4, 2, 3] x", "layout",
                     "its dimensions aren't those", id="a dimension that is parted within the map"),
        pytest.param("forward", f"h = {norm('x')}  y = Shape(h)", SPACE, "no-neighbour", "nothing reads it",
                     id="only its shape is asked for"),
        pytest.param("backward", f"t0 = Conv(x, w)  {WAY}  y = {norm(LAST)}", SPACE, "no-neighbour",
                     "no linear operator stands near", id="a way without an end, backward"),
        pytest.param("forward", f"t0 = {norm('x')}  {WAY}  y = Conv({LAST}, w)", SPACE, "no-neighbour",
                     "no linear operator stands near", id="a way without an end, forward"),
        pytest.param("backward", f"c = Conv(x, w)  a, b = Split<axis = 1>(c)  j = Concat<axis = 1>(b, a)  "
                     f"y = {norm('j')}", SPACE, "layout", "reach Split 'a' on two ways",
                     id="a passage on two ways, backward"),
        pytest.param("forward", f"h = {norm('x')}  i = Identity(h)  t = Transpose<perm = [0, 1, 3, 2]>(h)  "
                     "j = Concat<axis = 1>(i, t)  y = Conv(j, wide)", SPACE, "layout", "reach Concat 'j' on two ways",
                     id="a passage on two ways, forward"),
        pytest.param("forward", "h = Mul(x, eight)  y = Resize(z, h, eight)", "float[8] x, float[1, 1, 4, 4] z",
                     "no-neighbour", "Resize 'y' isn't linear", id="what a passage is told"),
        pytest.param("backward", f"r = Relu(x)  y = {norm('r')}", SPACE, "no-neighbour", "Relu 'r' isn't linear",
                     id="no passage"),
    ],
)  # fmt: skip
def test_search_refuses_and_says_why(direction: str, nodes: str, inputs: str, rule: str, says: str) -> None:
    found = refusals(direction, nodes, inputs)
    assert (rule, True) in [(shortfall.rule, says in shortfall.reason) for shortfall in found], found


@pytest.mark.parametrize(
    ("left_alone", "planned"),
    [
        pytest.param("", True, id="nothing"),
        pytest.param("y", False, id="the map"),
        pytest.param("x", False, id="what it maps"),
        pytest.param("z", True, id="what reads it"),
    ],
)
def test_nodes_of_other_normalizations_are_left_alone(left_alone: str, planned: bool) -> None:
    read = {name: array for name, array in CONSTANTS.items() if name not in ("k", "one", "row", "wide")}
    found = surveyed(f"x = Relu(u)  y = {norm('x')}  z = Conv(y, w)", "float[B, 4, H, W] u", constants=read)
    taken = {found.values[left_alone].producer()} if left_alone else set()
    plans = list(plans_for(FORWARD, found.model.graph, found.facts, taken))  # type: ignore[arg-type]
    assert [isinstance(plan, FoldPlan) for plan in plans] == [True] * planned


@pytest.mark.parametrize("direction", ["backward", "forward", "compose"])
def test_nothing_is_looked_for_behind_a_value_of_unknown_shape(direction: str) -> None:
    assert refusals(direction, f"u = Opaque(x)  h = {norm('u')}  y = Conv(h, w)", SPACE) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [pytest.param("here", "Neg 'here'", id="by its name"), pytest.param("", "Neg 'y'", id="by what it makes")],
)
def test_a_node_is_called(name: str, expected: str) -> None:
    assert called(ir.Node("", "Neg", [], outputs=[ir.Value(name="y")], name=name)) == expected


def test_an_operator_is_taken_once() -> None:
    found = surveyed("y = Conv(x, w)", SPACE, constants={"w": CONSTANTS["w"]})
    node = found.values["y"].producer()
    linear = linear_of(node, found.facts)
    assert linear is not None
    walk = _Walk(found.facts)
    assert walk.take(linear, linear.row.before, identity(4), ()) is None
    again = walk.take(linear, linear.row.before, identity(4), ())
    assert again is not None
    assert (again.rule, again.reason) == ("layout", "it would reach Conv 'y' on two ways")
