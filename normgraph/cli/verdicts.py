"""Judgements for people: what doesn't hold, where, and how many models there were."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from normgraph.check.contract import NAMED, Finding, Judgement
from normgraph.cli.text import merged, printable
from normgraph.wording import counted

_STYLES = {"passed": "green", "failed": "red", "broken": "magenta"}


def checked(
    judgements: Sequence[Judgement], seconds: float, *, baseline: Path | None, quiet: bool
) -> RenderableType | None:
    """What `normgraph check` prints; None for nothing.

    Args:
        judgements: one for each model.
        seconds: how long it took.
        baseline: the file that was written, if it was.
        quiet: leave out what holds.
    """
    told = [judgement for judgement in judgements if not quiet or judgement.status != "passed"]
    parts: list[RenderableType] = [part for judgement in told for part in _model(judgement)]
    if not quiet:
        if len(judgements) > 1:
            parts.append(Padding(_summary(judgements), (1, 0, 0, 0), expand=False))
        parts.append(Text(f"{counted(len(judgements), 'model')} in {seconds:.1f} s", "dim"))
        if baseline is not None:
            parts.append(Text.assemble("baseline written to ", (printable(str(baseline)), "bold")))
    return Group(*parts) if parts else None


def _model(judgement: Judgement) -> Iterator[RenderableType]:
    failures = [finding for finding in judgement.findings if finding.failure is not None]
    holding = len(judgement.findings) - len(failures)
    yield Text.assemble(
        (printable(judgement.model), "bold"),
        " · ",
        (judgement.status, f"bold {_STYLES[judgement.status]}"),
        "" if failures else f" · {counted(holding, 'condition')}",
    )
    for finding in failures:
        yield Padding(_finding(finding), (0, 0, 0, 2), expand=False)
    for finding in judgement.findings:
        if finding.note is not None:
            yield Padding(Text(printable(finding.note)), (0, 0, 0, 2), expand=False)


def _finding(finding: Finding) -> RenderableType:
    failure = Text.assemble((printable(finding.condition), "bold"), ": ", printable(finding.failure or ""))
    lines = [Text(f"{name}: {reason}") for name, reason in _alike(finding)]
    more = len(lines) - NAMED
    if more > 0:
        lines = [*lines[:NAMED], Text(f"and {more} more")]
    return Group(failure, *(Padding(line, (0, 0, 0, 2), expand=False) for line in lines))


def _alike(finding: Finding) -> Iterator[tuple[str, str]]:
    """The culprits, those with the same reason and names that differ in numbers as one."""
    by_reason: dict[str, list[str]] = {}
    for culprit in finding.culprits:
        by_reason.setdefault(culprit.reason, []).append(culprit.site)
    for reason, names in by_reason.items():
        for name, members in merged(names):
            number = f" ({len(members)}×)" if len(members) > 1 else ""
            yield printable(name) + number, printable(reason)


def _summary(judgements: Sequence[Judgement]) -> Text:
    counts = {status: sum(judgement.status == status for judgement in judgements) for status in _STYLES}
    words = [Text(f"{count:,} {status}", f"bold {_STYLES[status]}") for status, count in counts.items() if count]
    return Text(", ").join(words)
