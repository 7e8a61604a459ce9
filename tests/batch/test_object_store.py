"""Models in an object store: a server that speaks S3, on this machine. Needs the extra ``test-stores``."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest

from normgraph.cli import main
from tests.commands import BERT, NEAR_MISSES

pytestmark = [
    pytest.mark.slow,  # the server and its client take some seconds to come up
    pytest.mark.filterwarnings("default"),  # theirs, on whatever Python there is
]


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A file system with a bucket of two models; one has its weights in a file of its own."""
    fsspec, server = pytest.importorskip("fsspec"), pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    served = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    served.start()
    host, port = served.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "nobody knows",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    source = tmp_path / "bert.onnx"
    onnx.save(onnx.load(BERT), source, save_as_external_data=True, location="bert.bin", size_threshold=0)
    stores = fsspec.get_filesystem_class("s3")
    stores.clear_instance_cache()  # one that an earlier test made knows its server's address only
    system = fsspec.filesystem("s3")
    system.mkdir("bucket")
    for path, place in ((source, "bert.onnx"), (tmp_path / "bert.bin", "bert.bin"), (NEAR_MISSES, "x/m.onnx")):
        system.put_file(str(path), f"bucket/in/{place}")
    yield system
    system.invalidate_cache()
    system.rm("bucket", recursive=True)  # it would outlive the server
    served.stop()


def statuses(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, str]:
    capsys.readouterr()
    main(["optimize", *words, "--json", "--jobs", "2"])
    return {row["model"]: row["status"] for row in json.loads(capsys.readouterr().out)["models"]}


def test_a_bucket_is_optimized_into_a_bucket(bucket: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["s3://bucket/in/", "-o", "s3://bucket/out"]
    models = ("s3://bucket/in/bert.onnx", "s3://bucket/in/x/m.onnx")
    assert statuses(capsys, *words) == dict.fromkeys(models, "written")
    names = ("bert.onnx", "bert.onnx.data", "normgraph-manifest.json", "x/m.onnx")
    bucket.invalidate_cache()
    assert [name.removeprefix("bucket/out/") for name in bucket.find("bucket/out")] == list(names)
    for name in names[:2]:
        bucket.get_file(f"bucket/out/{name}", str(tmp_path / name))
    assert main(["optimize", str(BERT), "-o", str(tmp_path / "local.onnx"), "--external-data", "always", "-q"]) == 0
    assert (tmp_path / "bert.onnx.data").read_bytes() == (tmp_path / "local.onnx.data").read_bytes()
    assert main(["verify", str(BERT), str(tmp_path / "bert.onnx"), "-q"]) == 0
    assert statuses(capsys, *words) == dict.fromkeys(models, "up to date")
    bucket.invalidate_cache()
    bucket.rm_file("bucket/out/x/m.onnx")
    bucket.pipe_file("bucket/in/broken.onnx", b"no model")
    again = statuses(capsys, *words)
    assert again == {"s3://bucket/in/broken.onnx": "failed", models[0]: "up to date", models[1]: "written"}


def test_models_in_a_bucket_are_checked_where_they_lie(bucket: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "s3://bucket/in/**/*.onnx", "--expect", "decomposed=5"]) == 1
    out = capsys.readouterr().out
    assert "s3://bucket/in/bert.onnx · passed" in out
    assert "s3://bucket/in/x/m.onnx · failed" in out


def test_a_bucket_that_is_not_there_is_one_line(bucket: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["optimize", "s3://elsewhere/in/", "-o", "s3://bucket/out"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("normgraph: error: ")
    assert told.count("\n") == 1
    assert "s3://elsewhere/in/" in told


def test_one_model_goes_from_the_bucket_into_a_file(bucket: Any, tmp_path: Path) -> None:
    assert main(["optimize", "s3://bucket/in/x/m.onnx", "-o", str(tmp_path / "m.opt.onnx"), "-q"]) == 0
    operators = [node.op_type for node in onnx.load(tmp_path / "m.opt.onnx").graph.node]
    assert operators.count("LayerNormalization") == 1
