"""Which samples of models/ run faster, and whether any runs slower, once normgraph has been at them.

    python benchmarks/sample_speed.py [--budget SECONDS] [--level NAME] [--write] [SAMPLE ...]

Each sample that is changed is timed against its original on ONNX Runtime's CPU provider, on one thread.  What comes out
slower is timed again, ten times as long with another seed, before that is believed.  The samples are narrow, so that
a run is mostly what each node costs by itself; at the sizes that are deployed a node more or less shows far less.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from textwrap import fill

import onnx
from tables import WIDTH, Table, surroundings, table_of, write_section

import normgraph
from normgraph.errors import RefusedError
from normgraph.feeds import Feeding
from normgraph.runtime import onnxruntime
from normgraph.timing import Plan
from normgraph.timing.statistics import Ratio, Verdict

ROOT = Path(__file__).resolve().parent.parent
PRECISION = 0.02
#: How much longer it is measured, of what seems to be slower.
AGAIN = 10
#: Why samples are slower, by how their names begin, as far as that was found out.
WHY: Mapping[str, str] = {
    "bert_torchscript": "beside a LayerNormalization ONNX Runtime makes Gemms of MatMul and Add so late that it no "
    "longer joins the Reshapes around them, as in PyTorch's export of the operator",
}


@dataclass(frozen=True)
class Outcome:
    """The figures of a sample.

    Attributes:
        name: its name.
        before: seconds of a run of the original.
        ratio: how many times as fast normgraph's is.
        nodes: how many nodes ONNX Runtime has left of the original and of normgraph's once it has optimized them.
    """

    name: str
    before: float
    ratio: Ratio
    nodes: tuple[int, int]

    @property
    def verdict(self) -> Verdict:
        """What the interval says."""
        return self.ratio.verdict(PRECISION)


def outcome(path: Path, level: str, budget: float, folder: Path) -> Outcome | None:
    """Optimize and time a sample; None if it isn't changed, or the runtime can't run it."""
    own = folder / path.name
    result = normgraph.optimize(path)
    report = result.report
    if not any(site.status in ("fused", "folded") for site in (*report.sites, *report.folds)):
        return None
    result.save(own)

    def measured(seconds: float, seed: int) -> tuple[float, Ratio]:
        found = normgraph.bench(
            [path, own], levels=(level,), threads=1, plan=Plan(PRECISION, seconds, seed), feeding=Feeding(sizes=1)
        )
        first, second = found.levels[0].figures
        assert second.ratio is not None
        return first.times.median, second.ratio

    try:
        before, ratio = measured(budget, 0)
        if ratio.verdict(PRECISION) == "slower":
            before, ratio = measured(AGAIN * budget, 1)
    except RefusedError:
        return None
    return Outcome(path.stem, before, ratio, (nodes_left(path, level, folder), nodes_left(own, level, folder)))


def nodes_left(path: Path, level: str, folder: Path) -> int:
    """How many nodes ONNX Runtime runs of a model, its subgraphs aside."""
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    names = {"disabled": "ORT_DISABLE_ALL", "all": "ORT_ENABLE_ALL"}
    options.graph_optimization_level = getattr(runtime.GraphOptimizationLevel, names[level])
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 4
    runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return len(onnx.load(folder / "optimized.onnx").graph.node)


def slower_table(found: Sequence[Outcome]) -> Table:
    """Those that are slower."""
    rows = [
        (
            one.name,
            f"{1e6 * one.before:,.0f}",
            f"{one.ratio.estimate:.3f}",
            f"{one.ratio.low:.3f} – {one.ratio.high:.3f}",
            *map(str, one.nodes),
            next((why for begins, why in WHY.items() if one.name.startswith(begins)), "not known"),
        )
        for one in found
        if one.verdict == "slower"
    ]
    return table_of("Slower", ("sample", "before, µs", "ratio", "95 %", "nodes before", "after", "because"), rows)


def told(found: Sequence[Outcome]) -> str:
    """How many are what."""
    counts = Counter(one.verdict for one in found)
    middle = math.exp(fmean(math.log(one.ratio.estimate) for one in found))
    best = max(found, key=lambda one: one.ratio.low)
    verdicts: tuple[Verdict, ...] = ("faster", "no difference", "undecided", "slower")
    return (
        f"Of {len(found)} samples that are changed: {', '.join(f'{counts[v]} {v}' for v in verdicts)}. The ratio's "
        f"geometric mean is {middle:.2f}, its largest {best.ratio.estimate:.2f} ({best.name})."
    )


def main() -> int:
    """Measure, print, and write where that is asked for; 1 if anything is slower."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", metavar="SAMPLE", nargs="*", help="only these samples")
    parser.add_argument("--budget", type=float, default=3.0, help="seconds for each, at most (default: 3)")
    parser.add_argument("--level", choices=("disabled", "all"), default="all", help="of the runtime's optimizations")
    parser.add_argument("--write", action="store_true", help="update the section in docs/performance.md")
    arguments = parser.parse_intermixed_args()
    known = json.loads((ROOT / "models" / "manifest.json").read_text("utf-8"))["samples"]
    paths = [ROOT / "models" / sample["file"] for sample in known]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            if not arguments.names or path.stem in arguments.names:
                one = outcome(path, arguments.level, arguments.budget, Path(folder))
                if one is not None:
                    found.append(one)
                    ends = f"{one.ratio.low:.3f} – {one.ratio.high:.3f}"
                    print(one.name, f"{one.ratio.estimate:.3f}", ends, one.verdict, one.nodes, flush=True)
    if not found:
        print("nothing is changed", file=sys.stderr)
        return 0
    table = slower_table(found)
    if table.rows:
        table.show()
    print(told(found))
    if arguments.write:
        explained = (
            "The samples of models/ that normgraph changes, each against its original, one thread, level "
            f"{arguments.level} of ONNX Runtime's own optimizations. They are narrow, so that a run is mostly what "
            f"each node costs by itself. What came out slower was measured again, {AGAIN} times as long."
        )
        command = "Made by `python benchmarks/sample_speed.py --write`."
        parts = ["## Samples", explained, surroundings("onnx", "onnxruntime"), told(found)]
        filled = [fill(part, WIDTH) for part in parts]
        write_section(
            "performance.md", "samples", "\n\n".join([*filled, *([table.markdown()] if table.rows else []), command])
        )
    return 1 if table.rows else 0


if __name__ == "__main__":
    sys.exit(main())
