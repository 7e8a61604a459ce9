"""Judgements as SARIF 2.1.0 (OASIS Standard, 2020), which code-scanning services and editors read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from normgraph.check.contract import NAMED, Finding, Judgement, Rule

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

#: The rules: their names in the document, and what each demands.
_RULES: Mapping[Rule, tuple[str, str]] = {
    "readable": ("ModelIsReadable", "The model can be read."),
    "expect": ("QuantityIsAsExpected", "The model holds as many of something as its contract expects."),
    "forbid": ("NothingForbidden", "The model holds nothing that its contract forbids."),
    "max-error": ("ErrorIsWithinLimit", "No rewrite's error against float64 is beyond the contract's limit."),
    "max-latency": ("LatencyIsWithinBudget", "The model runs within the time that its contract allows."),
    "baseline": ("NoRegression", "Nothing is worse off than in the committed baseline."),
}
_ORDER = list(_RULES)


def written(judgements: Sequence[Judgement]) -> str:
    """Judgements as a SARIF log with one run."""
    results = [
        _result(judgement, finding)
        for judgement in judgements
        for finding in judgement.findings
        if finding.failure is not None
    ]
    places = {_location(judgement.model)["uri"]: _location(judgement.model) for judgement in judgements}
    run = {
        "tool": {"driver": _driver()},
        "columnKind": "utf16CodeUnits",
        "artifacts": [{"location": place} for place in places.values()],
        "invocations": [{"executionSuccessful": all(judgement.status != "broken" for judgement in judgements)}],
        "results": results,
    }
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=2, ensure_ascii=False) + "\n"


def _driver() -> dict[str, Any]:
    try:
        number = version("normgraph")
    except PackageNotFoundError:  # it runs from a checkout
        number = "0"
    rules = [
        {
            "id": f"normgraph/{rule}",
            "name": name,
            "shortDescription": {"text": demand},
            "defaultConfiguration": {"level": "error"},
        }
        for rule, (name, demand) in _RULES.items()
    ]
    return {"name": "normgraph", "semanticVersion": number, "rules": rules}


def _result(judgement: Judgement, finding: Finding) -> dict[str, Any]:
    lines = [f"{finding.condition}: {finding.failure}"]
    lines += [f"- {culprit.site}: {culprit.reason}" for culprit in finding.culprits[:NAMED]]
    if len(finding.culprits) > NAMED:
        lines.append(f"- and {len(finding.culprits) - NAMED} more")
    # A model has no lines, but code-scanning services show no result that has none.
    physical = {"artifactLocation": _location(judgement.model), "region": {"startLine": 1}}
    place: dict[str, Any] = {"physicalLocation": physical}
    sites = list(dict.fromkeys(culprit.site for culprit in finding.culprits if culprit.site))
    if sites:
        place["logicalLocations"] = [{"fullyQualifiedName": site, "kind": "module"} for site in sites]
    return {
        "ruleId": f"normgraph/{finding.rule}",
        "ruleIndex": _ORDER.index(finding.rule),
        "level": "error",
        "message": {"text": "\n".join(lines).replace("{", "{{").replace("}", "}}")},  # else placeholders, §3.11.5
        "locations": [place],
        # The same condition of the same model is the same result, whatever its figures are now.
        "partialFingerprints": {"condition/v1": f"{judgement.model}#{finding.condition}"},
    }


def _location(model: str) -> dict[str, str]:
    if "://" in model:
        return {"uri": _quoted(model, safe=":/?&=%")}
    path = Path(model)
    return {"uri": path.as_uri() if path.is_absolute() else _quoted(path.as_posix())}


def _quoted(text: str, safe: str = "/") -> str:
    """Text as part of a URI: by its bytes, as a file system has them, which needn't be UTF-8."""
    try:
        return quote(text, safe, errors="surrogateescape")
    except UnicodeEncodeError:
        return quote(text, safe, errors="backslashreplace")
