"""How long it takes to find the norms of a model, per 1,000 nodes, and to prove their rewrites.

    python benchmarks/matching.py [--write] [--runs N] [--nodes N ...]

Two tables: the samples of models/, by exporter, and stacks of their layers of growing depth, which show that the time
grows with the nodes and no faster.  All of it runs on one thread, with Python's collector set as the command sets it
(`normgraph.importing`); what is measured is the process's CPU time, which on an idle machine is the time that passes.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from textwrap import fill
from typing import TypeVar

import onnx
import onnx_ir as ir
from stacks import stacked
from tables import WIDTH, Table, surroundings, table_of, write_section

from normgraph.evidence import OnceEach, prove
from normgraph.evidence.structure import opened
from normgraph.facts import Facts, graphs_of, survey
from normgraph.importing import collecting_seldom
from normgraph.lowering import Replacement, Target, lower
from normgraph.match import Match, find
from normgraph.passes import inlined
from normgraph.targets import DEFAULT_TARGET, demand

MODELS = Path(__file__).resolve().parent.parent / "models"
#: Samples whose layers are stacked: norms spelled out in static and dynamic exports of both of PyTorch's exporters.
STACKED = ("bert_torchscript_13", "bert_dynamic_torchscript_13", "vit_dynamo_decomposed_18", "llama_dynamo_18")
DEPTHS = (1_000, 5_000, 20_000)
#: A stack's proofs are timed on this many of its norms.
PROOFS = 40

Result = TypeVar("Result")


@dataclass(frozen=True)
class Measurement:
    """Seconds of CPU time spent on some models.

    Attributes:
        name: of the models.
        nodes: how many they have, those of subgraphs included.
        matches: how many norms spelled out were found in them.
        facts: the time of surveying them.
        find: that of finding the norms.
        proof: that of proving a rewrite, on average; None where there is none.
    """

    name: str
    nodes: int
    matches: int
    facts: float
    find: float
    proof: float | None

    def row(self) -> tuple[str, ...]:
        """Its figures: milliseconds per 1,000 nodes, milliseconds per norm, percent."""
        thousands = self.nodes / 1000
        per_thousand = [1000 * seconds / thousands for seconds in (self.facts, self.find, self.facts + self.find)]
        proofs = self.matches * (self.proof or 0.0)
        share = proofs / (proofs + self.facts + self.find)
        proof = ("–", "–") if self.proof is None else (f"{1000 * self.proof:.1f}", f"{share:.0%}")
        return (self.name, f"{self.nodes:,}", f"{self.matches}", *(f"{ms:.1f}" for ms in per_thousand), *proof)


HEADINGS = ("", "nodes", "norms", "facts", "find", "facts + find", "proof, each", "proofs' share")


def measured(name: str, models: Sequence[ir.Model], runs: int) -> Measurement:
    """The time that some models take, the median of several runs."""
    facts_times: list[float] = []
    find_times: list[float] = []
    for _ in range(runs):
        facts, seconds = timed(lambda: [survey(model) for model in models])
        facts_times.append(seconds)
        matches, seconds = timed(partial(found, models, facts))
        find_times.append(seconds)
    nodes = sum(1 for model in models for _ in model.graph.all_nodes())
    jobs = [job for match, known in matches for job in replaced(match, known)][:PROOFS]
    proofs = [timed(partial(proven, jobs))[1] for _ in range(runs if jobs else 0)]
    proof = median(proofs) / len(jobs) if jobs else None
    return Measurement(name, nodes, len(matches), median(facts_times), median(find_times), proof)


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """What the work returns, and the CPU time it took."""
    gc.collect()
    begin = time.process_time()
    result = work()
    return result, time.process_time() - begin


def found(models: Iterable[ir.Model], facts: Iterable[Facts]) -> list[tuple[Match, Facts]]:
    """All norms of the models."""
    return [
        (match, known)
        for model, known in zip(models, facts, strict=True)
        for graph in graphs_of(model)
        for match in find(graph, known).matches
    ]


def replaced(match: Match, facts: Facts) -> list[tuple[Match, Replacement, Target, Facts]]:
    """What there is to prove about a norm: its best replacement, if it has any."""
    wanted = demand(DEFAULT_TARGET)
    lowered = lower(match, facts.dtype(match.base), wanted)
    return [(match, lowered[0], wanted.target, facts)] if isinstance(lowered, tuple) and not match.obstacle else []


def proven(jobs: Iterable[tuple[Match, Replacement, Target, Facts]]) -> None:
    """Prove them as `optimize` does, by what is known of each model's other norms, in a process that begins."""
    opened.cache_clear()
    known: defaultdict[int, OnceEach] = defaultdict(OnceEach)
    for match, replacement, target, facts in jobs:
        prove(match, replacement, target, facts, known[id(facts)])


def loaded(model: onnx.ModelProto) -> ir.Model:
    """The model as normgraph sees it, its functions inlined."""
    result = ir.from_proto(model)
    return inlined(result)


def samples_table(runs: int) -> Table:
    """The samples, by exporter."""
    groups: dict[str, list[ir.Model]] = {}
    for sample in json.loads((MODELS / "manifest.json").read_text("utf-8"))["samples"]:
        groups.setdefault(sample["exporter"], []).append(loaded(onnx.load(MODELS / sample["file"])))
    rows = [measured(f"{len(models)} × {name}", models, runs).row() for name, models in sorted(groups.items())]
    return table_of("Samples of models/, by exporter", HEADINGS, rows)


def stacks_table(runs: int, depths: Iterable[int]) -> Table:
    """Stacked layers, shallow and deep."""
    models = {name: onnx.load(MODELS / "samples" / f"{name}.onnx") for name in STACKED}
    rows = [
        measured(name, [loaded(stacked(model, nodes))], runs).row()
        for name, model in models.items()
        for nodes in depths
    ]
    return table_of("Stacks of a sample's layers", HEADINGS, rows)


def main() -> None:
    """Measure, print, and write where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="runs of which the median is taken")
    parser.add_argument("--nodes", type=int, nargs="+", default=DEPTHS, help="sizes of the stacks, about")
    parser.add_argument("--write", action="store_true", help="update the section in docs/performance.md")
    arguments = parser.parse_args()
    with collecting_seldom():
        tables = [samples_table(arguments.runs), stacks_table(arguments.runs, arguments.nodes)]
    units = (
        "Milliseconds of CPU time on one thread, with Python's collector set as the command sets it: `facts`, `find` "
        f"and their sum per 1,000 nodes, `proof` per norm, the median of {arguments.runs} runs. The share of the "
        "proofs is that of facts, find and proofs together."
    )
    environment = surroundings("onnx", "onnx-ir", "onnxruntime", "numpy")
    for table in tables:
        table.show()
    print(units, environment, sep="\n")
    if arguments.write:
        command = "Made by `python benchmarks/matching.py --write`."
        paragraphs = ["## Matching", fill(units, WIDTH), fill(environment, WIDTH)]
        text = "\n\n".join([*paragraphs, *(table.markdown() for table in tables), command])
        write_section("performance.md", "matching", text)


if __name__ == "__main__":
    main()
