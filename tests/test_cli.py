"""The command line: what it writes and prints, its exit statuses, one clear line for whatever is wrong."""

import json
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

import normgraph
from normgraph import api, targets
from normgraph.cli import arguments, main
from normgraph.cli.text import file_size
from tests.samples import FOLDER

BERT = FOLDER / "samples" / "bert_torchscript_13.onnx"
NEAR_MISSES = FOLDER / "samples" / "near_misses_torchscript_13.onnx"
NATIVE = FOLDER / "samples" / "layer_norm_sentences_dynamo_18.onnx"
HEAVY = ("numpy", "onnx", "onnx_ir", "onnxruntime", "rich")


def command(*words: object, cwd: Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the command as a person does, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(FOLDER.parent), "COLUMNS": "80"}
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-m", "normgraph", *map(str, words)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=60,
        **options,
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in, with a model in it."""
    shutil.copy(NEAR_MISSES, tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


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
        pytest.param(lambda path: path.mkdir(), "this is a folder: bad.onnx", id="folder"),
        pytest.param(without_its_data, "'weights.bin' isn't: bad.onnx", id="absent data"),
        pytest.param(at_unknown_opset, "not 999: bad.onnx", id="unknown opset"),
    ],
)
def test_bad_input_gets_one_line_and_no_output(
    make: Callable[[Path], None], expected: str, tmp_path: Path
) -> None:
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
        pytest.param(["optimise", "model.onnx"], "'optimise'", id="no such command"),
        pytest.param(["explain", "model.onnx", "--quick"], "--quick", id="no such option"),
        pytest.param(["optimize", "model.onnx", "--dry"], "--dry", id="option cut short"),
        pytest.param(["optimize", "model.onnx", "--opset", "new"], "'new'", id="opset is no number"),
        pytest.param(["optimize", "model.onnx", "--opset", "0"], "'0'", id="opset zero"),
        pytest.param(["optimize", "model.onnx", "--opset", "99"], "no opset 99", id="opset of the future"),
        pytest.param(["optimize", "model.onnx", "--target", "abacus"], "'abacus'", id="no such target"),
        pytest.param(["optimize", "model.onnx", "--target", "tensorrt@x"], "'x'", id="no such version"),
        pytest.param(["optimize", "model.onnx", "-o", "model.onnx"], "--in-place", id="output is the input"),
        pytest.param(["optimize", "model.onnx", "-o", "link.onnx"], "--in-place", id="output links to it"),
        pytest.param(["optimize", "model.onnx", "-o", "a", "--in-place"], "--in-place", id="both"),
        pytest.param(["optimize", "model.onnx", "-o", "no/a.onnx"], "must exist: no", id="no folder"),
        pytest.param(
            ["optimize", "model.onnx", "-o", "sub"], "this is a folder: sub", id="output is a folder"
        ),
        pytest.param(["optimize", "model.onnx", "-o", os.devnull], os.devnull, id="output is a device"),
        pytest.param(["optimize", "model.onnx", "--report", "no/a"], "report's folder", id="report's folder"),
        pytest.param(
            ["optimize", "model.onnx", "--report", "sub"], "report must be a file", id="report folder"
        ),
        pytest.param(
            ["optimize", "model.onnx", "--report", "model.onnx"], "over a model", id="report on input"
        ),
        pytest.param(
            ["optimize", "model.onnx", "--report", "model.opt.onnx"], "over a model", id="report on output"
        ),
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


@pytest.mark.parametrize(
    "option", [pytest.param("--output", id="model"), pytest.param("--report", id="report")]
)
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


def test_external_data_of_the_input_is_not_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "model.onnx"
    onnx.save(
        onnx.load(BERT), source, save_as_external_data=True, location="other.onnx.data", size_threshold=0
    )
    before = contents(tmp_path)
    for output in ("other.onnx", "other.onnx.data"):
        assert main(["optimize", str(source), "-o", str(tmp_path / output)]) == 2
        assert "external data" in capsys.readouterr().err
        assert contents(tmp_path) == before


def test_names_in_errors_and_tables_are_shown_not_obeyed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
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
    monkeypatch.setattr(api, "fuse_normalizations", interrupted)
    assert main(["optimize", "model.onnx"]) == 130
    assert capsys.readouterr().err == "normgraph: interrupted\n"
    assert contents(folder) == before


def test_an_error_of_our_own_is_told_from_a_broken_guarantee(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr(api, "fuse_normalizations", broken)
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


@pytest.mark.parametrize(
    ("words", "status"),
    [
        pytest.param([], 2, id="nothing"),
        pytest.param(["--help"], 0, id="help"),
        pytest.param(["optimize", "--help"], 0, id="help of optimize"),
        pytest.param(["explain", "--help"], 0, id="help of explain"),
        pytest.param(["--version"], 0, id="version"),
        pytest.param(["optimize"], 2, id="no model"),
        pytest.param(["optimize", "x", "--target", "abacus"], 2, id="no such target"),
    ],
)
def test_help_and_usage_errors_import_nothing_heavy(
    words: Sequence[str], status: int, tmp_path: Path
) -> None:
    code = (
        f"import sys; from normgraph.cli import main; status = main({list(words)!r}); "
        f"found = {set(HEAVY)!r} & set(sys.modules); sys.exit(f'imported {{found}}' if found else status)"
    )
    environment = {**os.environ, "PYTHONPATH": str(FOLDER.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert done.stdout if status == 0 else done.stderr


def test_help_has_examples_and_knows_every_target(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(targets.TARGETS) == set(arguments.TARGETS)
    assert targets.DEFAULT_TARGET == arguments.DEFAULT_TARGET
    for name in ("optimize", "explain"):
        assert main([name, "--help"]) == 0
        assert f"examples:\n  normgraph {name} " in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert f"onnx {onnx.__version__}" in capsys.readouterr().out


def test_the_default_output_is_beside_the_input(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = (folder / "model.onnx").read_bytes()
    (folder / "sub").mkdir()
    (folder / "model.onnx").rename(folder / "sub" / "model.onnx")
    assert main(["optimize", "sub/model.onnx"]) == 0
    assert sorted(contents(folder)) == [
        str(folder / "sub" / name) for name in ("model.onnx", "model.opt.onnx")
    ]
    assert (folder / "sub" / "model.onnx").read_bytes() == source
    assert "written to sub/model.opt.onnx" in capsys.readouterr().out
    onnx.checker.check_model(onnx.load(folder / "sub" / "model.opt.onnx"), full_check=True)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("model.onnx", "model.opt.onnx", id="usual"),
        pytest.param("MODEL.ONNX", "MODEL.opt.onnx", id="upper case"),
        pytest.param("model", "model.opt.onnx", id="no suffix"),
        pytest.param("model.v2.pb", "model.v2.pb.opt.onnx", id="other suffix"),
        pytest.param("model.opt.onnx", "model.opt.opt.onnx", id="an output"),
    ],
)
def test_the_default_output_keeps_the_name(name: str, expected: str, folder: Path) -> None:
    (folder / "model.onnx").rename(folder / name)
    assert main(["optimize", name, "--quiet"]) == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted([name, expected])


def test_in_place_changes_the_input_and_only_if_there_is_something_to_change(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["optimize", "model.onnx", "-o", "expected.onnx"]) == 0
    assert main(["optimize", "model.onnx", "--in-place"]) == 0
    first = (folder / "model.onnx").stat()
    assert (folder / "model.onnx").read_bytes() == (folder / "expected.onnx").read_bytes()
    assert "written to model.onnx" in capsys.readouterr().out
    assert main(["optimize", "model.onnx", "--in-place"]) == 0
    assert (folder / "model.onnx").stat().st_ino == first.st_ino
    assert "the input is left as it is" in capsys.readouterr().out


def test_a_dry_run_writes_no_model_but_the_report(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["optimize", "model.onnx", "--dry-run", "--report", "report.json"]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["model.onnx", "report.json"]
    report = json.loads((folder / "report.json").read_text("utf-8"))
    assert report["output"] is None
    assert [site["status"] for site in report["sites"]] == ["near_miss", "fused"]
    assert "1 would be fused, 1 near miss" in capsys.readouterr().out


def test_report_and_json_are_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "report.json").write_text("of an earlier run")
    assert main(["optimize", "model.onnx", "--report", "report.json", "--json"]) == 0
    printed = capsys.readouterr().out
    assert printed == (folder / "report.json").read_text("utf-8")
    assert json.loads(printed)["output"] == "model.opt.onnx"
    assert main(["explain", "model.onnx", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == normgraph.explain("model.onnx").to_dict()


def test_a_report_can_go_where_no_file_can(folder: Path) -> None:
    assert main(["optimize", "model.onnx", "--quiet", "--report", os.devnull]) == 0
    assert Path(os.devnull).is_char_device()


def test_quiet_prints_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["optimize", "model.onnx", "-q"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("words", "opset"),
    [
        pytest.param([], 17, id="as far as needed"),
        pytest.param(["--opset", "13"], 13, id="not at all"),
        pytest.param(["--opset", "18"], 18, id="beyond"),
    ],
)
def test_opset_is_what_was_asked_for(words: Sequence[str], opset: int, folder: Path) -> None:
    assert main(["optimize", "model.onnx", "-q", "--report", "report.json", *words]) == 0
    model = onnx.load("model.opt.onnx")
    assert [entry.version for entry in model.opset_import if not entry.domain] == [opset]
    report = json.loads((folder / "report.json").read_text("utf-8"))
    assert report["opset"] == {"before": 13, "after": opset}
    assert [site["status"] for site in report["sites"]] == ["near_miss", "kept" if opset < 17 else "fused"]


def test_an_opset_below_the_model_is_a_broken_guarantee(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["optimize", "model.onnx", "--opset", "11"]) == 1
    assert "can only be raised" in capsys.readouterr().err


def test_external_data_is_counted_and_kept_external(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "model.onnx"
    onnx.save(onnx.load(BERT), source, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert main(["optimize", str(source)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "model.onnx",
        "model.opt.onnx",
        "model.opt.onnx.data",
        "weights.bin",
    ]
    before, after = (
        file_size(sum(path.stat().st_size for path in tmp_path.iterdir() if (".opt" in path.name) is written))
        for written in (False, True)
    )
    assert f" · {before} → {after} · " in capsys.readouterr().out


def test_a_native_model_is_listed_and_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["optimize", str(NATIVE), "-o", str(tmp_path / "out.onnx")]) == 0
    assert "LayerNormalization · 1 native" in capsys.readouterr().out
    assert onnx.load(tmp_path / "out.onnx").graph.node == onnx.load(NATIVE).graph.node
