"""What was found out of a model's rewrites by their speed: as data, for reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from normgraph.timing.tuning import Decision

#: Why a rewrite has no figures that nothing was to be measured for.
UNKNOWN = "the tuning doesn't know it"


@dataclass(frozen=True)
class SiteTiming:
    """A rewrite and its figures.

    Attributes:
        name: what a person calls the site.
        output: the name of the tensor that it makes anew.
        kind: the operator that it becomes.
        decision: the figures; None where there are none.
        untimed: why there are none.
    """

    name: str
    output: str
    kind: str
    decision: Decision | None
    untimed: str | None = None


@dataclass(frozen=True)
class Tuned:
    """How the rewrites of a model were decided by their speed.

    Attributes:
        provider: what they were timed on, a key of `normgraph.providers.PROVIDERS`.
        runtime: the version of ONNX Runtime, empty where nothing was timed.
        timings: every rewrite that is proven, with the operator that was chosen, or the fastest where none was.
    """

    provider: str
    runtime: str
    timings: tuple[SiteTiming, ...]

    @property
    def unknown(self) -> tuple[SiteTiming, ...]:
        """The rewrites that the tuning doesn't know, and that were made all the same."""
        return tuple(timing for timing in self.timings if timing.untimed == UNKNOWN)

    def to_dict(self) -> dict[str, Any]:
        """It as plain data, as ``report.schema.json`` has it."""
        return {
            "provider": self.provider,
            "onnxruntime": self.runtime,
            "unknown": len(self.unknown),
            "rewrites": [_row(timing) for timing in self.timings],
        }


def _row(timing: SiteTiming) -> dict[str, Any]:
    told = {"name": timing.name, "output": timing.output, "kind": timing.kind}
    decision = timing.decision
    if decision is None:
        none = dict.fromkeys(("inputs", "before", "after", "ratio"))
        return {**told, **none, "rewrite": True, "untimed": timing.untimed}
    return {**told, **decision.to_dict(), "kind": timing.kind, "untimed": None}
