"""Judgements as annotations of GitHub Actions: workflow commands that a runner finds in what a step prints."""

from __future__ import annotations

from collections.abc import Sequence

from normgraph.check.contract import NAMED, Finding, Judgement


def written(judgements: Sequence[Judgement]) -> str:
    """A line for each condition that doesn't hold, or is worth a notice; empty where there is none."""
    return "".join(
        _line(judgement, finding)
        for judgement in judgements
        for finding in judgement.findings
        if finding.failure is not None or finding.note is not None
    )


def _line(judgement: Judgement, finding: Finding) -> str:
    level = "notice" if finding.failure is None else "error"
    lines = [finding.failure or finding.note or ""]
    lines += [f"{culprit.site}: {culprit.reason}" for culprit in finding.culprits[:NAMED]]
    if len(finding.culprits) > NAMED:
        lines.append(f"and {len(finding.culprits) - NAMED} more")
    title = f"normgraph: {finding.condition}"
    message = _data("\n".join(lines))
    return f"::{level} file={_property(judgement.model)},title={_property(title)}::{message}\n"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
