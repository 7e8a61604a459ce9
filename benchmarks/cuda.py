"""Everything about NVIDIA GPUs in one run, for a machine that has one: checks first, then figures.

    pip install -e '.[gpu,test]' 'onnxruntime-gpu[cuda,cudnn]'       (and no onnxruntime beside it)
    python models/large.py bert-base vit-b convnext-t llama resnet-50 repvgg-a0 unet-block --output DIR
    python benchmarks/cuda.py DIR [--python INTERPRETER] [--budget SECONDS] [--minutes N] [--write]

1. The provider starts, and models run on it: the tests that are marked cuda.
2. Operators: each kind in nodes and as what it may become for onnxruntime-cuda, in float32 and float16.
3. Whole models beside what other optimizers make of them, as it is and with CUDA graphs.
4. Autotuning on CUDA, over the whole models: what was slower there, if anything.

What doesn't run is told and doesn't stop the rest.  Without a GPU the first step says so, and the exit status is 2.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import fill
from typing import Any, TypeVar

from operators import HEADINGS, Outcome, outcomes, rows_in_float32
from prepared import Prepared, prepare
from speed import NAMES, Subject, speed_table, subject, told
from tables import WIDTH, Table, surroundings, table_of, write_section

import normgraph
from normgraph.errors import NormgraphError
from normgraph.providers import provider_named
from normgraph.runtime import onnxruntime
from normgraph.sessions import Setting
from normgraph.timing import tuning

ROOT = Path(__file__).resolve().parent.parent
Result = TypeVar("Result")


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


def checks() -> str:
    """The outcome of the tests that are marked cuda, in pytest's words."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-m", "cuda", "-rs", "tests"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    print(done.stdout[-3000:], done.stderr[-2000:], sep="\n", flush=True)
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else f"pytest ended with {done.returncode}"


def operator_tables(provider: str, budget: float, deadline: float) -> list[Table]:
    """Operators on the provider, a table for each element type."""
    setting = Setting(provider_named(provider))
    tables = []
    for dtype in ("float16", "float32"):
        found: list[Outcome] = []
        for row in rows_in_float32():
            if time.monotonic() < deadline:
                what = f"{row.kind} {row.spelling} {row.shape} {dtype}"
                found += attempted(what, outcomes, row, budget, setting, dtype) or []
        cells = [(outcome.row.kind, *outcome.cells()) for outcome in found]
        tables.append(table_of(f"Operators in {dtype}", ("kind", *HEADINGS), cells, left=4))
    return tables


def model_tables(paths: Sequence[Path], options: argparse.Namespace, deadline: float) -> tuple[list[Table], str]:
    """Whole models, run by run and with CUDA graphs; and what became of the other tools."""
    tables, lines = [], ""
    ready: list[Prepared] = []
    for path in paths:
        if time.monotonic() < deadline:
            made = attempted(path.name, prepare, path, options.provider, options.python)
            ready += [] if made is None else [made]
    for graphs in (False, True) if provider_named(options.provider).graphs else (False,):
        subjects: list[Subject] = []
        for prepared in ready:
            if time.monotonic() < deadline:
                what = prepared.path.name
                found = attempted(what, subject, prepared, options.provider, 0, options.budget, graphs=graphs)
                subjects += [] if found is None else [found]
        tables.append(speed_table(f"Whole models{', with CUDA graphs' if graphs else ''}", subjects))
        lines = lines or told(subjects)
    return tables, lines


def tuned(paths: Sequence[Path], provider: str, deadline: float) -> str:
    """What autotuning leaves out of the whole models."""
    lines = []
    target = provider_named(provider).target
    with TemporaryDirectory() as scratch:
        for path in paths:
            file = Path(scratch) / f"{path.stem}.json"
            if time.monotonic() > deadline:
                continue
            what = f"autotune {path.name}"
            made = attempted(what, normgraph.optimize, path, target=target, autotune=provider, tuning=file)
            if made is not None:
                all_of_them = tuning.load(file).decisions.values()
                slower = [
                    f"{one.kind} on {', '.join(one.inputs)} {one.ratio.estimate:.2f}"
                    for one in all_of_them
                    if not one.rewrite
                ]
                lines.append(f"- {path.stem}: {len(all_of_them)} timed, slower there: {'; '.join(slower) or 'none'}")
    return "Autotuned:\n\n" + "\n".join(lines)


def attempted(what: str, work: Callable[..., Result], *arguments: Any, **named: Any) -> Result | None:
    """What the work returns; where it fails, that is told, and None is returned."""
    try:
        return work(*arguments, **named)
    except (NormgraphError, AssertionError) as error:
        print(f"{what}: {error}", file=sys.stderr, flush=True)
        return None


def main() -> int:
    """Check, measure, print, and write where that is asked for; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR", help="where models/large.py wrote the models")
    parser.add_argument("--python", default=sys.executable, help="the interpreter of the other tools")
    parser.add_argument("--budget", type=float, default=5.0, help="seconds of timing for each row")
    parser.add_argument("--minutes", type=float, default=9.0, help="begin nothing more after so many")
    parser.add_argument("--provider", default="cuda", help="another provider, to try this script without a GPU")
    parser.add_argument("--write", action="store_true", help="update the section in docs/performance.md")
    arguments = parser.parse_args()
    deadline = time.monotonic() + 60 * arguments.minutes
    try:
        described = device(arguments.provider)
    except NormgraphError as error:
        print(f"no figures: {error}", file=sys.stderr)
        return 2
    outcome = checks()
    build = "onnxruntime-gpu" if arguments.provider in ("cuda", "tensorrt") else "onnxruntime"
    environment = f"{described}; {surroundings('onnx', build)}"
    paths = [path for path in (arguments.folder / f"{name}.onnx" for name in NAMES) if path.exists()]
    parts = ["## CUDA", fill(environment, WIDTH), f"The tests that are marked cuda: {outcome}."]
    operators = operator_tables(arguments.provider, arguments.budget, deadline)
    models, others = model_tables(paths, arguments, deadline)
    for table in (*operators, *models):
        table.show()
        parts.append(table.markdown())
    parts += [others, tuned(paths, arguments.provider, deadline), "Made by `python benchmarks/cuda.py DIR --write`."]
    print(*(part for part in parts if not part.startswith("**")), sep="\n\n", flush=True)
    if arguments.write:
        write_section("performance.md", "cuda", "\n\n".join(parts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
