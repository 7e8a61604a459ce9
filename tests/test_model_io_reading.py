"""Models are read as onnx reads them, without their weights, and bad input gets one clear line."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from normgraph import model_io
from normgraph.errors import BadModelError
from normgraph.model_io import FileTensor
from tests.model_files import LARGE, MODELS, declare, overridable, plain, weight

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
    two = node.attribute[0].SerializeToString() + AttributeProto(t=TensorProto(doc_string="b")).SerializeToString()
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
def test_unusual_but_legal_bytes_are_read_as_onnx_reads_them(content: Callable[[], bytes], tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content())
    model = model_io.load(path)
    expected = ir.from_proto(onnx.load(path))
    assert_same_tensors(model, expected)
    assert ir.to_proto(model) == ir.to_proto(expected)


GOOD_DATA = [
    pytest.param("data.bin", {}, id="beside the model"),
    pytest.param("./data.bin", {"offset": "0", "length": "6400"}, id="with everything spelled out"),
    pytest.param("sub/data.bin", {}, id="in a folder below"),
    pytest.param("near.bin", {}, id="symbolic link to the same folder"),
    pytest.param("hard.bin", {}, id="hard link"),
]


@pytest.mark.parametrize(("location", "entries"), GOOD_DATA)
def test_external_data_inside_the_folder_is_read(location: str, entries: dict[str, str], tmp_path: Path) -> None:
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


class Program:
    """What PyTorch's exporter returns, as far as normgraph looks at it."""

    def __init__(self, model: ir.Model) -> None:
        self.model = model


@pytest.mark.parametrize("build", [pytest.param(plain, id="plain"), pytest.param(overridable, id="overridable")])
@pytest.mark.parametrize("kind", ["path", "text", "proto", "ir", "program"])
def test_every_kind_of_source_gives_the_same_model(
    kind: str, build: Callable[[], onnx.ModelProto], tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(build(), path)
    ir_model = ir.from_proto(build())
    proto = build()
    source = {"path": path, "text": str(path), "proto": proto, "ir": ir_model, "program": Program(ir_model)}[kind]
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
    onnx.save(plain(), tmp_path / "model.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
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


@pytest.mark.parametrize("wrap", [lambda proto: proto, ir.from_proto], ids=["proto", "ir"])
def test_default_domain_goes_by_one_name(wrap: Callable[[onnx.ModelProto], Any]) -> None:
    proto = plain()
    (standard,) = (entry for entry in proto.opset_import if not entry.domain)
    wanted = dict(model_io.as_model(proto).opset_imports)
    standard.domain = "ai.onnx"
    assert model_io.as_model(wrap(proto)).opset_imports == wanted
    standard.domain = "elsewhere"
    assert "" not in model_io.as_model(wrap(proto)).opset_imports


def helper_model_of(mebibytes: int) -> onnx.ModelProto:
    proto = plain()
    data = [numpy_helper.from_array(np.full((512, 512), i, np.float32), f"w{i}") for i in range(mebibytes)]
    proto.graph.initializer.extend(data)
    return proto
