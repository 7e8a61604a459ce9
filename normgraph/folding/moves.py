"""Operators that move elements, done to the coefficients of a map: arrays of extent one wherever they don't vary.

A move is a function (node, arrays on one side, fill, facts) → arrays on the other side, or why there are none; `fill`
stands for what no array says anything of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from normgraph.axes import ONE, Size
from normgraph.constants import Array, attribute
from normgraph.diagnosis import Shortfall
from normgraph.facts import Facts
from normgraph.folding.channel_map import ChannelMap, Float64
from normgraph.shapes import axes_of


@dataclass(frozen=True, slots=True)
class Edit:
    """A constant of a passage that changes when a map is carried across it.

    Attributes:
        node: a Pad.
        value: what it pads with, in the type of what is padded, without dimensions.
    """

    node: ir.Node
    value: Array


@dataclass(frozen=True, eq=False)
class Carried:
    """Maps on the other side of a passage.

    Attributes:
        maps: one per output (forward) or data operand (backward).
        edit: what has to change in the passage itself.
    """

    maps: tuple[ChannelMap, ...]
    edit: Edit | None = None


Move = Callable[[ir.Node, Sequence[Float64], float, Facts], list[Float64] | Shortfall]


def _unknown(node: ir.Node) -> Shortfall:
    return Shortfall("shape", f"the sizes that {called(node)} works with aren't known before it is run")


def _tangled(node: ir.Node) -> Shortfall:
    return Shortfall("layout", f"its channels don't stay apart in {called(node)}")


def called(node: ir.Node) -> str:
    """A node as sentences name it."""
    return f"{node.op_type} '{node.name or node.outputs[0].name}'"


def _shape(value: ir.Value | None, facts: Facts) -> tuple[Size, ...] | None:
    return None if value is None else facts.shape(value)


def transpose(node: ir.Node, arrays: Sequence[Float64], fill: float, facts: Facts) -> list[Float64]:
    """Transpose: dimension i of the output is dimension perm[i] of the input."""
    return [arrays[0].transpose(attribute(node, "perm") or range(arrays[0].ndim)[::-1])]


def transpose_back(node: ir.Node, arrays: Sequence[Float64], fill: float, facts: Facts) -> list[Float64]:
    """The other way."""
    order = attribute(node, "perm") or range(arrays[0].ndim)[::-1]
    return [arrays[0].transpose(np.argsort(order))]


def regroup(node: ir.Node, arrays: Sequence[Float64], fill: float, facts: Facts) -> list[Float64] | Shortfall:
    """Reshape, Flatten, Squeeze, Unsqueeze: elements keep their order."""
    return _regrouped(node, arrays[0], _shape(node.inputs[0], facts), _shape(node.outputs[0], facts))


def regroup_back(node: ir.Node, arrays: Sequence[Float64], fill: float, facts: Facts) -> list[Float64] | Shortfall:
    """The other way."""
    return _regrouped(node, arrays[0], _shape(node.outputs[0], facts), _shape(node.inputs[0], facts))


def _regrouped(
    node: ir.Node, array: Float64, before: tuple[Size, ...] | None, after: tuple[Size, ...] | None
) -> list[Float64] | Shortfall:
    """The array over dimensions in which the same elements are counted otherwise."""
    if before is None or after is None or len(before) != array.ndim:
        return _unknown(node)
    shape: list[int] = []
    expanded: list[int] = []
    i = j = 0
    while i < len(before) or j < len(after):  # the shortest runs of dimensions that hold equally many elements
        left, right, begin, end = ONE, ONE, i, j
        while True:
            if i > begin and j > end and left == right:
                break
            if i < len(before) and (i == begin or j == len(after) or not _exceeds(left, right)):
                left, i = left * before[i], i + 1
            elif j < len(after):
                right, j = right * after[j], j + 1
            elif i < len(before):
                left, i = left * before[i], i + 1
            else:
                break
        if left != right:
            return _unknown(node)
        extents = array.shape[begin:i]
        if all(extent == 1 for extent in extents):
            expanded += [1] * (i - begin)
            shape += [1] * (j - end)
            continue
        inner, outer = [s.static for s in before[begin:i]], [s.static for s in after[end:j]]
        solo = [position for position, size in enumerate(outer) if size != 1]
        if len(solo) == 1 and sum(size != 1 for size in inner) == 1:  # one dimension, whatever its size
            extent = max(extents)
            expanded += list(extents)
            shape += [extent if position in solo else 1 for position in range(j - end)]
            continue
        if None in inner or None in outer:
            return _unknown(node)
        expanded += [size for size in inner if size is not None]
        shape += [size for size in outer if size is not None]
    return [np.broadcast_to(array, expanded).reshape(shape)]


def _exceeds(left: Size, right: Size) -> bool:
    """Whether the left run already holds more than the right one, so that the right one must grow."""
    quotient = left.divided_by(right)
    return quotient is not None and quotient != ONE


def concat(node: ir.Node, arrays: Sequence[Float64], fill: float, facts: Facts) -> list[Float64] | Shortfall:
    """Concat joins them, each spread over its operand's size."""
    axis = attribute(node, "axis", 0) % arrays[0].ndim
    if all(array.shape[axis] == 1 for array in arrays) and all(np.array_equal(array, arrays[0]) for array in arrays):
        return [arrays[0]]
    sizes = [facts.shapes[value][axis].static for value in node.inputs if value is not None and value in facts.shapes]
    if None in sizes or len(sizes) != len(arrays):
        return _unknown(node)
    others = np.broadcast_shapes(*(_replaced(array.shape, axis, 1) for array in arrays))
    extents = [_replaced(others, axis, size) for size in sizes if size is not None]
    return [np.concatenate([np.broadcast_to(a, e) for a, e in zip(arrays, extents, strict=True)], axis)]


def concat_back(node: ir.Node, arrays: Sequence[Float64], fill: float, facts: Facts) -> list[Float64] | Shortfall:
    """The other way: each operand gets its part."""
    (array,) = arrays
    axis = attribute(node, "axis", 0) % array.ndim
    if array.shape[axis] == 1:
        return [array] * len(node.inputs)
    sizes = [facts.shapes[value][axis].static for value in node.inputs if value is not None and value in facts.shapes]
    if None in sizes or len(sizes) != len(node.inputs):
        return _unknown(node)
    bounds = np.cumsum([size for size in sizes if size is not None])
    return list(np.split(array, bounds[:-1], axis))


def _replaced(shape: Sequence[int], axis: int, extent: int) -> tuple[int, ...]:
    return (*shape[:axis], extent, *shape[axis + 1 :])


def split(node: ir.Node, arrays: Sequence[Float64], fill: float, facts: Facts) -> list[Float64] | Shortfall:
    """Split: each output gets its part."""
    (array,) = arrays
    axis = attribute(node, "axis", 0) % array.ndim
    if array.shape[axis] == 1:
        return [array] * len(node.outputs)
    sizes = [facts.shapes[value][axis].static if value in facts.shapes else None for value in node.outputs]
    if None in sizes:
        return _unknown(node)
    bounds = np.cumsum([size for size in sizes if size is not None])
    return list(np.split(array, bounds[:-1], axis))


def split_back(node: ir.Node, arrays: Sequence[Float64], fill: float, facts: Facts) -> list[Float64] | Shortfall:
    """The other way: the outputs' arrays joined, one for each of them."""
    axis = attribute(node, "axis", 0) % arrays[0].ndim
    sizes = [facts.shapes[value][axis].static if value in facts.shapes else None for value in node.outputs]
    if None in sizes:
        return _unknown(node)
    others = np.broadcast_shapes(*(_replaced(array.shape, axis, 1) for array in arrays))
    extents = [_replaced(others, axis, size) for size in sizes if size is not None]
    return [np.concatenate([np.broadcast_to(a, e) for a, e in zip(arrays, extents, strict=True)], axis)]


def first_output(node: ir.Node, arrays: Sequence[Float64], fill: float, facts: Facts) -> list[Float64]:
    """The first output is mapped as the input; of masks and indices nothing is said."""
    return [arrays[0], *(np.full((1,) * arrays[0].ndim, fill) for _ in node.outputs[1:])]


def _windows(node: ir.Node, facts: Facts, rank: int) -> dict[int, slice] | None:
    """What a Slice takes of each dimension that it cuts, None where that isn't constant."""
    if len(node.inputs) == 1:
        starts, ends = attribute(node, "starts"), attribute(node, "ends")
        axes, steps = attribute(node, "axes") or range(len(starts)), [1] * len(starts)
    else:
        given = [facts.integers(value) for value in node.inputs[1:]]
        if any(known is None and value is not None for known, value in zip(given, node.inputs[1:], strict=True)):
            return None
        starts, ends = given[0], given[1]
        axes = (given[2] if len(given) > 2 else None) or range(len(starts or ()))
        steps = list((given[3] if len(given) > 3 else None) or [1] * len(starts or ()))
    found: dict[int, slice] = {}
    for start, end, axis, step in zip(starts or (), ends or (), axes, steps, strict=True):
        found[axis % rank] = slice(int(start), int(end), int(step))  # Python cuts its ends off as ONNX does
    return found


def cut(node: ir.Node, arrays: Sequence[Float64], fill: float, facts: Facts) -> list[Float64] | Shortfall:
    """Slice: along the dimensions that it cuts."""
    (array,) = arrays
    windows = _windows(node, facts, array.ndim)
    if windows is None:
        return _unknown(node)
    index = tuple(
        windows[axis] if axis in windows and extent != 1 else slice(None) for axis, extent in enumerate(array.shape)
    )
    return [array[index]]


def cut_back(node: ir.Node, arrays: Sequence[Float64], fill: float, facts: Facts) -> list[Float64] | Shortfall:
    """The other way: what is cut off isn't mapped."""
    (array,) = arrays
    shape, windows = _shape(node.inputs[0], facts), _windows(node, facts, array.ndim)
    if windows is None or shape is None:
        return _unknown(node)
    whole = [shape[axis].static if axis in windows and e != 1 else e for axis, e in enumerate(array.shape)]
    if None in whole:
        return _unknown(node)
    result = np.full([extent for extent in whole if extent is not None], fill)
    result[tuple(windows[a] if a in windows and e != 1 else slice(None) for a, e in enumerate(array.shape))] = array
    return [result]


def _picked(node: ir.Node, facts: Facts) -> Sequence[int] | None:
    """The indices of a Gather that keeps the rank."""
    shape = _shape(node.inputs[1], facts)
    return facts.integers(node.inputs[1]) if shape is not None and len(shape) == 1 else None


def gather(node: ir.Node, arrays: Sequence[Float64], fill: float, facts: Facts) -> list[Float64] | Shortfall:
    """Gather with a constant list of indices."""
    (array,) = arrays
    axis, indices = attribute(node, "axis", 0) % array.ndim, _picked(node, facts)
    if indices is None:
        return _unknown(node)
    return [array if array.shape[axis] == 1 else array.take(list(indices), axis)]


def gather_back(node: ir.Node, arrays: Sequence[Float64], fill: float, facts: Facts) -> list[Float64] | Shortfall:
    """The other way, where nothing is taken twice."""
    (array,) = arrays
    axis, indices, shape = attribute(node, "axis", 0) % array.ndim, _picked(node, facts), _shape(node.inputs[0], facts)
    if indices is None or shape is None:
        return _unknown(node)
    if array.shape[axis] == 1:
        return [array]
    extent = shape[axis].static
    if extent is None:
        return _unknown(node)
    if len({index % extent for index in indices}) != len(indices):
        return _tangled(node)
    result = np.full(_replaced(array.shape, axis, extent), fill)
    result[tuple(list(indices) if a == axis else slice(None) for a in range(array.ndim))] = array
    return [result]


def reduce(node: ir.Node, arrays: Sequence[Float64], fill: float, facts: Facts) -> list[Float64] | Shortfall:
    """ReduceMean over dimensions along which nothing varies."""
    (array,) = arrays
    axes = axes_of(node, facts, array.ndim)
    if axes is None:
        return _unknown(node)
    if any(array.shape[axis] != 1 for axis in axes):
        return _tangled(node)
    return [array if attribute(node, "keepdims", 1) else array.squeeze(tuple(axes))]


def reduce_back(node: ir.Node, arrays: Sequence[Float64], fill: float, facts: Facts) -> list[Float64] | Shortfall:
    """The other way."""
    (array,) = arrays
    shape = _shape(node.inputs[0], facts)
    axes = None if shape is None else axes_of(node, facts, len(shape))
    if axes is None:
        return _unknown(node)
    whole = array if attribute(node, "keepdims", 1) else np.expand_dims(array, tuple(axes))
    return _tangled(node) if any(whole.shape[axis] != 1 for axis in axes) else [whole]


def depth_to_space(node: ir.Node, arrays: Sequence[Float64], fill: float, facts: Facts) -> list[Float64] | Shortfall:
    """DepthToSpace: the channels that make one output channel must be mapped alike."""
    (array,) = arrays
    if array.shape[1] == 1:
        return [array]
    square = attribute(node, "blocksize") ** 2
    vector = array.reshape(-1)
    grid = vector.reshape(-1, square) if attribute(node, "mode", "DCR") == "CRD" else vector.reshape(square, -1).T
    return [grid[:, :1].reshape(1, -1, 1, 1)] if np.all(grid == grid[:, :1]) else _tangled(node)


def depth_to_space_back(node: ir.Node, arrays: Sequence[Float64], fill: float, facts: Facts) -> list[Float64]:
    """The other way: DCR counts blocks before channels, CRD channels before blocks."""
    (array,) = arrays
    if array.shape[1] == 1:
        return [array]
    square = attribute(node, "blocksize") ** 2
    if attribute(node, "mode", "DCR") == "CRD":
        return [np.repeat(array, square, axis=1)]
    return [np.tile(array, (1, square, 1, 1))]


def space_to_depth(node: ir.Node, arrays: Sequence[Float64], fill: float, facts: Facts) -> list[Float64]:
    """SpaceToDepth counts blocks before channels."""
    (array,) = arrays
    return [array if array.shape[1] == 1 else np.tile(array, (1, attribute(node, "blocksize") ** 2, 1, 1))]


def space_to_depth_back(
    node: ir.Node, arrays: Sequence[Float64], fill: float, facts: Facts
) -> list[Float64] | Shortfall:
    """The other way: what one input channel becomes must be mapped alike."""
    (array,) = arrays
    if array.shape[1] == 1:
        return [array]
    grid = array.reshape(attribute(node, "blocksize") ** 2, -1)
    return [grid[:1].reshape(1, -1, 1, 1)] if np.all(grid == grid[:1]) else _tangled(node)
