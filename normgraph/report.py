"""The report: what was found in a model and what was done about it, as data and as JSON.

The JSON's form is fixed by ``report.schema.json`` beside this module; ``SCHEMA`` is its version.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from normgraph.evidence.document import number, to_dict
from normgraph.inventory import Fold, Site

if TYPE_CHECKING:
    from normgraph.timing.tuned import Tuned
    from normgraph.verification.record import Verification

#: The version of the JSON's form.
SCHEMA = 1


@dataclass(frozen=True)
class Change:
    """A number before and after."""

    before: int
    after: int


@dataclass(frozen=True)
class Report:
    """What was found in a model and what was done about it.

    Attributes:
        model: the model's file, or the name of its graph.
        target: the runtime that operators were chosen for, or would be.
        opset: the version of the default domain.
        nodes: the number of nodes, those of subgraphs included.
        sites: every normalization, in the order of the graph.
        folds: every affine map per channel that was folded, and every BatchNormalization that is left.
        output: the file that was written, None if none was.
        verification: how the whole model was compared with the original; None if that wasn't asked for.
        tuned: how the rewrites were decided by their speed; None if they weren't.
    """

    model: str
    target: str
    opset: Change
    nodes: Change
    sites: tuple[Site, ...]
    folds: tuple[Fold, ...] = ()
    output: str | None = None
    verification: Verification | None = None
    tuned: Tuned | None = None

    @property
    def changed(self) -> bool:
        """Whether anything was fused or folded."""
        fused = any(site.status == "fused" for site in self.sites)
        return fused or any(fold.status == "folded" for fold in self.folds)

    def count(self, status: str, kind: str | None = None) -> int:
        """How many sites have this status, and this kind if one is named."""
        return sum(site.status == status and kind in (None, site.kind) for site in self.sites)

    def kinds(self, status: str) -> Mapping[str, int]:
        """The kinds of the sites with this status, with their numbers."""
        return Counter(site.kind for site in self.sites if site.status == status and site.kind is not None)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data, valid against ``report.schema.json``."""
        return {
            "schema": SCHEMA,
            "model": self.model,
            "output": self.output,
            "target": self.target,
            "opset": {"before": self.opset.before, "after": self.opset.after},
            "nodes": {"before": self.nodes.before, "after": self.nodes.after},
            "sites": [_site(site) for site in self.sites],
            "folds": [_fold(fold) for fold in self.folds],
            "verification": None if self.verification is None else self.verification.summary(),
            "tuned": None if self.tuned is None else self.tuned.to_dict(),
        }

    def to_json(self) -> str:
        """The report as JSON text, ending in a newline."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _site(site: Site) -> dict[str, Any]:
    return {
        "name": site.name,
        "kind": site.kind,
        "status": site.status,
        "rule": site.rule,
        "reason": site.reason,
        "output": site.output,
        "nodes": list(site.nodes),
        "axes": list(site.axes),
        "shape": None if site.shape is None else list(site.shape),
        "dtype": site.dtype,
        "epsilon": None if site.epsilon is None else number(site.epsilon),
        "parameters": site.parameters,
        "statistics": site.statistics,
        "evidence": None if site.evidence is None else to_dict(site.evidence),
    }


def _fold(fold: Fold) -> dict[str, Any]:
    return {
        "name": fold.name,
        "status": fold.status,
        "subject": fold.subject,
        "rule": fold.rule,
        "reason": fold.reason,
        "output": fold.output,
        "nodes": list(fold.nodes),
        "into": fold.into,
        "direction": fold.direction,
        "channels": fold.channels,
        "evidence": None if fold.evidence is None else to_dict(fold.evidence),
        "worst_channel": None
        if fold.worst_channel is None
        else {"index": fold.worst_channel.index, "error": number(fold.worst_channel.error)},
    }
