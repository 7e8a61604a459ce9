"""The hooks for pre-commit: run by pre-commit itself on a repository with models in it, without network."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.commands import BERT
from tests.samples import FOLDER

ROOT = FOLDER.parent
HOOKS = {hook["id"]: hook for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))}
pytest.importorskip("pre_commit")


def run(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command with `normgraph` on its path, as the environment that pre-commit makes has it."""
    scripts = cwd.parent / "scripts"
    scripts.mkdir(exist_ok=True)
    program = scripts / "normgraph"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m normgraph "$@"\n')
    program.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PRE_COMMIT_HOME": str(cwd.parent / "cache"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.org",
    }  # fmt: skip
    return subprocess.run(list(map(str, words)), cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def repository(folder: Path, hook: str, arguments: list[str]) -> Path:
    """A repository with a model, a file that is none, and one of our hooks; the hook's environment is this one."""
    folder.mkdir()
    shutil.copy(BERT, folder / "bert.onnx")
    (folder / "notes.txt").write_text("no model")
    # What is installed into an environment of the hook's own needs a network; everything else is as it is published.
    local = {name: value for name, value in HOOKS[hook].items() if name != "additional_dependencies"}
    configured = {**local, "language": "system", "args": arguments}
    config = {"repos": [{"repo": "local", "hooks": [configured]}]}
    (folder / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    assert run("git", "init", "-q", cwd=folder).returncode == 0
    assert run("git", "add", ".", cwd=folder).returncode == 0
    return folder


def pre_commit(folder: Path) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-m", "pre_commit", "run", "--color", "never", cwd=folder)


def test_pre_commit_understands_the_hooks() -> None:
    from pre_commit.clientlib import load_manifest

    assert [hook["id"] for hook in load_manifest(str(ROOT / ".pre-commit-hooks.yaml"))] == list(HOOKS)


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        pytest.param(["--expect", "decomposed=0"], 1, "bert.onnx · failed", id="it fails"),
        pytest.param(["--expect", "decomposed=5"], 0, "Passed", id="it passes"),
        pytest.param([], 1, "there must be something to check", id="nothing to check"),
    ],
)
def test_the_check_runs_before_a_commit(arguments: list[str], status: int, told: str, tmp_path: Path) -> None:
    folder = repository(tmp_path / "repository", "normgraph-check", arguments)
    done = pre_commit(folder)
    assert (done.returncode, told in done.stdout) == (status, True), done.stdout + done.stderr


def test_the_check_reads_the_contract_of_the_repository(tmp_path: Path) -> None:
    folder = repository(tmp_path / "repository", "normgraph-check", [])
    (folder / "normgraph.toml").write_text('[check]\nexpect = "decomposed = 0"\n')
    assert "decomposed = 0: found 5" in pre_commit(folder).stdout


def test_optimizing_fails_once_and_then_passes(tmp_path: Path) -> None:
    folder = repository(tmp_path / "repository", "normgraph-optimize", [])
    done = pre_commit(folder)
    assert done.returncode == 1
    assert "files were modified by this hook" in done.stdout
    assert run("git", "add", ".", cwd=folder).returncode == 0
    assert pre_commit(folder).returncode == 0
