"""``normgraph verify``: runs two models side by side and says whether they compute the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from normgraph.cli import files
from normgraph.cli.feeding import feeding_of
from normgraph.cli.options.verify import VerifyOptions
from normgraph.cli.output import show, write_json
from normgraph.cli.progress import shown
from normgraph.cli.text import printable, scientific
from normgraph.evidence import FACTOR, ULPS
from normgraph.verification import Comparison, Divergence, Tolerance, Verification, Verifying, verify
from normgraph.verification.comparing import RELATIVE
from normgraph.wording import counted

#: So many outputs have a row; of more, the worst are shown.
_ROOMY = 20


def run(options: VerifyOptions, started: float) -> int:
    """Run the command.

    Returns:
        0 if the models agree, 1 if they don't.

    Raises:
        NormgraphError: a model can't be read, or the first one doesn't run on what it is fed.
    """
    if options.report is not None:
        files.check_spares(options.report, "report", (options.before, options.after))
    with files.written_report(options.report) as texts, shown(wanted=not options.quiet) as progress:
        found = verify(options.before, options.after, _how(options), progress=progress)
        texts.append(found.to_json())
    if options.json:
        write_json(found.to_json())
    elif not options.quiet:
        show(told(found, time.perf_counter() - started))
    return 0 if found.passed else 1


def _how(options: VerifyOptions) -> Verifying:
    tolerance = None
    if options.rtol is not None or options.atol is not None:
        tolerance = Tolerance(options.rtol or 0.0, options.atol or 0.0)
    feeding = feeding_of(options, sizes=options.sizes)
    return Verifying(feeding, tolerance, options.truth, options.runtime_optimizations)


def told(found: Verification, seconds: float | None = None) -> RenderableType:
    """What was found, for people."""
    parts: list[RenderableType] = [
        Text.assemble((printable(found.before), "bold"), " · compared with · ", (printable(found.after), "bold"))
    ]
    parts.append(Text(f"in {found.runtime}", "dim"))
    parts.append(Text(f"float64: {found.truth}", "dim"))
    if found.problems:
        parts += [Text(), *(Text(printable(problem), "red") for problem in found.problems)]
    if found.comparisons:
        parts += [Text(), *_outputs(found), Text(), Text(_bound(found), "dim")]
    if found.divergence is not None:
        parts += [Text(), *_parting(found.divergence)]
    verdict = ("the models agree", "bold green") if found.passed else ("the models differ", "bold red")
    figures = f" · {counted(len(found.recipes), 'input')}" if found.recipes else ""
    figures += "" if seconds is None else f" · {seconds:.1f} s"
    parts += [Text(), Text.assemble(verdict, figures)]
    return Group(*parts)


def _outputs(found: Verification) -> list[RenderableType]:
    rows = sorted((found.worst(name) for name in found.outputs), key=lambda c: (c.passed, -c.excess))
    shown = rows[:_ROOMY] if len(rows) > _ROOMY else [found.worst(name) for name in found.outputs]
    parts: list[RenderableType] = [_table(shown)]
    if len(rows) > len(shown):
        parts.append(
            Text(f"and {counted(len(rows) - len(shown), 'output')} more, none of them nearer its bound", "dim")
        )
    for comparison in shown:
        if comparison.difference is not None:
            where = f"'{comparison.tensor}' on {comparison.feed}: {comparison.difference}"
            parts.append(Text(printable(where), "red"))
    recovered = sum(comparison.recovered for comparison in found.comparisons)
    if recovered:
        elements = counted(recovered, "element")
        parts.append(
            Text(f"gained: {elements} of the second model are finite where those of the first aren't", "green")
        )
    return parts


def _table(rows: Sequence[Comparison]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for title, cell in _COLUMNS:
        cells = [cell(row) for row in rows]
        if any(cells):
            table.add_column(title, overflow="fold")
    told = [cell for _, cell in _COLUMNS if any(cell(row) for row in rows)]
    for row in rows:
        table.add_row(*(Text(cell(row), "" if row.passed else "red") for cell in told))
    return table


def _bound(found: Verification) -> str:
    judged = [comparison.error_after is not None for comparison in found.comparisons if comparison.dtype in RELATIVE]
    if found.tolerance is not None:
        return f"Outputs may differ by {found.tolerance.absolute:g} + {found.tolerance.relative:g}·|before|."
    bounds = ", ".join(f"{bound:g} in {dtype}" for dtype, bound in RELATIVE.items())
    if not any(judged):
        return f"Outputs may differ by this much of their largest value: {bounds}."
    others = "" if all(judged) else f" Where there is no float64, by this much of the largest value: {bounds}."
    return (
        f"Error: against float64, before → after. The second model may err {FACTOR:.0f} times as much as the "
        f"first, or by {ULPS:.0f} units in the last place.{others}"
    )


def _parting(divergence: Divergence) -> list[RenderableType]:
    found = divergence.comparison
    lines = [
        f"they part at '{found.tensor}', on {found.feed}: {found.difference}",
        f"  before: {divergence.before}",
        f"  after:  {divergence.after}",
    ]
    if divergence.replaces:
        lines.append(f"  which stands for: {', '.join(divergence.replaces)}")
    if divergence.equal is not None:
        lines.append(f"  the last tensor before it that agrees: '{divergence.equal}'")
    return [Text(printable(line)) for line in lines]


def _error(found: Comparison) -> str:
    if found.error_before is None or found.error_after is None:
        return ""
    return f"{scientific(found.error_before, 2)} → {scientific(found.error_after, 2)}"


def _optional(number: float | None, digits: int) -> str:
    return "" if number is None else scientific(number, digits)


def _cosine(found: Comparison) -> str:
    return "" if found.cosine is None else f"{found.cosine:.9f}".rstrip("0").rstrip(".")


_COLUMNS: tuple[tuple[str, Callable[[Comparison], str]], ...] = (
    ("Output", lambda found: printable(found.tensor)),
    ("Shape", lambda found: "×".join(map(str, found.shape)) or "scalar"),
    ("Type", lambda found: found.dtype),
    ("Max abs", lambda found: scientific(found.largest, 2)),
    ("Relative", lambda found: scientific(found.relative, 2)),
    ("ULP, 99 %", lambda found: "" if found.ulps is None else scientific(found.ulps.p99, 2)),
    ("Cosine", _cosine),
    ("Error", _error),
    ("Allowed", lambda found: _optional(found.allowed, 2)),
    ("Worst on", lambda found: found.feed),
    ("", lambda found: "" if found.passed else "differs"),
)
