"""Walks through normgraph in CI as a new user meets it, in a scratch repository, and writes down what was printed.

    python benchmarks/ci_walkthrough.py [--write] [--readme]

Everything is real: pip installs this checkout into a fresh environment, pre-commit clones it and makes one of its own,
git commits or is kept from it. Both need a package index. With --readme the two commands of the README are run, each
on a fresh copy of what is committed, and timed; that takes a quiet machine, and the whole suite's time. With --write
docs/ci-walkthrough.md gets what was printed, and the times.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import onnx
from tables import surroundings, table_of, write_section

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "models" / "samples"
PAGE = "ci-walkthrough.md"

CONTRACT = """\
[check]
models = ["exports/*.onnx"]
baseline = "normgraph-baseline.json"
forbid = ["training-mode-bn"]

[[check.contract]]
models = ["exports/bert.onnx"]
optimized = true
expect = ["LayerNormalization = 5", "decomposed = 0"]
max-error = 0.01
"""
HOOKS = """\
repos:
  - repo: {checkout}
    rev: {revision}
    hooks:
      - id: normgraph-check
"""
CI = """\
#!/bin/sh
# What the CI service runs.
exec normgraph check --write junit=normgraph.xml --write sarif=normgraph.sarif
"""


@dataclass
class Walk:
    """A walk through a scratch repository.

    Attributes:
        folder: where everything is.
        steps: what has been told so far, as Markdown.
    """

    folder: Path
    steps: list[str] = field(default_factory=list)

    @property
    def repository(self) -> Path:
        """The scratch repository."""
        return self.folder / "app"

    def tell(self, text: str) -> None:
        """Write a paragraph, or a heading."""
        self.steps.append(text)

    def put(self, name: str, text: str, language: str, *, shown: str | None = None) -> None:
        """Write a file, and show it."""
        path = self.repository / name
        path.write_text(text, "utf-8")
        self.steps.append(f"`{name}`:\n\n```{language}\n{(shown or text).rstrip()}\n```")

    def run(self, command: str, *, status: int = 0) -> None:
        """Run a command line in the repository, and show it with what it printed.

        Raises:
            RuntimeError: its exit status isn't the one that it should have.
        """
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.repository,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        printed = self.settled(done.stdout + done.stderr)
        if done.returncode != status:
            raise RuntimeError(f"{command}: exit status {done.returncode}, not {status}\n{printed}")
        ending = f"\n(exit status {status})" if status else ""
        self.steps.append(
            f"```text\n$ {self.settled(command)}\n{printed.rstrip()}{ending}\n```".replace("\n\n```", "\n```")
        )

    def environment(self) -> dict[str, str]:
        """The variables of a new user: this walk's environment first on the path, and no configuration of git."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "PYTHON", "VIRTUAL"))},
            "PATH": f"{self.repository / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PRE_COMMIT_HOME": str(self.folder / "pre-commit"),
            "PRE_COMMIT_COLOR": "never",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_AUTHOR_NAME": "New User", "GIT_AUTHOR_EMAIL": "new@example.org",
            "GIT_COMMITTER_NAME": "New User", "GIT_COMMITTER_EMAIL": "new@example.org",
        }  # fmt: skip

    def settled(self, text: str) -> str:
        """What was printed, without the places of this machine, and what no two runs share."""
        lines = [line for line in text.splitlines() if not line.startswith(("WARNING: Location", "[notice]"))]
        text = "\n".join(lines)
        for path, name in ((str(self.repository), "app"), (str(self.folder), "~"), (str(ROOT), "normgraph")):
            text = text.replace(path, name)
        return re.sub(r"\b[0-9a-f]{7,40}\b", "0123abc", text)

    def export(self, sample: str, producer_version: str) -> onnx.ModelProto:
        """A sample as an exporter of that version would have written it."""
        model = onnx.load(SAMPLES / f"{sample}.onnx")
        model.producer_version = producer_version
        onnx.save(model, self.repository / "exports" / "bert.onnx")
        return model


def broken(model: onnx.ModelProto, count: int) -> onnx.ModelProto:
    """The model with epsilon outside of the root in so many norms: √(v + ε) becomes √v + ε."""
    by_output = {output: node for node in model.graph.node for output in node.output}
    roots = [node for node in model.graph.node if node.op_type == "Sqrt"][-count:]
    for root in roots:
        shift = by_output[root.input[0]]
        shift.op_type, root.op_type = "Sqrt", "Add"
        variance, epsilon = shift.input
        del shift.input[1:]
        shift.input[0] = variance
        root.input.append(epsilon)
    return model


def walk(folder: Path) -> str:
    """Walk through it, and return what it showed as Markdown."""
    taken = Walk(folder)
    (taken.repository / "exports").mkdir(parents=True)
    taken.tell("## A repository with an export in it")
    taken.export("bert_torchscript_13", "2.13.0")
    taken.run("git init --quiet && git add exports && git commit --quiet --message 'Export' && ls exports")
    taken.run(f"python3 -m venv .venv && .venv/bin/pip install --quiet '{ROOT}[cpu]' pre-commit && normgraph --version")
    (taken.repository / ".gitignore").write_text(".venv/\nnormgraph.xml\nnormgraph.sarif\n")

    taken.tell("## A contract, and a baseline")
    taken.put("normgraph.toml", CONTRACT, "toml")
    taken.run("normgraph check", status=2)
    taken.tell("There is no baseline yet, and the message says how to make one.")
    taken.run("normgraph check --update-baseline")
    taken.run("normgraph check")

    taken.tell("## A hook, and a script for CI")
    revision = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True).strip()
    shown = HOOKS.format(checkout="https://github.com/OWNER/normgraph", revision="v0.1.0")
    taken.put(".pre-commit-config.yaml", HOOKS.format(checkout=ROOT, revision=revision), "yaml", shown=shown)
    taken.put("ci.sh", CI, "sh")
    taken.run("chmod +x ci.sh && ./ci.sh")
    taken.run("pre-commit install && git add . && git commit --quiet --message 'Check exports'")

    taken.tell(
        "## The exporter is upgraded, and writes norms in another way\n\nThe same network, from PyTorch's other "
        "exporter: other operators, other nodes, another opset. Nothing is lost, and the check passes."
    )
    taken.export("bert_dynamo_decomposed_18", "2.14.0")
    taken.run("./ci.sh")
    taken.run("git add . && git commit --quiet --message 'New exporter' && git log --oneline")

    taken.tell(
        "## The exporter is upgraded, and two norms aren't norms any more\n\nEpsilon is now added to the standard "
        "deviation, in two of the five. The model still loads, and still runs."
    )
    onnx.save(broken(taken.export("bert_torchscript_13", "2.15.0"), 2), taken.repository / "exports" / "bert.onnx")
    taken.run("./ci.sh", status=1)
    taken.run("git add . && git commit --quiet --message 'Newest exporter'", status=1)
    taken.tell("Nothing was committed. What a CI service makes its annotations of is in the files:")
    taken.run('grep -c \'<failure\' normgraph.xml; grep -o \'"ruleId": "[^"]*"\' normgraph.sarif')
    return "\n\n".join(taken.steps)


def readme(folder: Path) -> str:
    """Run the two commands of the README, each on a fresh copy of the checkout, and return their times as Markdown."""
    commands = re.findall(r"^python3 -m venv .*$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    rows = []
    for number, command in enumerate(commands):
        copy = folder / f"copy-{number}"
        copy.mkdir()
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True)
        subprocess.run(["tar", "--extract"], cwd=copy, input=archive.stdout, check=True)
        environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        started = time.perf_counter()
        done = subprocess.run(
            ["bash", "-c", command], cwd=copy, env=environment, capture_output=True, text=True, check=False
        )
        seconds = time.perf_counter() - started
        if done.returncode:
            raise RuntimeError(f"{command}\n{done.stdout}{done.stderr}")
        last = done.stdout.strip().splitlines()[-1]
        rows.append((f"`{command}`", f"{seconds:.0f} s", last))
        shutil.rmtree(copy)
    table = table_of("The two commands of the README", ("command", "time", "its last line"), rows)
    return f"## The README's commands, timed\n\n{surroundings()}\n\n{table.markdown()}"


def main() -> None:
    """Walk, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"put it into docs/{PAGE}")
    parser.add_argument("--readme", action="store_true", help="also run and time the two commands of the README")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="walkthrough-") as folder:
        put("walkthrough", walk(Path(folder)), write=options.write)
        if options.readme:
            put("readme", readme(Path(folder)), write=options.write)


def put(name: str, text: str, *, write: bool) -> None:
    """Write a section into the page, or print it; at once, so that it isn't lost with one that fails."""
    if write:
        write_section(PAGE, name, text)
    else:
        sys.stdout.write(f"{text}\n\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
