"""How fast models are before and after normgraph, beside what other optimizers make of the same files.

    python models/large.py bert-base vit-b convnext-t llama resnet-50 repvgg-a0 unet-block --output DIR
    python benchmarks/speed.py DIR [--python INTERPRETER] [--threads N] [--budget SECONDS] [--write] [NAME ...]

All contestants of a model are timed against its original in one run, one after the other in an order drawn anew each
time, as `normgraph bench` does it, with all of ONNX Runtime's own optimizations on.  What a tool writes is checked
before: its outputs have to be the original's.  INTERPRETER is that of the environment in which the other tools are
installed; none of them needs to be there.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

import numpy as np
from peer import NOT_INSTALLED, TOOLS
from tables import WIDTH, Table, surroundings, table_of, write_section

import normgraph
from normgraph.errors import NormgraphError
from normgraph.feeds import Feeding, feeds_for, signature_of
from normgraph.model_io import load
from normgraph.providers import provider_named
from normgraph.sessions import OpenedModel, Setting
from normgraph.timing import Plan
from normgraph.timing.results import Benchmark, Figures

#: The models, in the order of the table.
NAMES = ("bert-base", "vit-b", "convnext-t", "llama", "resnet-50", "repvgg-a0", "unet-block")
#: The tools beside normgraph that write ONNX files for any runtime; ONNX Runtime's own optimizations are on for all.
PEERS = ("onnxruntime.transformers", "onnxscript", "onnxslim", "onnxsim", "onnxoptimizer")
#: Sizes of dynamic dimensions.
DIMS = {"batch": 1, "sequence": 128}
#: Seconds that a tool may take for a model.
PATIENCE = 900
#: How far outputs may differ from the original's, relative to the largest element.
TOLERANCE = 1e-3
HEADINGS = ("model", "original", "normgraph", "ratio", "95 %", "", "best of the others", "ratio", "95 %")


@dataclass(frozen=True)
class Subject:
    """A model and what became of it.

    Attributes:
        name: its name.
        found: the figures of the original, of normgraph's and of those of the others that are right.
        others: for each of the others that isn't among these, why.
    """

    name: str
    found: Benchmark
    others: Mapping[str, str]

    @property
    def peers(self) -> list[tuple[str, Figures]]:
        """The others by name, the fastest first."""
        figures = zip(self.found.models[2:], self.found.levels[0].figures[2:], strict=True)
        named = [(Path(model).parent.name, one) for model, one in figures]
        return sorted(named, key=lambda entry: -(entry[1].ratio.estimate if entry[1].ratio else 0.0))

    def row(self) -> tuple[str, ...]:
        """Its row of the table."""
        first, own = self.found.levels[0].figures[:2]
        assert own.ratio is not None
        best, its = next(iter(self.peers), ("none", None))
        ratio = None if its is None else its.ratio
        return (
            self.name,
            f"{1e3 * first.times.median:.2f} ms",
            f"{1e3 * own.times.median:.2f} ms",
            f"{own.ratio.estimate:.3f}",
            f"{own.ratio.low:.3f} – {own.ratio.high:.3f}",
            own.verdict or "",
            best,
            "" if ratio is None else f"{ratio.estimate:.3f}",
            "" if ratio is None else f"{ratio.low:.3f} – {ratio.high:.3f}",
        )


def subject(path: Path, provider: str, threads: int, budget: float, interpreter: str, graphs: bool = False) -> Subject:
    """Optimize a model with every tool and time what is right.

    Args:
        path: its file.
        provider: what runs it.
        threads: threads within an operator.
        budget: seconds of timing.
        interpreter: that of the other tools.
        graphs: whether runs are captured as CUDA graphs.
    """
    row = provider_named(provider)
    setting = Setting(row, threads=threads)
    model = load(path)
    signature = signature_of(model, str(path))
    feeding = Feeding(dims={name: size for name, size in DIMS.items() if name in signature.symbols}, sizes=1)
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "normgraph" / path.name
        own.parent.mkdir()
        normgraph.optimize(path, target=row.target).save(own)
        feed = feeds_for(signature, feeding)[0].arrays
        expected = _outputs(path, feed, setting)
        right, others = [path, own], {}
        for tool in PEERS:
            problem = _made(tool, path, Path(folder), interpreter)
            made = Path(folder) / tool / path.name
            if problem is None:
                problem = _problem(made, feed, setting, expected)
            if problem is None:
                right.append(made)
            else:
                others[tool] = problem
        found = normgraph.bench(
            right,
            provider=provider,
            levels=("all",),
            threads=threads,
            cuda_graphs=graphs,
            feeding=feeding,
            plan=Plan(budget=budget),
        )
    return Subject(path.stem, found, others)


def _made(tool: str, path: Path, folder: Path, interpreter: str) -> str | None:
    """Let a tool write its version of a model; what went wrong, if anything did."""
    (folder / tool).mkdir()
    command = [interpreter, str(Path(__file__).resolve().parent / "peer.py"), tool, str(folder / tool), str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return f"not done after {PATIENCE} s"
    if done.returncode == NOT_INSTALLED:
        return "not installed"
    return None if done.returncode == 0 else "fails"


def _outputs(path: Path, feed: Mapping[str, np.ndarray], setting: Setting) -> list[np.ndarray]:
    opened = OpenedModel(path, feed, setting)
    opened.run()
    return opened.outputs()


def _problem(
    path: Path, feed: Mapping[str, np.ndarray], setting: Setting, expected: Sequence[np.ndarray]
) -> str | None:
    """What is wrong with what a tool wrote, if anything is."""
    try:
        found = _outputs(path, feed, setting)
    except NormgraphError:
        return "doesn't run"
    for one, other in zip(expected, found, strict=True):
        if one.shape != other.shape or not np.max(np.abs(one - other)) <= TOLERANCE * np.max(np.abs(one)):
            return "wrong"
    return None


def speed_table(title: str, subjects: Iterable[Subject]) -> Table:
    """A table of subjects."""
    return table_of(title, HEADINGS, [found.row() for found in subjects])


def told(subjects: Sequence[Subject]) -> str:
    """What became of the others that aren't the best."""
    lines = []
    for found in subjects:
        ratios = [f"{name} {one.ratio.estimate:.3f}" for name, one in found.peers if one.ratio is not None]
        problems = [f"{name}: {problem}" for name, problem in found.others.items()]
        lines.append(f"- {found.name}: {', '.join([*ratios, *problems]) or 'none'}")
    return "All of the others, by ratio:\n\n" + "\n".join(lines)


def main() -> None:
    """Measure, print, and write where that is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR", help="where models/large.py wrote the models")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these models (default: {', '.join(NAMES)})")
    parser.add_argument("--python", default=sys.executable, help="the interpreter of the other tools")
    parser.add_argument(
        "--threads", type=int, default=1, help="threads within an operator; 0 for ONNX Runtime's choice"
    )
    parser.add_argument("--budget", type=float, default=240.0, help="seconds of timing for each model")
    parser.add_argument("--write", action="store_true", help="update the section in docs/performance.md")
    arguments = parser.parse_args()
    subjects = []
    for name in arguments.names or NAMES:
        path = arguments.folder / f"{name}.onnx"
        subjects.append(subject(path, "cpu", arguments.threads, arguments.budget, arguments.python))
        print(*subjects[-1].row(), flush=True)
    table = speed_table("Whole models on ONNX Runtime's CPU provider", subjects)
    table.show()
    explained = (
        f"A run at batch 1, the median, threads: {arguments.threads or 'as ONNX Runtime chooses'}, all of ONNX "
        "Runtime's own optimizations on. Ratio: the original's time over that of what each tool made of it, with the "
        "interval that holds it in 95 of 100 measurements; where that holds 1, there is no difference."
    )
    others = told(subjects)
    environment = surroundings("onnx", "onnxruntime")
    print(explained, others, environment, sep="\n\n")
    if arguments.write:
        assert set(TOOLS) >= set(PEERS)
        command = "Made by `python benchmarks/speed.py DIR --python INTERPRETER --write`."
        parts = ["## Whole models", fill(explained, WIDTH), fill(environment, WIDTH), table.markdown(), others, command]
        write_section("performance.md", "speed", "\n\n".join(parts))


if __name__ == "__main__":
    main()
