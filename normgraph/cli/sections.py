"""A report arranged for people: what fared alike makes a section, what is alike in all else shares a row."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from normgraph.cli.text import merged, printable
from normgraph.inventory import Fold, Site, Statistics

#: Up to so many entries of a section have a row each; of more, those that only differ in numbers share one.
ROOMY = 8
#: Up to so many reasons of one rule are told one by one; of more that are alike only the first is.
TOLD = 3

Entry = TypeVar("Entry", Site, Fold)

#: What was done comes first, then what stood in the way, then what needed nothing.
_ORDER = ("fused", "folded", "kept", "near_miss", "native")


@dataclass(frozen=True)
class Row(Generic[Entry]):
    """Entries that are alike but for numbers in their names.

    Attributes:
        name: their name, or what stands for their names.
        entries: the entries.
    """

    name: str
    entries: tuple[Entry, ...]

    @property
    def first(self) -> Entry:
        """One of them."""
        return self.entries[0]


@dataclass(frozen=True)
class Section(Generic[Entry]):
    """Entries of one kind that fared alike.

    Attributes:
        kind: the operator; None for near misses and maps per channel, which are of none.
        status: how they fared.
        statistics: where their statistics are taken, None where sections aren't told apart by that.
        rule: the code of what stood in the way, None if nothing did.
        reason: the same as a sentence.
        others: how many of them have a reason that reads the same but for names and numbers.
        rows: the entries.
    """

    kind: str | None
    status: str
    statistics: Statistics | None
    rule: str | None
    reason: str | None
    others: int
    rows: tuple[Row[Entry], ...]

    @property
    def count(self) -> int:
        """How many entries it has."""
        return sum(len(row.entries) for row in self.rows)


def sections_of(sites: Iterable[Site], *, by_statistics: bool) -> list[Section[Site]]:
    """The sections of a report's sites; within each they keep the order of the graph.

    Args:
        sites: the sites, in the order of the graph.
        by_statistics: whether sites whose statistics are taken elsewhere belong to different sections.
    """

    def fate(site: Site) -> tuple[str | None, str, Statistics | None, str | None]:
        return site.kind, site.status, site.statistics if by_statistics else None, site.rule

    def likeness(site: Site) -> Hashable:
        return site.axes, site.shape, site.dtype, site.epsilon, site.parameters

    return _sections(sites, fate, likeness)


def sections_of_folds(folds: Iterable[Fold]) -> list[Section[Fold]]:
    """The sections of a report's folds; within each they keep the order of the report."""

    def fate(fold: Fold) -> tuple[str | None, str, None, str | None]:
        return "Linear operators" if fold.subject == "operator" else None, fold.status, None, fold.rule

    def likeness(fold: Fold) -> Hashable:
        return re.sub(r"\d+", "", fold.into or ""), fold.direction, fold.channels

    return _sections(folds, fate, likeness)


def _sections(
    entries: Iterable[Entry],
    fate: Callable[[Entry], tuple[str | None, str, Statistics | None, str | None]],
    likeness: Callable[[Entry], Hashable],
) -> list[Section[Entry]]:
    alike: dict[tuple[str | None, str, Statistics | None, str | None], list[Entry]] = {}
    for entry in entries:
        alike.setdefault(fate(entry), []).append(entry)
    found = [
        Section(kind, status, statistics, rule, group[0].reason, others, _rows(group, likeness))
        for (kind, status, statistics, rule), members in alike.items()
        for group, others in _by_reason(members)
    ]
    return sorted(found, key=lambda section: _ORDER.index(section.status))


def _by_reason(entries: Sequence[Entry]) -> list[tuple[list[Entry], int]]:
    """Entries with one reason each, and how many of a group's reasons aren't the first one's word by word."""
    exact: dict[str, list[Entry]] = {}
    for entry in entries:
        exact.setdefault(entry.reason or "", []).append(entry)
    if len(exact) <= TOLD:
        return [(group, 0) for group in exact.values()]
    loose: dict[str, list[Entry]] = {}
    for entry in entries:
        loose.setdefault(re.sub(r"'[^']*'|/\S+|\d+", "", entry.reason or ""), []).append(entry)
    return [(group, sum(entry.reason != group[0].reason for entry in group)) for group in loose.values()]


def _rows(entries: Sequence[Entry], likeness: Callable[[Entry], Hashable]) -> tuple[Row[Entry], ...]:
    if len(entries) <= ROOMY:
        return tuple(Row(printable(entry.name), (entry,)) for entry in entries)
    alike: dict[Hashable, list[int]] = {}
    for position, entry in enumerate(entries):
        alike.setdefault(likeness(entry), []).append(position)
    rows: list[tuple[int, Row[Entry]]] = []
    for positions in alike.values():
        for name, members in merged([entries[position].name for position in positions]):
            chosen = [positions[member] for member in members]
            rows.append((chosen[0], Row(printable(name), tuple(entries[position] for position in chosen))))
    return tuple(row for _, row in sorted(rows, key=lambda row: row[0]))
