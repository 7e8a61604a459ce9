"""Reports as tables: what each site is, what became of it, and why where nothing did."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from normgraph.cli.sections import Row, Section, sections_of
from normgraph.cli.text import counted, file_size, printable, scientific, shortest
from normgraph.inventory import Statistics, Status
from normgraph.report import Change, Report

_STYLES: dict[Status, str] = {"fused": "green", "native": "cyan", "kept": "yellow", "near_miss": "magenta"}
_STATISTICS: dict[Statistics, str] = {
    "sample": "within each sample",
    "batch": "over the batch",
    "running": "over the batch (running statistics)",
}
_ERRORS = "Error: the largest deviation, before → after, on ordinary inputs and on those made to break it."


@dataclass(frozen=True)
class Run:
    """What the report of an optimization doesn't say of the run that it is about.

    Attributes:
        read: bytes of the input, its external data included.
        written: those of the output; None where nothing was written.
        seconds: how long it took.
        dry: whether nothing was to be written.
    """

    read: int
    written: int | None
    seconds: float
    dry: bool


def optimized(report: Report, run: Run) -> RenderableType:
    """What `normgraph optimize` prints."""
    sections = sections_of(report.sites, by_statistics=False)
    parts: list[RenderableType] = [_title(report.model, f"for {report.target}")]
    parts += [_section(section, _OPTIMIZED) for section in sections]
    if any(site.evidence is not None and site.evidence.trials for site in report.sites):
        parts.append(_spaced(Text(_ERRORS, "dim")))
    figures = [
        _change(report.nodes, "nodes"),
        _change(report.opset, "opset", before=True),
        _sizes(run),
        f"{run.seconds:.1f} s" if run.seconds >= 1 else f"{run.seconds * 1000:.0f} ms",
    ]
    parts.append(_spaced(_summary(report, "would be fused" if run.dry else "fused")))
    parts.append(Text(" · ".join(figures)))
    if report.output is not None:
        parts.append(Text.assemble("written to ", (printable(report.output), "bold")))
    elif run.dry:
        parts.append(Text("nothing is written: this was a dry run"))
    else:
        parts.append(Text("the input is left as it is: there was nothing to change"))
    return Group(*parts)


def explained(report: Report) -> RenderableType:
    """What `normgraph explain` prints."""
    sections = sections_of(report.sites, by_statistics=True)
    nodes = f"{counted(report.nodes.before, 'node')} · opset {report.opset.before}"
    return Group(
        _title(report.model, nodes),
        *(_section(section, _EXPLAINED) for section in sections),
        _spaced(_summary(report, "fused")),
    )


def _title(model: str, remark: str) -> RenderableType:
    return Text.assemble((printable(model), "bold"), " · ", remark)


def _spaced(renderable: RenderableType) -> RenderableType:
    return Padding(renderable, (1, 0, 0, 0), expand=False)


def _indented(renderable: RenderableType) -> RenderableType:
    return Padding(renderable, (0, 0, 0, 2), expand=False)


def _summary(report: Report, fused: str) -> Text:
    unfused = sum(site.rule == "not-fused" for site in report.sites)
    counts = [
        (report.count("fused"), f"{report.count('fused'):,} {fused}", "fused"),
        (unfused, f"{unfused:,} decomposed", "kept"),
        (report.count("kept") - unfused, f"{report.count('kept') - unfused:,} kept as they are", "kept"),
        (report.count("near_miss"), counted(report.count("near_miss"), "near miss"), "near_miss"),
        (report.count("native"), f"{report.count('native'):,} native", "native"),
    ]
    told = [Text(text, f"bold {_STYLES[status]}") for count, text, status in counts if count]  # type: ignore[index]
    return Text(", ").join(told) if told else Text("no normalization found", "bold")


def _change(change: Change, noun: str, *, before: bool = False) -> str:
    same = change.before == change.after
    numbers = f"{change.before:,}" if same else f"{change.before:,} → {change.after:,}"
    return f"{noun} {numbers}" if before else f"{numbers} {noun}"


def _sizes(run: Run) -> str:
    return file_size(run.read) + ("" if run.written is None else f" → {file_size(run.written)}")


def _section(section: Section, columns: Sequence[_Column]) -> RenderableType:
    parts: list[RenderableType] = [_heading(section)]
    if section.reason is not None:
        parts.append(_indented(_reason(section)))
    parts.append(_indented(_Sites(section, columns)))
    return _spaced(Group(*parts))


def _heading(section: Section) -> Text:
    style = _STYLES[section.status]
    if section.kind is None:
        return Text(counted(section.count, "near miss"), f"bold {style}")
    status = "decomposed" if section.rule == "not-fused" else section.status
    text = Text.assemble((section.kind, "bold"), " · ", (f"{section.count:,} {status}", f"bold {style}"))
    if section.statistics is not None:
        text.append(f" · statistics {_STATISTICS[section.statistics]}")
    return text


def _reason(section: Section) -> Text:
    text = Text(printable(section.reason or ""))
    if section.others:
        text.append(f"; likewise, with other names or numbers, at {section.others:,} of the others")
    return text.append(f" ({section.rule})", "dim")


@dataclass(frozen=True)
class _Column:
    """A column: its title, what it says of a row, and how that is set.

    Attributes:
        title: the heading.
        cell: the text for a row.
        breaks: behind which characters the text may be broken.
        right: whether it is set to the right.
        idle: the texts that needn't be told if there are no others.
        shared: whether it may be told once for all rows that agree.
    """

    title: str
    cell: Callable[[Row], str]
    breaks: str = ""
    right: bool = False
    idle: frozenset[str] = frozenset({""})
    shared: bool = True


@dataclass(frozen=True)
class _Sites:
    """The rows of a section as a table; where that is too wide, what they all share is told once above it."""

    section: Section
    columns: Sequence[_Column]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        told = [(column, [column.cell(row) for row in self.section.rows]) for column in self.columns]
        told = [(column, cells) for column, cells in told if not column.idle.issuperset(cells)]
        width = sum(2 + max(map(cell_len, [column.title, *cells])) for column, cells in told) - 2
        if width > options.max_width:
            common = [(column, cells) for column, cells in told if column.shared and len(set(cells)) == 1]
            if common:
                words = " · ".join(f"{column.title.lower()} {cells[0]}" for column, cells in common)
                yield Text(words, "dim")
            told = [entry for entry in told if entry not in common]
        yield _table(told)


def _table(told: Sequence[tuple[_Column, Sequence[str]]]) -> Table:
    table = Table(
        box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", show_header=len(told) > 1
    )
    for column, cells in told:
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=not column.breaks,
            min_width=max(cell.minimum for cell in _breakables(cells, column)) if column.breaks else None,
        )
    for row in zip(*(_breakables(cells, column) for column, cells in told), strict=True):
        table.add_row(*row)
    return table


def _breakables(cells: Iterable[str], column: _Column) -> Iterator[Breakable]:
    return (Breakable(cell, column.breaks) for cell in cells)


@dataclass(frozen=True)
class Breakable:
    """Text that is broken only behind certain characters, its further lines indented.

    Attributes:
        text: the text.
        separators: the characters.
    """

    text: str
    separators: str

    @property
    def parts(self) -> list[str]:
        """What isn't broken."""
        separator = re.escape(self.separators)
        pattern = rf"(?:\{{[^}}]*\}}|[^{separator}])+[{separator}]*|[{separator}]+"
        return re.findall(pattern, self.text) if self.separators else [self.text]

    @property
    def minimum(self) -> int:
        """The least width in which no part is broken, in cells."""
        indent = 2 if len(self.parts) > 1 else 0
        return max((cell_len(part) + indent for part in self.parts), default=0)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(self.minimum, cell_len(self.text)).with_maximum(options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = [""]
        for part in self.parts:
            if lines[-1].strip() and cell_len(lines[-1] + part) > options.max_width:
                lines.append("  ")
            lines[-1] += part
        yield Text("\n".join(lines), overflow="fold")


def _shape(row: Row) -> str:
    if row.site.shape is None:
        return "unknown"
    return "×".join("?" if size is None else printable(str(size)) for size in row.site.shape)


def _epsilon(row: Row) -> str:
    return "" if row.site.epsilon is None else shortest(row.site.epsilon, 3)


def _errors(row: Row) -> str:
    proofs = [site.evidence for site in row.sites if site.evidence is not None and site.evidence.trials]
    if not proofs:
        return ""
    before, after = (max(errors) for errors in zip(*((p.before, p.after) for p in proofs), strict=True))
    return f"{scientific(before, 2)} → {scientific(after, 2)}"


_SITE = _Column("Site", lambda row: row.name, breaks="./", shared=False)
_NUMBER = _Column(
    "", lambda row: f"{len(row.sites)}×" if len(row.sites) > 1 else "", right=True, shared=False
)
_AXES = _Column("Axes", lambda row: ",".join(map(str, row.site.axes)))
_SHAPE = _Column("Shape", _shape, breaks="×", idle=frozenset({"unknown"}))
_TYPE = _Column("Type", lambda row: row.site.dtype or "unknown", idle=frozenset({"float", "unknown"}))
_EPSILON = _Column("Epsilon", _epsilon)
_PARAMETERS = _Column(
    "Parameters",
    lambda row: "" if row.site.parameters is None else f"{row.site.parameters:,}",
    right=True,
)
_ERROR = _Column("Error vs float64", _errors, shared=False)

_OPTIMIZED = (_SITE, _NUMBER, _AXES, _SHAPE, _TYPE, _EPSILON, _ERROR)
_EXPLAINED = (_SITE, _NUMBER, _AXES, _SHAPE, _TYPE, _EPSILON, _PARAMETERS)
