"""Where the taps of a convolution reach, so that kernels of several sizes can be laid over each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from normgraph.constants import attribute
from normgraph.folding.channel_map import Float64


@dataclass(frozen=True, slots=True)
class Geometry:
    """How a convolution goes over space, per spatial axis.

    Attributes:
        kernel: how many taps.
        strides: how far apart outputs are.
        dilations: how far apart taps are.
        begin: the padding in front.
        end: the padding behind.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begin: tuple[int, ...]
    end: tuple[int, ...]

    @property
    def first(self) -> tuple[int, ...]:
        """The position of the first tap, from where the output stands: tap j of output o reads o·s + j·d − p."""
        return tuple(-p for p in self.begin)

    @property
    def last(self) -> tuple[int, ...]:
        """The position of the last tap."""
        return tuple(d * (k - 1) - p for k, d, p in zip(self.kernel, self.dilations, self.begin, strict=True))

    @property
    def slack(self) -> tuple[int, ...]:
        """What decides the size of the output beside input and strides: ⌊(D + slack − 1)/s⌋ + 1."""
        return tuple(e - h for e, h in zip(self.end, self.last, strict=True))

    @property
    def is_pointwise(self) -> bool:
        """Whether each output reads one position, and all positions in turn."""
        return not any(self.begin) and not any(self.end) and set(self.kernel) == {1}


def pointwise(rank: int) -> Geometry:
    """The geometry of a map of each element for itself."""
    return Geometry((1,) * rank, (1,) * rank, (1,) * rank, (0,) * rank, (0,) * rank)


def geometry_of(node: ir.Node, kernel: Sequence[int], space: Sequence[int | None]) -> Geometry | None:
    """The geometry of a Conv; None where its padding depends on sizes that aren't known.

    Args:
        node: the Conv.
        kernel: the spatial sizes of its kernel.
        space: the spatial sizes of its input, None where unknown.
    """
    rank = len(kernel)
    strides = tuple(attribute(node, "strides", (1,) * rank))
    dilations = tuple(attribute(node, "dilations", (1,) * rank))
    automatic = attribute(node, "auto_pad", "NOTSET")
    if automatic in ("NOTSET", "VALID"):
        pads = tuple(attribute(node, "pads", (0,) * 2 * rank)) if automatic == "NOTSET" else (0,) * 2 * rank
        return Geometry(tuple(kernel), strides, dilations, pads[:rank], pads[rank:])
    totals = [_total(s, d * (k - 1) + 1, n) for s, d, k, n in zip(strides, dilations, kernel, space, strict=True)]
    if None in totals:
        return None
    known = [total for total in totals if total is not None]
    less, more = tuple(t // 2 for t in known), tuple(t - t // 2 for t in known)
    begin, end = (less, more) if automatic == "SAME_UPPER" else (more, less)
    return Geometry(tuple(kernel), strides, dilations, begin, end)


def _total(stride: int, reach: int, size: int | None) -> int | None:
    """How far SAME pads in all, so that ⌈size/stride⌉ windows fit; with a stride of one that is the same for any size.

    >>> _total(1, 3, None), _total(2, 3, 6), _total(2, 3, 7), _total(2, 1, 7), _total(2, 3, None)
    (2, 1, 2, 0, None)
    """
    if stride == 1:
        return reach - 1
    return None if size is None else max((-(-size // stride) - 1) * stride + reach - size, 0)


def laid_over(geometries: Sequence[Geometry]) -> Geometry | None:
    """The smallest geometry that has the taps of all; None where their outputs or taps don't fall together."""
    first = geometries[0]
    if any(g.strides != first.strides or g.slack != first.slack for g in geometries):
        return None
    dilations: list[int] = []
    kernel: list[int] = []
    begin: list[int] = []
    end: list[int] = []
    for axis in range(len(first.kernel)):
        apart = {g.dilations[axis] for g in geometries if g.kernel[axis] > 1}
        lowest = min(g.first[axis] for g in geometries)
        highest = max(g.last[axis] for g in geometries)
        dilation = apart.pop() if apart else max(1, highest - lowest)
        off_grid = any((g.first[axis] - lowest) % dilation for g in geometries)
        if apart or off_grid or lowest > 0 or first.slack[axis] + highest < 0:
            return None
        dilations.append(dilation)
        kernel.append((highest - lowest) // dilation + 1)
        begin.append(-lowest)
        end.append(first.slack[axis] + highest)
    return Geometry(tuple(kernel), first.strides, tuple(dilations), tuple(begin), tuple(end))


def placed(weight: Float64, own: Geometry, whole: Geometry) -> Float64:
    """A kernel in the middle of zeros, at its place in a larger geometry."""
    starts = [(f - w) // d for f, w, d in zip(own.first, whole.first, whole.dilations, strict=True)]
    result = np.zeros((*weight.shape[:2], *whole.kernel))
    spans = [slice(start, start + extent) for start, extent in zip(starts, own.kernel, strict=True)]
    result[(slice(None), slice(None), *spans)] = weight
    return result


def attributes_of(geometry: Geometry) -> dict[str, tuple[int, ...]]:
    """The attributes of a Conv of this geometry; `auto_pad` has to go."""
    return {
        "kernel_shape": geometry.kernel,
        "strides": geometry.strides,
        "dilations": geometry.dilations,
        "pads": (*geometry.begin, *geometry.end),
    }
