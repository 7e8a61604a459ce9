"""Sizes at which a region is tried."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from normgraph.axes import Size
from normgraph.feeds import FAMILIES, ORDINARY
from normgraph.fragments import Input

#: Static dimensions on which nothing depends are tried at about this size.
SMALL = 4
#: The families that are tried at further sizes, which are there for themselves.
_FURTHER = (*ORDINARY, "offset 100", "tiny variance", "constant rows")
_FEW = (*ORDINARY, "offset 100")

#: The position of an assignment of sizes, and a family of inputs that was tried at it.
Tried = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Assignment:
    """Sizes for the dynamic dimensions, and what is tried at them.

    Attributes:
        sizes: a size for each symbol.
        families: the families that are tried.
        optional: whether the original may refuse these sizes: then they are left out.
    """

    sizes: Mapping[str, int]
    families: tuple[str, ...]
    optional: bool = False


def assignments(
    inputs: Sequence[Input],
    assumed: Sequence[tuple[int, int]],
    least: int,
    families: Sequence[str] = tuple(FAMILIES),
    axes: Sequence[int] = (),
) -> list[Assignment]:
    """Sizes for the dynamic dimensions.

    Where there are any: two assignments with sizes that can't be confused, with a small batch and with a batch of one;
    then every free size one, where that isn't less than `least`; and an empty batch.

    Args:
        inputs: the fragment's inputs.
        assumed: sizes that are demanded of dimensions of the first input.
        least: the least size; below it only small batches are tried.
        families: what is tried, the rarer of it at the first sizes only.
        axes: the dimensions of the first input over which statistics are taken. A mean of nothing isn't asked for: some
            of ONNX Runtime's kernels read beyond the tensor then.
    """
    families = _families(inputs, families)
    further, few = (tuple(family for family in some if family in families) for some in (_FURTHER, _FEW))
    symbols = list(dict.fromkeys(s for _, _, shape in inputs for size in shape for s in size.symbols))
    demanded: dict[str, int] = {}
    for position, size in assumed:
        symbol = inputs[0][2][position]
        if len(symbol.symbols) == 1 and symbol.factor == 1:
            demanded[symbol.symbols[0]] = size
    if not symbols:
        return [Assignment({}, families)]
    leading = inputs[0][2][0].symbols[:1] if inputs[0][2] else ()
    first = {s: demanded.get(s, min(least, _SMALLEST) if s in leading else least + i) for i, s in enumerate(symbols)}
    second = {s: demanded.get(s, 1 if s in leading else least + 3 + 2 * i) for i, s in enumerate(symbols)}
    ones = {s: demanded.get(s, 1) for s in symbols}
    none = {s: 0 if s in leading else n for s, n in first.items()}
    found = [Assignment(first, families), Assignment(second, further)]
    if ones != second and least <= _SMALLEST:
        found.append(Assignment(ones, few, optional=True))
    averaged = {s for axis in axes for s in inputs[0][2][axis].symbols}
    if any(s in leading and s not in demanded and s not in averaged for s in symbols):
        found.append(Assignment(none, ORDINARY, optional=True))
    return found


def again(planned: Sequence[Assignment], families: Container[str], told: Container[Tried]) -> list[Assignment]:
    """What is tried with the weights of a region, once all has been with those of another that is written alike.

    Args:
        planned: all assignments.
        families: the families that are tried again at the first.
        told: the trials that told something: the one that came closest to its bound, those that were refused.
    """
    found = []
    for position, assignment in enumerate(planned):
        usual = families if position == 0 else ()
        chosen = tuple(f for f in assignment.families if f in usual or (position, f) in told)
        if chosen:
            found.append(Assignment(assignment.sizes, chosen))
    return found


def _families(inputs: Sequence[Input], families: Sequence[str]) -> tuple[str, ...]:
    """Those that fit the type: the largest numbers' squares overflow in float32, in which float16 is computed too."""
    half = inputs[0][1] == int(ir.DataType.FLOAT16)
    return tuple(family for family in families if half or family != "largest")


#: Up to this least size nothing in a region has windows that have to fit into its dimensions.
_SMALLEST = 2


def assigned(shape: Sequence[Size], sizes: Mapping[str, int]) -> tuple[int, ...]:
    """A shape in numbers."""
    extents = []
    for size in shape:
        extent = size.factor
        for symbol in size.symbols:
            extent *= sizes[symbol]
        extents.append(extent)
    return tuple(extents)
