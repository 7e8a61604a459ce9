"""Figures of a benchmark for people."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from normgraph.cli.text import file_size, merged, printable
from normgraph.timing.results import Benchmark, Figures, Level
from normgraph.timing.sites import PLAN
from normgraph.timing.statistics import Ratio, Verdict
from normgraph.timing.tuned import SiteTiming, Tuned
from normgraph.wording import counted

#: Up to so many rewrites are named that a tuning doesn't know.
_NAMED = 4
_STYLES: dict[Verdict, str] = {"faster": "green", "slower": "red", "no difference": "cyan", "undecided": "yellow"}


def compared(found: Benchmark) -> RenderableType:
    """What `normgraph bench` prints."""
    around = found.surroundings
    threads = "threads as ONNX Runtime chooses" if not around.threads else counted(around.threads, "thread")
    title = Text.assemble(
        (f"ONNX Runtime {around.runtime} on {around.provider}", "bold"),
        f" · {threads}{', CUDA graphs' if around.graphs else ''} · {counted(around.cores, 'core')}",
    )
    shapes = ", ".join(f"{printable(n)} {t} {'×'.join(map(str, s)) or 'scalar'}" for n, t, s in found.inputs)
    parts: list[RenderableType] = [title, Text(f"{printable(found.fed)}: {shapes}" if shapes else "no inputs", "dim")]
    if found.notes:
        parts.append(_spaced(Text("\n".join(f"note: {printable(note)}" for note in found.notes), "yellow")))
    parts += [_level(found, level) for level in found.levels]
    if found.sites is not None:
        parts.append(_sites(found.sites, found.levels[-1].name))
    if len(found.models) > 1 or found.sites:
        told = (
            "Ratio: the first's time over this one's, of a site before over after, above 1 is faster; in brackets the "
            "interval that holds it in 95 of 100 measurements."
        )
        parts.append(_spaced(Text(told, "dim")))
    return Group(*parts)


def _level(found: Benchmark, level: Level) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    several = len(found.models) > 1
    placed = any(len(figures.placement) > 1 for figures in level.figures)
    table.add_column("Model", overflow="fold")
    for title in ("Median", "p90", "Session", "Size", *(("Ratio",) if several else ())):
        table.add_column(title, justify="right", no_wrap=True)
    if several:
        table.add_column("", no_wrap=True)
    if placed:
        table.add_column("Nodes", overflow="fold")
    for model, size, figures in zip(found.models, found.sizes, level.figures, strict=True):
        cells: list[Text | str] = [printable(model), *_times(figures), file_size(size)]
        if several:
            cells += ["", ""] if figures.ratio is None else [interval(figures.ratio), said(figures.verdict)]
        if placed:
            cells.append(", ".join(f"{count} on {name}" for name, count in figures.placement.items()))
        table.add_row(*cells)
    times = level.figures[0].times
    heading = Text.assemble(
        (f"Optimizations {level.name}", "bold"),
        f" · {counted(len(times.runs), 'run')} of each in {counted(len(times.rounds), 'round')}",
    )
    if not level.settled:
        heading.append(f" · the {found.budget:g} s were up before ±{found.precision * 100:g} % was reached", "yellow")
    return _spaced(Group(heading, Padding(table, (0, 0, 0, 2), expand=False)))


def _times(figures: Figures) -> tuple[str, str, str]:
    times = figures.times
    return seconds(times.median), seconds(times.p90), seconds(times.session)


def tuned(found: Tuned) -> RenderableType:
    """What `normgraph optimize` prints of the rewrites that were decided by their speed."""
    unknown = found.unknown
    known = [timing for timing in found.timings if timing not in unknown]
    parts: list[RenderableType] = []
    if known:
        groups = _alike(known)
        made = sum(_saved(group) for group in groups if all(map(_is_made, group)))
        remarks = f"{f' of ONNX Runtime {found.runtime}' if found.runtime else ''}, each rewrite by itself"
        title = Text.assemble(
            (f"Timed on {found.provider}", "bold"), remarks, f" · those that are made save {seconds(made)} a run"
        )
        parts.append(_spaced(Group(title, Padding(_site_table(groups, _spared), (0, 0, 0, 2), expand=False))))
    if unknown:
        names = [printable(name) for name, _ in merged([timing.name for timing in unknown])]
        more = [f"and {len(names) - _NAMED} more"] if len(names) > _NAMED else []
        told = (
            f"the tuning doesn't know {len(unknown):,} of {counted(len(found.timings), 'rewrite')}: "
            f"{', '.join([*names[:_NAMED], *more])}; what it doesn't know is made; --autotune beside --tuning adds it"
        )
        parts.append(_spaced(Text(told, "yellow")))
    return Group(*parts)


def _sites(timings: Sequence[SiteTiming], level: str) -> RenderableType:
    if not timings:
        return _spaced(Text("nothing of the first model is to be rewritten"))
    groups = _alike(timings)
    heading = Text.assemble(
        ("Rewrites of the first model, each by itself", "bold"),
        f" · optimizations {level} · together they save {seconds(sum(map(_saved, groups)))} a run",
    )
    table = _site_table(groups, lambda group: seconds(_saved(group)))
    return _spaced(Group(heading, Padding(table, (0, 0, 0, 2), expand=False)))


def _alike(timings: Sequence[SiteTiming]) -> list[list[SiteTiming]]:
    """Rewrites that are alike in structure and shape, which were measured once; what saves most comes first."""
    alike: dict[tuple[str, int | str], list[SiteTiming]] = {}
    for timing in timings:
        alike.setdefault((timing.kind, timing.untimed or id(timing.decision)), []).append(timing)
    return sorted(alike.values(), key=_saved, reverse=True)


def _site_table(groups: Sequence[Sequence[SiteTiming]], saves: Callable[[Sequence[SiteTiming]], str]) -> Table:
    """Rewrites with their figures, those that are alike in a row."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("Site", overflow="fold")
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("Becomes", overflow="fold")
    table.add_column("Input", overflow="fold")
    for title in ("Before", "After", "Ratio"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("Saves", justify="right", no_wrap=True)
    for group in groups:
        for row in _site_rows(group, saves):
            table.add_row(*row)
    return table


def _is_made(timing: SiteTiming) -> bool:
    return timing.decision is None or timing.decision.rewrite


def _spared(group: Sequence[SiteTiming]) -> str:
    """What rewrites save where they are made."""
    return seconds(_saved(group)) if all(map(_is_made, group)) else "isn't made"


def _saved(group: Sequence[SiteTiming]) -> float:
    """Seconds that these rewrites save in a run of the model; a difference within noise counts as none."""
    decided = [timing.decision for timing in group if timing.decision is not None]
    told = [d for d in decided if d.ratio.verdict(PLAN.precision) in ("faster", "slower")]
    return sum(decision.before - decision.after for decision in told)


def _site_rows(
    group: Sequence[SiteTiming], saves: Callable[[Sequence[SiteTiming]], str]
) -> Iterator[tuple[str | Text, ...]]:
    for name, members in merged([timing.name for timing in group]):
        first, count = group[members[0]], f"{len(members)}×" if len(members) > 1 else ""
        decision = first.decision
        if decision is None:
            yield printable(name), count, first.kind, f"not timed: {printable(first.untimed or '')}"
            continue
        yield (
            printable(name),
            count,
            first.kind,
            printable(decision.inputs[0]),
            seconds(decision.before),
            seconds(decision.after),
            interval(decision.ratio),
            said(decision.ratio.verdict(PLAN.precision)),
            saves([group[member] for member in members]),
        )


def interval(ratio: Ratio) -> str:
    """A ratio with its interval.

    >>> interval(Ratio(1.234, 1.2, 1.27)), interval(Ratio(1.0, 0.0, float("inf")))
    ('1.234 [1.200, 1.270]', '1.000 [0.000, ?]')
    """
    high = f"{ratio.high:.3f}" if math.isfinite(ratio.high) else "?"
    return f"{ratio.estimate:.3f} [{ratio.low:.3f}, {high}]"


def said(verdict: Verdict | None) -> Text:
    """A verdict in its colour."""
    return Text("") if verdict is None else Text(verdict, _STYLES[verdict])


def seconds(duration: float) -> str:
    """A duration in the unit that suits it, with three digits or more.

    >>> seconds(0.0000123), seconds(0.0123), seconds(1.5), seconds(123.4)
    ('12.3 µs', '12.3 ms', '1.50 s', '123 s')
    """
    for unit, scale in (("µs", 1e6), ("ms", 1e3), ("s", 1.0)):
        number = abs(duration) * scale
        if number < 999.5 or unit == "s":
            digits = 2 if number < 9.995 else 1 if number < 99.95 else 0
            return f"{duration * scale:.{digits}f} {unit}"
    raise AssertionError(duration)


def _spaced(renderable: RenderableType) -> RenderableType:
    return Padding(renderable, (1, 0, 0, 0), expand=False)
