"""Pooling, interpolating and padding: when a map commutes with them.

An average of a·u + b is a·(average of u) + b as long as its weights sum to one; the greatest value is, where a isn't
negative.  Padding puts in numbers that the map hasn't seen, so that the number has to change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from normgraph.constants import attribute
from normgraph.diagnosis import Shortfall
from normgraph.facts import Facts
from normgraph.folding.channel_map import ChannelMap, Float64
from normgraph.folding.moves import Carried, Edit, called


def flat(node: ir.Node, channel_map: ChannelMap, facts: Facts) -> Shortfall | None:
    """Along space, nothing may vary."""
    if channel_map.varying <= {0, 1}:
        return None
    return Shortfall("layout", f"it varies along space, which {called(node)} mixes")


def inference(node: ir.Node, channel_map: ChannelMap, facts: Facts) -> Shortfall | None:
    """Dropout does nothing unless it is training."""
    mode = node.inputs[2] if len(node.inputs) > 2 else None
    if mode is None:
        return None
    training = facts.constant(mode)
    if training is not None and not training.reshape(-1)[0]:
        return None
    return Shortfall("training-mode", f"{called(node)} may be in training mode")


def averages(node: ir.Node, channel_map: ChannelMap, facts: Facts) -> Shortfall | None:
    """AveragePool: with zeros counted in, the weights at the borders don't sum to one, and b isn't b there."""
    if _pads_itself(node) and attribute(node, "count_include_pad", 0) and channel_map.has_shift:
        return Shortfall("padding", f"{called(node)} counts its zero padding in, which a shift doesn't move")
    return _empty(node, facts) or flat(node, channel_map, facts)


def greatest(node: ir.Node, channel_map: ChannelMap, facts: Facts) -> Shortfall | None:
    """MaxPool: max(a·u + b) = a·max(u) + b for a ≥ 0."""
    negative = np.flatnonzero(channel_map.scale < 0)
    if negative.size:
        return Shortfall(
            "negative-gain", f"{called(node)} takes greatest values, and channel {negative[0]} has a negative gain"
        )
    if len(node.outputs) > 1 and (node.outputs[1].uses() or node.outputs[1].is_graph_output()):
        reason = f"where {called(node)} found them is needed, and values may become equal"
        return Shortfall("inner-reader", reason, "it would fold if nothing read that")
    return _empty(node, facts) or flat(node, channel_map, facts)


def _empty(node: ir.Node, facts: Facts) -> Shortfall | None:
    """Of padding alone a pool makes a number that no map has seen: −∞ or zero.

    A window of neighbours always has one that isn't padding, as does one whose taps are no further apart than the
    input is long.
    """
    rank = len(attribute(node, "kernel_shape", ()))
    dilations = attribute(node, "dilations") or (1,) * rank
    if not _pads_itself(node) or set(dilations) <= {1}:
        return None
    shape = None if node.inputs[0] is None else facts.shape(node.inputs[0])
    space = [size.static for size in (shape or ())[2:]]
    if len(space) == rank and all(size is not None and size >= d for size, d in zip(space, dilations, strict=True)):
        return None
    return Shortfall("padding", f"a window of {called(node)} may hold nothing but padding")


def _pads_itself(node: ir.Node) -> bool:
    return any(attribute(node, "pads", ()) or ()) or attribute(node, "auto_pad", "NOTSET").startswith("SAME")


def interpolates(node: ir.Node, channel_map: ChannelMap, facts: Facts) -> Shortfall | None:
    """Resize and Upsample: linear interpolation averages; cropping may fill in a number of its own."""
    mode = attribute(node, "mode", "nearest")
    if mode not in ("nearest", "linear") or attribute(node, "coordinate_transformation_mode") == "tf_crop_and_resize":
        return Shortfall("layout", f"{called(node)} doesn't interpolate linearly between what is there")
    before = None if node.inputs[0] is None else facts.shape(node.inputs[0])
    after = facts.shape(node.outputs[0])
    if before is None or after is None or any(before[axis] != after[axis] for axis in channel_map.varying):
        return Shortfall("layout", f"{called(node)} resizes a dimension along which it varies, or one of unknown size")
    return None


def pad_forward(node: ir.Node, maps: Sequence[ChannelMap], facts: Facts) -> Carried | Shortfall:
    """Pad with c: pad(a·u + b, c) = a·pad(u, (c − b)/a) + b."""
    (channel_map,) = maps
    with np.errstate(all="ignore"):
        return _padded(node, channel_map, facts, lambda c: (c - channel_map.shift) / channel_map.scale)


def pad_backward(node: ir.Node, maps: Sequence[ChannelMap], facts: Facts) -> Carried | Shortfall:
    """Pad with c: a·pad(u, c) + b = pad(a·u + b, a·c + b)."""
    (channel_map,) = maps
    return _padded(node, channel_map, facts, lambda c: c * channel_map.scale + channel_map.shift)


def _padded(
    node: ir.Node, channel_map: ChannelMap, facts: Facts, moved: Callable[[float], Float64]
) -> Carried | Shortfall:
    pads = _pads(node, channel_map.rank, facts)
    if pads is None:
        return Shortfall("shape", f"how far {called(node)} pads isn't known before it is run")
    grown = {axis for axis, pair in enumerate(pads) if any(pair)}
    if grown & channel_map.varying:
        return Shortfall("padding", f"{called(node)} pads the dimension along which it varies")
    if not grown or attribute(node, "mode", "constant") != "constant":
        return Carried((channel_map,))
    constant = _constant(node, facts)
    if constant is None:
        return Shortfall("not-constant", f"what {called(node)} pads with isn't constant")
    values = moved(constant)
    if not np.all(np.isfinite(values)) or np.ptp(values) > 1e-12 * np.max(np.abs(values)):
        return Shortfall(
            "padding", f"{called(node)} pads all channels with one number, which would have to differ between them"
        )
    dtype, value = facts.dtype(node.outputs[0]), float(values.flat[0])
    if dtype is None:
        return Shortfall("shape", f"the type that {called(node)} pads with isn't known")
    with np.errstate(over="ignore", under="ignore"):
        stored = np.asarray(value).astype(dtype.numpy())
    return Carried((channel_map,), None if value == constant else Edit(node, stored))


def _pads(node: ir.Node, rank: int, facts: Facts) -> list[tuple[int, int]] | None:
    if len(node.inputs) > 3 and node.inputs[3] is not None:
        return None  # axes of their own, since opset 18
    sizes = attribute(node, "pads") if len(node.inputs) == 1 else facts.integers(node.inputs[1])
    if sizes is None or len(sizes) != 2 * rank:
        return None
    return [(int(sizes[axis]), int(sizes[axis + rank])) for axis in range(rank)]


def _constant(node: ir.Node, facts: Facts) -> float | None:
    if len(node.inputs) == 1:
        return float(attribute(node, "value", 0.0))
    if len(node.inputs) < 3 or node.inputs[2] is None:
        return 0.0
    array = facts.constant(node.inputs[2])
    return None if array is None else float(array.astype(np.float64).reshape(-1)[0])
