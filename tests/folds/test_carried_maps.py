"""Maps that are carried across an operator: f(a·u + b) = a'·f(u) + b' on numbers, or the reason why there is none."""

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from normgraph.diagnosis import Shortfall
from normgraph.folding.channel_map import ChannelMap
from normgraph.folding.moves import Carried, Edit
from normgraph.folding.passages import PASSAGES
from tests.core.surveyed import Array, Surveyed, i64, surveyed
from tests.folds.carried import BACKWARD, FORWARD, IMAGE, NOT_BACKWARD, NOT_FORWARD, SAME, SIDES

SIZES = {"N": 2, "H": 3, "W": 5, "K": 4}
SLICED = {"from": i64([1]), "to": i64([3]), "at": i64([1]), "back": i64([-1]), "low": i64([-9]), "high": i64([3])}


def made(nodes: str, inputs: str, opset: int, constants: dict[str, Array]) -> Surveyed:
    read = {name: array for name, array in {**SLICED, **constants}.items() if f", {name}" in nodes}
    return surveyed(nodes, inputs, opset=opset, constants=read)


def carried(found: Surveyed, forward: bool, maps: Sequence[ChannelMap]) -> Carried | Shortfall:
    node = found.values["y"].producer()
    assert node is not None
    passage = PASSAGES[node.op_type]
    carry = passage.forward if forward else passage.backward
    assert carry is not None
    return carry(node, maps, found.facts)


def edited(model: onnx.ModelProto, edit: Edit | None) -> onnx.ModelProto:
    """The model with another number in its Pad."""
    told = onnx.ModelProto()
    told.CopyFrom(model)
    (node,) = told.graph.node
    if edit is not None and len(node.input) == 1:
        kept = [attribute for attribute in node.attribute if attribute.name != "value"]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute("value", float(edit.value))])
    elif edit is not None:
        node.input[:] = [*node.input[:2], "edited"]
        told.graph.initializer.append(numpy_helper.from_array(edit.value, "edited"))
    return told


def outputs(model: onnx.ModelProto, feeds: dict[str, Array]) -> list[Array]:
    told = onnx.ModelProto()
    told.CopyFrom(model)
    del told.graph.output[:]
    names = [name for name in told.graph.node[-1].output if name]
    told.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return [np.asarray(array) for array in ReferenceEvaluator(told).run(None, feeds)]


def fed(model: onnx.ModelProto) -> dict[str, Array]:
    random = np.random.default_rng(1)
    shapes = {
        value.name: [SIZES.get(d.dim_param, d.dim_value) for d in value.type.tensor_type.shape.dim]
        for value in model.graph.input
    }
    return {name: random.standard_normal(shape) for name, shape in shapes.items()}


@pytest.mark.parametrize(("nodes", "inputs", "opset", "constants", "maps"), FORWARD)
def test_map_is_carried_forward(
    nodes: str, inputs: str, opset: int, constants: dict[str, Array], maps: Sequence[ChannelMap]
) -> None:
    found = made(nodes, inputs, opset, constants)
    result = carried(found, True, maps)
    assert isinstance(result, Carried), result
    u = fed(found.proto)
    mapped = {name: m.scale * u[name] + m.shift for name, m in zip(u, maps, strict=True)}
    before, after = outputs(found.proto, mapped), outputs(edited(found.proto, result.edit), u)
    for one, other, behind in zip(before, after, result.maps, strict=True):
        np.testing.assert_allclose(one, behind.scale * other + behind.shift, rtol=1e-9, atol=1e-12)


def test_a_pad_whose_number_stays_is_left_alone() -> None:
    found = made("y = Pad(x, sides, seven)", IMAGE, 18, SIDES)
    result = carried(found, True, [ChannelMap(np.full(SAME, 2.0), np.full(SAME, -7.0))])
    assert isinstance(result, Carried)
    assert result.edit is None


@pytest.mark.parametrize(("nodes", "inputs", "opset", "constants", "maps"), BACKWARD)
def test_map_is_carried_backward(
    nodes: str, inputs: str, opset: int, constants: dict[str, Array], maps: Sequence[ChannelMap]
) -> None:
    found = made(nodes, inputs, opset, constants)
    result = carried(found, False, maps)
    assert isinstance(result, Carried), result
    u = fed(found.proto)
    mapped = {name: m.scale * u[name] + m.shift for name, m in zip(u, result.maps, strict=True)}
    before, after = outputs(found.proto, u), outputs(edited(found.proto, result.edit), mapped)
    for one, other, behind in zip(before, after, maps, strict=True):
        np.testing.assert_allclose(behind.scale * one + behind.shift, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("nodes", "inputs", "opset", "constants", "maps", "rule", "says"), NOT_FORWARD)
def test_map_is_not_carried_forward(
    nodes: str, inputs: str, opset: int, constants: dict[str, Array], maps: Sequence[ChannelMap], rule: str, says: str
) -> None:
    result = carried(made(nodes, inputs, opset, constants), True, maps)
    assert isinstance(result, Shortfall)
    assert (result.rule, says in result.reason) == (rule, True), result


@pytest.mark.parametrize(("nodes", "inputs", "opset", "constants", "maps", "rule", "says"), NOT_BACKWARD)
def test_map_is_not_carried_backward(
    nodes: str, inputs: str, opset: int, constants: dict[str, Array], maps: Sequence[ChannelMap], rule: str, says: str
) -> None:
    result = carried(made(nodes, inputs, opset, constants), False, maps)
    assert isinstance(result, Shortfall)
    assert (result.rule, says in result.reason) == (rule, True), result
