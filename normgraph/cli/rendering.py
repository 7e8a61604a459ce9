"""Reports for people: what each site is, what became of it, and why where nothing did."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from normgraph.cli.sections import Entry, Row, Section, sections_of, sections_of_folds
from normgraph.cli.tables import Column, Rows
from normgraph.cli.text import file_size, merged, printable, scientific, shortest
from normgraph.feeds import ORDINARY
from normgraph.inventory import Fold, Site, Statistics
from normgraph.report import Change, Report
from normgraph.wording import counted

if TYPE_CHECKING:
    from normgraph.cli.optimize import Figures
    from normgraph.verification import Verification

_STYLES = {"fused": "green", "folded": "green", "kept": "yellow", "near_miss": "magenta", "native": "cyan"}
_STATISTICS: dict[Statistics, str] = {
    "sample": "within each sample",
    "batch": "over the batch",
    "running": "over the batch (running statistics)",
}
#: What is only there because the model was explained, not optimized: rule → what it makes a site or fold.
_OPEN = {"not-fused": "decomposed", "not-folded": "foldable"}
_ERRORS = """\
Error: the largest deviation, before → after, on ordinary inputs and on those made to break it.
ULP: that of 99 of 100 elements on ordinary inputs, in units in the last place."""


def optimized(report: Report, figures: Figures) -> RenderableType:
    """What `normgraph optimize` prints."""
    parts: list[RenderableType] = [_title(report.model, f"for {report.target}")]
    parts += [_section(section, _OPTIMIZED) for section in sections_of(report.sites, by_statistics=False)]
    parts += [_section(section, _FOLDS) for section in sections_of_folds(report.folds)]
    proofs = [*(site.evidence for site in report.sites), *(fold.evidence for fold in report.folds)]
    if any(proof is not None and proof.trials for proof in proofs):
        parts.append(_spaced(Text(_ERRORS, "dim")))
    told = [
        _change(report.nodes) + (" node" if report.nodes == Change(1, 1) else " nodes"),
        f"opset {_change(report.opset)}",
        file_size(figures.read) + ("" if figures.written is None else f" → {file_size(figures.written)}"),
        f"{figures.seconds:.1f} s" if figures.seconds >= 1 else f"{figures.seconds * 1000:.0f} ms",
    ]
    if report.tuned is not None:
        from normgraph.cli import timings  # with all that measures, which few ask for

        parts.append(timings.tuned(report.tuned))
    if report.verification is not None:
        parts.append(_spaced(Text(_verified(report.verification), "green")))
    parts.append(_spaced(_summary(report, "would be " if figures.dry else "")))
    parts.append(Text(" · ".join(told)))
    if report.output is not None:
        parts.append(Text.assemble("written to ", (printable(report.output), "bold")))
    elif figures.dry:
        parts.append(Text("nothing is written: this was a dry run"))
    else:
        parts.append(Text("the input is left as it is: there was nothing to change"))
    return Group(*parts)


def _verified(found: Verification) -> str:
    """What was verified of the whole model, in a line."""
    outputs, inputs = counted(len(found.outputs), "output"), counted(len(found.recipes), "input")
    measured = found.errors()
    errors = ""
    if measured is not None:
        before, after = measured
        errors = f", error against float64 {scientific(before, 2)} → {scientific(after, 2)}"
    return f"the whole model agrees with the original: {outputs} on {inputs}{errors}"


def explained(report: Report) -> RenderableType:
    """What `normgraph explain` prints."""
    nodes = f"{counted(report.nodes.before, 'node')} · opset {report.opset.before} · for {report.target}"
    return Group(
        _title(report.model, nodes),
        *(_section(section, _EXPLAINED) for section in sections_of(report.sites, by_statistics=True)),
        *(_section(section, _FOLDS) for section in sections_of_folds(report.folds)),
        _spaced(_summary(report, "")),
    )


def _title(model: str, remark: str) -> RenderableType:
    return Text.assemble((printable(model), "bold"), " · ", remark)


def _spaced(renderable: RenderableType) -> RenderableType:
    return Padding(renderable, (1, 0, 0, 0), expand=False)


def _indented(renderable: RenderableType) -> RenderableType:
    return Padding(renderable, (0, 0, 0, 2), expand=False)


def _change(change: Change) -> str:
    return f"{change.before:,}" + ("" if change.before == change.after else f" → {change.after:,}")


def _summary(report: Report, mood: str) -> Text:
    told = [
        Text(words, f"bold {_STYLES[status]}")
        for status, words in (*_counted_sites(report.sites, mood), *_counted_folds(report.folds, mood))
    ]
    return Text(", ").join(told) if told else Text("no normalization found", "bold")


def _counted_sites(sites: Sequence[Site], mood: str) -> Iterator[tuple[str, str]]:
    """Status and words for each count of sites that isn't zero."""
    unfused = sum(site.rule in _OPEN for site in sites)
    counts = {status: sum(site.status == status for site in sites) for status in _STYLES}
    kept = counts["kept"] - unfused
    for status, count, words in (
        ("fused", counts["fused"], f"{mood}fused"),
        ("kept", unfused, _OPEN["not-fused"]),
        ("kept", kept, "kept as it is" if kept == 1 else "kept as they are"),
    ):
        if count:
            yield status, f"{count:,} {words}"
    if counts["near_miss"]:
        yield "near_miss", counted(counts["near_miss"], "near miss")
    if counts["native"]:
        yield "native", f"{counts['native']:,} native"


def _counted_folds(folds: Sequence[Fold], mood: str) -> Iterator[tuple[str, str]]:
    """Status and words for each count of folds that isn't zero."""
    folded = sum(fold.status == "folded" for fold in folds)
    unfolded = sum(fold.rule in _OPEN for fold in folds)
    for status, count, words in (
        ("folded", folded, f"{mood}folded"),
        ("kept", unfolded, _OPEN["not-folded"]),
        ("kept", len(folds) - folded - unfolded, "not folded"),
    ):
        if count:
            yield status, f"{count:,} {words}"


def _section(section: Section[Entry], columns: Sequence[Column[Entry]]) -> RenderableType:
    parts: list[RenderableType] = [_heading(section)]
    if section.reason is not None:
        parts.append(_indented(_reason(section)))
    parts.append(_indented(Rows(section.rows, columns)))
    parts += [_indented(Text(remark, "dim")) for remark in _remarks(section)]
    return _spaced(Group(*parts))


def _remarks(section: Section[Entry]) -> Iterator[str]:
    """What the proofs of a section have found beyond the figures."""
    proofs = [entry.evidence for row in section.rows for entry in row.entries if entry.evidence is not None]
    gains = [proof.overflow.magnitude for proof in proofs if proof.overflow is not None and proof.accepted]
    if gains:
        which = "" if len(gains) == len(proofs) else f" at {len(gains):,} of them"
        yield f"gained{which}: in float16 the original overflows from |x| ≈ {min(gains):.0f} on, this doesn't"
    alike = sum(proof.alike is not None for proof in proofs if proof.accepted)
    if alike:
        yield f"tried on fewer inputs, since another that is written alike was tried on all ({counted(alike, 'site')})"
    refusing = sum(any(trial.refused for trial in proof.trials) for proof in proofs if proof.accepted)
    if refusing:
        yield f"an empty batch, which the original takes, is refused by what replaces it ({counted(refusing, 'site')})"


def _heading(section: Section[Entry]) -> Text:
    style = f"bold {_STYLES[section.status]}"
    if section.status == "near_miss":
        return Text(counted(section.count, "near miss"), style)
    status = _OPEN.get(section.rule or "", section.status)
    title = section.kind or "Scale and shift per channel"
    text = Text.assemble((title, "bold"), " · ", (f"{section.count:,} {status}", style))
    if section.statistics is not None:
        text.append(f" · statistics {_STATISTICS[section.statistics]}")
    return text


def _reason(section: Section[Entry]) -> Text:
    text = Text(printable(section.reason or ""))
    if section.others:
        text.append(f"; likewise, with other names or numbers, at {section.others:,} more")
    return text.append(f" ({section.rule})", "dim")


def _name(row: Row[Entry]) -> str:
    return row.name


def _number(row: Row[Entry]) -> str:
    return f"{len(row.entries)}×" if len(row.entries) > 1 else ""


def _shape(row: Row[Site]) -> str:
    if row.first.shape is None:
        return "unknown"
    return "×".join("?" if size is None else printable(str(size)) for size in row.first.shape)


def _epsilon(row: Row[Site]) -> str:
    return "" if row.first.epsilon is None else shortest(row.first.epsilon, 3)


def _parameters(row: Row[Site]) -> str:
    return "" if row.first.parameters is None else f"{row.first.parameters:,}"


def _into(row: Row[Fold]) -> str:
    names = _named(fold.into for fold in row.entries)
    return printable(", ".join(name for name, _ in merged(names)))


def _named(names: Iterable[str | None]) -> list[str]:
    return [name for name in names if name is not None]


def _channels(row: Row[Fold]) -> str:
    return "" if row.first.channels is None else f"{row.first.channels:,}"


def _errors(row: Row[Entry]) -> str:
    proofs = [entry.evidence for entry in row.entries if entry.evidence is not None and entry.evidence.trials]
    if not proofs:
        return ""
    before, after = (max(errors) for errors in zip(*((p.before, p.after) for p in proofs), strict=True))
    return f"{scientific(before, 2)} → {scientific(after, 2)}"


def _ulps(row: Row[Entry]) -> str:
    """What is told of ordinary inputs, where units in the last place mean most."""
    proofs = [entry.evidence for entry in row.entries if entry.evidence is not None]
    trials = [trial for proof in proofs for trial in proof.trials if trial.family in ORDINARY]
    pairs = [(t.ulps_before.p99, t.ulps_after.p99) for t in trials if t.ulps_before and t.ulps_after]
    if not pairs:
        return ""
    before, after = (max(figures) for figures in zip(*pairs, strict=True))
    return f"{_units(before)} → {_units(after)}"


def _units(number: float) -> str:
    return f"{number:.1f}" if number < 99.95 else f"{number:,.0f}"


def _worst_channel(row: Row[Fold]) -> str:
    """The worst channel of the fold of the row that is worst."""
    found = [fold.worst_channel for fold in row.entries if fold.worst_channel is not None]
    worst = max(found, key=lambda channel: channel.error, default=None)
    return "" if worst is None else f"{worst.index} ({scientific(worst.error, 2)})"


_JOINTS = "./"
_KNOWN_TYPES = frozenset({"float", "unknown"})

_SITE: tuple[Column[Site], ...] = (
    Column("Site", _name, breaks=_JOINTS, shared=False),
    Column("", _number, right=True, shared=False),
    Column("Axes", lambda row: ",".join(map(str, row.first.axes))),
    Column("Shape", _shape, breaks="×", idle=frozenset({"unknown"})),
    Column("Type", lambda row: row.first.dtype or "unknown", idle=_KNOWN_TYPES),
    Column("Epsilon", _epsilon),
)
_OPTIMIZED: tuple[Column[Site], ...] = (
    *_SITE,
    Column("Error vs float64", _errors, shared=False),
    Column("ULP", _ulps, shared=False),
)
_EXPLAINED: tuple[Column[Site], ...] = (*_SITE, Column("Parameters", _parameters, right=True))
_FOLDS: tuple[Column[Fold], ...] = (
    Column("Site", _name, breaks=_JOINTS, shared=False),
    Column("", _number, right=True, shared=False),
    Column("Channels", _channels, right=True),
    Column("Into", _into, breaks=_JOINTS, shared=False),
    Column("Direction", lambda row: row.first.direction or "", idle=frozenset({"", "backward"})),
    Column("Error vs float64", _errors, shared=False),
    Column("ULP", _ulps, shared=False),
    Column("Worst channel", _worst_channel, right=True, shared=False),
)
