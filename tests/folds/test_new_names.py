"""What folds make anew is called after what it takes the place of, or after the node that it is made for."""

import numpy as np
import onnx_ir as ir
import pytest

from normgraph.facts import graphs_of
from normgraph.folding.changes import Store, stem_of
from normgraph.folding.directions import DIRECTIONS, apply
from normgraph.folding.plan import Refusal
from normgraph.rewrite import Names, remove_dead
from tests.core.surveyed import f32, i64, surveyed

CONSTANTS = {
    "w": f32(np.ones((4, 4, 1, 1))), "wide": f32(np.ones((4, 4, 3, 3))), "m": f32(np.ones((4, 4))),
    "gain": f32([[[1]], [[2]], [[3]], [[4]]]), "row": f32([1, 2, 3, 4]), "one": f32(1), "two": f32(2),
    "sides": i64([0, 0, 1, 1, 0, 0, 1, 1]), "ones": f32([1] * 4), "twos": f32([2] * 4),
}  # fmt: skip
IMAGE, ROWS = "float[N, 4, 5, 5] x", "float[N, 3, 4] x"


def added(nodes: str, inputs: str, direction: str, names: dict[str, str], opset: int = 18) -> set[str]:
    """The names of what is new in a graph after its one fold; `names` are those of nodes by what they make."""
    read = {name: array for name, array in CONSTANTS.items() if f", {name}" in nodes}
    found = surveyed(nodes, inputs, outputs="y, z" if "z =" in nodes else "y", constants=read, opset=opset)
    for output, name in names.items():
        found.values[output].producer().name = name  # type: ignore[union-attr]
    before = all_names(found.model)
    (plan,) = (p for p in DIRECTIONS[direction](found.model.graph, found.facts) if not isinstance(p, Refusal))
    apply(plan, Store(Names(found.model)))
    remove_dead(plan.doomed, found.facts.positions)
    return all_names(found.model) - before


def all_names(model: ir.Model) -> set[str]:
    """The names of all nodes and values of a model."""
    found: set[str | None] = set()
    for graph in graphs_of(model):
        found.update(graph.initializers)
        for node in graph:
            found.update((node.name, *(value.name for value in node.outputs)))
    return {name for name in found if name}


# Scale and shift are the same for all channels, so that one number stands for the zeros behind it.
ALIKE = "BatchNormalization({x}, twos, ones, ones, twos)"
BEFORE = f"h = {ALIKE.format(x='x')}  y = Conv<pads = [1, 1, 1, 1]>(h, wide)"
BEHIND = f"h = Conv(x, w)  p = Pad(h, sides{{}})  y = {ALIKE.format(x='p')}"
CHANGED = {"w.folded", "w.folded_bias"}
COPIED = "h = Conv(x, w)  y = Mul(h, gain)  z = Relu(h)"


@pytest.mark.parametrize(
    ("nodes", "inputs", "direction", "names", "expected"),
    [
        pytest.param("h = Conv(x, w)  y = Mul(h, gain)", IMAGE, "backward", {}, {"w.folded"}, id="a weight"),
        pytest.param("h = Conv(x, w)  a = Mul(h, gain)  y = Add(a, one)", IMAGE, "backward", {}, CHANGED,
                     id="a weight and a bias"),
        pytest.param("h = MatMul(x, m)  a = Mul(h, row)  y = Add(a, one)", ROWS, "backward", {"h": "product"},
                     {"m.folded", "m.folded_bias", "product/Add"}, id="an Add behind a node that has a name"),
        pytest.param("h = MatMul(x, m)  a = Mul(h, row)  y = Add(a, one)", ROWS, "backward", {},
                     {"m.folded", "m.folded_bias", "m/Add"}, id="an Add behind a node that has none"),
        pytest.param(COPIED, IMAGE, "duplicate", {"h": "convolution"}, {"convolution/copy", "w.folded"},
                     id="a copy of a node that has a name"),
        pytest.param(COPIED, IMAGE, "duplicate", {}, {"h/copy", "w.folded"}, id="a copy of a node that has none"),
        pytest.param(BEFORE, IMAGE, "forward", {"y": "convolution"},
                     {"wide.folded", "wide.folded_bias", "convolution/Pad", "convolution/padded", "convolution.pads",
                      "convolution.fill"}, id="a Pad before a node that has a name"),
        pytest.param(BEFORE, IMAGE, "forward", {},
                     {"wide.folded", "wide.folded_bias", "y/Pad", "y/padded", "y.pads", "y.fill"},
                     id="a Pad before a node that has none"),
        pytest.param(BEHIND.format(", two"), IMAGE, "backward", {}, {*CHANGED, "two.folded"},
                     id="what is padded with"),
        pytest.param(BEHIND.format(""), IMAGE, "backward", {"p": "padding"}, {*CHANGED, "padding.folded"},
                     id="what is padded with, where it was zero"),
        pytest.param("n = LayerNormalization(x, row)  y = MatMul(n, m)", ROWS, "gain", {}, {"row.folded", "m.folded"},
                     id="a gain"),
    ],
)  # fmt: skip
def test_new_tensors_are_called_after_old_ones(
    nodes: str, inputs: str, direction: str, names: dict[str, str], expected: set[str]
) -> None:
    found = {name for name in added(nodes, inputs, direction, names) if not name.endswith("/replaced")}
    assert found == expected


@pytest.mark.parametrize(
    ("old", "node", "output", "expected"),
    [
        pytest.param("w", "convolution", "y", "w", id="what it takes the place of"),
        pytest.param(None, "convolution", "y", "convolution", id="the node, where nothing was there"),
        pytest.param("", "convolution", "y", "convolution", id="the node, where what was there has no name"),
        pytest.param("", "", "y", "y", id="what the node makes"),
        pytest.param("", "", "", "Conv", id="the operator"),
    ],
)
def test_a_new_tensor_is_called_after(old: str | None, node: str, output: str, expected: str) -> None:
    made = ir.Node("", "Conv", [], outputs=[ir.Value(name=output)], name=node)
    assert stem_of(made, None if old is None else ir.Value(name=old)) == expected
