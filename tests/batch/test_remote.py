"""Models at URLs: read, optimized and checked as if they were files."""

import json
import shutil
import zipfile
from contextlib import suppress
from pathlib import Path

import onnx
import pytest

from normgraph.batch import delivered, expand, fetched, places
from normgraph.cli import main
from normgraph.errors import BadModelError, OutputError, UsageError
from tests.commands import BERT, NEAR_MISSES

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def bucket(tmp_path: Path) -> str:
    """The URL of a store with two models; one has its weights in a file of its own."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    source = tmp_path / "bert.onnx"
    onnx.save(onnx.load(BERT), source, save_as_external_data=True, location="bert.bin", size_threshold=0)
    for path, place in ((source, "in/bert.onnx"), (tmp_path / "bert.bin", "in/bert.bin"), (NEAR_MISSES, "in/x/m.onnx")):
        system.makedirs(f"/store/{place}".rpartition("/")[0], exist_ok=True)
        system.put_file(str(path), f"/store/{place}")
    return "memory://store"


def test_patterns_and_folders_stand_for_models(bucket: str) -> None:
    both = [f"{bucket}/in/bert.onnx", f"{bucket}/in/x/m.onnx"]
    assert expand([f"{bucket}/in/"]) == both
    assert expand([f"{bucket}/in/**/*.onnx"]) == both
    assert [place.relative for place in places([f"{bucket}/in/"])] == ["bert.onnx", "x/m.onnx"]
    assert expand([f"{bucket}/in/*.onnx", "a.onnx"]) == [both[0], "a.onnx"]
    with pytest.raises(BadModelError, match="there is none: memory://store/no"):
        expand([f"{bucket}/no*"])


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        pytest.param("memory://**/*.onnx", "memory://store/in/bert.onnx", id="from the top"),
        pytest.param("memory:///store/in/", "memory:///store/in/bert.onnx", id="a folder, with a slash before it"),
        pytest.param("memory://store/i*/", "memory://store/in/bert.onnx", id="folders that a pattern stands for"),
        pytest.param("memory://store/*/*.onnx", "memory://store/in/bert.onnx", id="a folder's name left open"),
    ],
)
def test_patterns_of_urls_stand_for_urls(pattern: str, found: str, bucket: str) -> None:
    assert expand([pattern])[0] == found
    with fetched(found) as local:
        assert len(onnx.load(local).graph.node) == 194


def test_models_in_an_archive_are_optimized_with_their_data(tmp_path: Path) -> None:
    source = tmp_path / "bert.onnx"
    onnx.save(onnx.load(BERT), source, save_as_external_data=True, location="bert.bin", size_threshold=0)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name, file in (
            ("in/bert.onnx", source),
            ("in/bert.bin", tmp_path / "bert.bin"),
            ("in/x/m.onnx", NEAR_MISSES),
        ):
            archive.write(file, name)
    within = f"::{(tmp_path / 'all.zip').as_uri()}"
    assert expand([f"zip://in/{within}"]) == [f"zip://in/bert.onnx{within}", f"zip://in/x/m.onnx{within}"]
    assert main(["optimize", f"zip://**/*.onnx{within}", "-o", str(tmp_path / "out"), "-q", "--jobs", "1"]) == 0
    assert (
        sum(node.op_type == "LayerNormalization" for node in onnx.load(tmp_path / "out/in/bert.onnx").graph.node) == 5
    )
    assert (tmp_path / "out/in/x/m.onnx").is_file()
    assert main(["optimize", str(source), "-o", f"zip://out{within}"]) == 2


def test_models_are_optimized_from_store_to_store(bucket: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["optimize", f"{bucket}/in/", "-o", f"{bucket}/out", "--jobs", "1"]
    assert main([*words, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["models"]
    assert [row["output"] for row in rows] == [f"{bucket}/out/bert.onnx", f"{bucket}/out/x/m.onnx"]
    with fetched(f"{bucket}/out/bert.onnx") as local:
        assert (local.parent / "bert.onnx.data").exists()
        model = onnx.load(local)
    assert sum(node.op_type == "LayerNormalization" for node in model.graph.node) == 5
    assert main(words) == 0
    assert "2 up to date" in capsys.readouterr().out


def test_one_model_is_optimized_into_a_file(bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["optimize", f"{bucket}/in/bert.onnx", "-o", str(tmp_path / "one.onnx"), "-q"]) == 0
    assert main(["optimize", f"{bucket}/in/bert.onnx", "-o", f"{bucket}/one.onnx", "-q"]) == 0
    assert (tmp_path / "one.onnx").is_file()
    assert fsspec.filesystem("memory").cat_file("/store/one.onnx") == (tmp_path / "one.onnx").read_bytes()
    assert main(["optimize", f"{bucket}/in/bert.onnx", "-o", f"{bucket}/in/bert.onnx"]) == 2
    assert "may not be the input" in capsys.readouterr().err


def test_what_one_process_has_in_memory_is_worked_on_in_it(bucket: str) -> None:
    assert main(["optimize", f"{bucket}/in/", "-o", f"{bucket}/out", "-q", "--jobs", "2"]) == 0
    assert fsspec.filesystem("memory").exists("/store/out/x/m.onnx")
    assert main(["check", f"{bucket}/out/", "--expect", "decomposed=0", "-q", "--jobs", "2"]) == 0


def test_errors_name_the_url(bucket: str, capsys: pytest.CaptureFixture[str]) -> None:
    fsspec.filesystem("memory").pipe_file("/store/in/bad.onnx", b"no model")
    assert main(["optimize", f"{bucket}/in/bad.onnx", "-o", f"{bucket}/out/"]) == 2
    assert f"not an ONNX model: {bucket}/in/bad.onnx (" in capsys.readouterr().err


def test_models_are_checked_at_their_urls(bucket: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", f"{bucket}/in/", "--expect", "decomposed=5", "--jobs", "1"]) == 1
    out = capsys.readouterr().out
    assert f"{bucket}/in/bert.onnx · passed" in out
    assert f"{bucket}/in/x/m.onnx · failed" in out


def test_other_file_systems_work_across_processes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "in").mkdir(exist_ok=True)
        shutil.copy(NEAR_MISSES, tmp_path / "in" / f"{name}.onnx")
    url = tmp_path.as_uri()
    assert main(["optimize", f"{url}/in/*.onnx", "-o", f"{url}/out", "-q", "--jobs", "2"]) == 0
    assert sorted(path.name for path in (tmp_path / "out").glob("*.onnx")) == ["a.onnx", "b.onnx"]


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "a/../../b"])
def test_external_data_outside_of_the_folder_is_not_fetched(location: str, bucket: str, tmp_path: Path) -> None:
    proto = onnx.load(tmp_path / "bert.onnx", load_external_data=False)
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    fsspec.filesystem("memory").pipe_file("/store/in/bad.onnx", proto.SerializeToString())
    with pytest.raises(BadModelError, match="must lie in its model's folder"), fetched(f"{bucket}/in/bad.onnx"):
        pass


def test_what_cannot_be_reached_is_explained(bucket: str) -> None:
    with (
        pytest.raises(BadModelError, match="the URL can't be used: memory://store/absent"),
        fetched(f"{bucket}/absent"),
    ):
        pass
    with pytest.raises(BadModelError, match="the URL can't be used: nosuch://x/y"), fetched("nosuch://x/y"):
        pass
    with (
        pytest.raises(OutputError, match="the URL can't be used: nosuch://x/y"),
        delivered("nosuch://x/y") as local,
    ):
        local.write_bytes(b"a model")


def test_a_url_without_fsspec_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fsspec.core", None)
    with pytest.raises(UsageError, match=r"install 'normgraph\[remote\]'"), fetched("s3://bucket/model.onnx"):
        pass


def test_nothing_is_sent_if_the_work_failed(bucket: str) -> None:
    with suppress(ZeroDivisionError), delivered(f"{bucket}/out.onnx") as local:
        local.write_bytes(b"half a model")
        raise ZeroDivisionError
    assert not fsspec.filesystem("memory").exists("/store/out.onnx")
