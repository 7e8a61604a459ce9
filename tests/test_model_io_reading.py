"""Models are read as onnx reads them, without their weights, and bad input gets one clear line."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from normgraph import model_io
from normgraph.errors import BadModelError
from normgraph.model_io import FileTensor
from tests.model_files import LARGE, MODELS, overridable, plain, raw, weight

SAMPLES = sorted((Path(__file__).parent.parent / "models" / "samples").glob("*.onnx"))
BUILDERS = [pytest.param(build, id=build.__name__) for build in MODELS]


def tensors(model: ir.Model) -> dict[str, ir.TensorProtocol]:
    held = {f"initializer {k}": v.const_value for g in model.graphs() for k, v in g.initializers.items()}
    for owner in (model.graph, *model.functions.values()):
        for node in owner.all_nodes():
            for key, attribute in node.attributes.items():
                if attribute.type == ir.AttributeType.TENSOR:
                    held[f"attribute {node.name} {key}"] = attribute.value
    return held


def assert_same_tensors(actual: ir.Model, expected: ir.Model) -> None:
    ours, theirs = tensors(actual), tensors(expected)
    assert ours.keys() == theirs.keys()
    for key, tensor in theirs.items():
        assert ours[key].dtype == tensor.dtype
        assert ours[key].shape == tensor.shape
        assert ours[key].nbytes == tensor.nbytes if tensor.dtype != ir.DataType.STRING else True
        np.testing.assert_array_equal(ours[key].numpy(), tensor.numpy())


@pytest.mark.parametrize("external", [False, True], ids=["one file", "external data"])
@pytest.mark.parametrize("build", BUILDERS)
def test_reads_what_onnx_reads(build: Callable[[], onnx.ModelProto], external: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(build(), path, save_as_external_data=external, location="weights.bin", size_threshold=0)
    expected = ir.from_proto(onnx.load(path))
    model = model_io.load(path)
    assert_same_tensors(model, expected)
    assert serialized(model) == serialized(expected)


def serialized(model: ir.Model) -> onnx.ModelProto:
    proto: onnx.ModelProto = ir.to_proto(model)
    inner = [node for function in proto.functions for node in function.node]
    graphs = [proto.graph, *(a.g for node in [*proto.graph.node, *inner] for a in node.attribute)]
    for tensor in (tensor for graph in graphs for tensor in graph.initializer):
        # onnx_ir writes metadata twice, and the default location, if it holds the TensorProto it read.
        del tensor.metadata_props[1:]
        tensor.ClearField("data_location")
    return proto


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in SAMPLES])
def test_reads_real_exports_as_onnx_does(path: Path) -> None:
    assert ir.to_proto(model_io.load(path)) == ir.to_proto(ir.from_proto(onnx.load(path)))


def test_large_tensors_stay_in_the_file_and_small_ones_do_not(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    proto = plain()
    proto.graph.initializer.append(numpy_helper.from_array(np.ones(1023, np.float32), "small"))
    onnx.save(proto, path)
    held = model_io.load(path).graph.initializers
    assert isinstance(held["w"].const_value, FileTensor)
    assert not isinstance(held["small"].const_value, FileTensor)


def appended(message: bytes) -> Callable[[], bytes]:
    return lambda: plain().SerializeToString() + message


def reversed_fields() -> bytes:
    """Protobuf allows the fields of a message in any order."""
    proto = plain()
    whole = proto.SerializeToString()
    graph = proto.graph.SerializeToString()
    proto.ClearField("graph")
    rest = proto.SerializeToString()
    assert len(rest) + len(graph) < len(whole)
    return bytes([7 << 3 | 2, *varint(len(graph))]) + graph + rest


def split_graph() -> bytes:
    """A singular message given twice is the two merged."""
    proto = plain()
    first = onnx.ModelProto()
    first.graph.initializer.append(proto.graph.initializer[0])
    del proto.graph.initializer[:]
    return first.SerializeToString() + proto.SerializeToString()


def raw_data_twice() -> bytes:
    proto = plain()
    tensor = proto.graph.initializer[0].SerializeToString()
    doubled = tensor + TensorProto(raw_data=weight("w", 5).raw_data).SerializeToString()
    return swap_in(proto, doubled)


def default_location() -> bytes:
    proto = plain()
    proto.graph.initializer[0].data_location = TensorProto.DEFAULT
    return proto.SerializeToString()


def merged_attribute() -> bytes:
    proto = plain()
    node = helper.make_node("Constant", [], ["w"], value=weight("value"))
    two = (
        node.attribute[0].SerializeToString()
        + AttributeProto(t=TensorProto(doc_string="b")).SerializeToString()
    )
    node.ClearField("attribute")
    body = node.SerializeToString() + bytes([5 << 3 | 2, *varint(len(two))]) + two
    del proto.graph.initializer[:]
    graph = bytes([1 << 3 | 2, *varint(len(body))]) + body + proto.graph.SerializeToString()
    proto.ClearField("graph")
    return proto.SerializeToString() + bytes([7 << 3 | 2, *varint(len(graph))]) + graph


def swap_in(proto: onnx.ModelProto, tensor: bytes) -> bytes:
    del proto.graph.initializer[:]
    graph = proto.graph.SerializeToString() + bytes([5 << 3 | 2, *varint(len(tensor))]) + tensor
    proto.ClearField("graph")
    return proto.SerializeToString() + bytes([7 << 3 | 2, *varint(len(graph))]) + graph


def varint(value: int) -> bytes:
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


UNUSUAL = [
    pytest.param(reversed_fields, id="fields in another order"),
    pytest.param(split_graph, id="the graph in two parts"),
    pytest.param(raw_data_twice, id="raw data given twice, the last counts"),
    pytest.param(default_location, id="data location spelled out"),
    pytest.param(merged_attribute, id="an attribute's tensor given twice"),
    pytest.param(appended(bytes([99 << 3 & 0x7F | 0x80, 99 >> 4, 5])), id="an unknown number"),
    pytest.param(appended(bytes([100 << 3 & 0x7F | 3 | 0x80, 100 >> 4, 0xA4, 0x06])), id="an unknown group"),
]


@pytest.mark.parametrize("content", UNUSUAL)
def test_unusual_but_legal_bytes_are_read_as_onnx_reads_them(
    content: Callable[[], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content())
    model = model_io.load(path)
    expected = ir.from_proto(onnx.load(path))
    assert_same_tensors(model, expected)
    assert ir.to_proto(model) == ir.to_proto(expected)


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


def declare(tensor: TensorProto, location: str, **entries: str) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=value)


def future_opset(proto: onnx.ModelProto) -> None:
    proto.opset_import[0].version = 999


def future_function_opset(proto: onnx.ModelProto) -> None:
    node = helper.make_node("Neg", ["a"], ["b"])
    proto.functions.append(
        helper.make_function("local", "F", ["a"], ["b"], [node], [helper.make_opsetid("", 999)])
    )


def sparse_attribute(proto: onnx.ModelProto) -> None:
    values = helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("i", TensorProto.INT64, [1], [0])
    sparse = helper.make_sparse_tensor(values, indices, [4])
    proto.graph.node.append(helper.make_node("Constant", [], ["s"], sparse_value=sparse))


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
    pytest.param(
        bad(lambda p: setattr(p, "ir_version", 99)), "IR version must be known", id="future IR version"
    ),
    pytest.param(bad(sparse_attribute), "can't represent", id="sparse attribute"),
    pytest.param(
        bad(sparse_in_branch), "sparse initializers may only", id="sparse initializer in a sub-graph"
    ),
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
    pytest.param(external("data.bin", offset="-8"), "can't represent.*-8", id="data before its file"),
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


GOOD_DATA = [
    pytest.param("data.bin", {}, id="beside the model"),
    pytest.param("./data.bin", {"offset": "0", "length": "6400"}, id="with everything spelled out"),
    pytest.param("sub/data.bin", {}, id="in a folder below"),
    pytest.param("near.bin", {}, id="symbolic link to the same folder"),
    pytest.param("hard.bin", {}, id="hard link"),
]


@pytest.mark.parametrize(("location", "entries"), GOOD_DATA)
def test_external_data_inside_the_folder_is_read(
    location: str, entries: dict[str, str], tmp_path: Path
) -> None:
    proto = plain()
    data = proto.graph.initializer[0].raw_data
    (tmp_path / "sub").mkdir()
    for name in ("data.bin", "sub/data.bin"):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "near.bin").symlink_to("data.bin")
    (tmp_path / "hard.bin").hardlink_to(tmp_path / "data.bin")
    declare(proto.graph.initializer[0], location, **entries)
    (tmp_path / "model.onnx").write_bytes(proto.SerializeToString())
    held = model_io.load(tmp_path / "model.onnx").graph.initializers["w"].const_value
    assert held is not None
    assert held.tobytes() == data


def test_data_is_found_through_a_download_cache_of_links(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "main"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    proto = plain()
    data = proto.graph.initializer[0].raw_data
    (blobs / "2").write_bytes(data)
    declare(proto.graph.initializer[0], "model.data")
    (blobs / "1").write_bytes(proto.SerializeToString())
    (snapshot / "model.onnx").symlink_to(blobs / "1")
    (snapshot / "model.data").symlink_to(blobs / "2")
    held = model_io.load(snapshot / "model.onnx").graph.initializers["w"].const_value
    assert held is not None
    assert held.tobytes() == data


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


class Program:
    """What PyTorch's exporter returns, as far as normgraph looks at it."""

    def __init__(self, model: ir.Model) -> None:
        self.model = model


@pytest.mark.parametrize(
    "build", [pytest.param(plain, id="plain"), pytest.param(overridable, id="overridable")]
)
@pytest.mark.parametrize("kind", ["path", "text", "proto", "ir", "program"])
def test_every_kind_of_source_gives_the_same_model(
    kind: str, build: Callable[[], onnx.ModelProto], tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(build(), path)
    ir_model = ir.from_proto(build())
    proto = build()
    source = {"path": path, "text": str(path), "proto": proto, "ir": ir_model, "program": Program(ir_model)}[
        kind
    ]
    before = ir.to_proto(ir_model)
    model = model_io.as_model(source)
    assert ir.to_proto(model) == before
    for node in list(model.graph):
        node.name = "changed"
    model.graph.inputs[0].name = "renamed"
    assert ir.to_proto(ir_model) == before
    assert proto == build()


def test_other_kinds_of_source_are_refused() -> None:
    with pytest.raises(TypeError, match=r"a model is a path.*not int"):
        model_io.as_model(3)  # type: ignore[arg-type]


def test_a_proto_without_its_external_data_is_refused(tmp_path: Path) -> None:
    onnx.save(
        plain(), tmp_path / "model.onnx", save_as_external_data=True, location="w.bin", size_threshold=0
    )
    proto = onnx.load(tmp_path / "model.onnx", load_external_data=False)
    with pytest.raises(BadModelError, match=r"must hold its data.*w\.bin"):
        model_io.as_model(proto)


def test_tensors_are_read_only_and_survive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(plain(), path)
    tensor = model_io.load(path).graph.initializers["w"].const_value
    path.unlink()
    assert tensor is not None
    array = tensor.numpy()
    np.testing.assert_array_equal(array, numpy_helper.to_array(weight("w")))
    assert array.flags.aligned
    assert not array.flags.writeable
    assert np.asarray(tensor).shape == (LARGE, LARGE)


def test_reading_takes_no_memory_for_the_weights(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    path = tmp_path / "model.onnx"
    onnx.save(helper_model_of(64), path)
    code = (
        "import resource, sys\n"
        "from normgraph import model_io\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "model_io.save(model_io.load(sys.argv[1]), sys.argv[1] + '.copy')\n"
        "print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < 16 * 2**20
    assert (tmp_path / "model.onnx.copy").stat().st_size > 64 * 2**20


def helper_model_of(mebibytes: int) -> onnx.ModelProto:
    proto = plain()
    data = [numpy_helper.from_array(np.full((512, 512), i, np.float32), f"w{i}") for i in range(mebibytes)]
    proto.graph.initializer.extend(data)
    return proto
