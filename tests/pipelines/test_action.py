"""The GitHub Action: what its steps run, run here."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
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
    return run_step("Check the models", folder, given_inputs, f'exec "{sys.executable}" "$@"')


def run_step(
    name: str, folder: Path, given_inputs: dict[str, str], python: str, **further: str
) -> subprocess.CompletedProcess[str]:
    """Run a step as a runner does.

    Args:
        name: the step's name.
        folder: the checkout of whoever uses the action.
        given_inputs: the inputs that they give; the others have their defaults.
        python: what the program `python` does, as lines of a shell script.
        further: further variables of the environment.
    """
    inputs = {name: row.get("default", "") for name, row in ACTION["inputs"].items()} | given_inputs
    (step,) = (step for step in STEPS if step.get("name") == name)
    variables = {name: given(value, inputs) for name, value in step["env"].items()}
    scripts = folder.parent / "scripts"
    scripts.mkdir(exist_ok=True)
    (scripts / "python").write_text(f"#!/bin/sh\n{python}\n")
    (scripts / "python").chmod(0o755)
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],  # as a runner calls it
        cwd=folder,
        env={
            **os.environ,
            **variables,
            "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            **further,
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


def schema(name: str) -> dict[str, Any]:
    """One of the schemas that are published for GitHub's files."""
    package = pytest.importorskip("check_jsonschema")
    path = Path(package.__file__).parent / "builtin_schemas" / "vendor" / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def test_it_is_as_the_published_schema_says() -> None:
    form = jsonschema.Draft7Validator(schema("github-actions"))
    form.validate(ACTION)
    assert not form.is_valid({**ACTION, "runs": {**ACTION["runs"], "using": "abacus"}})
    assert not form.is_valid({**ACTION, "runs": {"using": "composite", "steps": [{"run": "true"}]}})


def test_the_workflow_of_the_documentation_is_one_and_gives_inputs_that_there_are() -> None:
    page = (ROOT / "docs" / "how-to" / "ci.md").read_text("utf-8")
    (text,) = re.findall(r"```yaml\n# \.github/workflows/models\.yml\n(.*?)```", page, re.DOTALL)
    workflow = yaml.safe_load(text.replace("\non:", '\n"on":'))
    jsonschema.Draft7Validator(schema("github-workflows")).validate(workflow)
    _, ours, upload = workflow["jobs"]["check"]["steps"]
    assert set(ours["with"]) <= set(ACTION["inputs"])
    assert upload["with"]["sarif_file"] == ACTION["inputs"]["sarif"]["default"]


def test_a_runner_has_a_value_for_every_expression() -> None:
    text = (ROOT / "action.yml").read_text("utf-8")
    assert all(re.fullmatch(r"inputs\.[\w-]+", found.strip()) for found in re.findall(r"\$\{\{(.*?)\}\}", text))
    (setup,) = (step for step in STEPS if step.get("uses", "").startswith("actions/setup-python@"))
    assert setup["with"] == {"python-version": "${{ inputs.python-version }}"}
    assert given(ACTION["outputs"]["sarif"]["value"], {"sarif": "a.sarif"}) == "a.sarif"


@pytest.mark.parametrize(
    ("install", "expected"),
    [
        pytest.param("", "/actions/our normgraph/v1[cpu]", id="the action's own version"),
        pytest.param("normgraph[gpu]==0.1.0", "normgraph[gpu]==0.1.0", id="another"),
        pytest.param("$(touch pwned) `touch pwned`", "$(touch pwned) `touch pwned`", id="no code"),
    ],
)
def test_pip_installs_what_is_asked_for(install: str, expected: str, folder: Path) -> None:
    python = 'for word in "$@"; do echo "$word"; done'
    path = {"GITHUB_ACTION_PATH": "/actions/our normgraph/v1"}
    done = run_step("Install normgraph", folder, {"install": install}, python, **path)
    assert done.returncode == 0
    assert done.stdout.splitlines() == ["-m", "pip", "install", "--disable-pip-version-check", expected]
    assert not (folder / "pwned").exists()


@pytest.mark.slow
def test_what_is_installed_checks(folder: Path, tmp_path: Path) -> None:
    """The whole action in a row, pip's index aside: the checkout of the action, installed, and no other normgraph."""
    action, target = tmp_path / "action", tmp_path / "installed"
    ignored = shutil.ignore_patterns("__pycache__", ".*", "docs", "tests", "models", "benchmarks")
    shutil.copytree(ROOT, action, symlinks=True, ignore=ignored)
    python = f'exec "{sys.executable}" "$@"'
    pip = dict.fromkeys(("PIP_NO_DEPS", "PIP_NO_INDEX"), "1") | {"PIP_NO_BUILD_ISOLATION": "0"}
    where = {"GITHUB_ACTION_PATH": str(action), "PIP_TARGET": str(target), **pip}
    installed = run_step("Install normgraph", folder, {}, python, **where)
    assert installed.returncode == 0, installed.stderr
    inputs = {"models": "exports", "expect": "decomposed=0"}
    done = run_step("Check the models", folder, inputs, python, PYTHONPATH=str(target))
    assert done.returncode == 1, done.stderr
    assert done.stdout.count("::error file=exports/") == 2


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


@pytest.mark.parametrize(
    ("optimized", "status"), [("true", 0), ("false", 1), ("", 1), ("True", 2), ("yes", 2), ("$(touch pwned)", 2)]
)
def test_a_flag_is_true_or_false_and_nothing_is_guessed(optimized: str, status: int, folder: Path) -> None:
    done = check(folder, models="exports/bert.onnx", expect="decomposed=0", optimized=optimized)
    assert done.returncode == status
    assert ("must be true or false" in done.stdout) == (status == 2)


def test_forbidden_things_may_be_separated_by_commas_and_lines(folder: Path) -> None:
    done = check(folder, models="exports\n", forbid="near-miss,\ntraining-mode-bn, decomposed", sarif="a b.sarif")
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 3
    assert (folder / "a b.sarif").exists()


def test_a_model_is_never_an_option(folder: Path) -> None:
    done = check(folder, models="--update-baseline exports/bert.onnx", expect="nodes>0", baseline="base.json", sarif="")
    assert done.returncode == 2
    assert "--update-baseline" in done.stderr + done.stdout
    assert not (folder / "base.json").exists()


def test_the_contract_of_the_checkout_is_enough(folder: Path) -> None:
    (folder / "normgraph.toml").write_text('[check]\nmodels = "exports"\nexpect = "nodes < 500"\n')
    assert check(folder).returncode == 0
