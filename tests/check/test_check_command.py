"""`normgraph check` as it is run: what it prints and writes, and its exit status."""

import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import onnx
import pytest

from normgraph.check.quantities import FORBIDDEN, QUANTITIES
from normgraph.cli import main
from tests.commands import BERT, NEAR_MISSES, stay_in_this_process
from tests.samples import FOLDER
from tests.test_architecture import ROOT


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in: two models, one of them in a folder of its own."""
    (tmp_path / "exports").mkdir()
    shutil.copy(BERT, tmp_path / "exports" / "bert.onnx")
    shutil.copy(NEAR_MISSES, tmp_path / "model.onnx")
    stay_in_this_process(monkeypatch)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(*words: str) -> int:
    return main(["check", "--jobs", "1", *words])


@pytest.mark.parametrize(
    ("words", "status"),
    [
        pytest.param(["model.onnx", "--expect", "near_misses=1"], 0, id="it holds"),
        pytest.param(["model.onnx", "--expect", "near_misses=0"], 1, id="it doesn't"),
        pytest.param(["model.onnx", "--forbid", "near-miss"], 1, id="it is forbidden"),
        pytest.param(["absent.onnx", "model.onnx", "--expect", "near_misses=0"], 2, id="a model is broken"),
        pytest.param(["model.onnx"], 2, id="nothing to check"),
        pytest.param(["--expect", "nodes>0"], 2, id="no model"),
        pytest.param(["no*.onnx", "--expect", "nodes>0"], 2, id="a pattern without models"),
        pytest.param(["model.onnx", "--max-error", "1"], 2, id="an error of no rewrite"),
        pytest.param(["model.onnx", "--forbid", "failed-proof"], 2, id="a proof of no rewrite"),
        pytest.param(["model.onnx", "--forbid", "failed-proof", "--optimized"], 0, id="no failed proof"),
        pytest.param(["model.onnx", "--expect", "fused=1"], 2, id="the number of no rewrites"),
        pytest.param(["model.onnx", "--expect", "fused=1", "--optimized"], 0, id="the number of rewrites"),
        pytest.param(["model.onnx", "--forbid", "near-miss, decomposed"], 1, id="two things at once"),
        pytest.param(["model.onnx", "--forbid", "decomposed,near-mis"], 2, id="nothing to forbid"),
        pytest.param(["model.onnx", "--expect", "nodes>0", "--threads", "1"], 2, id="threads for no latency"),
        pytest.param(["", "--expect", "nodes>0"], 2, id="an empty name"),
        pytest.param(["model.onnx", "--max-error", "-1", "--optimized"], 2, id="an error that is none"),
        pytest.param(["model.onnx", "--expect", "nodes>0", "--update-baseline"], 2, id="no baseline to update"),
        pytest.param(["model.onnx", "--baseline", "absent.json"], 2, id="no baseline to compare with"),
        pytest.param(["model.onnx", "--expect", "nodes>0", "--write", "text=x"], 2, id="no such form"),
        pytest.param(["model.onnx", "--expect", "nodes>0", "--write", "json=no/x"], 2, id="no such folder"),
        pytest.param(["model.onnx", "--expect", "nodes>0", "--config", "absent.toml"], 2, id="no such configuration"),
        pytest.param(["model.onnx", "--expect", "nodes>0", "--jobs", "0"], 2, id="no process"),
    ],
)
def test_the_exit_status_tells(words: list[str], status: int, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(*words) == status
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err
    assert printed.out or printed.err.count("\n") == 1


def test_what_does_not_hold_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(".", "--expect", "decomposed=0") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "exports/bert.onnx · failed"
    assert lines[1].startswith("  decomposed = 0: found 5; `normgraph optimize` would change that")
    assert lines[3].startswith("    encoder.layer.{0,1}.attention.output.LayerNorm (2×): it is spelled out in nodes")
    assert lines[-2] == "2 failed"


def test_quiet_tells_only_what_does_not_hold(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(".", "--expect", "decomposed<=1", "-q") == 1
    assert capsys.readouterr().out.splitlines()[0] == "exports/bert.onnx · failed"
    assert check("model.onnx", "--expect", "decomposed<=1", "-q") == 0
    assert capsys.readouterr().out == ""


def test_one_broken_model_does_not_stop_the_rest(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "broken.onnx").write_bytes(b"no model")
    words = ["--jobs", "2", "--format", "json", "--expect", "nodes>0"]
    assert main(["check", "broken.onnx", "model.onnx", "exports", *words]) == 2
    told = json.loads(capsys.readouterr().out)
    assert [(model["model"], model["status"]) for model in told["models"]] == [
        ("broken.onnx", "broken"),
        ("model.onnx", "passed"),
        ("exports/bert.onnx", "passed"),
    ]


def test_several_forms_are_written_at_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--write", "sarif=out.sarif", "--write", "junit=out.xml", "--write", "json=out.json"]
    assert check("model.onnx", "--forbid", "near-miss", "--format", "github", *words) == 1
    assert capsys.readouterr().out.startswith("::error file=model.onnx,")
    assert len(json.loads((folder / "out.sarif").read_text("utf-8"))["runs"][0]["results"]) == 1
    assert ElementTree.parse(folder / "out.xml").getroot().get("failures") == "1"
    assert not json.loads((folder / "out.json").read_text("utf-8"))["passed"]


def test_a_baseline_is_written_kept_and_compared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["exports", "model.onnx", "--baseline", "baseline.json"]
    assert check(*words, "--update-baseline") == 0
    assert "baseline written to baseline.json" in capsys.readouterr().out
    assert check(*words) == 0
    shutil.copy(NEAR_MISSES, folder / "new.onnx")
    capsys.readouterr()
    assert check("new.onnx", "--baseline", "baseline.json") == 1
    assert "isn't in the baseline" in capsys.readouterr().out
    assert check("new.onnx", "--baseline", "baseline.json", "--update-baseline") == 0
    assert list(json.loads((folder / "baseline.json").read_text("utf-8"))["models"]) == [
        "exports/bert.onnx",
        "model.onnx",
        "new.onnx",
    ]


def test_an_upgrade_of_the_exporter_that_loses_norms_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["exports", "--baseline", "baseline.json"]
    assert check(*words, "--update-baseline") == 0
    model = onnx.load("exports/bert.onnx")
    model.producer_version = "99.0"
    root = next(node for node in model.graph.node if node.op_type == "Sqrt")
    root.op_type = "Neg"
    onnx.save(model, "exports/bert.onnx")
    capsys.readouterr()
    assert check(*words) == 1
    out = capsys.readouterr().out
    assert "1 LayerNormalization can't be fused any more (5 in the baseline, 4 now)" in out
    assert "since the exporter changed: pytorch 2.13.0 → pytorch 99.0" in out
    assert "embeddings.LayerNorm: it is a near miss" in out


def test_the_contract_stands_in_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "pyproject.toml").write_text(
        '[tool.normgraph.check]\nmodels = ["exports"]\n'
        '[[tool.normgraph.check.contract]]\nmodels = "exports/*"\nexpect = "decomposed = 0"\n'
    )
    assert check() == 1
    assert capsys.readouterr().out.startswith("exports/bert.onnx · failed")
    assert check("--optimized") == 0
    assert check("model.onnx", "--expect", "near_misses=1") == 0


def test_a_contract_that_is_no_models_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "normgraph.toml").write_text(
        '[check]\nmodels = ["exports"]\n[[check.contract]]\nmodels = "exports/bart*"\nexpect = "decomposed = 0"\n'
    )
    assert check() == 2
    assert "matches 'exports/bart*': normgraph.toml, contract 1" in capsys.readouterr().err
    assert check("model.onnx", "--expect", "near_misses=1") == 0  # of what is named here nothing else is asked


def test_a_model_that_is_gone_is_worse_than_the_baseline(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "normgraph.toml").write_text('[check]\nmodels = ["**/*.onnx"]\nbaseline = "baseline.json"\n')
    assert check("--update-baseline") == 0
    assert check() == 0
    (folder / "model.onnx").rename(folder / "renamed.onnx")
    assert check("exports", "-q") == 0
    capsys.readouterr()
    assert check("--format", "json") == 1
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, json.loads((ROOT / "normgraph" / "check.schema.json").read_text("utf-8")))
    told = {model["model"]: model for model in document["models"]}
    assert told["model.onnx"]["status"] == "failed"
    assert "isn't there any more" in told["model.onnx"]["findings"][0]["failure"]
    assert check("--update-baseline") == 0
    known = json.loads((folder / "baseline.json").read_text("utf-8"))["models"]
    assert list(known) == ["exports/bert.onnx", "renamed.onnx"]
    assert check() == 0


def test_every_quantity_and_every_thing_to_forbid_is_documented() -> None:
    text = (FOLDER.parent / "docs" / "command-line.md").read_text("utf-8")
    quantities = text.partition("### Quantities")[2].partition("###")[0]
    assert set(re.findall(r"^\| `([a-z_]+)` \|", quantities, re.MULTILINE)) == {
        name for name in QUANTITIES if name.islower()
    }
    forbidden = text.partition("### What can be forbidden")[2].partition("###")[0]
    assert set(re.findall(r"^\| `([a-z-]+)` \|", forbidden, re.MULTILINE)) == set(FORBIDDEN)


def test_without_a_list_the_models_of_the_contracts_are_checked(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "normgraph.toml").write_text(
        '[[check.contract]]\nmodels = ["exports/*.onnx"]\nexpect = "decomposed = 5"\n'
        '[[check.contract]]\nmodels = "m*.onnx"\nexpect = "near_misses = 1"\n'
    )
    assert check() == 0
    assert "2 passed" in capsys.readouterr().out
    (folder / "model.onnx").unlink()
    assert check() == 2
    assert "there is none: m*.onnx" in capsys.readouterr().err
