"""Recognition: which values of an interpretation are normalizations of its base, and what their regions may be.

A region that is one operator, or what would be made of it, is none to replace; nor is one that another norm begins in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

import onnx_ir as ir

from normgraph.axes import Layout
from normgraph.candidates import NATIVE_STATISTICS
from normgraph.facts import Facts
from normgraph.interpret import Interpretation
from normgraph.norms import Norm, recognise
from normgraph.outer import core_of
from normgraph.transfer import LAYOUT_OPERATORS, is_reduction


def recognised_in(interpretation: Interpretation) -> dict[ir.Value, Norm]:
    """The values that are normalizations of the base, of its type, with its dimensions in whatever order."""
    found: dict[ir.Value, Norm] = {}
    layout, dtype = interpretation.layout, interpretation.forms[interpretation.base].dtype
    rank, singles, dimensions = len(layout), layout.count(()), sorted_dimensions(layout)
    recognised: dict[int, Norm | None] = {}
    for value, form in interpretation.forms.items():
        if form.dtype != dtype or len(form.layout) != rank or form.layout.count(()) != singles:
            continue
        if form.layout != layout and sorted_dimensions(form.layout) != dimensions:
            continue
        if id(form.value) not in recognised:  # where elements are only moved, the value is the same object
            core = core_of(form.value) if interpretation.foreign else form.value
            recognised[id(form.value)] = None if core is None else recognise(core, layout)
        norm = recognised[id(form.value)]
        if norm is not None:
            found[value] = norm
    return found


def sorted_dimensions(layout: Layout) -> list[tuple[int, ...]]:
    """The dimensions of a layout without their order."""
    return sorted(tuple(axis.index for axis in dimension) for dimension in layout)


def stands_alone(region: Sequence[ir.Node]) -> bool:
    """Whether the region is one operator, or what would be made of it."""
    return len(region) == 1 or is_native(region)


def is_native(region: Sequence[ir.Node]) -> bool:
    """Whether the region is a native norm and beside it at most what moves elements.

    An InstanceNormalization that elements are moved around may be another norm.
    """
    others = list(islice((node.op_type for node in region if node.op_type not in LAYOUT_OPERATORS), 2))
    if len(others) != 1 or others[0] not in NATIVE_STATISTICS:
        return False
    return len(region) == 1 or others[0] != "InstanceNormalization"


def statistics_of(values: Iterable[ir.Value], facts: Facts) -> set[ir.Node]:
    """The nodes that make a statistic of one of the values: where it is a norm, they begin another."""
    return {use.node for value in values for use in value.uses() if is_reduction(use.node, facts)}
