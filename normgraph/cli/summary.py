"""What became of many models, for people: a table, and below it what failed."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from normgraph.cli.tables import Breakable
from normgraph.cli.text import file_size, printable
from normgraph.wording import counted

_STYLES = {"written": "green", "failed": "red", "up to date": "cyan", "left as it is": "cyan", "dry run": "yellow"}
#: The columns of figures that are left out where they are zero everywhere, and their headings.
_COUNTS = {
    "fused": "Fused",
    "folded": "Folded",
    "kept": "Kept",
    "near_miss": "Near misses",
    "native": "Native",
    "unknown_to_tuning": "Not in the tuning",
}


def optimized(rows: Sequence[Mapping[str, Any]], seconds: float) -> RenderableType:
    """What `normgraph optimize` prints for several models.

    Args:
        rows: for each its model, output, status, and figures.
        seconds: how long it took.
    """
    told = [name for name in _COUNTS if any((row["figures"] or {}).get(name) for row in rows)]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("Model", overflow="fold")
    for name in told:
        table.add_column(_COUNTS[name], justify="right")
    for heading in ("Nodes", "Size", "Status"):
        table.add_column(heading, no_wrap=True)
    for row in rows:
        figures = row["figures"]
        cells = [""] * (len(told) + 2) if figures is None else _cells(figures, told)
        table.add_row(Breakable(printable(row["model"]), "/"), *cells, Text(row["status"], _STYLES[row["status"]]))
    counts = Counter(row["status"] for row in rows)
    words = [Text(f"{counts[status]:,} {status}", f"bold {_STYLES[status]}") for status in _STYLES if counts[status]]
    total = f" · {counted(len(rows), 'model')} in {seconds:.1f} s"
    return Group(table, Text(), Text.assemble(Text(", ").join(words), total))


def _cells(figures: Mapping[str, Any], told: Sequence[str]) -> list[str]:
    size = file_size(figures["bytes_before"])
    if figures["bytes_after"] is not None:
        size += f" → {file_size(figures['bytes_after'])}"
    before, after = figures["nodes_before"], figures["nodes_after"]
    nodes = f"{before:,}" if before == after else f"{before:,} → {after:,}"
    return [*(f"{figures[name]:,}" if figures.get(name) else "" for name in told), nodes, size]


def complain(rows: Sequence[Mapping[str, Any]], tracebacks: Sequence[str]) -> None:
    """Say on the standard error what failed, a line each, after the tracebacks of normgraph's own mistakes."""
    for text in tracebacks:
        sys.stderr.write(text)
    for row in rows:
        if row["error"] is not None:
            which = "" if row["model"] in row["error"] else f"{row['model']}: "  # most errors name their file
            sys.stderr.write(f"normgraph: error: {printable(which + row['error'])}\n")
