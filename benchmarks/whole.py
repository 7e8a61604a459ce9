"""What optimizing whole models costs, tool beside tool, each in a process of its own: time, CPU time, peak memory.

    python benchmarks/whole.py --models FOLDER [--python INTERPRETER] [--runs N] [--without TOOL] [--write] [MODEL ...]

FOLDER holds the large models, written by `python models/large.py bert-base resnet-50 external-10gb --output FOLDER`;
the outputs go there as well, to the same disk.  INTERPRETER is that of the environment in which the tools are
installed.  The runs of the tools alternate, so that what else the machine does meets all of them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from textwrap import fill

import onnx
from peer import KINDS
from processes import Cost, cost_of
from tables import DOCS, WIDTH, Table, surroundings, table_of, write_section
from tools import NOT_INSTALLED
from whole_peer import TOOLS
from whole_plot import plot
from workers import command_of, worker_environment

ROOT = Path(__file__).resolve().parent.parent
COPY, REFERENCE = "cp", "onnx.load + save"
#: Models of models/large.py, and what they are; `ONE` stands for a sample by itself, `SMALL` for many in one process.
LARGE: Mapping[str, str] = {
    "bert-base": "BERT-base, one file",
    "resnet-50": "ResNet-50, one file",
    "external-10gb": "10 GB of external data, sparse",
}
SPARSE = "external-10gb"
ONE, SAMPLE = "one", "bert_torchscript_13"
SMALL, COUNT = "small", 200
#: Seconds after which a tool is stopped.
PATIENCE = 900


@dataclass
class Row:
    """A tool on a model.

    Attributes:
        costs: of each run.
        work: the seconds behind the imports, of each run.
        norms: how many operators for normalizations stand in the result, more than in the source.
        failure: why there is nothing to tell.
    """

    costs: list[Cost] = field(default_factory=list)
    work: list[float] = field(default_factory=list)
    norms: int | None = None
    failure: str | None = None

    @property
    def wall(self) -> float:
        """The median of the wall times, in seconds."""
        return median(cost.wall for cost in self.costs)

    @property
    def memory(self) -> float:
        """The median of the peaks, in MB."""
        return median(cost.memory for cost in self.costs) / 1e6

    def figures(self, reference: Row | None) -> tuple[str, ...]:
        """The cells of a table."""
        if self.failure is not None:
            return (self.failure, *("",) * 5)
        times = "" if reference is None or reference.failure else f"{self.wall / reference.wall:.2f}"
        cpu = median(cost.cpu for cost in self.costs)
        work = f"{median(self.work):.2f}" if self.work else ""
        norms = "" if self.norms is None else str(self.norms)
        return (f"{self.wall:.2f}", times, work, f"{cpu:.2f}", f"{self.memory:,.0f}", norms)


HEADINGS = ("", "wall, s", f"of {REFERENCE}", "behind imports, s", "CPU, s", "peak memory, MB", "norms")


def norms_in(path: Path) -> int:
    """How many normalizations stand in a model as operators, its subgraphs aside."""
    model = onnx.load(path, load_external_data=False)
    return sum(node.op_type in KINDS for node in model.graph.node)


def run_once(tool: str, sources: Sequence[Path], folder: Path, interpreter: str, row: Row) -> None:
    """Let a tool work off the sources once and note what it cost."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        target = Path(place) / "result.onnx" if len(sources) == 1 else Path(place)
        if tool == COPY:
            files = [file for source in sources for file in (source, Path(f"{source}.data")) if file.exists()]
            command = ["cp", *map(str, files), place]
        else:
            command = command_of(interpreter, "whole_peer.py", tool, target, *sources)
        cost = cost_of(command, worker_environment(), PATIENCE)
        row.failure = failure_of(cost)
        if row.failure is not None:
            return
        row.costs.append(cost)
        if tool != COPY:
            answer = json.loads(cost.output)
            row.work.append(answer["wall"])
            if answer["failed"] == len(sources):
                row.failure = f"fails: {last_line(cost.errors)}"
            elif len(sources) == 1:
                row.norms = norms_in(target) - norms_in(sources[0])


def failure_of(cost: Cost) -> str | None:
    """Why a run gave nothing, if it did."""
    if cost.status == 0:
        return None
    if cost.status == NOT_INSTALLED:
        return "not installed"
    return f"stopped after {PATIENCE} s" if cost.status is None else f"fails: {last_line(cost.errors)}"


def last_line(text: str) -> str:
    """The last line, cut to what a table holds."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    line = lines[-1] if lines else "the process ended"
    return (line.split(": ", 1)[-1] if ".onnx: " in line else line).replace("|", "/")[:70]


def measured(
    sources: Sequence[Path], tools: Sequence[str], runs: int, folder: Path, interpreter: str
) -> dict[str, Row]:
    """What each tool costs on the sources; the tools take turns."""
    rows = {tool: Row() for tool in tools}
    for number in range(runs):
        for tool, row in rows.items():
            if row.failure is None:
                run_once(tool, sources, folder, interpreter, row)
                told = row.failure or f"{row.costs[-1].wall:.2f} s"
                print(f"  run {number + 1} of {runs}: {tool}: {told}", file=sys.stderr, flush=True)
    return rows


def sources_of(model: str, models: Path, place: Path) -> list[Path]:
    """The files of a row; small ones get names of their own, since some tools can't have one name twice."""
    folder = ROOT / "models" / "samples"
    if model != SMALL:
        return [folder / f"{SAMPLE}.onnx" if model == ONE else models / f"{model}.onnx"]
    samples = sorted(folder.glob("*.onnx"))
    found: list[Path] = []
    for number in range(COUNT):
        found.append(place / f"{number}.onnx")
        shutil.copyfile(samples[number % len(samples)], found[-1])
    return found


def table(model: str, sources: Sequence[Path], rows: Mapping[str, Row]) -> Table:
    """The figures of a model."""
    size = sum(f.stat().st_size for s in sources for f in (s, Path(f"{s}.data")) if f.exists())
    title = title_of(model)
    lines = [(tool, *row.figures(rows.get(REFERENCE))) for tool, row in rows.items()]
    return table_of(f"{title}, {size / 1e6:,.{0 if size > 5e6 else 1}f} MB", HEADINGS, lines)


def title_of(model: str) -> str:
    """What a row is about."""
    own = {ONE: f"A small encoder, {SAMPLE}", SMALL: f"{COUNT} samples in one process"}
    return own.get(model) or LARGE.get(model, model)


def text_of(tables: Sequence[Table], models: Sequence[str], runs: int, environment: str, plotted: bool) -> str:
    """The section of docs/performance.md."""
    explanation = (
        f"The median of {runs} runs, which alternated between the tools; each tool in a process of its own that reads "
        "the model, optimizes it and writes the result. `wall` is from the start of the process to its end, `behind "
        "imports` what passes of it once Python has imported the tool. `peak memory` is what is resident in the "
        "process and its children, mapped pages of files included. `norms` is how many operators for normalizations "
        "the result has more than the source. normgraph's time includes the proofs of its rewrites and waiting for "
        "the disk (fsync), which the others don't do."
    )
    if SPARSE in models:
        explanation += (
            " The 10 GB are sparse: the large matrices are holes, which read as zeros from memory, and cp leaves them "
            "holes; so they tell of memory, and of time only to a part, and each tool has one run of them."
        )
    picture = ["![Wall time and peak memory of each tool](whole.svg)"] if plotted else []
    asked = f"--runs {runs} --write {' '.join(models)}"
    command = f"Made by `python benchmarks/whole.py --models FOLDER --python INTERPRETER {asked}`."
    paragraphs = ["## Whole models", fill(explanation, WIDTH), fill(environment, WIDTH), *picture]
    return "\n\n".join([*paragraphs, *(each.markdown() for each in tables), command])


def main() -> None:
    """Measure, print, and write where that is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="MODEL", default=[], help=f"of {', '.join(LARGE)}, {ONE}, {SMALL}")
    parser.add_argument("--models", type=Path, required=True, metavar="FOLDER", help="where the large models are")
    parser.add_argument("--python", default=sys.executable, metavar="INTERPRETER", help="the one that runs the tools")
    parser.add_argument("--runs", type=int, default=5, help="runs of which the median is taken")
    parser.add_argument("--without", nargs="+", default=[], metavar="TOOL", help=f"tools to pass over, of {[*TOOLS]}")
    parser.add_argument("--write", action="store_true", help="update the section in docs/performance.md and its plot")
    arguments = parser.parse_args()
    tools = [tool for tool in (COPY, *TOOLS) if tool not in arguments.without]
    tables: list[Table] = []
    figures: dict[str, Mapping[str, Row]] = {}
    models = arguments.names or [*LARGE, ONE, SMALL]
    for model in models:
        print(model, file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir=arguments.models) as place:
            sources = sources_of(model, arguments.models, Path(place))
            runs = 1 if model == SPARSE else arguments.runs
            rows = measured(sources, tools, runs, arguments.models, arguments.python)
            tables.append(table(model, sources, rows))
        figures[title_of(model)] = rows
        tables[-1].show()
    environment = surroundings("onnx", "onnx-ir", "onnxruntime", "numpy")
    print(environment)
    if arguments.write:
        told = {
            name: {tool: (row.wall, row.memory) for tool, row in rows.items() if row.failure is None}
            for name, rows in figures.items()
        }
        plotted = plot(told, DOCS / "whole.svg")
        write_section("performance.md", "whole", text_of(tables, models, arguments.runs, environment, plotted))


if __name__ == "__main__":
    main()
