"""What normgraph leaves of the normalizations in the samples: each by name, with the reason."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tables import Table, table_of

Sample = Mapping[str, Any]
Answer = Mapping[str, Any]
#: How an epsilon keeps the length of a vector from zero, where no operator of the standard does so.
BOUNDED = frozenset({"below the power", "below the norm", "added to the norm"})


@dataclass(frozen=True)
class Fate:
    """What became of a norm that is spelled out in a sample.

    Attributes:
        sample: the sample's name.
        scope: the norm's, in its framework.
        kind: as `kind_of` has it.
        status: "fused", "kept" or "missed".
        rule: normgraph's rule that stands in the way, "" if it is fused or nothing was said.
        reason: the same as a sentence.
    """

    sample: str
    scope: str
    kind: str
    status: str
    rule: str = ""
    reason: str = ""


def kind_of(norm: Mapping[str, Any]) -> str:
    """The operator that a norm is, or that it would be if its epsilon stood where that has it."""
    return f"{norm['kind']}, bounded" if norm.get("guard") in BOUNDED else str(norm["kind"])


def fates(samples: Iterable[Sample], answers: Mapping[str, Answer]) -> list[Fate]:
    """The fates of all norms that are spelled out in samples for which there is an answer."""
    return [fate for sample in samples for fate in _fates(sample, answers.get(sample["file"], {}).get("sites", []))]


def _fates(sample: Sample, sites: Sequence[Answer]) -> Iterator[Fate]:
    """Norms and sites are brought together by their epsilons, which are random: names differ, or are lost."""
    left = [site for site in sites if site["kind"]]
    missed = [site for site in sites if not site["kind"]]
    name = Path(sample["file"]).stem
    unplaced = []
    for norm in sample["norms"]:
        if norm["form"] != "decomposed":
            continue
        found = next((site for site in left if _same(norm, site)), None)
        if found is None:
            unplaced.append(norm)
            continue
        left.remove(found)
        yield Fate(name, norm["scope"], kind_of(norm), found["status"], found["rule"] or "", found["reason"] or "")
    for norm in unplaced:
        said: Answer = missed.pop(0) if missed else {"rule": "", "reason": "nothing is said of it"}
        yield Fate(name, norm["scope"], kind_of(norm), "missed", said["rule"], said["reason"])


def _same(norm: Mapping[str, Any], site: Answer) -> bool:
    """Whether the epsilons agree, in whatever type it is stored, and as that of a mean where it stands in a sum."""
    epsilon = norm["epsilon"]
    if epsilon is None:
        return bool(site["kind"] == norm["kind"])
    if norm.get("guard") == "added to the power":
        epsilon /= math.prod(norm["shape"][axis] for axis in norm["axes"])
    half = float(np.float16(epsilon)) or epsilon
    return any(math.isclose(site["epsilon"] or 0.0, stored, rel_tol=1e-5) for stored in (epsilon, half))


def remaining_table(title: str, found: Iterable[Fate]) -> Table:
    """Those that aren't fused: alike in kind and reason, they share a row."""
    rows: dict[tuple[str, str, str, str], list[Fate]] = {}
    for fate in found:
        if fate.status != "fused":
            reason = re.sub(r"(?<!\w)'[^']*'", "'…'", fate.reason)  # whatever the nodes and values are called
            rows.setdefault((fate.kind, fate.status, fate.rule, reason), []).append(fate)
    return table_of(
        title,
        ["kind", "fate", "rule", "reason", "norms", "count"],
        [
            [kind, status, rule, reason, _names(alike), str(len(alike))]
            for (kind, status, rule, reason), alike in sorted(rows.items())
        ],
        left=5,
    )


def _names(alike: Sequence[Fate]) -> str:
    """`sample (opsets): its norms`, those of all opsets that agree together."""
    scopes: dict[str, list[str]] = {}
    for fate in alike:
        scopes.setdefault(fate.sample, []).append(fate.scope)
    opsets: dict[tuple[str, str], list[str]] = {}
    for sample, names in scopes.items():
        stem, _, opset = sample.rpartition("_")
        numbered = (stem, opset) if opset.isdecimal() else (sample, "")
        opsets.setdefault((numbered[0], ", ".join(filter(None, names))), []).append(numbered[1])
    parts = []
    for (stem, names), versions in opsets.items():
        told = f" ({', '.join(versions)})" if any(versions) else ""
        parts.append(f"{stem}{told}{': ' if names else ''}{names}")
    return "; ".join(parts)
