"""The command line: what it imports, what it writes, and where."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import onnx
import pytest

import normgraph
from normgraph import targets
from normgraph.cli import main
from normgraph.cli.options import shared
from normgraph.cli.text import file_size
from tests.commands import BERT, NEAR_MISSES, contents
from tests.samples import FOLDER

NATIVE = FOLDER / "samples" / "layer_norm_sentences_dynamo_18.onnx"
HEAVY = ("numpy", "onnx", "onnx_ir", "onnxruntime", "rich")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in, with a model in it."""
    shutil.copy(NEAR_MISSES, tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "status"),
    [
        pytest.param([], 2, id="nothing"),
        pytest.param(["--help"], 0, id="help"),
        pytest.param(["optimize", "--help"], 0, id="help of optimize"),
        pytest.param(["explain", "--help"], 0, id="help of explain"),
        pytest.param(["--version"], 0, id="version"),
        pytest.param(
            ["--print-completion", "bash"],
            0,
            id="completion",
            marks=pytest.mark.skipif(find_spec("shtab") is None, reason="shtab isn't installed"),
        ),
        pytest.param(["optimize"], 2, id="no model"),
        pytest.param(["optimize", "x", "--target", "abacus"], 2, id="no such target"),
    ],
)
def test_help_and_usage_errors_import_nothing_heavy(words: Sequence[str], status: int, tmp_path: Path) -> None:
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
    assert set(targets.TARGETS) == set(shared.TARGETS)
    assert targets.DEFAULT_TARGET == shared.DEFAULT_TARGET
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
    assert sorted(contents(folder)) == [str(folder / "sub" / name) for name in ("model.onnx", "model.opt.onnx")]
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


def test_in_place_writes_what_was_only_folded(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(FOLDER / "samples" / "resnet_torchscript_13.onnx", "model.onnx")
    before = (folder / "model.onnx").read_bytes()
    assert main(["optimize", "model.onnx", "--in-place"]) == 0
    assert "20 folded" in capsys.readouterr().out
    assert (folder / "model.onnx").read_bytes() != before


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


def test_what_could_be_done_depends_on_the_target(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(FOLDER / "samples" / "llama_torchscript_13.onnx", "model.onnx")
    rules = []
    for words in (["--target", "onnxruntime@1.22"], ["--target", "onnxruntime@1.22", "--allow-contrib"], []):
        assert main(["explain", "model.onnx", "--json", *words]) == 0
        rules.append({site["rule"] for site in json.loads(capsys.readouterr().out)["sites"]})
    assert rules == [{"no-operator"}, {"not-fused"}, {"not-fused"}]


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


def test_an_opset_below_the_model_is_a_broken_guarantee(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["optimize", "model.onnx", "--opset", "11"]) == 1
    assert "can only be raised" in capsys.readouterr().err


def test_external_data_is_counted_and_kept_external(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
