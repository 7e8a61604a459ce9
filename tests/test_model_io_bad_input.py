"""Whatever can be wrong with a model's file gets one line that says what, where, and what to do."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from normgraph import model_io
from normgraph.errors import BadModelError
from normgraph.model_io import wire
from tests.model_files import MODELS, declare, plain, raw


def bad(change: Callable[[onnx.ModelProto], object]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        proto = plain()
        change(proto)
        onnx.save(proto, folder / "bad.onnx")
        return folder / "bad.onnx"

    return make


def content(data: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / "bad.onnx").write_bytes(data)
        return folder / "bad.onnx"

    return make


#: Each stands somewhere else in the model that `renamed` makes.
TEXTS = (
    "who",
    "graph_",
    "in_",
    "out_",
    "made_",
    "weight_",
    "node_",
    "Relu",
    "dim_",
    "key_",
    "told_",
    "field_",
    "inner_",
)


def renamed(old: str) -> Callable[[Path], Path]:
    """A model with bytes that aren't UTF-8 in a name, each of which takes as many bytes as before."""
    text = """<ir_version: 10, opset_import: ["" : 17], producer_name: "who">
        graph_ (float[dim_] in_, bool c) => (float[dim_] out_) <float weight_ = {1}> {
            made_ = Add(in_, weight_)  a = Relu(made_)  b = Elu <alpha = 1.0> (a)
            out_ = If (c) <then_branch = t () => (float[dim_] inner_) { inner_ = Neg(b) },
                           else_branch = e () => (float[dim_] o) { o = Abs(b) }> }"""
    model = onnx.parser.parse_model(text)
    model.graph.node[0].name = "node_"
    model.graph.node[0].metadata_props.add(key="key_", value="told_")
    model.graph.node[2].attribute[0].name = "field_"
    data = model.SerializeToString()
    assert old.encode() in data
    return content(data.replace(old.encode(), old[:-1].encode() + b"\xff"))


def folder_itself(folder: Path) -> Path:
    return folder


def missing(folder: Path) -> Path:
    return folder / "missing.onnx"


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.onnx")
    return folder / "pipe.onnx"


def external(location: str, **entries: str) -> Callable[[Path], Path]:
    """A model whose weight is declared to lie elsewhere; beside it lie the bytes it needs and a link out."""

    def make(folder: Path) -> Path:
        inside = folder / "inside"
        inside.mkdir()
        (folder / "outside.bin").write_bytes(bytes(6400))
        (inside / "data.bin").write_bytes(bytes(6400))
        (inside / "link.bin").symlink_to(folder / "outside.bin")
        (inside / "folder.bin").mkdir()
        proto = plain()
        declare(proto.graph.initializer[0], location.replace("FOLDER", str(inside)), **entries)
        (inside / "bad.onnx").write_bytes(proto.SerializeToString())
        return inside / "bad.onnx"

    return make


def future_opset(proto: onnx.ModelProto) -> None:
    proto.opset_import[0].version = 999


def future_function_opset(proto: onnx.ModelProto) -> None:
    node = helper.make_node("Neg", ["a"], ["b"])
    proto.functions.append(helper.make_function("local", "F", ["a"], ["b"], [node], [helper.make_opsetid("", 999)]))


def sparse_attribute(proto: onnx.ModelProto) -> None:
    values = helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("i", TensorProto.INT64, [1], [0])
    sparse = helper.make_sparse_tensor(values, indices, [4])
    proto.graph.node.append(helper.make_node("Constant", [], ["s"], sparse_value=sparse))


def cycle(proto: onnx.ModelProto) -> None:
    proto.graph.node.append(helper.make_node("Add", ["x", "b"], ["a"]))
    proto.graph.node.append(helper.make_node("Neg", ["a"], ["b"]))


def itself(proto: onnx.ModelProto) -> None:
    proto.graph.node.append(helper.make_node("Add", ["x", "a"], ["a"], name="loop"))


def function_twice(proto: onnx.ModelProto) -> None:
    for operators in (["Neg"], ["Neg", "Abs"]):
        nodes = [helper.make_node(operator, ["a"], [operator]) for operator in operators]
        function = helper.make_function("local", "F", ["a"], ["Neg"], nodes, [helper.make_opsetid("", 17)])
        proto.functions.append(function)


def branch_twice(proto: onnx.ModelProto) -> None:
    out = helper.make_tensor_value_info("s", TensorProto.FLOAT, [4])
    for_then, for_else = (
        helper.make_graph([helper.make_node("Neg", ["x"], ["s"])] * count, "branch", [], [out]) for count in (1, 1)
    )
    node = helper.make_node("If", ["c"], ["z"], then_branch=for_then, else_branch=for_else)
    node.attribute[0].name = node.attribute[1].name
    proto.graph.node.append(node)


def nested(levels: int) -> bytes:
    """A graph in a node's attribute in a graph …, deeper than any reader follows."""
    inner = b""
    for _ in range(levels):
        for number in (6, 5, 1):
            inner = wire.encode_varint(number << 3 | wire.LENGTH_DELIMITED) + wire.encode_varint(len(inner)) + inner
    return plain().SerializeToString() + wire.encode_varint(7 << 3 | 2) + wire.encode_varint(len(inner)) + inner


def calling(*bodies: str) -> Callable[[Path], Path]:
    """A model of functions F0, F1 and so on, the first of which is called."""
    text = '<ir_version: 10, opset_import: ["" : 18, "l" : 1]> g (float[4] x) => (float[4] y) { y = l.F0(x) }'
    for number, body in enumerate(bodies):
        text += f'<opset_import: ["" : 18, "l" : 1], domain: "l"> F{number} (a) => (b) {{ {body} }}'
    return content(onnx.parser.parse_model(text).SerializeToString())


def holding(dims: list[int], data_type: int = TensorProto.FLOAT, **fields: Any) -> Callable[[Path], Path]:
    """A model with one more tensor, which holds what the fields say."""
    return bad(lambda proto: proto.graph.initializer.add(name="t", dims=dims, data_type=data_type, **fields))


def sparse_file(head: bytes) -> Callable[[Path], Path]:
    """A file that takes no room on the disk: a field of 3 GiB behind its head."""

    def make(folder: Path) -> Path:
        with (folder / "bad.onnx").open("wb") as file:
            file.write(head + wire.encode_varint(99 << 3 | wire.LENGTH_DELIMITED) + wire.encode_varint(3 << 30))
            file.truncate(file.tell() + (3 << 30))
        return folder / "bad.onnx"

    return make


def sparse_in_branch(proto: onnx.ModelProto) -> None:
    out = helper.make_tensor_value_info("s", TensorProto.FLOAT, [4])
    branch = helper.make_graph([], "branch", [], [out])
    values = helper.make_tensor("s", TensorProto.FLOAT, [1], [1.0])
    branch.sparse_initializer.append(
        helper.make_sparse_tensor(values, helper.make_tensor("i", TensorProto.INT64, [1], [0]), [4])
    )
    proto.graph.node.append(helper.make_node("If", ["c"], ["z"], then_branch=branch, else_branch=branch))


BAD = [
    pytest.param(missing, "no such file.*check the path", id="missing"),
    pytest.param(folder_itself, "must be a file.*folder", id="folder"),
    pytest.param(pipe, "must be a regular file", id="pipe"),
    pytest.param(content(b""), "empty.*export or copy", id="empty"),
    pytest.param(content(plain().SerializeToString()[:-2000]), "truncated.*claims", id="truncated"),
    pytest.param(content(b"PK\x03\x04" + bytes(200)), "not an ONNX model", id="archive"),
    pytest.param(content(b"\x89PNG\r\n\x1a\n" + bytes(range(200))), "not an ONNX model", id="picture"),
    pytest.param(content(b"# a text, and no model\n" * 9), "not an ONNX model", id="text"),
    pytest.param(content(b"\x08" + b"\xff" * 20), "doesn't end", id="endless number"),
    pytest.param(content(bytes(100)), "begins no field", id="zeros"),
    pytest.param(bad(lambda p: p.ClearField("graph")), "must hold a graph", id="no graph"),
    pytest.param(bad(lambda p: p.ClearField("opset_import")), "must import an opset", id="no opset"),
    pytest.param(bad(future_opset), "opset must be known.*999.*newer onnx", id="future opset"),
    pytest.param(bad(future_function_opset), "opset must be known.*999", id="future opset of a function"),
    pytest.param(bad(lambda p: setattr(p, "ir_version", 99)), "IR version must be known", id="future IR version"),
    *(
        pytest.param(renamed(old), r"must be UTF-8, and b'.*\\xff' isn't|can't represent", id=f"{old} in no text")
        for old in TEXTS
    ),
    pytest.param(bad(cycle), "no node may depend on its own output", id="cycle"),
    pytest.param(bad(itself), "no node may depend on its own output, and Add .loop", id="cycle of one node"),
    pytest.param(bad(function_twice), "functions must differ.*'F'", id="two functions of one name"),
    pytest.param(bad(branch_twice), "attributes must have different names", id="two attributes of one name"),
    pytest.param(content(nested(200)), "truncated or not an ONNX model", id="nested deep"),
    pytest.param(content(nested(5000)), "truncated or not an ONNX model", id="nested very deep"),
    pytest.param(
        bad(lambda p: p.graph.initializer[0].dims.extend([2**40, 2**40])),
        "fewer elements than 2",
        id="huge tensor",
    ),
    pytest.param(holding([3], float_data=[1, 2]), "hold the numbers.*2 are given", id="too few numbers"),
    pytest.param(holding([3], float_data=[1] * 4), "hold the numbers.*4 are given", id="too many numbers"),
    pytest.param(holding([2**40]), "hold the numbers.* 0 are given", id="huge tensor of no numbers"),
    pytest.param(holding([2**62] * 500), "fewer elements than 2", id="more elements than can be printed"),
    pytest.param(holding([2**62] * 500, raw_data=bytes(5000)), "fewer elements", id="the same of large raw data"),
    pytest.param(holding([2**40], raw_data=b"1234"), "hold the bytes.* 4 are given", id="huge tensor of few bytes"),
    pytest.param(holding([2], int32_data=[1, 2]), "hold the numbers.* 0 are given", id="numbers of another type"),
    pytest.param(holding([-1], float_data=[1]), "a static shape", id="numbers in a negative shape"),
    pytest.param(holding([1], TensorProto.UNDEFINED), "a numeric type", id="no type"),
    pytest.param(
        holding([2], TensorProto.COMPLEX64, float_data=[1, 2]), "takes 4", id="complex numbers of one part each"
    ),
    pytest.param(holding([3], TensorProto.INT4, int32_data=[1, 2, 3]), "takes 2", id="half bytes that aren't packed"),
    pytest.param(holding([2], TensorProto.STRING, string_data=[b"a"]), "hold the texts.*1", id="too few texts"),
    pytest.param(calling("b = l.F0(a)"), "in a circle, and 'F0' does", id="a function that calls itself"),
    pytest.param(calling("b = l.F1(a)", "b = l.F0(a)"), "in a circle", id="functions that call each other"),
    pytest.param(
        calling(*(f"c = l.F{number}(a) b = l.F{number}(c)" for number in range(1, 41)), "b = Neg(a)"),
        "1,000,000 nodes",
        id="functions that double their nodes 40 times",
    ),
    pytest.param(sparse_file(b""), "are no weights, and protobuf takes", id="more than protobuf takes"),
    pytest.param(
        sparse_file(b"\xa3\x06\xa4\x06"),
        "are no weights, and protobuf takes",
        id="more than protobuf takes, and a group",
    ),
    pytest.param(
        sparse_file(plain().SerializeToString()), "are no weights", id="more than protobuf takes behind a weight"
    ),
    pytest.param(bad(sparse_attribute), "can't represent", id="sparse attribute"),
    pytest.param(bad(sparse_in_branch), "sparse initializers may only", id="sparse initializer in a sub-graph"),
    pytest.param(
        bad(lambda p: p.graph.initializer[0].dims.append(2)), "bytes that its type and shape", id="wrong size"
    ),
    pytest.param(
        bad(lambda p: p.graph.initializer.append(raw("s", TensorProto.STRING, [5000], 5000))),
        "numeric type",
        id="raw bytes as strings",
    ),
    pytest.param(
        bad(lambda p: p.graph.initializer.append(raw("s", TensorProto.UINT8, [-50, -100], 5000))),
        "numeric type and a static shape",
        id="negative dimensions",
    ),
    pytest.param(external("gone.bin"), "must be beside its model.*gone.bin", id="data absent"),
    pytest.param(external("folder.bin"), "must be beside its model", id="data is a folder"),
    pytest.param(external(""), "must name its file", id="data without a name"),
    pytest.param(external("data.bin", offset="64"), "as long as declared", id="data shorter than declared"),
    pytest.param(
        external("data.bin", offset="-8"),
        "(can't represent|as long as declared).*-8",
        id="data before its file",
    ),
    pytest.param(external("data.bin", length="640"), "size of its tensor", id="length against shape"),
    pytest.param(external("data.bin", offset="here"), "can't represent", id="offset is no number"),
    pytest.param(external("FOLDER/data.bin"), "may not leave", id="absolute path"),
    pytest.param(external("C:\\data.bin"), "may not leave", id="path with a drive"),
    pytest.param(external("../outside.bin"), "may not leave", id="path upwards"),
    pytest.param(external("..\\outside.bin"), "may not leave", id="path upwards with backslashes"),
    pytest.param(external("link.bin"), "may not leave", id="symbolic link to outside"),
    pytest.param(external("\0inside", offset="0"), "name a file", id="posing as a tensor inside"),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_bad_input_gets_one_line_that_names_the_file(
    make: Callable[[Path], Path], message: str, tmp_path: Path
) -> None:
    path = make(tmp_path)
    with pytest.raises(BadModelError, match=message) as caught:
        model_io.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


GOOD = [
    pytest.param(holding([0]), id="no element"),
    pytest.param(holding([2], TensorProto.COMPLEX64, float_data=[1, 2, 3, 4]), id="complex numbers"),
    pytest.param(holding([3], TensorProto.INT4, int32_data=[1, 2]), id="packed half bytes"),
    pytest.param(holding([2], TensorProto.BOOL, int32_data=[1, 0]), id="booleans"),
    pytest.param(holding([2], TensorProto.UINT32, uint64_data=[1, 0]), id="short numbers in a long field"),
    pytest.param(holding([2], TensorProto.STRING, string_data=[b"a", b"\xff"]), id="texts"),
    pytest.param(calling("b = l.F1(a)", "c = l.F2(a) b = l.F2(c)", "b = Neg(a)"), id="functions that call others"),
]


@pytest.mark.parametrize("make", GOOD)
def test_what_is_almost_bad_is_read(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path)
    assert ir.to_proto(model_io.load(path)) == ir.to_proto(ir.from_proto(onnx.load(path)))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_never_give_another_error(data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / "damaged.onnx"
    whole = bytearray(data.draw(st.sampled_from([build().SerializeToString() for build in MODELS[:6]])))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, min(len(whole) - 1, 300)))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.integers(1, len(whole)))])
    try:
        model = model_io.load(path)
    except BadModelError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert isinstance(model, ir.Model)
