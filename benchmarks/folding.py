"""Which BatchNormalizations each tool folds, whether the result is right, and what that is worth in ONNX Runtime.

    python benchmarks/folding.py [--python INTERPRETER] [--write] [SAMPLE ...]
    python benchmarks/folding.py --models DIR [--budget SECONDS] [--threads N] [--python INTERPRETER] [--write]

The first counts in the samples of models/; the second in the models of DIR, which `models/large.py` writes, and
measures there how fast ONNX Runtime runs the original and what each tool made of it, all in turn in one run, its own
optimizations on.  Each tool optimizes in a process of its own.  None of them needs to be there; INTERPRETER is that of
the environment in which they are installed, beside numpy, onnx and onnxruntime.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

import onnx
from folding_peer import TOOLS, counted
from tables import WIDTH, Table, surroundings, table_of, write_section
from workers import answers_of, command_of, versions_in_words

from normgraph.cli.text import merged

ROOT = Path(__file__).resolve().parent.parent
#: A result is wrong where it differs by more than this from the original, relative to its largest element.
TOLERANCE = 1e-4
#: Seconds for all models that are left; a tool that takes longer is stopped, and the model at hand counts as failed.
PATIENCE = 1200
OWN = "normgraph"
#: The name of a node or tensor in a reason.
_QUOTED = re.compile(r"(?<!\w)'[^']*'(?!\w)")

Answer = Mapping[str, Any]


@dataclass(frozen=True)
class Subject:
    """A model to work on.

    Attributes:
        name: of its row.
        path: of its file.
        sample: its inputs, as the manifest describes them.
    """

    name: str
    path: Path
    sample: Mapping[str, Any]


def samples(names: Sequence[str]) -> list[Subject]:
    """The samples of models/ that have BatchNormalizations with stored statistics, or those of them that are named."""
    known = json.loads((ROOT / "models" / "manifest.json").read_text("utf-8"))["samples"]
    return [
        Subject(Path(sample["file"]).stem, ROOT / "models" / sample["file"], sample)
        for sample in known
        if any(norm["statistics"] == "running" and norm["form"] != "folded" for norm in sample["norms"])
        and (not names or Path(sample["file"]).stem in names)
    ]


def models(folder: Path, names: Sequence[str]) -> list[Subject]:
    """The models of a folder that have BatchNormalizations, or those of them that are named; dynamic sizes are one."""
    found = []
    for path in sorted(folder.glob("*.onnx")):
        if names and path.stem not in names:
            continue
        graph = onnx.load(path, load_external_data=False).graph
        if not any(node.op_type == "BatchNormalization" for node in graph.node):
            continue
        inputs, shapes = [], []
        for value in graph.input:
            tensor = value.type.tensor_type
            dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
            inputs.append({"name": value.name, "dtype": dtype, "high": 2 if dtype.startswith("int") else None})
            shapes.append([dim.dim_value or 1 for dim in tensor.shape.dim])
        found.append(Subject(path.stem, path, {"inputs": inputs, "checked_shapes": [shapes]}))
    return found


def made_by(tool: str, subjects: Sequence[Subject], interpreter: str, folder: Path) -> dict[str, Answer]:
    """Let a tool work off the models; after a crash, go on behind the model that it crashed on.

    Returns:
        For each model's name what `folding_peer.py` says of it; nothing if the tool isn't installed.
    """
    folder.mkdir()
    jobs = [{"source": str(subject.path), "sample": subject.sample} for subject in subjects]
    answers = answers_of(command_of(interpreter, "folding_peer.py", tool, folder), jobs, patience=PATIENCE)
    return dict(zip((subject.name for subject in subjects), answers or (), strict=answers is not None))


def verdict(answer: Answer) -> str:
    """Whether a model came out "right" or "wrong", or the tool "failed" on it."""
    if "failure" in answer:
        return "failed"
    return "right" if answer["difference"] <= TOLERANCE else "wrong"


def counts_table(subjects: Sequence[Subject], told: Mapping[str, Mapping[str, Answer]]) -> Table:
    """For each model how many scales per channel it has, how many are left by each tool, and in how many nodes."""
    rows = []
    for subject in subjects:
        before = counted(str(subject.path))
        cells = [cell(answers.get(subject.name)) for answers in told.values()]
        rows.append([subject.name, f"{before['scales']} · {before['linear']} · {before['nodes']}", *cells])
    title = "Scales per channel · linear operators · nodes: before, and as each tool leaves them"
    return table_of(title, ["model", "before", *told], rows)


def cell(answer: Answer | None) -> str:
    """What a tool left of a model; a dash for a tool that isn't there."""
    if answer is None:
        return "–"
    if verdict(answer) == "failed":
        return "failed"
    figures = " · ".join(str(answer["after"][what]) for what in ("scales", "linear", "nodes"))
    return figures if verdict(answer) == "right" else f"wrong: {figures}"


def totals_table(subjects: Sequence[Subject], told: Mapping[str, Mapping[str, Answer]]) -> Table:
    """For each tool how many models came out right, and how many scales per channel are left in those."""
    rows = []
    for tool, answers in told.items():
        if not answers:
            rows.append([tool, "not installed", "", "", "", ""])
            continue
        verdicts = Counter(verdict(answers[subject.name]) for subject in subjects)
        right = [answers[subject.name] for subject in subjects if verdict(answers[subject.name]) == "right"]
        before, after = (sum(answer[when]["scales"] for answer in right) for when in ("before", "after"))
        rows.append([tool, *(str(verdicts[v]) for v in ("right", "wrong", "failed")), str(before), str(after)])
    headings = ["tool", "right", "wrong", "failed", "scales in the right ones", "left of them"]
    return table_of("Models that come out right", headings, rows)


def left_table(subjects: Sequence[Subject], own: Mapping[str, Answer]) -> Table:
    """What normgraph leaves, by name, with the reason that it gives, without the names of nodes and tensors in it."""
    rows = []
    for subject in subjects:
        reasons: dict[tuple[str, str], list[str]] = {}
        for fold in own[subject.name].get("left", ()):
            reason = _QUOTED.sub("…", fold["reason"])
            reasons.setdefault((fold["rule"], reason), []).append(fold["name"])
        for (rule, reason), names in reasons.items():
            listed = ", ".join(f"`{pattern}`" for pattern, _ in merged(names))
            rows.append([subject.name, listed, rule, reason])
    return table_of("What normgraph leaves, and why", ["model", "scale", "rule", "reason"], rows, left=4)


def latency_table(
    subjects: Sequence[Subject], told: Mapping[str, Mapping[str, Answer]], budget: float, threads: int
) -> Table:
    """How fast ONNX Runtime's CPU provider runs each model and what the tools made of it.

    All its optimizations are on.  Ratios are times of the original over those of the tool's model: above one, the
    latter is the faster.  Models that came out wrong don't run.
    """
    from normgraph.timing import Plan, bench

    rows = []
    for subject in subjects:
        right = {tool: a[subject.name] for tool, a in told.items() if a and verdict(a[subject.name]) == "right"}
        paths: list[str | os.PathLike[str]] = [subject.path, *(Path(answer["target"]) for answer in right.values())]
        level = bench(paths, levels=("all",), threads=threads, plan=Plan(budget=budget)).levels[0]
        original, *others = level.figures
        ratios = {}
        for tool, figures in zip(right, others, strict=True):
            assert figures.ratio is not None
            ratios[tool] = f"{figures.ratio.estimate:.2f} [{figures.ratio.low:.2f}, {figures.ratio.high:.2f}]"
        cells = [ratios.get(tool, "–") for tool in told]
        rows.append([subject.name, f"{1000 * original.times.median:.2f}", *cells])
        print(f"{rows[-1]}", file=sys.stderr)
    title = "Time in ONNX Runtime, its optimizations on: original over result, and the interval of 95 % confidence"
    return table_of(title, ["model", "original, ms", *told], rows)


def main() -> int:
    """Run all tools, print, and write where that is asked for; 1 if normgraph made a model wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="SAMPLE", help="names of samples or models; all if none is given")
    parser.add_argument("--models", type=Path, metavar="DIR", help="models of models/large.py, to be timed as well")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the tools' environment")
    parser.add_argument("--budget", type=float, default=120.0, help="seconds of timing a model; 0 to time none")
    parser.add_argument("--threads", type=int, default=1, help="threads of ONNX Runtime")
    parser.add_argument("--write", action="store_true", help="write docs/folding.md")
    arguments = parser.parse_args()
    subjects = models(arguments.models, arguments.names) if arguments.models else samples(arguments.names)
    told: dict[str, dict[str, Answer]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for tool in TOOLS:
            interpreter = sys.executable if tool == OWN else arguments.python
            told[tool] = made_by(tool, subjects, interpreter, Path(folder) / tool.replace(" ", "_"))
            print(f"{tool}: {'done' if told[tool] else 'not installed'}", file=sys.stderr)
        tables = [totals_table(subjects, told), counts_table(subjects, told), left_table(subjects, told[OWN])]
        if arguments.models and arguments.budget:
            tables.append(latency_table(subjects, told, arguments.budget, arguments.threads))
    tables = [table for table in tables if table.rows]
    for table in tables:
        table.show()
    for tool, answers in told.items():
        for name, answer in answers.items():
            if verdict(answer) != "right":
                print(f"{tool}: {name}: {answer.get('failure') or answer['difference']}", file=sys.stderr)
    if arguments.write:
        write(tables, arguments)
    return 1 if any(verdict(answer) != "right" for answer in told[OWN].values()) else 0


def write(tables: Sequence[Table], arguments: argparse.Namespace) -> None:
    """Bring a section of docs/folding.md up to date."""
    section = "models" if arguments.models else "samples"
    explanation = EXPLANATION[section].format(threads=arguments.threads, budget=arguments.budget)
    command = "python benchmarks/folding.py --python INTERPRETER --write"
    command += " --models DIR" if arguments.models else ""
    paragraphs = [
        HEADINGS[section],
        fill(explanation, WIDTH),
        fill(f"{versions_in_words(arguments.python)}. {surroundings('onnx', 'onnxruntime')}", WIDTH),
        *(table.markdown() for table in tables),
        f"Made by `{command}`.",
    ]
    write_section("folding.md", section, "\n\n".join(paragraphs))


HEADINGS = {"samples": "## In the samples", "models": "## At the sizes that are deployed"}
EXPLANATION = {
    "samples": "The samples of models/ that have BatchNormalizations: published architectures, narrow and shallow, "
    "from several exporters. A scale per channel is a BatchNormalization, or a product with a constant of several "
    "numbers, which is what TensorFlow's exporter leaves of one. Each tool works in a process of its own; its result "
    "is compared with the original in ONNX Runtime, whose optimizations are off, and is wrong where it differs by "
    f"more than {TOLERANCE:g} of the largest element.",
    "models": "The same for models of full width and depth, which `models/large.py` writes. ONNX Runtime's CPU "
    "provider runs original and results in turn in one run, with {threads} thread(s) and all its optimizations on, "
    "for at most {budget:g} seconds a model.",
}


if __name__ == "__main__":
    sys.exit(main())
