"""The results of a benchmark: as data, and as JSON in the form of ``bench.schema.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from normgraph.timing.measuring import Times
from normgraph.timing.sites import PLAN
from normgraph.timing.statistics import CONFIDENCE, Ratio, Verdict
from normgraph.timing.tuned import SiteTiming

#: The version of the JSON's form.
SCHEMA = 1


@dataclass(frozen=True)
class Surroundings:
    """What was measured with.

    Attributes:
        provider: a key of `normgraph.providers.PROVIDERS`.
        runtime: the version of ONNX Runtime.
        threads: threads within an operator; 0 for as many as ONNX Runtime takes by itself.
        cores: how many processors the machine has.
        graphs: whether runs were captured as CUDA graphs.
    """

    provider: str
    runtime: str
    threads: int
    cores: int
    graphs: bool


@dataclass(frozen=True)
class Figures:
    """One model at one level of ONNX Runtime's optimizations.

    Attributes:
        times: what was measured.
        ratio: how many times as fast as the first model; None for the first itself.
        verdict: what the interval of the ratio says.
        placement: how many nodes ran on which provider of ONNX Runtime, where it tells.
    """

    times: Times
    ratio: Ratio | None
    verdict: Verdict | None
    placement: Mapping[str, int]


@dataclass(frozen=True)
class Level:
    """All models at one level of ONNX Runtime's optimizations.

    Attributes:
        name: a key of `normgraph.sessions.LEVELS`.
        figures: those of each model, in the order in which they were given.
        settled: whether the intervals became as tight as asked for before the budget ended.
    """

    name: str
    figures: tuple[Figures, ...]
    settled: bool


@dataclass(frozen=True)
class Benchmark:
    """What `normgraph.bench` found out.

    Attributes:
        models: what each is called: its file, or the name of its graph.
        sizes: bytes of each, external data included.
        inputs: name, element type and shape of each input.
        fed: what the inputs were, in words.
        surroundings: what was measured with.
        precision: the half-width of the intervals that was asked for, relative to the ratio.
        budget: seconds that each level had.
        seed: what inputs and order followed from.
        levels: the figures.
        sites: the rewrites of the first model, each timed by itself; None where that wasn't asked for.
        notes: what makes the comparison one of different things, such as inputs or outputs that only one model has.
    """

    models: tuple[str, ...]
    sizes: tuple[int, ...]
    inputs: tuple[tuple[str, str, tuple[int, ...]], ...]
    fed: str
    surroundings: Surroundings
    precision: float
    budget: float
    seed: int
    levels: tuple[Level, ...]
    sites: tuple[SiteTiming, ...] | None = None
    notes: tuple[str, ...] = ()

    @property
    def slower(self) -> list[tuple[str, str]]:
        """Level and model of whatever is slower than the first model."""
        return [
            (level.name, model)
            for level in self.levels
            for model, figures in zip(self.models, level.figures, strict=True)
            if figures.verdict == "slower"
        ]

    def to_dict(self) -> dict[str, Any]:
        """It as plain data, valid against ``bench.schema.json``."""
        around = self.surroundings
        return {
            "schema": SCHEMA,
            "provider": around.provider,
            "onnxruntime": around.runtime,
            "threads": around.threads,
            "cores": around.cores,
            "cuda_graphs": around.graphs,
            "fed": self.fed,
            "inputs": [{"name": n, "dtype": t, "shape": list(shape)} for n, t, shape in self.inputs],
            "confidence": CONFIDENCE,
            "precision": self.precision,
            "budget": self.budget,
            "seed": self.seed,
            "models": [{"model": m, "bytes": size} for m, size in zip(self.models, self.sizes, strict=True)],
            "notes": list(self.notes),
            "levels": [self._level(level) for level in self.levels],
            "sites": None if self.sites is None else [_site(timing, self.precision) for timing in self.sites],
        }

    def to_json(self) -> str:
        """It as JSON text, ending in a newline."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def _level(self, level: Level) -> dict[str, Any]:
        results = [
            {
                "model": model,
                "median": figures.times.median,
                "p90": figures.times.p90,
                "session": figures.times.session,
                "runs": len(figures.times.runs),
                "ratio": None if figures.ratio is None else figures.ratio.to_dict(),
                "verdict": figures.verdict,
                "placement": dict(figures.placement),
            }
            for model, figures in zip(self.models, level.figures, strict=True)
        ]
        rounds = len(level.figures[0].times.rounds)
        return {"level": level.name, "rounds": rounds, "settled": level.settled, "results": results}


def _site(timing: SiteTiming, precision: float) -> dict[str, Any]:
    decision = timing.decision
    return {
        "name": timing.name,
        "kind": timing.kind,
        "inputs": [] if decision is None else list(decision.inputs),
        "before": None if decision is None else decision.before,
        "after": None if decision is None else decision.after,
        "ratio": None if decision is None else decision.ratio.to_dict(),
        "verdict": None if decision is None else decision.ratio.verdict(max(precision, PLAN.precision)),
        "untimed": timing.untimed,
    }
