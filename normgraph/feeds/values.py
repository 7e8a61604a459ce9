"""What the elements of an input may be, found by following it to what reads it.

Token ids index an embedding, masks are compared or subtracted from one, shapes are what a Reshape or Slice asks for.
Each input is followed forward through casts and layout operators; what reads it then decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx_ir as ir

from normgraph.axes import ONE, Size
from normgraph.constants import attribute
from normgraph.facts import FLOATING, Facts
from normgraph.model_io.walk import subgraphs_of

Role = Literal["real", "index", "mask", "flag", "fixed", "number"]

#: How many values are followed from one input before its use counts as unknown.
MAXIMAL_FOLLOWED = 5_000
#: The integers of an input of whose use nothing is known.
_ANY = 10


@dataclass(frozen=True, slots=True)
class Values:
    """What the elements of an input may be.

    Attributes:
        role: "real" for floating numbers, "index" for what picks elements of another tensor, "mask" for ones and
            zeros, "flag" for booleans, "fixed" for shapes and their like, "number" for other integers.
        ranges: for an index or number the least element and how many values there are from it on; it has to be
            within all of them.
        fixed: the elements, where they are given.
        reason: what decided it.
    """

    role: Role
    ranges: tuple[tuple[int, Size], ...] = ()
    fixed: tuple[Size, ...] = ()
    reason: str = "nothing reads it"


def values_of(value: ir.Value, dtype: ir.DataType, facts: Facts) -> Values:
    """What the elements of a graph's input may be.

    Args:
        value: the input.
        dtype: its element type.
        facts: the facts about the graph, whose functions are inlined.
    """
    found = list(_uses(value, facts))
    indices = [use for use in found if use.role == "index"]
    if indices:
        ranges = dict.fromkeys(bounds for use in indices for bounds in use.ranges)
        return Values("index", tuple(ranges), reason=indices[0].reason)
    fixed = next((use for use in found if use.role == "fixed"), None)
    if dtype in FLOATING:
        return fixed or Values("real", reason="floating numbers")
    if fixed is not None:
        return fixed
    if dtype is ir.DataType.BOOL:
        return Values("flag", reason="booleans")
    mask = next((use for use in found if use.role == "mask"), None)
    if mask is not None:
        return mask
    if "mask" in (value.name or "").lower():
        return Values("mask", reason="it is called a mask")
    return _any_number(dtype)


def _any_number(dtype: ir.DataType) -> Values:
    if dtype in (ir.DataType.UINT8, ir.DataType.INT8):
        low = 0 if dtype is ir.DataType.UINT8 else -128
        return Values("number", ((low, Size(256)),), reason="every value of eight bits")
    return Values("number", ((0, Size(_ANY)),), reason="nothing bounds it that can be seen")


# --- following an input ------------------------------------------------------------------------------------------

#: Operators that hand elements on as they are: the positions of the operands concerned; None for all of them.
_CARRIERS: Mapping[str, tuple[int, ...] | None] = {
    "Cast": (0,), "Concat": None, "Expand": (0,), "Flatten": (0,), "Gather": (0,), "GatherElements": (0,),
    "GatherND": (0,), "Identity": (0,), "Max": None, "Min": None, "Pad": (0,), "Reshape": (0,), "ScatterElements": (0,),
    "ScatterND": (0,), "Slice": (0,), "Split": (0,), "Squeeze": (0,), "Tile": (0,), "Transpose": (0,), "Trilu": (0,),
    "Unsqueeze": (0,), "Where": (1, 2),
}  # fmt: skip
#: Those of them behind which a shape is no longer the whole input.
_PARTIAL = frozenset(
    ("Concat", "Gather", "GatherElements", "GatherND", "Max", "Min", "Slice", "Split", "Tile", "Where")
)


@dataclass(frozen=True, slots=True)
class _Step:
    """A value on the way: what was added to the input's elements, and whether all of them are there in their order."""

    value: ir.Value
    added: int = 0
    whole: bool = True


def _uses(start: ir.Value, facts: Facts) -> Iterator[Values]:
    pending, seen = [_Step(start)], {start}
    while pending and len(seen) < MAXIMAL_FOLLOWED:
        step = pending.pop()
        for use in step.value.uses():
            decided = _decided(step, use.node, use.idx, facts)
            if decided is not None:
                yield decided
            for following in _carried(step, use.node, use.idx, facts):
                if following.value not in seen:
                    seen.add(following.value)
                    pending.append(following)


def _carried(step: _Step, node: ir.Node, position: int, facts: Facts) -> Iterator[_Step]:
    for value in _entered(node, position):
        yield _Step(value, step.added, step.whole)
    if node.domain:
        return
    if node.op_type in ("Add", "Sub") and not (node.op_type == "Sub" and position == 1):
        by = facts.integers(node.inputs[1 - position])
        if by is not None and len(set(by)) == 1:
            yield _Step(node.outputs[0], step.added + (by[0] if node.op_type == "Add" else -by[0]), step.whole)
        return
    positions = _CARRIERS.get(node.op_type, ())
    if positions is None or position in positions:
        for output in node.outputs:
            yield _Step(output, step.added, step.whole and node.op_type not in _PARTIAL)


def _entered(node: ir.Node, position: int) -> Iterator[ir.Value]:
    """What a loop's body calls an operand."""
    if node.op_type in ("Loop", "Scan") and not node.domain:
        for body in subgraphs_of(node):
            if position < len(body.inputs):
                yield body.inputs[position]


def _decided(step: _Step, node: ir.Node, position: int, facts: Facts) -> Values | None:
    """What a reader demands of the elements of the input."""
    where = f"{node.op_type} '{node.name or node.outputs[0].name}'"
    key = (node.domain, node.op_type, position)
    if key in _INDICES:
        counts = _INDICES[key](node, facts)
        ranges = tuple((-step.added, count) for count in counts)
        return Values("index", ranges, reason=f"it indexes what {where} picks from") if ranges else None
    if key in _FIXED and step.whole and not step.added:
        shape = facts.shape(step.value)
        count = None if shape is None else (shape[0].static if shape else 1)
        fixed = None if count is None else _FIXED[key](node, count, facts)
        return None if fixed is None else Values("fixed", fixed=fixed, reason=f"it tells {where} what to do")
    if not node.domain and _is_mask(node, position, facts):
        return Values("mask", reason=f"{where} tells its elements apart")
    return None


def _is_mask(node: ir.Node, position: int, facts: Facts) -> bool:
    if node.op_type == "Cast":
        return bool(attribute(node, "to") == int(ir.DataType.BOOL))
    if node.op_type in ("Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual"):
        other = _scalar(node.inputs[1 - position], facts)
        return other in (0, 1)
    return node.op_type == "Sub" and position == 1 and _scalar(node.inputs[0], facts) == 1


def _scalar(value: ir.Value | None, facts: Facts) -> float | None:
    shape = None if value is None else facts.shape(value)
    if shape is None or any(size != ONE for size in shape):
        return None
    array = facts.constant(value)
    return None if array is None or array.dtype.kind not in "biuf" else float(np.asarray(array).reshape(-1)[0])


# --- what picks elements ------------------------------------------------------------------------------------------


def _along_axis(node: ir.Node, facts: Facts) -> tuple[Size, ...]:
    data = None if node.inputs[0] is None else facts.shape(node.inputs[0])
    axis = attribute(node, "axis", 0)
    return (data[axis],) if data and -len(data) <= axis < len(data) else ()


def _leading(node: ir.Node, facts: Facts) -> tuple[Size, ...]:
    """GatherND and ScatterND: the last dimension of the indices says how many dimensions they reach into."""
    data, indices = (None if value is None else facts.shape(value) for value in node.inputs[:2])
    if not data or not indices or indices[-1].static is None:
        return ()
    first = attribute(node, "batch_dims", 0)
    return data[first : first + indices[-1].static]


def _depth(node: ir.Node, facts: Facts) -> tuple[Size, ...]:
    depth = facts.integers(node.inputs[1])
    return () if depth is None else (Size(depth[0]),)


def _first_of(position: int) -> Callable[[ir.Node, Facts], tuple[Size, ...]]:
    def rule(node: ir.Node, facts: Facts) -> tuple[Size, ...]:
        table = node.inputs[position] if position < len(node.inputs) else None
        shape = None if table is None else facts.shape(table)
        return shape[:1] if shape else ()

    return rule


#: (domain, operator, operand) → how many elements there are to pick from.
_INDICES: Mapping[tuple[str, str, int], Callable[[ir.Node, Facts], tuple[Size, ...]]] = {
    ("", "Gather", 1): _along_axis,
    ("", "GatherElements", 1): _along_axis,
    ("", "ScatterElements", 1): _along_axis,
    ("", "Scatter", 1): _along_axis,
    ("", "GatherND", 1): _leading,
    ("", "ScatterND", 1): _leading,
    ("", "OneHot", 0): _depth,
    ("com.microsoft", "EmbedLayerNormalization", 0): _first_of(2),
    ("com.microsoft", "EmbedLayerNormalization", 1): _first_of(4),
    ("com.microsoft", "GatherBlockQuantized", 1): _first_of(0),
}


# --- what tells an operator what to do ----------------------------------------------------------------------------

Fixed = Callable[[ir.Node, int, Facts], tuple[Size, ...] | None]


def _all(number: int) -> Fixed:
    return lambda _, count, __: (Size(number),) * count


def _counting(_: ir.Node, count: int, __: Facts) -> tuple[Size, ...]:
    return tuple(Size(i) for i in range(count))


def _kept_shape(node: ir.Node, count: int, facts: Facts) -> tuple[Size, ...] | None:
    """A shape that any tensor of this rank can be given: its leading dimensions, then the rest in one."""
    data = None if node.inputs[0] is None else facts.shape(node.inputs[0])
    if data is None or attribute(node, "allowzero", 0):
        return (Size(-1), *((Size(1),) * (count - 1))) if count else None
    copied = min(count, len(data)) - 1
    return (*(Size(0),) * copied, Size(-1), *(Size(1),) * (count - copied - 1)) if copied >= 0 else None


def _same_sizes(node: ir.Node, count: int, facts: Facts) -> tuple[Size, ...] | None:
    data = None if node.inputs[0] is None else facts.shape(node.inputs[0])
    return data if data is not None and len(data) == count else None


def _even_parts(node: ir.Node, count: int, facts: Facts) -> tuple[Size, ...] | None:
    data, axis = None if node.inputs[0] is None else facts.shape(node.inputs[0]), attribute(node, "axis", 0)
    part = data[axis].divided_by(Size(count)) if data and count and -len(data) <= axis < len(data) else None
    return None if part is None else (part,) * count


_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")

#: (domain, operator, operand) → elements that it takes whatever else is fed.
_FIXED: Mapping[tuple[str, str, int], Fixed] = {
    **{("", operator, 1): _counting for operator in ("Squeeze", "Unsqueeze", *(f"Reduce{r}" for r in _REDUCTIONS))},
    ("", "ConstantOfShape", 0): lambda _, count, __: tuple(Size(2 + i) for i in range(count)),
    ("", "CumSum", 1): _all(0),
    ("", "Dropout", 1): _all(0),
    ("", "Dropout", 2): _all(0),
    ("", "Expand", 1): _all(1),
    ("", "Loop", 0): _all(3),
    ("", "Loop", 1): _all(1),
    ("", "OneHot", 1): _all(8),
    ("", "Pad", 1): _all(0),
    ("", "Range", 0): _all(0),
    ("", "Range", 1): _all(4),
    ("", "Range", 2): _all(1),
    ("", "Reshape", 1): _kept_shape,
    ("", "Resize", 1): _all(1),
    ("", "Resize", 2): _all(1),
    ("", "Resize", 3): _same_sizes,
    ("", "Slice", 1): _all(0),
    ("", "Slice", 2): _all((1 << 31) - 1),
    ("", "Slice", 3): _counting,
    ("", "Slice", 4): _all(1),
    ("", "Split", 1): _even_parts,
    ("", "Tile", 1): _all(1),
    ("", "TopK", 1): _all(1),
    ("", "Upsample", 1): _all(1),
}
