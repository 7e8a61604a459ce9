"""Everything about NVIDIA GPUs in one run, for a machine that has one: checks first, then figures.

    pip install -e '.[gpu,test]' 'onnxruntime-gpu[cuda,cudnn]'       (and no onnxruntime beside it)
    python models/large.py bert-base vit-b convnext-t llama resnet-50 repvgg-a0 unet-block --output DIR
    python benchmarks/cuda.py DIR --output FOLDER [--python INTERPRETER] [--budget SECONDS] [--minutes N]
    python benchmarks/cuda.py --publish FOLDER

1. The provider starts, and models run on it: the tests that are marked cuda.
2. Operators: each kind in nodes and as what it may become for onnxruntime-cuda, in float16 and float32.
3. Whole models beside what other optimizers make of them, as they are and with CUDA graphs.
4. Autotuning on CUDA, over the whole models: what was slower there, if anything.

FOLDER holds what is known so far after every step, so that a run that is cut off leaves its figures: cuda.md, the
section for docs/performance.md, which the last command puts there; checks.txt, what pytest printed; failures.txt, what
didn't run, which doesn't stop the rest; tuning.json, all decisions of the last step.  Steps 2 to 4 share the minutes.
Without a GPU the exit status is 2, and `--provider cpu` tries the script itself.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from textwrap import fill
from typing import Any, TypeVar

from operators import HEADINGS, Outcome, outcomes, rows_in_float32
from prepared import OWN, Prepared, prepare
from speed import NAMES, Subject, speed_table, subject, told
from tables import WIDTH, Table, surroundings, table_of, write_section

import normgraph
from normgraph.errors import NormgraphError
from normgraph.providers import provider_named
from normgraph.runtime import onnxruntime
from normgraph.sessions import Setting
from normgraph.timing import tuning

ROOT = Path(__file__).resolve().parent.parent
SECTION = "cuda.md"
#: The share of the minutes after which operators, models and all are done.
SHARES = (0.4, 0.85, 1.0)
#: What marks the tests that need a GPU.
MARK = "@pytest.mark.cuda"
Result = TypeVar("Result")


@dataclass
class Run:
    """What is being measured and found.

    Attributes:
        folder: where it is written.
        provider: what runs the models.
        parts: the paragraphs and tables of the section so far.
        failures: what didn't run.
    """

    folder: Path
    provider: str
    parts: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def add(self, *parts: str | Table) -> None:
        """Print these, and write them with all that there was before."""
        for part in parts:
            if isinstance(part, Table):
                part.show()
                self.parts.append(part.markdown())
            else:
                print(part, end="\n\n", flush=True)
                self.parts.append(part)
        (self.folder / SECTION).write_text("\n\n".join(self.parts) + "\n", "utf-8")

    def attempt(self, what: str, work: Callable[..., Result], *arguments: Any, **named: Any) -> Result | None:
        """What the work returns; where it fails, in whatever way, that is noted, and None is returned."""
        try:
            return work(*arguments, **named)
        except Exception as error:
            known = isinstance(error, NormgraphError | AssertionError)
            self.failures.append(f"{what}: {error}" if known else f"{what}: {traceback.format_exc()}")
            print(self.failures[-1], file=sys.stderr, flush=True)
            (self.folder / "failures.txt").write_text("\n".join(self.failures) + "\n", "utf-8")
            return None


def device(provider: str) -> str:
    """The GPU, its driver and CUDA's version, in words.

    Raises:
        NormgraphError: there is none, or ONNX Runtime can't use it.
    """
    provider_named(provider)
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        name = subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        name = "no GPU that nvidia-smi tells"
    return f"{name.strip()}, CUDA {getattr(onnxruntime(), 'cuda_version', '') or 'unknown'}"


def checks(run: Run) -> str:
    """The outcome of the tests that are marked cuda, in pytest's words."""
    files = [str(path) for path in sorted((ROOT / "tests").rglob("test_*.py")) if MARK in path.read_text("utf-8")]
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-m", "cuda", "-rs", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    (run.folder / "checks.txt").write_text(f"{done.stdout}\n{done.stderr}", "utf-8")
    lines = done.stdout.strip().splitlines()
    return lines[-1].strip("= ") if lines else f"pytest ended with {done.returncode}"


def operators(run: Run, budget: float, deadline: float) -> None:
    """Operators on the provider, a table for each element type."""
    setting = Setting(provider_named(run.provider))
    for dtype in ("float16", "float32"):
        begun = time.monotonic()
        end = begun + (deadline - begun) / (2 if dtype == "float16" else 1)
        found: list[Outcome] = []
        left = 0
        for row in rows_in_float32():
            if time.monotonic() < end:
                what = f"{row.kind} {row.spelling} {row.shape} {dtype}"
                found += run.attempt(what, outcomes, row, budget, setting, dtype) or []
            else:
                left += 1
        cells = [(outcome.row.kind, *outcome.cells()) for outcome in found]
        run.add(table_of(f"Operators in {dtype}", ("kind", *HEADINGS), cells, left=4))
        if left:
            run.add(f"The time was up before {left} more rows.")


def models(run: Run, paths: Sequence[Path], options: argparse.Namespace, deadline: float) -> None:
    """Whole models, run by run and with CUDA graphs; and what became of the other tools."""
    ready: list[Prepared] = []
    for path in paths:
        if time.monotonic() < deadline:
            made = run.attempt(path.name, prepare, path, run.provider, options.python)
            ready += [] if made is None else [made]
    for graphs in (False, True) if provider_named(run.provider).graphs else (False,):
        subjects: list[Subject] = []
        for prepared in ready:
            if time.monotonic() < deadline:
                what = f"{prepared.path.name}{' with CUDA graphs' if graphs else ''}"
                found = run.attempt(what, subject, prepared, run.provider, 0, options.budget, graphs=graphs)
                if found is None:  # one of the others may be what doesn't run, or can't be captured
                    alone = replace(prepared, made={OWN: prepared.made[OWN]})
                    found = run.attempt(f"{what}, alone", subject, alone, run.provider, 0, options.budget, graphs)
                subjects += [] if found is None else [found]
        run.add(speed_table(f"Whole models{', with CUDA graphs' if graphs else ''}", subjects))
        if not graphs:
            run.add(told(subjects))


def tuned(run: Run, paths: Sequence[Path], deadline: float) -> None:
    """What autotuning leaves out of the whole models."""
    lines = []
    target, file = provider_named(run.provider).target, run.folder / "tuning.json"
    known: set[str] = set()
    for path in paths:
        if time.monotonic() > deadline:
            lines.append(f"- {path.stem}: the time was up")
            continue
        what = f"autotune {path.name}"
        made = run.attempt(what, normgraph.optimize, path, target=target, autotune=run.provider, tuning=file)
        if made is not None:
            decisions = tuning.load(file).decisions
            new = [decision for key, decision in decisions.items() if key not in known]
            slower = [f"{one.kind} on {one.inputs[0]} {one.ratio.estimate:.2f}" for one in new if not one.rewrite]
            lines.append(f"- {path.stem}: {len(new)} timed, slower there: {'; '.join(slower) or 'none'}")
            known |= decisions.keys()
    run.add("Autotuned, what models before had aside:\n\n" + "\n".join(lines or ["- there is no model"]))


def main() -> int:
    """Check, measure, and write, or publish what was written; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", type=Path, metavar="DIR", nargs="?", help="where models/large.py wrote the models")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="where the figures go")
    parser.add_argument("--publish", type=Path, metavar="FOLDER", help="put its figures into docs/performance.md")
    parser.add_argument("--python", default=sys.executable, help="the interpreter of the other tools")
    parser.add_argument("--budget", type=float, default=5.0, help="seconds of timing for each row")
    parser.add_argument("--minutes", type=float, default=9.0, help="after the tests, begin nothing more after so many")
    parser.add_argument("--provider", default="cuda", help="another provider, to try this script without a GPU")
    arguments = parser.parse_args()
    if arguments.publish is not None:
        write_section("performance.md", "cuda", (arguments.publish / SECTION).read_text("utf-8"))
        return 0
    if arguments.models is None or arguments.output is None:
        parser.error("DIR and --output are needed to measure")
    try:
        described = device(arguments.provider)
    except NormgraphError as error:
        print(f"no figures: {error}", file=sys.stderr)
        return 2
    arguments.output.mkdir(parents=True, exist_ok=True)
    run = Run(arguments.output, arguments.provider)
    build = "onnxruntime-gpu" if arguments.provider in ("cuda", "tensorrt") else "onnxruntime"
    environment = run.attempt("versions", surroundings, "onnx", build) or "versions unknown"
    run.add("## CUDA", fill(f"{described}; {environment}", WIDTH))
    run.add(f"The tests that are marked cuda: {checks(run)}.")
    begun = time.monotonic()
    of_operators, of_models, of_all = (begun + 60 * arguments.minutes * share for share in SHARES)
    paths = [path for path in (arguments.models / f"{name}.onnx" for name in NAMES) if path.exists()]
    operators(run, arguments.budget, of_operators)
    models(run, paths, arguments, of_models)
    tuned(run, paths, of_all)
    run.add("Made by `python benchmarks/cuda.py DIR --output FOLDER`.")
    return 1 if run.failures else 0


if __name__ == "__main__":
    sys.exit(main())
