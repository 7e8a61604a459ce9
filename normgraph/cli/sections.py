"""A report arranged for people: sites of one fate make a section, those that share all else a row."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from normgraph.cli.text import merged, printable
from normgraph.inventory import Site, Statistics, Status

#: Up to so many sites of a section have a row each; of more, those that only differ in numbers share one.
ROOMY = 8
#: Up to so many reasons of one rule are told one by one; of more that are alike only the first is.
TOLD = 3

_ORDER: tuple[Status, ...] = ("fused", "kept", "near_miss", "native")


@dataclass(frozen=True)
class Row:
    """Sites that are alike but for a number in their names.

    Attributes:
        name: their name, or what stands for their names.
        sites: the sites.
    """

    name: str
    sites: tuple[Site, ...]

    @property
    def site(self) -> Site:
        """One of them."""
        return self.sites[0]


@dataclass(frozen=True)
class Section:
    """Sites of one kind that fared alike.

    Attributes:
        kind: their operator; None for near misses.
        status: how they fared.
        statistics: where their statistics are taken, None where sections aren't told apart by that.
        rule: the code of what stood in the way, None if nothing did.
        reason: the same as a sentence.
        others: how many of them have a reason that reads the same but for names and numbers.
        rows: the sites.
    """

    kind: str | None
    status: Status
    statistics: Statistics | None
    rule: str | None
    reason: str | None
    others: int
    rows: tuple[Row, ...]

    @property
    def count(self) -> int:
        """How many sites it has."""
        return sum(len(row.sites) for row in self.rows)


def sections_of(sites: Iterable[Site], *, by_statistics: bool) -> list[Section]:
    """The sections of a report: what was done first, then what stood in the way, then what needed nothing.

    Args:
        sites: the sites, in the order of the graph; sections and rows keep it.
        by_statistics: whether sites whose statistics are taken elsewhere belong to different sections.
    """
    fates: dict[tuple[Status, str | None, Statistics | None, str | None], list[Site]] = {}
    for site in sites:
        key = (site.status, site.kind, site.statistics if by_statistics else None, site.rule)
        fates.setdefault(key, []).append(site)
    found = [
        Section(kind, status, statistics, rule, group[0].reason, others, _rows(group))
        for (status, kind, statistics, rule), alike in fates.items()
        for group, others in _by_reason(alike)
    ]
    return sorted(found, key=lambda section: _ORDER.index(section.status))


def _by_reason(sites: Sequence[Site]) -> list[tuple[list[Site], int]]:
    """Sites with one reason each, and how many of a group's reasons aren't the first one's word by word."""
    exact: dict[str, list[Site]] = {}
    for site in sites:
        exact.setdefault(site.reason or "", []).append(site)
    if len(exact) <= TOLD:
        return [(group, 0) for group in exact.values()]
    loose: dict[str, list[Site]] = {}
    for site in sites:
        loose.setdefault(re.sub(r"'[^']*'|\d+", "", site.reason or ""), []).append(site)
    return [(group, sum(site.reason != group[0].reason for site in group)) for group in loose.values()]


def _rows(sites: Sequence[Site]) -> tuple[Row, ...]:
    if len(sites) <= ROOMY:
        return tuple(Row(printable(site.name), (site,)) for site in sites)
    alike: dict[object, list[int]] = {}
    for position, site in enumerate(sites):
        key = (site.axes, site.shape, site.dtype, site.epsilon, site.parameters)
        alike.setdefault(key, []).append(position)
    rows: list[tuple[int, Row]] = []
    for positions in alike.values():
        for name, members in merged([sites[position].name for position in positions]):
            chosen = [positions[member] for member in members]
            rows.append((chosen[0], Row(printable(name), tuple(sites[position] for position in chosen))))
    return tuple(row for _, row in sorted(rows, key=lambda entry: entry[0]))
