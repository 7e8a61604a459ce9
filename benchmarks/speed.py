"""How fast models are before and after normgraph, beside what other optimizers make of the same files.

    python models/large.py bert-base vit-b convnext-t llama resnet-50 repvgg-a0 unet-block --output DIR
    python benchmarks/speed.py DIR --python INTERPRETER --prepare
    python benchmarks/speed.py DIR --python INTERPRETER [--minutes N] [--resume] [--write] [NAME ...]

The second command lets every tool write its version of the models, checks that its outputs are the original's, and
keeps them in DIR/made; the third does that too where it wasn't done, and times them.  It needs the machine for itself.
All contestants of a model are timed against its original in one run, one after the other in an order drawn anew each
time, as `normgraph bench` does it, with all of ONNX Runtime's own optimizations on.  INTERPRETER is that of the
environment in which the other tools are installed; none of them needs to be there.  The figures of each model are kept
as soon as they are there: with `--resume`, those that an earlier run kept aren't measured again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

from prepared import Prepared, feeding_for, prepare
from tables import WIDTH, Table, surroundings, table_of, write_section
from workers import versions_in_words

import normgraph
from normgraph.errors import NormgraphError
from normgraph.runtime import onnxruntime
from normgraph.timing import Plan
from normgraph.timing.statistics import Ratio

#: The models, in the order of the table.
NAMES = ("bert-base", "vit-b", "convnext-t", "llama", "resnet-50", "repvgg-a0", "unet-block")
HEADINGS = ("model", "original", "normgraph", "ratio", "95 %", "", "best of the others", "ratio", "95 %")


@dataclass(frozen=True)
class Entry:
    """The figures of what a tool made of a model.

    Attributes:
        tool: its name.
        median: seconds of a run.
        ratio: how many times as fast it is as the original.
        verdict: what the ratio's interval says.
    """

    tool: str
    median: float
    ratio: Ratio
    verdict: str


@dataclass(frozen=True)
class Subject:
    """A model and what became of it.

    Attributes:
        name: its name.
        median: seconds of a run of the original.
        entries: the figures of normgraph's, and then of those of the others that are right.
        problems: for each of the others that isn't among these, why.
    """

    name: str
    median: float
    entries: tuple[Entry, ...]
    problems: Mapping[str, str]

    @property
    def peers(self) -> list[Entry]:
        """The others, the fastest first."""
        return sorted(self.entries[1:], key=lambda entry: -entry.ratio.estimate)

    def row(self) -> tuple[str, ...]:
        """Its row of the table."""
        own, best = self.entries[0], next(iter(self.peers), None)
        return (
            self.name,
            f"{1e3 * self.median:.2f} ms",
            f"{1e3 * own.median:.2f} ms",
            *_ratio(own),
            own.verdict,
            "none" if best is None else best.tool,
            *(("", "") if best is None else _ratio(best)),
        )


def _ratio(entry: Entry) -> tuple[str, str]:
    return f"{entry.ratio.estimate:.3f}", f"{entry.ratio.low:.3f} – {entry.ratio.high:.3f}"


def subject(prepared: Prepared, provider: str, threads: int, budget: float, graphs: bool = False) -> Subject:
    """Time a model and what the tools made of it.

    Args:
        prepared: it, and that.
        provider: what runs it.
        threads: threads within an operator.
        budget: seconds of timing.
        graphs: whether runs are captured as CUDA graphs.

    Raises:
        NormgraphError: one of them doesn't run.
    """
    found = normgraph.bench(
        [prepared.path, *prepared.made.values()],
        provider=provider,
        levels=("all",),
        threads=threads,
        cuda_graphs=graphs,
        feeding=feeding_for(prepared.path),
        plan=Plan(budget=budget),
    )
    first, *others = found.levels[0].figures
    entries = []
    for tool, figures in zip(prepared.made, others, strict=True):
        assert figures.ratio is not None
        entries.append(Entry(tool, figures.times.median, figures.ratio, figures.verdict or ""))
    return Subject(prepared.path.stem, first.times.median, tuple(entries), prepared.problems)


def kept(prepared: Prepared, provider: str, threads: int, budget: float, resume: bool) -> Subject:
    """Time a model as `subject` does it and keep the figures, or take those that are kept of the same files."""
    record = prepared.path.parent / "made" / provider / f"{prepared.path.stem}.json"
    key = [*prepared.keys, f"onnxruntime {onnxruntime().__version__}, {threads} threads"]
    if resume and record.exists():
        document = json.loads(record.read_text("utf-8"))
        if document["key"] == key:
            return _subject(document["subject"])
    found = subject(prepared, provider, threads, budget)
    record.write_text(json.dumps({"key": key, "subject": asdict(found)}, indent=2) + "\n", "utf-8")
    return found


def _subject(document: Mapping[str, Any]) -> Subject:
    entries = tuple(Entry(**{**entry, "ratio": Ratio(**entry["ratio"])}) for entry in document["entries"])
    return Subject(document["name"], document["median"], entries, document["problems"])


def speed_table(title: str, subjects: Iterable[Subject]) -> Table:
    """A table of subjects."""
    return table_of(title, HEADINGS, [found.row() for found in subjects])


def told(subjects: Sequence[Subject]) -> str:
    """What became of all the others."""
    lines = []
    for found in subjects:
        ratios = [f"{entry.tool} {entry.ratio.estimate:.3f}" for entry in found.peers]
        problems = [f"{tool}: {problem}" for tool, problem in found.problems.items()]
        lines.append(f"- {found.name}: {', '.join([*ratios, *problems]) or 'none'}")
    return "All of the others, by ratio:\n\n" + "\n".join(lines)


def timed(ready: Sequence[Prepared], arguments: argparse.Namespace) -> list[Subject]:
    """Time all models in the time that there is, the smallest first: what it leaves of its share goes to the others."""
    deadline = time.monotonic() + 60 * arguments.minutes
    found: dict[Path, Subject] = {}
    for position, prepared in enumerate(sorted(ready, key=lambda one: one.path.stat().st_size)):
        begin = time.monotonic()
        budget = max((deadline - begin) / (len(ready) - position), 1.0)
        found[prepared.path] = one = kept(prepared, "cpu", arguments.threads, budget, arguments.resume)
        print(*one.row(), f"({time.monotonic() - begin:.0f} s)", flush=True)
    return [found[prepared.path] for prepared in ready]


def main() -> int:
    """Prepare, measure, print, and write where that is asked for; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR", help="where models/large.py wrote the models")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these models (default: {', '.join(NAMES)})")
    parser.add_argument("--python", default=sys.executable, help="the interpreter of the other tools")
    parser.add_argument(
        "--threads", type=int, default=1, help="threads within an operator; 0 for ONNX Runtime's choice"
    )
    parser.add_argument("--minutes", type=float, default=20.0, help="of timing, all models together (default: 20)")
    parser.add_argument("--prepare", action="store_true", help="let the tools write their models and time nothing")
    parser.add_argument("--resume", action="store_true", help="take the figures that an earlier run kept")
    parser.add_argument("--write", action="store_true", help="update the section in docs/performance.md")
    arguments = parser.parse_intermixed_args()
    ready = []
    for name in arguments.names or NAMES:
        begin = time.monotonic()
        try:
            ready.append(prepare(arguments.folder / f"{name}.onnx", "cpu", arguments.python))
        except NormgraphError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 2
        right = ", ".join([*ready[-1].made, *(f"{tool}: {why}" for tool, why in ready[-1].problems.items())])
        print(f"{name} is ready after {time.monotonic() - begin:.0f} s: {right}", file=sys.stderr, flush=True)
    if arguments.prepare:
        return 0
    subjects = timed(ready, arguments)
    table = speed_table("On ONNX Runtime's CPU provider", subjects)
    table.show()
    threads = {0: "as many threads as ONNX Runtime takes", 1: "one thread"}.get(
        arguments.threads, f"{arguments.threads} threads"
    )
    explained = (
        f"A run at batch 1 and, of texts, 128 tokens; the median; {threads}; all of ONNX Runtime's own optimizations "
        "on. Ratio: the original's time over that of what each tool made of it, with the interval that holds it in 95 "
        "of 100 measurements; where that holds 1, there is no difference. All the versions of a model run in turn. "
        "Outputs that aren't the original's don't take part."
    )
    environment = f"{versions_in_words(arguments.python)}. {surroundings('onnx', 'onnxruntime')}"
    print(explained, told(subjects), environment, sep="\n\n")
    if arguments.write:
        command = "Made by `python benchmarks/speed.py DIR --python INTERPRETER --write`."
        parts = ["## How fast the results run", fill(explained, WIDTH), fill(environment, WIDTH)]
        write_section("performance.md", "speed", "\n\n".join([*parts, table.markdown(), told(subjects), command]))
    slower = [found.name for found in subjects if found.entries[0].verdict == "slower"]
    print(f"slower than the original beyond noise: {', '.join(slower) or 'none'}", file=sys.stderr)
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
