"""Judgements as JSON, in the form that ``normgraph/check.schema.json`` fixes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from normgraph.check.contract import Finding, Judgement
from normgraph.check.quantities import QUANTITIES

#: The version of the JSON's form.
SCHEMA = 1


def to_dict(judgements: Sequence[Judgement]) -> dict[str, Any]:
    """Judgements as plain data."""
    return {
        "schema": SCHEMA,
        "passed": all(judgement.status == "passed" for judgement in judgements),
        "models": [_model(judgement) for judgement in judgements],
    }


def written(judgements: Sequence[Judgement]) -> str:
    """Judgements as JSON text, ending in a newline."""
    return json.dumps(to_dict(judgements), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _model(judgement: Judgement) -> dict[str, Any]:
    seen = judgement.examination
    return {
        "model": judgement.model,
        "status": judgement.status,
        "producer": None if seen is None else seen.producer,
        "target": None if seen is None else seen.report.target,
        "optimized": None if seen is None else seen.optimized,
        "quantities": None if seen is None else {name: row.count(seen) for name, row in QUANTITIES.items()},
        "findings": [_finding(finding) for finding in judgement.findings],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "condition": finding.condition,
        "holds": finding.failure is None,
        "failure": finding.failure,
        "note": finding.note,
        "culprits": [{"site": culprit.site, "reason": culprit.reason} for culprit in finding.culprits],
    }
