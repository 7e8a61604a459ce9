"""Rewriting: what belongs to the model stays, what only served the region goes."""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import normgraph
from normgraph.rewrite import PROVENANCE, Names, admit_initializers, forget, remove_dead, stood_for
from tests.core.surveyed import f32, known, model

X = "float[N, 4] x"
CONSTANTS: dict[str, Any] = {
    "last": [-1], "eps": np.float32(1e-5), "g": f32([1, 2, 3, 4]), "zero": 0,
}  # fmt: skip


def norm(x: str, y: str, prefix: str = "") -> str:
    """LayerNormalization with gain over the last axis, from x to y."""
    p = prefix
    return (
        f"{p}m = ReduceMean({x}, last)  {p}d = Sub({x}, {p}m)  {p}q = Mul({p}d, {p}d)  {p}v = ReduceMean({p}q, last)  "
        f"{p}e = Add({p}v, eps)  {p}s = Sqrt({p}e)  {p}n = Div({p}d, {p}s)  {y} = Mul({p}n, g)"
    )


def optimized(nodes: str, inputs: str = X, outputs: str = "float[N, 4] y") -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """A model before and after; it is valid, and has the same inputs and outputs."""
    used = {name: array for name, array in CONSTANTS.items() if f"{name})" in nodes or f"{name}," in nodes}
    before = model(nodes, inputs, outputs=outputs, constants=used)
    for index, node in enumerate(before.graph.node):
        node.name = f"node_{index}"
        node.ClearField("domain")  # which the parser writes out
    after = normgraph.optimize(before).to_proto()
    onnx.checker.check_model(after, full_check=True)
    assert after.graph.input == before.graph.input
    assert [output.name for output in after.graph.output] == [output.name for output in before.graph.output]
    return before, after


def operators(proto: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in proto.graph.node]


REPLACED = [
    pytest.param(norm("x", "y"), ["LayerNormalization"], id="alone"),
    pytest.param(f"h = Exp(x)  {norm('h', 'k')}  y = Exp(k)", ["Exp", "LayerNormalization", "Exp"], id="between"),
    pytest.param(
        f"{norm('x', 'h', 'a')}  {norm('h', 'y', 'b')}", ["LayerNormalization", "LayerNormalization"], id="chained"
    ),
    pytest.param(
        f"{norm('x', 'k')}  f = Shape(d)  i = Gather(f, zero)  c = Cast<to=1>(i)  y = Div(k, c)",
        ["Shape", "Gather", "Cast", "LayerNormalization", "Div"],
        id="shape-of-an-inner-value",
    ),
    pytest.param(f"{norm('x', 'y')}  z = Neg(d)  w = Exp(z)", ["LayerNormalization"], id="dead-readers"),
    pytest.param(f"z = Exp(x)  {norm('x', 'y')}", ["Exp", "LayerNormalization"], id="dead-node-that-was-there-before"),
]


@pytest.mark.parametrize(("nodes", "expected"), REPLACED)
def test_region_is_replaced_and_nothing_else_changes(nodes: str, expected: list[str]) -> None:
    before, after = optimized(nodes)
    assert sorted(operators(after)) == sorted(expected)
    untouched = {node.name: node for node in before.graph.node}
    for node in after.graph.node:
        if node.name in untouched and node.op_type != "Shape":
            assert node == untouched[node.name]


def test_shape_is_read_off_the_base_instead() -> None:
    _, after = optimized(f"{norm('x', 'k')}  f = Shape(d)  y = Expand(k, f)  z = Identity(f)",
                         outputs="float[N, 4] y, int64[2] z")  # fmt: skip
    (reader,) = [node for node in after.graph.node if node.op_type == "Shape"]
    assert list(reader.input) == ["x"]


def test_branch_that_normalizes_a_normalized_value_reads_the_new_one() -> None:
    nodes = (
        f"{norm('x', 'h', 'a')}  y = If<then_branch = t () => (float[N, 4] p) {{ {norm('h', 'p', 'b')} }}, "
        "else_branch = e () => (float[N, 4] r) { r = Neg(h) }>(c)"
    )
    _, after = optimized(nodes, f"{X}, bool c")
    assert operators(after) == ["LayerNormalization", "If"]
    (branch,) = [a.g for a in after.graph.node[1].attribute if a.name == "then_branch"]
    assert [node.op_type for node in branch.node] == ["LayerNormalization"]
    assert branch.node[0].input[0] == "h"


def test_new_node_says_what_it_replaces() -> None:
    _, after = optimized(norm("x", "y"))
    (node,) = after.graph.node
    told = {entry.key: entry.value for entry in node.metadata_props}
    assert told[PROVENANCE] == ", ".join(f"node_{i}" for i in range(8))


def test_constant_that_is_there_already_is_used_again() -> None:
    before, after = optimized(norm("x", "y"))
    (node,) = after.graph.node
    assert node.input[1] == "g"
    assert [tensor for tensor in after.graph.initializer if tensor.name == "g"] == [
        tensor for tensor in before.graph.initializer if tensor.name == "g"
    ]
    assert {tensor.name for tensor in after.graph.initializer} == {"g"}


def test_constant_that_only_takes_its_type_from_the_region_keeps_none_of_it() -> None:
    told = "n = Div(d, s)  w = CastLike(g, n)  y = Mul(n, w)"
    _, after = optimized(norm("x", "y").replace("n = Div(d, s)  y = Mul(n, g)", told))
    assert operators(after) == ["LayerNormalization"]
    (tensor,) = after.graph.initializer
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor), CONSTANTS["g"])


def test_constant_that_others_need_stays() -> None:
    _, after = optimized(f"{norm('x', 'k')}  h = Exp(k)  y = Add(h, eps)")
    assert {tensor.name for tensor in after.graph.initializer} == {"g", "eps"}


def test_output_keeps_its_name_type_and_documentation() -> None:
    before = model(norm("x", "k") + "  y = Exp(k)", X, outputs="float[N, 4] y", constants=CONSTANTS)
    info = onnx.helper.make_tensor_value_info("k", onnx.TensorProto.FLOAT, ["N", 4])
    info.doc_string = "normalized"
    before.graph.value_info.append(info)
    after = normgraph.optimize(before).to_proto()
    (kept,) = [value for value in after.graph.value_info if value.name == "k"]
    assert kept.doc_string == "normalized"
    assert kept.type == info.type


def test_names_are_taken_once() -> None:
    found = known(model("y = Abs(x)  y_1 = Neg(y)", X, constants={"w": [1]}))
    names = Names(found.model)
    assert [names.unique(name) for name in ("y", "w", "x", "z", "z")] == ["y_2", "w_1", "x_1", "z", "z_1"]


def test_only_what_nothing_reads_is_removed() -> None:
    found = known(model("a = Abs(x)  b = Mul(a, w)  c = Neg(b)  y = Exp(a)", X, constants={"w": np.float32(2)}))
    graph = found.model.graph
    graph.outputs.clear()
    graph.outputs.append(found.values["y"])
    c = found.values["c"].producer()
    assert c is not None
    removed = remove_dead([c], found.facts.positions)
    assert [node.op_type for node in removed] == ["Neg", "Mul"]
    assert [node.op_type for node in graph] == ["Abs", "Exp"]
    assert not graph.initializers


def test_constants_are_forgotten_only_if_nothing_needs_them() -> None:
    proto = model("k = Constant<value_float=1.0>()  y = Add(x, w)", X, constants={"w": np.float32(2), "u": 1})
    found = known(proto)
    forget([found.values[name] for name in ("k", "w", "u", "x")] + [None])
    assert [node.op_type for node in found.model.graph] == ["Add"]
    assert set(found.model.graph.initializers) == {"w"}


def test_overridable_initializer_is_never_forgotten() -> None:
    proto = model("y = Abs(x)", "float[2] x, float w", constants={"w": np.float32(2)})
    found = known(proto)
    forget([found.values["w"]])
    assert isinstance(found.model.graph.initializers["w"], ir.Value)


@pytest.mark.parametrize(
    ("nodes", "asked", "left"),
    [
        pytest.param("out = Constant<value_float=1.0>()  y = Abs(x)", ["out"], ["Constant", "Abs"], id="output"),
        pytest.param("k = Constant<value_float=1.0>()  c = Exp(k)  y = Abs(x)", ["c"], ["Abs"], id="computed"),
        pytest.param("c = Clip(w, , w)  y = Abs(x)", ["c"], ["Abs"], id="omitted-input"),
        pytest.param("c = Exp(w)  y = Abs(x)", ["c", "c", "w", "w"], ["Abs"], id="asked-twice"),
        pytest.param("c, d = Split<num_outputs=2>(t)  y = Add(x, d)", ["c"], ["Split", "Add"], id="other-output-read"),
    ],
)
def test_what_computes_a_constant_is_forgotten_with_it(nodes: str, asked: list[str], left: list[str]) -> None:
    outputs = "float out, float[N, 4] y" if "out =" in nodes else "float[N, 4] y"
    found = known(model(nodes, X, outputs=outputs, constants={"w": np.float32(2), "t": f32([1, 2])}))
    forget([found.values[name] for name in asked])
    assert [node.op_type for node in found.model.graph] == left


@pytest.mark.parametrize(
    ("nodes", "asked", "removed"),
    [
        pytest.param("a = Abs(x)  y = Neg(a)", ["y"], [], id="output"),
        pytest.param("a = Clip(x, , w)  b = Neg(a)  y = Exp(x)", ["b"], ["Neg", "Clip"], id="omitted-input"),
        pytest.param("a = Abs(x)  b = Neg(a)  y = Exp(x)", ["a", "b"], ["Neg", "Abs"], id="both-asked"),
    ],
)
def test_removed_nodes_are_told_once(nodes: str, asked: list[str], removed: list[str]) -> None:
    found = known(model(nodes, X, outputs="float[N, 4] y", constants={"w": np.float32(2)}))
    dead = [node for name in asked if (node := found.values[name].producer()) is not None]
    assert [node.op_type for node in remove_dead(dead, found.facts.positions)] == removed
    if removed:
        assert remove_dead(dead, found.facts.positions) == []


@pytest.mark.parametrize(
    ("version", "inputs", "admitted"),
    [
        pytest.param(3, X, 4, id="not-an-input"),
        pytest.param(3, f"{X}, float w", 3, id="an-input"),
        pytest.param(4, X, 4, id="admitted-already"),
        pytest.param(8, X, 8, id="later"),
    ],
)
def test_version_is_raised_only_for_initializers_that_are_no_inputs(version: int, inputs: str, admitted: int) -> None:
    found = known(model("y = Mul(x, w)", inputs, constants={"w": np.float32(2)}))
    found.model.ir_version = version
    admit_initializers(found.model)
    assert found.model.ir_version == admitted


def test_constant_of_other_numbers_is_not_used_instead() -> None:
    _, after = optimized(f"{norm('x', 'k')}  y = Mul(k, g)")
    assert operators(after) == ["LayerNormalization"]
    (tensor,) = after.graph.initializer
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor), [1, 4, 9, 16])


def test_new_node_stands_for_those_it_replaced() -> None:
    x = ir.Value(name="x")
    old = ir.node("Neg", [x], name="c")
    new = ir.node("Abs", [x], name="new", metadata_props={PROVENANCE: "a, b"})
    assert stood_for([new, old]) == ("new", "c")  # not made just now: it was in the model
    new.meta[PROVENANCE] = True
    assert stood_for([new, old]) == ("a", "b", "c")


def test_values_between_new_nodes_have_names_of_their_own() -> None:
    nodes = "m = ReduceMean(x, one)  d = Sub(x, m)  q = Mul(d, d)  v = ReduceMean(q, one)  e = Add(v, eps)  s = Sqrt(e)"
    before = model(
        f"{nodes}  y = Div(d, s)",
        "float[N, 4, 5] x",
        outputs="float[N, 4, 5] y",
        constants={"one": [1], "eps": np.float32(1e-5)},
    )
    after = normgraph.optimize(before).to_proto()
    onnx.checker.check_model(after, full_check=True)
    assert operators(after) == ["Transpose", "LayerNormalization", "Transpose"]
    assert [node.output[0] for node in after.graph.node] == ["y/moved", "y/normalized", "y"]
