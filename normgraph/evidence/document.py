"""Evidence as plain data, as ``report.schema.json`` describes it."""

from __future__ import annotations

import math
from typing import Any

from normgraph.evidence.measuring import FACTOR, ULPS, Ulps
from normgraph.evidence.record import SEED, Evidence, Trial


def to_dict(evidence: Evidence) -> dict[str, Any]:
    """The evidence as plain data."""
    worst = evidence.worst
    return {
        "accepted": evidence.accepted,
        "failure": evidence.failure,
        "preconditions": [
            {"rule": condition.rule, "statement": condition.statement, "holds": condition.holds}
            for condition in evidence.preconditions
        ],
        "bound": {"factor": FACTOR, "ulps": ULPS},
        "error_before": number(evidence.before),
        "error_after": number(evidence.after),
        "ulps_before": _ulps(evidence.ulps_before),
        "ulps_after": _ulps(evidence.ulps_after),
        "worst": None
        if worst is None
        else {
            "family": worst.family,
            "shape": list(worst.shape),
            "axes": list(evidence.axes),
            "dtype": None if evidence.dtype is None else evidence.dtype.name.lower(),
            "seed": SEED,
            "at": None if worst.at is None else list(worst.at),
        },
        "overflow": None
        if evidence.overflow is None
        else {"magnitude": evidence.overflow.magnitude, "relative_error": number(evidence.overflow.error)},
        "alike": evidence.alike,
        "trials": [_trial(trial) for trial in evidence.trials],
    }


def _trial(trial: Trial) -> dict[str, Any]:
    return {
        "family": trial.family,
        "shape": list(trial.shape),
        "error_before": number(trial.before),
        "error_after": number(trial.after),
        "allowed": number(trial.allowed),
        "ulps_before": _ulps(trial.ulps_before),
        "ulps_after": _ulps(trial.ulps_after),
        "refused": trial.refused,
    }


def _ulps(ulps: Ulps | None) -> dict[str, Any] | None:
    return None if ulps is None else {"max": number(ulps.largest), "p99": number(ulps.p99)}


def number(value: float) -> float | str | None:
    """JSON has neither infinity nor NaN: an overflow is written as a word, a missing figure as null."""
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else "overflow"
