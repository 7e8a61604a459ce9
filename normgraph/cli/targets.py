"""``normgraph targets``: shows which operators each runtime gets."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from normgraph.cli.options.targets import TargetsOptions
from normgraph.cli.output import show
from normgraph.lowering import Operator, Target
from normgraph.targets import TARGETS


def run(options: TargetsOptions, started: float) -> int:
    """Run the command."""
    wanted = None if options.target is None else options.target.partition("@")[0]
    shown = [target for name, target in TARGETS.items() if wanted in (None, name)]
    show(Group(*(part for target in shown for part in _section(target))))
    return 0


def _section(target: Target) -> list[RenderableType]:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in ("Normalization", "Becomes", "Opset", "Types", "Notes"):
        table.add_column(title, overflow="fold")
    for row in rows(target):
        table.add_row(*row)
    return [Text(f"{target.name} · {target.source}", "bold"), table, Text()]


def rows(target: Target) -> Iterator[tuple[str, str, str, str, str]]:
    """What a target does with each kind: the kind, what it becomes, opset, element types, notes."""
    for kind in sorted({*target.operators, *target.refusals}):
        for operator in target.operators.get(kind, ()):
            yield (
                kind,
                operator.name,
                f"{operator.opset}",
                _types(operator.dtypes - operator.declined),
                _notes(operator),
            )
            if operator.declined:
                yield kind, "kept", "", _types(operator.declined), operator.because
        if kind in target.refusals:
            yield kind, "kept", "", "", target.refusals[kind]


def _types(dtypes: frozenset[ir.DataType]) -> str:
    return " ".join(sorted(dtype.name.lower() for dtype in dtypes))


def _notes(operator: Operator) -> str:
    notes = []
    if operator.since:
        notes.append(f"since version {'.'.join(map(str, operator.since))}")
    if operator.contrib:
        notes.append("not in the ONNX standard: with --allow-contrib")
    if operator.bounds:
        notes.append("where an epsilon bounds the length")
    if operator.until is not None:
        notes.append(f"until opset {operator.until}")
    if operator.provide is not None:
        notes.append("gives mean and deviation too, where they are needed")
    if not operator.worth_raising:
        notes.append("the opset is raised for it only if asked with --opset")
    if operator.measured:
        notes.append(operator.measured)
    return "; ".join(notes)
