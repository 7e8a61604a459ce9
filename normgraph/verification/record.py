"""What a verification found, as data and as JSON.

The JSON's form is fixed by ``verification.schema.json`` in the package; ``SCHEMA`` is its version.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from normgraph.evidence.document import number
from normgraph.evidence.measuring import FACTOR, ULPS
from normgraph.verification.bisecting import Divergence
from normgraph.verification.comparing import RELATIVE, Comparison, Tolerance
from normgraph.wording import counted

#: The version of the JSON's form.
SCHEMA = 1


@dataclass(frozen=True)
class Verification:
    """What was found when two models were run side by side.

    Attributes:
        before: what the first model is called.
        after: what the second model is called.
        runtime: what ran them, and how it was set up.
        truth: what computed them in float64, or why nothing did.
        problems: what differs in their signatures, or kept them from running.
        comparisons: every output for every feed.
        divergence: where they part; None where they don't, or that couldn't be found.
        recipes: what each made feed follows from, by its label: family, seed and sizes.
        tolerance: what the caller asked for, None for the default.
    """

    before: str
    after: str
    runtime: str
    truth: str
    problems: tuple[str, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    divergence: Divergence | None = None
    recipes: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    tolerance: Tolerance | None = None

    @property
    def passed(self) -> bool:
        """Whether the two compute the same thing, as far as rounding goes."""
        return not self.problems and bool(self.comparisons) and all(found.passed for found in self.comparisons)

    @property
    def failures(self) -> tuple[Comparison, ...]:
        """The outputs that differ."""
        return tuple(found for found in self.comparisons if not found.passed)

    def worst(self, tensor: str) -> Comparison:
        """Of the feeds the one on which an output comes closest to its bound, or exceeds it most."""
        return max((c for c in self.comparisons if c.tensor == tensor), key=lambda c: (not c.passed, c.excess))

    @property
    def outputs(self) -> tuple[str, ...]:
        """The outputs that were compared."""
        return tuple(dict.fromkeys(found.tensor for found in self.comparisons))

    def describe(self) -> str:
        """The outcome in one sentence."""
        if self.problems:
            return self.problems[0]
        if not self.failures:
            all_agree = "the output agrees" if len(self.outputs) == 1 else f"all {len(self.outputs)} outputs agree"
            return f"{all_agree} on {counted(len(self.recipes), 'input')}"
        worst = max(self.failures, key=lambda c: c.excess)
        where = "" if self.divergence is None else f"; they part at {self.divergence.after}"
        return f"output '{worst.tensor}' differs on {worst.feed}: {worst.difference}{where}"

    def errors(self) -> tuple[float, float] | None:
        """The largest errors of the two against float64; None where there is no float64."""
        pairs = [
            (c.error_before, c.error_after)
            for c in self.comparisons
            if c.error_before is not None and c.error_after is not None
        ]
        return (max(before for before, _ in pairs), max(after for _, after in pairs)) if pairs else None

    def summary(self) -> dict[str, Any]:
        """The verification in a few figures, as a report of an optimization has it."""
        before, after = self.errors() or (None, None)
        return {
            "passed": self.passed,
            "runtime": self.runtime,
            "truth": self.truth,
            "inputs": len(self.recipes),
            "outputs": len(self.outputs),
            "error_before": _optional(before),
            "error_after": _optional(after),
        }

    def to_dict(self) -> dict[str, Any]:
        """The verification as plain data, valid against ``verification.schema.json``."""
        return {
            "schema": SCHEMA,
            "passed": self.passed,
            "before": self.before,
            "after": self.after,
            "runtime": self.runtime,
            "truth": self.truth,
            "bound": {
                "factor": FACTOR,
                "ulps": ULPS,
                "relative": dict(RELATIVE),
                "tolerance": None
                if self.tolerance is None
                else {"relative": self.tolerance.relative, "absolute": self.tolerance.absolute},
            },
            "problems": list(self.problems),
            "feeds": [{"label": label, "recipe": recipe} for label, recipe in self.recipes.items()],
            "outputs": [_comparison(found) for found in self.comparisons],
            "divergence": None if self.divergence is None else _divergence(self.divergence),
        }

    def to_json(self) -> str:
        """The verification as JSON text, ending in a newline."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _comparison(found: Comparison) -> dict[str, Any]:
    return {
        "tensor": found.tensor,
        "feed": found.feed,
        "shape": list(found.shape),
        "dtype": found.dtype,
        "passed": found.passed,
        "difference": found.difference,
        "max_abs": number(found.largest),
        "max_relative": number(found.relative),
        "ulps": None if found.ulps is None else {"max": number(found.ulps.largest), "p99": number(found.ulps.p99)},
        "cosine": found.cosine,
        "error_before": _optional(found.error_before),
        "error_after": _optional(found.error_after),
        "allowed": _optional(found.allowed),
        "recovered": found.recovered,
    }


def _divergence(found: Divergence) -> dict[str, Any]:
    return {
        "tensor": found.comparison.tensor,
        "feed": found.comparison.feed,
        "difference": found.comparison.difference,
        "before": found.before,
        "after": found.after,
        "replaces": list(found.replaces),
        "last_equal": found.equal,
    }


def _optional(value: float | None) -> float | str | None:
    return None if value is None else number(value)
