"""Tables that lose nothing where they are too wide: names break at joints, what is shared is told once."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from normgraph.cli.sections import Entry, Row


@dataclass(frozen=True)
class Column(Generic[Entry]):
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
    cell: Callable[[Row[Entry]], str]
    breaks: str = ""
    right: bool = False
    idle: frozenset[str] = frozenset({""})
    shared: bool = True


@dataclass(frozen=True)
class Rows(Generic[Entry]):
    """Rows as a table; where that is too wide, what they all share stands once above it."""

    rows: Sequence[Row[Entry]]
    columns: Sequence[Column[Entry]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        every = [(column, [column.cell(row) for row in self.rows]) for column in self.columns]
        told = [(column, cells) for column, cells in every if not column.idle.issuperset(cells)]
        if sum(_width(column, cells) + 2 for column, cells in told) - 2 > options.max_width:
            common = [(column, cells) for column, cells in told if column.shared and len(set(cells)) == 1]
            if common:
                words = " · ".join(f"{column.title.lower()} {cells[0]}" for column, cells in common)
                yield Text(words, "dim")
            told = [entry for entry in told if entry not in common]
        yield _table(told)


def _width(column: Column[Entry], cells: Sequence[str]) -> int:
    return max(cell_len(text) for text in (column.title, *cells))


def _table(told: Sequence[tuple[Column[Entry], Sequence[str]]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", show_header=len(told) > 1)
    texts = [[Breakable(cell, column.breaks) for cell in cells] for column, cells in told]
    for (column, _), cells in zip(told, texts, strict=True):
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=not column.breaks,
            min_width=max(cell.minimum for cell in cells) if column.breaks else None,
        )
    for row in zip(*texts, strict=True):
        table.add_row(*row)
    return table


@dataclass(frozen=True)
class Breakable:
    """Text that is broken only behind certain characters, its further lines indented.

    Attributes:
        text: the text.
        separators: the characters; within braces they don't count.
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
