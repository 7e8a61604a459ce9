"""Processes in which other tools work, in the environment in which they are installed: see `tools.py`."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools import DISTRIBUTIONS, NOT_INSTALLED

FOLDER = Path(__file__).resolve().parent
#: The answer for a model on which a tool's process ended.
CRASHED: Mapping[str, Any] = {"failure": "the process ended"}


def command_of(interpreter: str, script: str, *arguments: str | Path) -> list[str]:
    """The command that runs a script of this folder in another interpreter."""
    return [interpreter, str(FOLDER / script), *map(str, arguments)]


def worker_environment() -> dict[str, str]:
    """The environment in which it is run: this normgraph is there too, its bytecode kept as the tools' is."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**environment, "PYTHONPATH": os.pathsep.join([str(FOLDER.parent), os.environ.get("PYTHONPATH", "")])}


def answers_of(
    command: Sequence[str], jobs: Sequence[Mapping[str, Any]], *, patience: float, batch: int | None = None
) -> list[Mapping[str, Any]] | None:
    """Let a tool work off some models; after a crash, go on behind the model that it crashed on.

    Args:
        command: starts it; reads a job a line, and answers each with a line, as `tools.work_off` does.
        jobs: what it reads, as JSON.
        patience: seconds for all jobs of a process; after that, it counts as crashed.
        batch: jobs for one process; None for all.

    Returns:
        An answer for each job; None if the tool isn't installed.
    """
    found: list[Mapping[str, Any]] = []
    while len(found) < len(jobs):
        part = jobs[len(found) :][:batch]
        text = "".join(json.dumps(job) + "\n" for job in part).encode()
        try:
            done = subprocess.run(
                command, input=text, env=worker_environment(), capture_output=True, timeout=patience, check=False
            )
            status, printed = done.returncode, done.stdout
        except subprocess.TimeoutExpired as expired:
            status, printed = None, expired.stdout or b""
        if status == NOT_INSTALLED:
            return None
        answers = [json.loads(line) for line in printed.splitlines()]
        found += answers if len(answers) == len(part) else [*answers, CRASHED]
    return found


def versions_of(interpreter: str) -> dict[str, str]:
    """The versions of the tools in their environment, of those that are there, by distribution."""
    code = (
        "from importlib.metadata import version, PackageNotFoundError as E\n"
        f"for n in {list(dict.fromkeys(DISTRIBUTIONS.values()))}:\n"
        "    try: print(n, version(n))\n"
        "    except E: pass"
    )
    printed = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=True).stdout
    return dict(line.split(" ", 1) for line in printed.splitlines())


def versions_in_words(interpreter: str) -> str:
    """The same as a text."""
    return ", ".join(f"{name} {version}" for name, version in versions_of(interpreter).items())
