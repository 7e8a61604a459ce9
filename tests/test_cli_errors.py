"""Whatever is wrong gets one clear line, an exit status, and leaves no file behind."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from normgraph import api
from normgraph.cli import main
from tests.commands import BERT, NEAR_MISSES, command, contents
from tests.samples import FOLDER

VERIFY = ["verify", "model.onnx", "model.onnx"]
CHECK = ["check", "model.onnx", "--expect", "nodes>0"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in, with a model in it."""
    shutil.copy(NEAR_MISSES, tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def truncated(path: Path) -> None:
    path.write_bytes(BERT.read_bytes()[:100_000])


def at_unknown_opset(path: Path) -> None:
    model = onnx.load(NEAR_MISSES)
    model.opset_import[0].version = 999
    path.write_bytes(model.SerializeToString())


def without_its_data(path: Path) -> None:
    onnx.save(onnx.load(BERT), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    (path.parent / "weights.bin").unlink()


def not_a_model(path: Path) -> None:
    path.write_text("import torch\n")


def unwritable(folder: Path) -> str:
    """A folder that nothing can be put in, whoever asks."""
    locked = folder / "locked"
    locked.mkdir(mode=0o500)
    return "/proc/out.onnx" if os.access(locked, os.W_OK) else str(locked / "out.onnx")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(lambda path: None, "there is no such file: bad.onnx", id="missing"),
        pytest.param(lambda path: path.touch(), "the file is empty: bad.onnx", id="empty"),
        pytest.param(truncated, "truncated or not an ONNX model: bad.onnx", id="truncated"),
        pytest.param(not_a_model, "truncated or not an ONNX model: bad.onnx", id="not ONNX"),
        pytest.param(lambda path: path.mkdir(), "there is none: bad.onnx", id="folder without models"),
        pytest.param(without_its_data, "'weights.bin' isn't: bad.onnx", id="absent data"),
        pytest.param(at_unknown_opset, "not 999: bad.onnx", id="unknown opset"),
    ],
)
def test_bad_input_gets_one_line_and_no_output(make: Callable[[Path], None], expected: str, tmp_path: Path) -> None:
    make(tmp_path / "bad.onnx")
    before = contents(tmp_path)
    done = command("optimize", "bad.onnx", "--report", "report.json", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("normgraph: error: ")
    assert done.stderr.count("\n") == 1
    assert expected in done.stderr
    assert ";" in done.stderr, "it should say what to do"
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(["optimize"], "required: IN", id="no model"),
        pytest.param(["optimise", "model.onnx"], "did you mean optimize? See normgraph --help", id="no such command"),
        pytest.param(["explain", "model.onnx", "--quick"], "--quick; see", id="no such option, nor any like it"),
        pytest.param(["optimize", "model.onnx", "--dry"], "did you mean --dry-run? See", id="option cut short"),
        pytest.param([*CHECK, "--expct=nodes>0"], "did you mean --expect?", id="option misspelled"),
        pytest.param([*CHECK, "--format", "jsn"], "did you mean json?", id="choice misspelled"),
        pytest.param([*VERIFY, "more.onnx"], "unrecognized arguments: more.onnx; see", id="too many models"),
        pytest.param(["optimize", "model.onnx", "--opset", "new"], "'new'", id="opset is no number"),
        pytest.param(["optimize", "model.onnx", "--opset", "0"], "'0'", id="opset zero"),
        pytest.param(["optimize", "model.onnx", "--opset", "99"], "no opset 99", id="opset of the future"),
        pytest.param(["optimize", "model.onnx", "--target", "abacus"], "'abacus'", id="no such target"),
        pytest.param(["optimize", "model.onnx", "--target", "tensorrt@x"], "'x'", id="no such version"),
        pytest.param(["optimize", "model.onnx", "-o", "model.onnx"], "--in-place", id="output is the input"),
        pytest.param(["optimize", "model.onnx", "-o", "link.onnx"], "--in-place", id="output links to it"),
        pytest.param(["optimize", "model.onnx", "-o", "a", "--in-place"], "--in-place", id="both"),
        pytest.param(["optimize", "model.onnx", "-o", "no/a.onnx"], "must exist: no", id="no folder"),
        pytest.param(["optimize", "model.onnx", "-o", "sub"], "this is a folder: sub", id="output is a folder"),
        pytest.param(["optimize", "model.onnx", "-o", os.devnull], os.devnull, id="output is a device"),
        pytest.param(["optimize", "model.onnx", "--report", "no/a"], "report's folder", id="report's folder"),
        pytest.param(["optimize", "model.onnx", "--report", "sub"], "report must be a file", id="report folder"),
        pytest.param(["optimize", "model.onnx", "--report", "model.onnx"], "over a model", id="report on input"),
        pytest.param(["optimize", "model.onnx", "--report", "model.opt.onnx"], "over a model", id="report on output"),
        pytest.param([*VERIFY, "--report", "link.onnx"], "over a model", id="findings on a model"),
        pytest.param([*VERIFY, "--report", "no/a"], "folder must exist: no", id="folder of the findings"),
        pytest.param([*VERIFY, "--dim", "x.0=2"], "isn't one: model.onnx", id="no dynamic dimension"),
        pytest.param([*VERIFY, "--inputs", "x.npz", "--family", "normal"], "leave out --family", id="two origins"),
        pytest.param([*VERIFY, "--inputs", "x.npz", "--seed", "0"], "leave out --seed", id="a seed for given inputs"),
        pytest.param(["optimize", "model.onnx", "--seed", "1"], "--verify model", id="a seed for nothing"),
        pytest.param([*VERIFY, "--quick"], "See normgraph verify --help", id="no such option of verify"),
        pytest.param(["verify", "file:///model.onnx", "model.onnx"], "copy it first", id="a URL"),
        pytest.param(
            ["check", "model.onnx", "--expect", "nodes>0", "--write", "json=model.onnx"], "over a model", id="form"
        ),
        pytest.param(["bench", "s3://x/model.onnx"], "copy it first", id="a URL to time"),
    ],
)
def test_wrong_usage_gets_one_line_and_no_output(
    words: Sequence[str], expected: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "sub").mkdir()
    (folder / "link.onnx").symlink_to("model.onnx")
    before = contents(folder)
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("normgraph: error: ")
    assert printed.err.count("\n") == 1
    assert expected in printed.err
    assert contents(folder) == before


@pytest.mark.parametrize("option", [pytest.param("--output", id="model"), pytest.param("--report", id="report")])
def test_what_cannot_be_written_leaves_nothing_behind(
    option: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "report.json").write_text("of an earlier run")
    place = unwritable(folder)
    before = contents(folder)
    others = ["--report", "report.json"] if option == "--output" else []
    assert main(["optimize", "model.onnx", option, place, *others]) == 2
    printed = capsys.readouterr()
    assert place in printed.err
    assert printed.err.count("\n") == 1
    assert contents(folder) == before


def test_a_full_disk_leaves_an_earlier_output_untouched(tmp_path: Path) -> None:
    (tmp_path / "out.onnx").write_bytes(b"of an earlier run")
    before = contents(tmp_path)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    done = command("optimize", BERT, "-o", "out.onnx", cwd=tmp_path, preexec_fn=limit)
    assert done.returncode == 2
    assert done.stderr.startswith("normgraph: error: the model can't be written: out.onnx")
    assert done.stderr.count("\n") == 1
    assert contents(tmp_path) == before


def test_an_opset_that_cannot_be_had_is_a_broken_guarantee(tmp_path: Path) -> None:
    # Where linear interpolation samples was left open until opset 11, so what was meant can't be told.
    graph = helper.make_graph(
        [helper.make_node("Upsample", ["x", "scales"], ["y"], mode="linear")],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones(4, np.float32), "scales")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)], ir_version=4)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    before = contents(tmp_path)
    done = command("optimize", "model.onnx", "--opset", "17", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "'y' at opset 11" in done.stderr
    assert done.stderr.count("\n") == 1
    assert contents(tmp_path) == before


def test_external_data_of_the_input_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "model.onnx"
    onnx.save(onnx.load(BERT), source, save_as_external_data=True, location="other.onnx.data", size_threshold=0)
    before = contents(tmp_path)
    for output in ("other.onnx", "other.onnx.data"):
        assert main(["optimize", str(source), "-o", str(tmp_path / output)]) == 2
        assert "external data" in capsys.readouterr().err
        assert contents(tmp_path) == before


def test_names_in_errors_and_tables_are_shown_not_obeyed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "red\x1b[31m.onnx"
    assert main(["explain", str(path)]) == 2
    shutil.copy(NEAR_MISSES, path)
    assert main(["explain", str(path)]) == 0
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err
    assert "red\\x1b[31m.onnx" in printed.out


def test_an_interruption_is_quiet_and_leaves_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    before = contents(folder)
    monkeypatch.setattr(api, "rewrite", interrupted)
    assert main(["optimize", "model.onnx"]) == 130
    assert capsys.readouterr().err == "normgraph: interrupted\n"
    assert contents(folder) == before


def test_an_error_of_our_own_is_told_from_a_broken_guarantee(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr(api, "rewrite", broken)
    assert main(["optimize", "model.onnx"]) == 70
    printed = capsys.readouterr().err
    assert "ZeroDivisionError: on purpose" in printed
    assert "please report it" in printed


@pytest.mark.parametrize("words", [["explain", BERT], ["explain", BERT, "--json"]], ids=str)
def test_a_closed_pipe_is_no_error(words: Sequence[object]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "normgraph", *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(FOLDER.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (141, b"")
