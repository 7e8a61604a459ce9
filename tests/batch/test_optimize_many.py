"""`normgraph optimize` for several models: where the outputs go, what is done again, and what fails."""

import json
import os
import shutil
import sys
from pathlib import Path

import onnx
import pytest

from normgraph.cli import main
from tests.commands import BERT, NEAR_MISSES, contents, stay_in_this_process


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in: two models of one name, in folders of their own."""
    for name in ("in/a", "in/b"):
        (tmp_path / name).mkdir(parents=True)
        shutil.copy(NEAR_MISSES, tmp_path / name / "model.onnx")
    stay_in_this_process(monkeypatch)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def optimize(*words: str) -> int:
    return main(["optimize", "--jobs", "1", *words])


def statuses(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, str]:
    capsys.readouterr()
    optimize(*words, "--json")
    return {row["model"]: row["status"] for row in json.loads(capsys.readouterr().out)["models"]}


@pytest.mark.parametrize(
    ("words", "outputs"),
    [
        pytest.param(["in"], ["a/model.onnx", "b/model.onnx"], id="a folder"),
        pytest.param(["in/**/*.onnx"], ["a/model.onnx", "b/model.onnx"], id="a pattern"),
        pytest.param(["in/a/*.onnx"], ["model.onnx"], id="a pattern of one"),
        pytest.param(["in/a/model.onnx"], ["model.onnx"], id="one model into a folder"),
    ],
)
def test_outputs_keep_their_folders(words: list[str], outputs: list[str], folder: Path) -> None:
    assert optimize(*words, "-o", "out/") == 0
    found = {path.relative_to(folder / "out").as_posix() for path in (folder / "out").rglob("*") if path.is_file()}
    assert found == {*outputs, "normgraph-manifest.json"}
    for name in outputs:
        operators = [node.op_type for node in onnx.load(folder / "out" / name).graph.node]
        assert operators.count("LayerNormalization") == 1


def test_one_of_many_is_the_same_as_one(folder: Path) -> None:
    assert optimize("in", "-o", "out") == 0
    assert main(["optimize", "in/a/model.onnx", "-o", "alone.onnx", "-q"]) == 0
    assert (folder / "out/a/model.onnx").read_bytes() == (folder / "alone.onnx").read_bytes()


def test_a_failure_is_reported_and_the_rest_done(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "in" / "broken.onnx").write_bytes(b"no model")
    assert main(["optimize", "in", "-o", "out", "--jobs", "2"]) == 2
    printed = capsys.readouterr()
    assert "2 written, 1 failed · 3 models" in printed.out
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("normgraph: error: the file is truncated")
    assert printed.err.count("in/broken.onnx") == 1


def test_a_broken_guarantee_has_its_own_status(folder: Path) -> None:
    assert optimize("in", "-o", "out", "--opset", "11") == 1
    (folder / "in" / "broken.onnx").write_bytes(b"no model")
    assert optimize("in", "-o", "out", "--opset", "11") == 2


def test_what_is_done_is_not_done_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert statuses(capsys, "in", "-o", "out") == dict.fromkeys(("in/a/model.onnx", "in/b/model.onnx"), "written")
    before = contents(folder / "out")
    done = dict.fromkeys(("in/a/model.onnx", "in/b/model.onnx"), "up to date")
    assert statuses(capsys, "in", "-o", "out") == done
    assert contents(folder / "out") == before
    assert set(statuses(capsys, "in", "-o", "out", "--fresh").values()) == {"written"}
    assert set(statuses(capsys, "in", "-o", "out", "--target", "onnx").values()) == {"written"}


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda folder: shutil.copy(BERT, folder / "in/a/model.onnx"), id="another input"),
        pytest.param(lambda folder: (folder / "out/a/model.onnx").unlink(), id="the output is gone"),
        pytest.param(lambda folder: (folder / "out/a/model.onnx").write_bytes(b"half"), id="the output is damaged"),
    ],
)
def test_what_has_changed_is_done_again(damage: object, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert optimize("in", "-o", "out") == 0
    damage(folder)  # type: ignore[operator]
    assert statuses(capsys, "in", "-o", "out") == {"in/a/model.onnx": "written", "in/b/model.onnx": "up to date"}


def test_changed_external_data_is_done_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = folder / "in" / "c.onnx"
    onnx.save(onnx.load(BERT), source, save_as_external_data=True, location="c.bin", size_threshold=0)
    assert optimize("in/c.onnx", "-o", "out/") == 0
    assert (folder / "out" / "c.onnx.data").exists()
    assert statuses(capsys, "in/c.onnx", "-o", "out/") == {"in/c.onnx": "up to date"}
    data = bytearray((folder / "in" / "c.bin").read_bytes())
    data[100] ^= 1
    (folder / "in" / "c.bin").write_bytes(data)
    assert statuses(capsys, "in/c.onnx", "-o", "out/") == {"in/c.onnx": "written"}


def test_a_run_that_is_cut_short_goes_on_where_it_stopped(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> object:
        monkeypatch.setattr(processes, "attempt", genuine)
        raise KeyboardInterrupt

    from normgraph.batch import processes

    genuine, calls = processes.attempt, []

    def attempt(work: object, item: object) -> object:
        calls.append(item)
        return interrupted() if len(calls) == 2 else genuine(work, item)  # type: ignore[arg-type]

    monkeypatch.setattr(processes, "attempt", attempt)
    assert optimize("in", "-o", "out") == 130
    assert statuses(capsys, "in", "-o", "out") == {"in/a/model.onnx": "up to date", "in/b/model.onnx": "written"}


@pytest.mark.parametrize("text", ["", "{", '{"schema": 9}', '{"schema": 1, "outputs": {"a/model.onnx": {}}}'])
def test_a_manifest_that_is_none_means_to_begin_anew(
    text: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert optimize("in", "-o", "out") == 0
    (folder / "out" / "normgraph-manifest.json").write_text(text)
    assert set(statuses(capsys, "in", "-o", "out").values()) == {"written"}


def test_outputs_within_the_inputs_are_no_inputs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert optimize("in", "-o", "in/out") == 0
    assert set(statuses(capsys, "in", "-o", "in/out")) == {"in/a/model.onnx", "in/b/model.onnx"}


def test_models_can_be_changed_in_place_or_only_looked_at(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert set(statuses(capsys, "in", "--dry-run").values()) == {"dry run"}
    assert set(statuses(capsys, "in", "--in-place").values()) == {"written"}
    assert set(statuses(capsys, "in", "--in-place").values()) == {"left as it is"}
    assert sorted(contents(folder)) == [str(folder / f"in/{name}/model.onnx") for name in "ab"]


def test_reports_go_into_a_folder(folder: Path) -> None:
    assert optimize("in", "-o", "out", "--report", "reports") == 0
    report = json.loads((folder / "reports" / "b" / "model.json").read_text("utf-8"))
    assert report["nodes"] == {"before": 36, "after": 26}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["in"], "said where the outputs go", id="nowhere to go"),
        pytest.param(["in/a/model.onnx", "in/b/model.onnx", "-o", "out"], "two models may not have", id="one output"),
        pytest.param(["in/*.none", "-o", "out"], "there is none: in", id="no model"),
        pytest.param(["in", "-o", "file"], "must be a folder", id="the output is a file"),
        pytest.param(["in", "-o", "out", "--autotune"], "one model at a time", id="timed beside others"),
        pytest.param(["in", "-o", "in"], "all of them lie there: in", id="nothing but outputs"),
        pytest.param(["in", "-o", "out.onnx"], "called as a model is", id="a folder that is called as a model is"),
        pytest.param(["", "-o", "out"], "must have a name", id="no name"),
        pytest.param(["in", "-o", "out", "--dask", "no.json"], "no such file: no.json", id="no scheduler file"),
        pytest.param(["in", "-o", "memory://x", "--dask", "tcp://127.0.0.1:9"], "in memory", id="memory of a cluster"),
        pytest.param(["in", "--dask", "127.0.0.1:9"], "said where the outputs go", id="a cluster, and nowhere to go"),
    ],
)
def test_what_cannot_be_begun_is_explained(
    words: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "file").touch()
    before = contents(folder)
    assert optimize(*words) == 2
    assert message in capsys.readouterr().err
    assert contents(folder) == before


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="names of files are UTF-8 there")
def test_names_that_are_no_utf8_are_written_down(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(NEAR_MISSES, folder / "in" / os.fsdecode(b"\xff, 1%\n.onnx"))
    assert set(statuses(capsys, "in", "-o", "out").values()) == {"written"}
    assert set(statuses(capsys, "in", "-o", "out").values()) == {"up to date"}
    assert main(["check", "in", "--baseline", "base.json", "--update-baseline", "-q", "--jobs", "1"]) == 0
    assert main(["check", "in", "--baseline", "base.json", "--jobs", "1"]) == 0
    assert "3 passed" in capsys.readouterr().out
