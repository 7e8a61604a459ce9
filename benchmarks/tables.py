"""Tables of figures: on the terminal, and as a section of a page in docs/ that a benchmark keeps up to date."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table as RichTable

DOCS = Path(__file__).resolve().parent.parent / "docs"
#: Of the lines in docs/.
WIDTH = 120


@dataclass(frozen=True)
class Table:
    """Rows of text under headings; the first `left` columns are aligned to the left, the others hold figures."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1

    def show(self) -> None:
        """Print it."""
        table = RichTable(title=self.title, title_justify="left")
        for position, heading in enumerate(self.headings):
            table.add_column(heading, justify="left" if position < self.left else "right")
        for row in self.rows:
            table.add_row(*row)
        Console(width=None if sys.stdout.isatty() else 200).print(table)

    def markdown(self) -> str:
        """It as Markdown, under its title."""
        rule = ["---" if position < self.left else "---:" for position in range(len(self.headings))]
        lines = ["| " + " | ".join(row) + " |" for row in (self.headings, tuple(rule), *self.rows)]
        return "\n".join([f"**{self.title}**", "", *lines])


def surroundings(*distributions: str) -> str:
    """What the figures were measured with: versions, commit, the cores it may use; nothing that names a machine."""
    versions = [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in distributions)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    around = f"{', '.join(versions)}; {platform.system()} on {platform.machine()}, {cores} core{'s' * (cores != 1)}"
    return f"normgraph {commit()}, {around}."


def commit() -> str:
    """The version in the checkout with its commit; told as well is whether the code differs from that."""

    def git(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", *arguments], cwd=DOCS.parent, capture_output=True, text=True, check=False)

    number = tomllib.loads((DOCS.parent / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    described = git("describe", "--always", "--abbrev=9").stdout.strip()
    changed = git("diff", "--quiet", "HEAD", "--", "normgraph", "kernels").returncode
    return f"{number} ({described or 'of no commit'}{' with changes' if described and changed else ''})"


def write_section(page: str, section: str, text: str) -> None:
    """Put a text between the marks of a section of a page in docs/; both are made where they aren't there."""
    path = DOCS / page
    before = path.read_text("utf-8") if path.exists() else f"# {Path(page).stem.capitalize()}\n"
    begin, end = f"<!-- {section}: begin -->", f"<!-- {section}: end -->"
    if begin not in before:
        before += f"\n{begin}\n{end}\n"
    head, rest = before.split(begin, 1)
    tail = rest.split(end, 1)[1]
    path.write_text(f"{head}{begin}\n{text.strip()}\n{end}{tail}", "utf-8")


def table_of(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> Table:
    """A table from any sequences."""
    return Table(title, tuple(headings), tuple(tuple(row) for row in rows), left)
