"""The sizes at which folds are proven: the smallest at which each case occurs that windows over space know of.

A fold doesn't depend on how large images are, and the time that its proof takes does.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from math import lcm

import onnx_ir as ir

from normgraph.axes import Size
from normgraph.constants import attribute
from normgraph.facts import Facts
from normgraph.folding.plan import Region
from normgraph.fragments import Fragment, Input

#: Operators with windows over space.
_WINDOWS = frozenset({"AveragePool", "Conv", "ConvTranspose", "LpPool", "MaxPool"})
#: Operators whose constants have sizes of the kernel and numbers of channels, none of space.
_WEIGHED = frozenset({"BatchNormalization", "Conv", "ConvTranspose"})
#: Operators whose results have their space where their operands have theirs, from the third dimension on.
_KEEPING_SPACE = _WINDOWS | _WEIGHED | {"Add", "Concat", "Div", "Identity", "Mul", "Pad", "Sub", "Sum"}
#: Operators that round positions, in ways that runtimes don't agree about and that show at some sizes only.
_ROUNDING = frozenset({"Resize", "Upsample"})
#: The size from which on that shows.
_ROUNDED = 6
#: So many results are wanted along each dimension, so that there are neighbours.
_OUTPUTS = 2
#: Of a batch, so many are tried.
_BATCH = 2


def least_extent(region: Region, facts: Facts) -> int:
    """The least size of space at which each window of a region has a neighbour and lies once wholly within its input.

    Where it pads, others reach beyond either end.
    """
    needed: dict[ir.Value | None, int] = {region.output: _OUTPUTS}
    for node in reversed(region.nodes):
        extent = max(needed.get(output, 1) for output in node.outputs)
        if node.op_type in _WINDOWS and not node.domain:
            extent = max(extents_needed(extent, *window) for window in _windows(node, facts))
        if node.op_type in _ROUNDING and not node.domain:
            extent = max(extent, _ROUNDED)
        for value in node.inputs:
            needed[value] = max(needed.get(value, 1), extent)
    return max(needed.get(region.base, 1), _OUTPUTS)


def small_inputs(fragment: Fragment, extent: int) -> tuple[Input, ...]:
    """The inputs, the first of them of about this extent along every dimension but the batch whose size is free.

    No two of these have the same size, so that they can't be confused.
    """
    (name, element_type, shape), *others = fragment.inputs
    free = _free_dimensions(fragment)
    unit = _unit(fragment)
    sizes: list[Size] = []
    larger = count(-(-extent // unit))
    for i, size in enumerate(shape):
        wanted = size.factor if i not in free else _BATCH if i == 0 else next(larger) * unit
        sizes.append(size if wanted >= size.factor else Size(wanted))
    return ((name, element_type, tuple(sizes)), *others)


def _free_dimensions(fragment: Fragment) -> frozenset[int]:
    """The dimensions whose size is free; as many channels as the image is wide say nothing of its width."""
    free = fragment.free_dimensions()
    nodes = fragment.model.graph.node
    if any(node.op_type not in _KEEPING_SPACE or node.domain for node in nodes):
        return free
    weights = {name for node in nodes if node.op_type in _WEIGHED for name in node.input[1:]}
    return free | {dimension for dimension in fragment.free_dimensions(aside=weights) if dimension > 1}


def _unit(fragment: Fragment) -> int:
    """What sizes have to be multiples of, for blocks of space to be whole."""
    blocks = [
        attribute.i
        for node in fragment.model.graph.node
        if node.op_type == "SpaceToDepth" and not node.domain
        for attribute in node.attribute
        if attribute.name == "blocksize"
    ]
    return lcm(*blocks)


def extents_needed(outputs: int, stride: int, reach: int, begin: int, end: int) -> int:
    """How long an input is at least of which windows make so many outputs, at least one of them wholly within it.

    Args:
        outputs: how many.
        stride: how far they are apart.
        reach: over how many elements each extends.
        begin: how many elements are padded at the beginning: if any, a window reaches out there.
        end: likewise at the end.

    >>> extents_needed(2, stride=1, reach=3, begin=1, end=1)
    3
    >>> extents_needed(2, stride=2, reach=7, begin=3, end=3)
    8
    """
    longest = reach + begin + end + (outputs + 1) * stride
    for size in range(1, longest):
        last = (size + begin + end - reach) // stride
        starts = [k * stride - begin for k in range(last + 1)]
        if len(starts) < outputs or not any(0 <= start <= size - reach for start in starts):
            continue
        if end == 0 or starts[-1] + reach > size:
            return size
    return longest


def _windows(node: ir.Node, facts: Facts) -> list[tuple[int, int, int, int]]:
    """Stride, reach and padding at both ends of a node's window along each axis of space."""
    weight = facts.shape(node.inputs[1]) if node.op_type.startswith("Conv") and node.inputs[1] is not None else None
    kernel: Sequence[int] = attribute(node, "kernel_shape") or [size.factor for size in (weight or ())[2:]] or [1]
    rank = len(kernel)
    strides = attribute(node, "strides") or [1] * rank
    dilations = attribute(node, "dilations") or [1] * rank
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    if node.op_type == "ConvTranspose":  # so many elements of the input meet in an output
        return [(1, -(-r // s), 0, 0) for r, s in zip(reach, strides, strict=True)]
    pads = attribute(node, "pads") or [0] * (2 * rank)
    if attribute(node, "auto_pad", "NOTSET").startswith("SAME"):
        pads = [max(r - 1, 0) // 2 for r in reach] + [max(r - 1, 0) - max(r - 1, 0) // 2 for r in reach]
    return list(zip(strides, reach, pads[:rank], pads[rank:], strict=True))
