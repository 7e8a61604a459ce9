"""Models are written whole or not at all, and hold what they held."""

import errno
import os
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import numpy_helper

from normgraph import model_io
from normgraph.errors import OutputError
from normgraph.model_io import tensors, wire, writing
from tests.model_files import LARGE, MODELS, declare, plain, sub_graphs, weight

SAMPLES = sorted((Path(__file__).parent.parent / "models" / "samples").glob("*.onnx"))
BUILDERS = [pytest.param(build, id=build.__name__) for build in MODELS]


def spelled_out(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Without what onnx_ir spells out, says but once or sorts otherwise, at no change of meaning."""
    for imported in (*proto.opset_import, *(o for f in proto.functions for o in f.opset_import)):
        imported.domain = imported.domain
    for field in ("producer_name", "producer_version", "domain", "doc_string"):
        if not getattr(proto, field):
            proto.ClearField(field)
    for node in (node for graph in graphs(proto) for node in graph.node):
        if not node.domain:
            node.ClearField("domain")
    declared = {value.name for value in (*proto.graph.input, *proto.graph.output)}
    telling = [info for info in proto.graph.value_info if info.name not in declared and info.HasField("type")]
    value_info = sorted(telling, key=lambda info: info.name)
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(value_info)
    return proto


@pytest.mark.parametrize("build", BUILDERS)
def test_reading_and_writing_changes_nothing(build: Callable[[], onnx.ModelProto], tmp_path: Path) -> None:
    onnx.save(build(), tmp_path / "in.onnx")
    model_io.save(model_io.load(tmp_path / "in.onnx"), tmp_path / "out.onnx")
    assert onnx.load(tmp_path / "out.onnx") == build()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.onnx", "out.onnx"]


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in SAMPLES])
def test_reading_and_writing_a_real_export_changes_nothing(path: Path, tmp_path: Path) -> None:
    model_io.save(model_io.load(path), tmp_path / "out.onnx")
    assert spelled_out(onnx.load(tmp_path / "out.onnx")) == spelled_out(onnx.load(path))


@pytest.mark.parametrize("build", BUILDERS)
def test_writes_the_bytes_that_protobuf_would(build: Callable[[], onnx.ModelProto], tmp_path: Path) -> None:
    onnx.save(build(), tmp_path / "in.onnx")
    model_io.save(model_io.load(tmp_path / "in.onnx"), tmp_path / "out.onnx")
    written = (tmp_path / "out.onnx").read_bytes()
    assert written == onnx.load(tmp_path / "out.onnx").SerializeToString(deterministic=True)


@pytest.mark.parametrize("build", BUILDERS)
def test_external_data_holds_the_same_model(build: Callable[[], onnx.ModelProto], tmp_path: Path) -> None:
    onnx.save(build(), tmp_path / "in.onnx")
    model_io.save(model_io.load(tmp_path / "in.onnx"), tmp_path / "out.onnx", external_data="always")
    written, expected = onnx.load(tmp_path / "out.onnx"), build()
    for tensor in (t for proto in (written, expected) for g in graphs(proto) for t in g.initializer):
        tensor.ClearField("data_location")
    assert written == expected


def graphs(proto: onnx.ModelProto) -> list[onnx.GraphProto]:
    nodes = [*proto.graph.node, *(node for function in proto.functions for node in function.node)]
    return [proto.graph, *(a.g for node in nodes for a in node.attribute)]


def test_external_data_is_aligned_and_only_for_large_initializers(tmp_path: Path) -> None:
    proto = sub_graphs()
    proto.graph.initializer.append(weight("big", size=33))
    model_io.save(model_io.as_model(proto), tmp_path / "out.onnx", external_data="always")
    raw = onnx.load(tmp_path / "out.onnx", load_external_data=False)
    offsets = {}
    for tensor in (tensor for graph in graphs(raw) for tensor in graph.initializer):
        info = {entry.key: entry.value for entry in tensor.external_data}
        if tensor.name == "condition":
            assert not info
        else:
            assert info["location"] == "out.onnx.data"
            offsets[tensor.name] = int(info["offset"])
    assert sorted(offsets.values()) == [0, 8192, 16384]
    assert (tmp_path / "out.onnx.data").stat().st_size == 16384 + 4 * LARGE * LARGE


def had_external(folder: Path) -> ir.Model:
    path = folder / "source.onnx"
    onnx.save(plain(), path, save_as_external_data=True, location="source.bin", size_threshold=0)
    return model_io.load(path)


def in_memory(folder: Path) -> ir.Model:
    return model_io.as_model(plain())


PLACEMENTS = [
    pytest.param(in_memory, "auto", False, id="auto keeps one file"),
    pytest.param(in_memory, "always", True, id="always"),
    pytest.param(had_external, "auto", True, id="auto keeps external data"),
    pytest.param(had_external, "never", False, id="never"),
]


@pytest.mark.parametrize(("make", "external_data", "expected"), PLACEMENTS)
def test_external_data_is_written_when_asked_or_had_before(
    make: Callable[[Path], ir.Model], external_data: writing.ExternalData, expected: bool, tmp_path: Path
) -> None:
    model_io.save(make(tmp_path), tmp_path / "out.onnx", external_data=external_data)
    assert (tmp_path / "out.onnx.data").exists() == expected
    loaded = onnx.load(tmp_path / "out.onnx").graph.initializer[0]
    np.testing.assert_array_equal(numpy_helper.to_array(loaded), numpy_helper.to_array(weight("w")))


def test_a_model_above_the_limit_of_protobuf_gets_external_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = len(plain().SerializeToString())
    for limit, expected in ((whole, False), (whole - 1, True)):
        monkeypatch.setattr(writing, "MAX_MESSAGE_BYTES", limit)
        model_io.save(model_io.as_model(plain()), tmp_path / f"{limit}.onnx")
        assert (tmp_path / f"{limit}.onnx.data").exists() == expected
    with pytest.raises(OutputError, match="below 2 GiB"):
        model_io.save(model_io.as_model(plain()), tmp_path / "never.onnx", external_data="never")
    assert not (tmp_path / "never.onnx").exists()


@pytest.mark.parametrize("external", [False, True], ids=["one file", "external data"])
def test_a_model_can_be_written_over_its_source(external: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(plain(), path, save_as_external_data=external, location="model.onnx.data", size_threshold=0)
    model = model_io.load(path)
    model.doc_string = "a doc string that moves every byte after it"
    model_io.save(model, path)
    # The model in memory still reads the file that was replaced.
    held = model.graph.initializers["w"].const_value
    assert held is not None
    assert held.tobytes() == weight("w").raw_data
    again = onnx.load(path)
    assert again.doc_string == model.doc_string
    assert again.graph.initializer[0].raw_data == weight("w").raw_data


@pytest.mark.parametrize("hash_seed", ["0", "1", "77"])
def test_the_same_model_gives_the_same_bytes(hash_seed: str, tmp_path: Path) -> None:
    onnx.save(sub_graphs(), tmp_path / "in.onnx")
    model_io.save(model_io.load(tmp_path / "in.onnx"), tmp_path / "here.onnx", external_data="always")
    code = (
        "import sys; from normgraph import model_io\n"
        "model_io.save(model_io.load(sys.argv[1]), sys.argv[2], external_data='always')"
    )
    (tmp_path / "there").mkdir()
    there = tmp_path / "there" / "here.onnx"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    subprocess.run([sys.executable, "-c", code, tmp_path / "in.onnx", there], check=True, env=environment)
    assert there.read_bytes() == (tmp_path / "here.onnx").read_bytes()
    assert there.with_name("here.onnx.data").read_bytes() == (tmp_path / "here.onnx.data").read_bytes()


def lazy(read: Callable[[], ir.TensorProtocol]) -> ir.Model:
    """A model whose second weight is only made when it is written."""
    proto = plain()
    proto.graph.initializer.append(weight("late"))
    model = ir.from_proto(proto)
    shape = ir.Shape([LARGE, LARGE])
    model.graph.initializers["late"].const_value = ir.LazyTensor(read, ir.DataType.FLOAT, shape, name="late")
    return model


def disk_full() -> ir.TensorProtocol:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def too_short() -> ir.TensorProtocol:
    return ir.tensor(np.zeros(3, np.float32))


def interrupted() -> ir.TensorProtocol:
    raise KeyboardInterrupt


FAILURES = [
    pytest.param(disk_full, OutputError, "can't be written: .*out.onnx.*No space left", id="disk full"),
    pytest.param(too_short, OutputError, "as many bytes as it declares", id="too few bytes"),
    pytest.param(interrupted, KeyboardInterrupt, "^$", id="interrupted"),
]


@pytest.mark.parametrize("external_data", ["never", "always"])
@pytest.mark.parametrize(("read", "error", "message"), FAILURES)
def test_a_failure_leaves_no_file_and_an_earlier_one_untouched(
    read: Callable[[], ir.TensorProtocol],
    error: type[BaseException],
    message: str,
    external_data: writing.ExternalData,
    tmp_path: Path,
) -> None:
    model = lazy(read)
    held = dict(model.graph.initializers.items())
    before = {key: value.const_value for key, value in held.items()}
    for name in ("out.onnx", "out.onnx.data"):
        (tmp_path / name).write_bytes(b"earlier")
    with pytest.raises(error, match=message):
        model_io.save(model, tmp_path / "out.onnx", external_data=external_data)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "out.onnx": b"earlier",
        "out.onnx.data": b"earlier",
    }
    assert {key: value.const_value for key, value in held.items()} == before


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
def test_a_kill_in_the_middle_leaves_an_earlier_output_untouched(tmp_path: Path) -> None:
    (tmp_path / "out.onnx").write_bytes(b"earlier")
    code = """
        import os, signal, sys
        from normgraph import model_io
        from tests.test_model_io_writing import lazy
        model_io.save(lazy(lambda: os.kill(os.getpid(), signal.SIGKILL)), sys.argv[1])
    """
    root = Path(__file__).parent.parent
    command = [sys.executable, "-c", textwrap.dedent(code), tmp_path / "out.onnx"]
    done = subprocess.run(command, cwd=root, check=False)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "out.onnx").read_bytes() == b"earlier"


PLACES = [
    pytest.param(lambda folder: folder / "none" / "out.onnx", "folder must exist", id="no folder"),
    pytest.param(lambda folder: folder, "must be a file", id="a folder"),
    pytest.param(lambda folder: folder / ("x" * 300), "can't be written.*name too long", id="name too long"),
]


@pytest.mark.parametrize(("place", "message"), PLACES)
def test_a_place_that_cannot_be_written_gets_a_clear_error(
    place: Callable[[Path], Path], message: str, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match="(?i)" + message):
        model_io.save(model_io.as_model(plain()), place(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such files")
def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/null")
    for path in (tmp_path / "pipe", tmp_path / "link"):
        with pytest.raises(OutputError, match="must be a regular file"):
            model_io.save(model_io.as_model(plain()), path)
    assert {path.name for path in tmp_path.iterdir()} == {"pipe", "link"}


def test_tensors_that_share_their_data_go_on_sharing_it(tmp_path: Path) -> None:
    proto = plain()
    data = proto.graph.initializer[0].raw_data
    proto.graph.initializer.append(weight("tied"))
    for tensor in proto.graph.initializer:
        declare(tensor, "data.bin", offset="0")
    (tmp_path / "in.onnx").write_bytes(proto.SerializeToString())
    (tmp_path / "data.bin").write_bytes(data)
    model_io.save(model_io.load(tmp_path / "in.onnx"), tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx.data").stat().st_size == len(data)
    onnx.checker.check_model(tmp_path / "out.onnx")
    assert [tensor.raw_data for tensor in onnx.load(tmp_path / "out.onnx").graph.initializer] == [data] * 2


def test_an_empty_tensor_may_lie_in_an_empty_file(tmp_path: Path) -> None:
    proto = plain()
    proto.graph.initializer.append(numpy_helper.from_array(np.zeros((0, 3), np.float32), "none"))
    declare(proto.graph.initializer[-1], "empty.bin")
    (tmp_path / "in.onnx").write_bytes(proto.SerializeToString())
    (tmp_path / "empty.bin").touch()
    model = model_io.load(tmp_path / "in.onnx")
    held = model.graph.initializers["none"].const_value
    assert held is not None
    assert held.numpy().shape == (0, 3)
    assert held.tobytes() == b""
    for external_data in ("auto", "never"):
        model_io.save(model, tmp_path / "out.onnx", external_data=external_data)
        assert onnx.load(tmp_path / "out.onnx").graph.initializer[-1].dims == [0, 3]


@pytest.mark.skipif(sys.platform == "win32", reason="modes and links differ")
def test_mode_is_kept_and_a_link_is_replaced_rather_than_followed(tmp_path: Path) -> None:
    (tmp_path / "real.onnx").write_bytes(b"earlier")
    (tmp_path / "real.onnx").chmod(0o640)
    (tmp_path / "link.onnx").symlink_to("real.onnx")
    for name in ("link.onnx", "real.onnx"):
        model_io.save(model_io.as_model(plain()), tmp_path / name)
        assert not (tmp_path / name).is_symlink()
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o640
        assert (tmp_path / "real.onnx").read_bytes() == b"earlier" or name == "real.onnx"


def refuses(*_: int) -> int:
    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


def copies_a_little(source: int, target: int, count: int, offset: int) -> int:
    """Copies 100 bytes and then can't, as when a file system changes its mind."""
    if os.lseek(target, 0, os.SEEK_CUR) % 7 == 0:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return os.write(target, os.pread(source, min(count, 100), offset))


KERNELS = [
    pytest.param((), id="none"),
    pytest.param((refuses,), id="refuses"),
    pytest.param((copies_a_little,), id="stops on the way"),
    *(pytest.param((copy,), id=copy.__name__) for copy in tensors.KERNEL_COPIES),
]


@pytest.mark.parametrize("copies", KERNELS)
def test_every_way_to_copy_gives_the_same_file(
    copies: tuple[Callable[[int, int, int, int], int], ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensors, "KERNEL_COPIES", copies)
    monkeypatch.setattr(tensors, "CHUNK_BYTES", 1000)
    onnx.save(sub_graphs(), tmp_path / "in.onnx")
    model_io.save(model_io.load(tmp_path / "in.onnx"), tmp_path / "out.onnx")
    assert onnx.load(tmp_path / "out.onnx") == sub_graphs()


def test_what_is_written_passes_the_checker_and_runs(tmp_path: Path) -> None:
    x = np.random.default_rng(3).standard_normal((3, LARGE)).astype(np.float32)
    for place in ("never", "always"):
        path = tmp_path / f"{place}.onnx"
        model_io.save(model_io.as_model(plain()), path, external_data=place)  # type: ignore[arg-type]
        onnx.checker.check_model(path, full_check=True)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (y,) = session.run(None, {"x": x})
        np.testing.assert_allclose(y, x @ numpy_helper.to_array(weight("w")), rtol=1e-4, atol=1e-4)


def test_onnx_ir_itself_writes_a_model_that_was_read(tmp_path: Path) -> None:
    onnx.save(sub_graphs(), tmp_path / "in.onnx")
    model = model_io.load(tmp_path / "in.onnx")
    (tmp_path / "elsewhere").mkdir()
    ir.save(model, tmp_path / "elsewhere" / "whole.onnx")
    ir.save(model, tmp_path / "elsewhere" / "parts.onnx", external_data="parts.bin")
    for name in ("whole", "parts"):
        written = model_io.load(tmp_path / "elsewhere" / f"{name}.onnx")
        for graph, expected in zip(written.graphs(), model.graphs(), strict=True):
            for key, value in expected.initializers.items():
                assert value.const_value is not None
                held = graph.initializers[key].const_value
                assert held is not None
                assert held.tobytes() == value.const_value.tobytes()


def test_field_numbers_are_those_of_onnx() -> None:
    for message, children in wire.CHILDREN.items():
        by_number = getattr(onnx, message).DESCRIPTOR.fields_by_number
        assert {n: by_number[n].message_type.name for n in children} == children
    for message, number in wire.SINGULAR_TENSORS:
        field = getattr(onnx, message).DESCRIPTOR.fields_by_number[number]
        assert (field.message_type.name, field.is_repeated) == ("TensorProto", False)
