"""The GitHub Action: what its steps run, run here."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.commands import BERT, NEAR_MISSES
from tests.samples import FOLDER

ROOT = FOLDER.parent
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
STEPS = ACTION["runs"]["steps"]


def given(text: str, inputs: dict[str, str]) -> str:
    """What a runner makes of an expression that names inputs."""
    return re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: inputs[found[1]], text)


def check(folder: Path, **given_inputs: str) -> subprocess.CompletedProcess[str]:
    """Run the step that checks, with these inputs and the defaults of the others."""
    inputs = {name: row.get("default", "") for name, row in ACTION["inputs"].items()} | given_inputs
    (step,) = (step for step in STEPS if step.get("name") == "Check the models")
    variables = {name: given(value, inputs) for name, value in step["env"].items()}
    scripts = folder.parent / "scripts"
    scripts.mkdir(exist_ok=True)
    if not (scripts / "python").exists():
        (scripts / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        (scripts / "python").chmod(0o755)
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],  # as a runner calls it
        cwd=folder,
        env={
            **os.environ,
            **variables,
            "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout with models."""
    folder = tmp_path / "checkout"
    (folder / "exports" / "deep").mkdir(parents=True)
    shutil.copy(BERT, folder / "exports" / "bert.onnx")
    shutil.copy(NEAR_MISSES, folder / "exports" / "deep" / "model.onnx")
    return folder


def test_it_is_a_composite_action_whose_inputs_are_used() -> None:
    assert ACTION["runs"]["using"] == "composite"
    assert all({"uses", "run"} & set(step) and ("shell" in step) == ("run" in step) for step in STEPS)
    text = (ROOT / "action.yml").read_text("utf-8")
    used = set(re.findall(r"inputs\.([\w-]+)", text))
    assert used == set(ACTION["inputs"])
    assert all(row["description"] and "default" in row for row in ACTION["inputs"].values())


def test_no_input_becomes_text_of_a_script() -> None:
    assert all("${{" not in step.get("run", "") for step in STEPS)


def test_what_does_not_hold_is_annotated(folder: Path) -> None:
    done = check(folder, models="exports/**/*.onnx", expect="decomposed=0", forbid="near-miss training-mode-bn")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "::error file=exports/bert.onnx",
        "::error file=exports/deep/model.onnx",
        "::error file=exports/deep/model.onnx",
    ]
    assert len(json.loads((folder / "normgraph.sarif").read_text("utf-8"))["runs"][0]["results"]) == 3


def test_all_inputs_reach_the_command(folder: Path) -> None:
    inputs = {"models": "exports/bert.onnx", "optimized": "true", "target": "openvino", "sarif": ""}
    assert check(folder, **inputs, expect="LayerNormalization=5, decomposed=0").returncode == 0
    assert not (folder / "normgraph.sarif").exists()
    done = check(folder, **inputs, baseline="absent.json")
    assert done.returncode == 2
    assert "the baseline must be readable: absent.json" in done.stderr


def test_what_a_caller_writes_is_no_code(folder: Path) -> None:
    done = check(folder, models="exports/bert.onnx", expect="$(touch pwned)`touch pwned`; touch pwned", forbid="a;b")
    assert done.returncode == 2
    assert not (folder / "pwned").exists()


def test_a_model_is_never_an_option(folder: Path) -> None:
    done = check(folder, models="--update-baseline exports/bert.onnx", expect="nodes>0", baseline="base.json", sarif="")
    assert done.returncode == 2
    assert "--update-baseline" in done.stderr + done.stdout
    assert not (folder / "base.json").exists()


def test_the_contract_of_the_checkout_is_enough(folder: Path) -> None:
    (folder / "normgraph.toml").write_text('[check]\nmodels = "exports"\nexpect = "nodes < 500"\n')
    assert check(folder).returncode == 0
