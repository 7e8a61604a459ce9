"""Operators that maps per channel pass, each by itself: where the map comes out, and where it doesn't."""

import numpy as np
import pytest

from normgraph.folding.channel_map import ChannelMap
from tests.core.surveyed import Array, i64

IMAGE = "double[N, 4, H, W] x"
#: Extents of a map: of scale and shift alike.
Extents = tuple[int, ...]
CHANNELS: Extents = (1, 4, 1, 1)
SAME: Extents = (1, 1, 1, 1)


def random_map(extents: Extents, *, negative: bool = True) -> ChannelMap:
    random = np.random.default_rng(extents)
    scale = random.uniform(0.5, 2, extents) * random.choice([-1.0, 1.0] if negative else [1.0], extents)
    return ChannelMap(scale, random.uniform(1, 2, extents))


def repeated(channel_map: ChannelMap, times: int, *, blocks_first: bool) -> ChannelMap:
    """The same numbers for all channels that come of one, or go into it."""
    if blocks_first:
        return ChannelMap(*(np.tile(a, (1, times, 1, 1)) for a in (channel_map.scale, channel_map.shift)))
    return ChannelMap(*(np.repeat(a, times, axis=1) for a in (channel_map.scale, channel_map.shift)))


def row(
    name: str, nodes: str, *extents: Extents, inputs: str = IMAGE, opset: int = 18, rule: str = "", says: str = "",
    maps: tuple[ChannelMap, ...] = (), **constants: Array,
) -> object:  # fmt: skip
    given = maps or tuple(random_map(e) for e in extents)
    return pytest.param(nodes, inputs, opset, constants, given, *((rule, says) if rule else ()), id=name)


HALF = np.asarray(0.5, np.float32)
POSITIVE = (random_map(CHANNELS, negative=False),)
FOUR = random_map(CHANNELS)
NEGATIVE = ChannelMap(np.asarray([1.0, 0.0, -1.0, 1.0]).reshape(CHANNELS), FOUR.shift)
CROWD, ROWS = "double[2, 16, H, W] x", "double[2, 4, 6, 5] x"
POOL = "AveragePool<kernel_shape = [2, 2]"
PADDED = "pads = [1, 1, 1, 1]"
GAPPED = f"kernel_shape = [2, 2], dilations = [2, 2], {PADDED}>(x)"
SIDES = {"sides": i64([0, 0, 1, 0, 0, 0, 0, 2]), "seven": np.asarray(7.0), "none": i64([0] * 8)}
EVEN = ChannelMap(np.full(CHANNELS, 2.0), np.full(CHANNELS, 3.0))
SHIFTED, SCALED = ChannelMap(np.ones(SAME), FOUR.shift), ChannelMap(FOUR.scale, np.zeros(SAME))
TWICE = {"twice": np.asarray([1, 1, 2, 2], np.float32), "channels": np.asarray([1, 2, 1, 1], np.float32)}
LINEARLY = 'mode = "linear", coordinate_transformation_mode = "asymmetric"'

FORWARD = [
    row("Transpose", "y = Transpose<perm = [2, 0, 3, 1]>(x)", CHANNELS),
    row("Transpose, the other way round", "y = Transpose(x)", (1, 4, 3, 1), inputs="double[N, 4, 3, W] x"),
    row("Reshape, space into one", "y = Reshape(x, shape)", CHANNELS, shape=i64([0, 4, -1])),
    row("Reshape, channels into parts", "y = Reshape(x, shape)", CHANNELS, shape=i64([0, 2, 2, 3, 5]),
        inputs="double[N, 4, 3, 5] x"),
    row("Reshape, channels and rows into one", "y = Reshape(x, shape)", (1, 4, 1), inputs="double[N, 4, 3] x",
        shape=i64([0, 12])),
    row("Reshape, another dimension of one", "y = Reshape(x, shape)", (1, 4), inputs="double[N, 4] x",
        shape=i64([0, 1, 4, 1])),
    row("Reshape, along a dimension of unknown size", "y = Reshape(x, shape)", (3, 1), inputs="double[H, 4] x",
        shape=i64([-1, 1, 4])),
    row("Reshape, nothing varies", "y = Reshape(x, shape)", SAME, shape=i64([-1])),
    row("Flatten", "y = Flatten(x)", CHANNELS, inputs="double[N, 4, 3, 5] x"),
    row("Squeeze", "y = Squeeze(x, at)", (1, 1, 4), inputs="double[N, 1, 4] x"),
    row("Squeeze of the last", "y = Squeeze(x, back)", (1, 4, 1), inputs="double[N, 4, 1] x"),
    row("Reshape, a dimension of unknown size behind one of one", "y = Reshape(x, shape)", (1, 3),
        inputs="double[4, H] x", shape=i64([4, 1, -1])),
    row("Unsqueeze", "y = Unsqueeze(x, at)", (1, 4), inputs="double[N, 4] x"),
    row("Concat, along channels", "y = Concat<axis = 1>(x, z)", (1, 4, 1), (1, 2, 1),
        inputs="double[N, 4, W] x, double[N, 2, W] z"),
    row("Concat, one number each", "y = Concat<axis = 1>(x, z)", (1, 1, 1), (1, 1, 1),
        maps=(random_map((1, 1, 1)), ChannelMap(np.full((1, 1, 1), 3.0), np.full((1, 1, 1), 4.0))),
        inputs="double[N, 4, W] x, double[N, 2, W] z"),
    row("Concat, channels alike", "y = Concat<axis = 1>(x, z)", (1, 4, 1), (1, 4, 1),
        inputs="double[N, 4, W] x, double[N, 4, W] z"),
    row("Concat, along a dimension of unknown size", "y = Concat<axis = -1>(x, z)", (1, 4, 1), (1, 4, 1),
        inputs="double[N, 4, W] x, double[N, 4, H] z"),
    row("Split, along channels", "y, z = Split<axis = 1>(x, parts)", CHANNELS, parts=i64([1, 3])),
    row("Split, along space", "y, z = Split<axis = -1, num_outputs = 2>(x)", CHANNELS),
    row("Dropout with its mask", "y, m = Dropout(x)", CHANNELS),
    row("Dropout with its ratio", "y = Dropout(x, ratio)", CHANNELS, ratio=HALF),
    row("Dropout that isn't training", "y = Dropout(x, ratio, train)", CHANNELS, ratio=HALF, train=np.asarray(False)),
    row("Slice of channels", "y = Slice(x, from, to, at)", CHANNELS),
    row("Slice of space", "y = Slice(x, from, to, back)", CHANNELS),
    row("Slice backwards", "y = Slice(x, back, low, at, back)", CHANNELS),
    row("Slice backwards, not to the end", "y = Slice(x, high, from, at, back)", CHANNELS),
    row("Slice without axes", "y = Slice(x, starts, ends)", CHANNELS, starts=i64([0, 1]), ends=i64([9, 3])),
    row("Slice with steps and no axes", "y = Slice(x, starts, ends, , steps)", CHANNELS, starts=i64([0, 0]),
        ends=i64([9, 4]), steps=i64([1, 2])),
    row("Slice of space beside channels whose number isn't known", "y = Slice(x, from, to, back)", CHANNELS,
        inputs="double[N, K, H, W] x"),
    row("Slice by attributes", "y = Slice<starts = [1], ends = [3], axes = [1]>(x)", CHANNELS, opset=9),
    row("Slice by attributes without axes", "y = Slice<starts = [0, 1], ends = [9, -1]>(x)", CHANNELS, opset=9),
    row("Gather of channels, some of them twice", "y = Gather<axis = 1>(x, some)", CHANNELS, some=i64([2, -4, 2])),
    row("Gather of space", "y = Gather<axis = 2>(x, some)", CHANNELS, some=i64([2, 0])),
    row("ReduceMean over space", "y = ReduceMean(x, space)", CHANNELS, space=i64([2, 3])),
    row("ReduceMean over space, dimensions gone", "y = ReduceMean<keepdims = 0>(x, space)", CHANNELS,
        space=i64([-1, 2])),
    row("DepthToSpace, channels alike", "y = DepthToSpace<blocksize = 2>(x)", inputs=CROWD,
        maps=(repeated(FOUR, 4, blocks_first=True),)),
    row("DepthToSpace of channels first, channels alike", 'y = DepthToSpace<blocksize = 2, mode = "CRD">(x)',
        inputs=CROWD, maps=(repeated(FOUR, 4, blocks_first=False),)),
    row("DepthToSpace, nothing varies", "y = DepthToSpace<blocksize = 2>(x)", SAME, inputs=CROWD),
    row("SpaceToDepth", "y = SpaceToDepth<blocksize = 2>(x)", CHANNELS, inputs="double[2, 4, 6, 2] x"),
    row("SpaceToDepth, nothing varies", "y = SpaceToDepth<blocksize = 2>(x)", SAME, inputs="double[2, 4, 6, 2] x"),
    row("AveragePool", f"y = {POOL}>(x)", CHANNELS),
    row("AveragePool that pads", f"y = {POOL}, {PADDED}>(x)", CHANNELS),
    row("AveragePool that counts no padding", f"y = {POOL}, count_include_pad = 1>(x)", CHANNELS),
    row("AveragePool that counts its padding, scaled", f"y = {POOL}, {PADDED}, count_include_pad = 1>(x)",
        maps=(SCALED,)),
    row("MaxPool", "y = MaxPool<kernel_shape = [2, 2]>(x)", maps=POSITIVE),
    row("MaxPool with indices that nothing reads", "y, i = MaxPool<kernel_shape = [2, 2]>(x)", maps=POSITIVE),
    row("MaxPool that pads", f"y = MaxPool<kernel_shape = [2, 2], {PADDED}>(x)", maps=POSITIVE),
    row("MaxPool with gaps that fit", f"y = MaxPool<{GAPPED}", maps=POSITIVE, inputs="double[N, 4, 2, 5] x"),
    row("MaxPool with gaps and no padding", "y = MaxPool<kernel_shape = [2, 2], dilations = [2, 2]>(x)", maps=POSITIVE),
    row("GlobalMaxPool", "y = GlobalMaxPool(x)", maps=POSITIVE),
    row("GlobalAveragePool", "y = GlobalAveragePool(x)", CHANNELS),
    row("GlobalAveragePool, along batch and channels", "y = GlobalAveragePool(x)", (2, 4, 1, 1), inputs=ROWS),
    row("Resize", f"y = Resize<{LINEARLY}>(x, , twice)", CHANNELS, inputs="double[2, 4, 2, 3] x", **TWICE),
    row("Pad with a number", "y = Pad(x, sides, seven)", maps=(EVEN,), **SIDES),
    row("Pad with zero", "y = Pad(x, sides)", maps=(EVEN,), **SIDES),
    row("Pad at the edge", 'y = Pad<mode = "edge">(x, sides)', CHANNELS, **SIDES),
    row("Pad by nothing", "y = Pad(x, none, seven)", CHANNELS, **SIDES),
    row("Pad with a number that stays", "y = Pad(x, sides, seven)",
        maps=(ChannelMap(FOUR.scale, 7.0 - 7.0 * FOUR.scale),), **SIDES),
    row("Pad by attributes", "y = Pad<pads = [0, 0, 1, 0, 0, 0, 0, 2], value = 7.0>(x)", maps=(EVEN,), opset=9),
    row("Pad by attributes with zero", "y = Pad<pads = [0, 0, 1, 0, 0, 0, 0, 2]>(x)", maps=(EVEN,), opset=9),
]  # fmt: skip

BACKWARD = [
    row("Transpose", "y = Transpose<perm = [2, 0, 3, 1]>(x)", (1, 1, 1, 4)),
    row("Transpose, the other way round", "y = Transpose(x)", (1, 3, 4, 1), inputs="double[N, 4, 3, W] x"),
    row("Reshape, parts of channels into one", "y = Reshape(x, shape)", CHANNELS, shape=i64([0, 4, 3, 5]),
        inputs="double[N, 2, 2, 3, 5] x"),
    row("Concat, along channels", "y = Concat<axis = 1>(x, z)", (1, 6, 1),
        inputs="double[N, 4, W] x, double[N, 2, W] z"),
    row("Concat, along a dimension of unknown size", "y = Concat<axis = -1>(x, z)", (1, 4, 1),
        inputs="double[N, 4, W] x, double[N, 4, H] z"),
    row("Split, along channels", "y, z = Split<axis = 1>(x, parts)", (1, 1, 1, 1), (1, 3, 1, 1), parts=i64([1, 3])),
    row("Slice of channels", "y = Slice(x, from, to, at)", (1, 2, 1, 1)),
    row("Slice of space", "y = Slice(x, from, to, back)", CHANNELS),
    row("Slice backwards", "y = Slice(x, back, low, at, back)", CHANNELS),
    row("Gather of channels", "y = Gather<axis = 1>(x, some)", (1, 2, 1, 1), some=i64([2, -4])),
    row("Gather of space, some of it twice", "y = Gather<axis = 2>(x, some)", CHANNELS, some=i64([2, 0, 2])),
    row("ReduceMean over space", "y = ReduceMean(x, space)", CHANNELS, space=i64([2, 3])),
    row("ReduceMean over space, dimensions gone", "y = ReduceMean<keepdims = 0>(x, space)", (1, 4),
        space=i64([-1, 2])),
    row("DepthToSpace", "y = DepthToSpace<blocksize = 2>(x)", CHANNELS, inputs=CROWD),
    row("DepthToSpace of channels first", 'y = DepthToSpace<blocksize = 2, mode = "CRD">(x)', CHANNELS, inputs=CROWD),
    row("DepthToSpace, nothing varies", "y = DepthToSpace<blocksize = 2>(x)", SAME, inputs=CROWD),
    row("SpaceToDepth, channels alike", "y = SpaceToDepth<blocksize = 2>(x)", inputs="double[2, 4, 6, 2] x",
        maps=(repeated(FOUR, 4, blocks_first=True),)),
    row("SpaceToDepth, nothing varies", "y = SpaceToDepth<blocksize = 2>(x)", SAME, inputs="double[2, 4, 6, 2] x"),
    row("Add", "y = Add(x, z)", CHANNELS, inputs=f"{IMAGE}, {IMAGE[:-1]}z"),
    row("Sub", "y = Sub(x, z)", CHANNELS, inputs=f"{IMAGE}, {IMAGE[:-1]}z"),
    row("Pad with a number", "y = Pad(x, sides, seven)", maps=(EVEN,), **SIDES),
    row("Pad with zero, scaled", "y = Pad(x, sides)", maps=(SCALED,), **SIDES),
    row("Pad by attributes", "y = Pad<pads = [0, 0, 1, 0, 0, 0, 0, 2], value = 7.0>(x)", maps=(EVEN,), opset=9),
]  # fmt: skip

UNKNOWN = "x = Opaque(u)  "
OPAQUE = "double[N, 4, H, W] u"
COMPUTED = "double[N, 4, H, W] x, int64[1] fed, int64[M] list"
MIXED = (random_map((1, 16, 1, 1)),)

NOT_FORWARD = [
    row("Reshape, channels into what has an unknown size", "y = Reshape(x, shape)", CHANNELS, shape=i64([0, -1]),
        rule="shape", says="Reshape 'y'"),
    row("Reshape to a shape that is fed", "y = Reshape(x, list)", CHANNELS, inputs=COMPUTED, rule="shape"),
    row("Reshape of an unknown shape", f"{UNKNOWN}y = Reshape(x, shape)", CHANNELS, inputs=OPAQUE, shape=i64([0, -1]),
        rule="shape"),
    row("Concat along a dimension of unknown size", "y = Concat<axis = 1>(x, z)", (1, 1, 1), (1, 1, 1),
        maps=(random_map((1, 1, 1)), ChannelMap(np.full((1, 1, 1), 3.0), np.full((1, 1, 1), 4.0))),
        inputs="double[N, H, W] x, double[N, 2, W] z", rule="shape", says="Concat 'y'"),
    row("Concat with a tensor of unknown rank", "z = Opaque(x)  y = Concat<axis = 1>(x, z)", CHANNELS, CHANNELS,
        rule="shape"),
    row("Split into parts of unknown size", "y, z = Split<axis = 1>(x, fed)", CHANNELS, inputs=COMPUTED, rule="shape",
        says="Split 'y'"),
    row("Split of a tensor of unknown rank", f"{UNKNOWN}y, z = Split<axis = 1>(x, fed)", CHANNELS,
        inputs=f"{OPAQUE}, int64[2] fed", rule="shape"),
    row("Slice from where it is told", "y = Slice(x, fed, to, at)", CHANNELS, inputs=COMPUTED, rule="shape",
        says="Slice 'y'"),
    row("Gather of what is fed", "y = Gather<axis = 1>(x, fed)", CHANNELS, inputs=COMPUTED, rule="shape",
        says="Gather 'y'"),
    row("Gather of one, its dimension gone", "y = Gather<axis = 1>(x, index)", CHANNELS, index=i64(2), rule="shape"),
    row("Gather by what has an unknown rank", "some = Opaque(x)  y = Gather<axis = 1>(x, some)", CHANNELS,
        rule="shape"),
    row("Gather by a matrix", "y = Gather<axis = 1>(x, some)", CHANNELS, some=i64([[0, 1]]), rule="shape"),
    row("ReduceMean over channels", "y = ReduceMean(x, at)", CHANNELS, rule="layout", says="ReduceMean 'y'"),
    row("ReduceMean over all", "y = ReduceMean(x)", CHANNELS, rule="layout"),
    row("ReduceMean over axes that are fed", "y = ReduceMean(x, fed)", CHANNELS, inputs=COMPUTED, rule="shape"),
    row("DepthToSpace, channels that differ", "y = DepthToSpace<blocksize = 2>(x)", inputs=CROWD, maps=MIXED,
        rule="layout", says="don't stay apart"),
    row("DepthToSpace, scales that differ", "y = DepthToSpace<blocksize = 2>(x)", inputs=CROWD,
        maps=(ChannelMap(MIXED[0].scale, np.zeros(SAME)),), rule="layout"),
    row("DepthToSpace, shifts that differ", "y = DepthToSpace<blocksize = 2>(x)", inputs=CROWD,
        maps=(ChannelMap(np.ones(SAME), MIXED[0].shift),), rule="layout"),
    row("DepthToSpace, channels alike in another order", "y = DepthToSpace<blocksize = 2>(x)", inputs=CROWD,
        maps=(repeated(FOUR, 4, blocks_first=False),), rule="layout"),
    row("DepthToSpace along space", "y = DepthToSpace<blocksize = 2>(x)", (1, 1, 3, 1), inputs=CROWD, rule="layout",
        says="along space"),
    row("SpaceToDepth along space", "y = SpaceToDepth<blocksize = 2>(x)", (1, 1, 6, 1), inputs=ROWS, rule="layout",
        says="along space"),
    row("Dropout in training mode", "y = Dropout(x, ratio, train)", CHANNELS, ratio=HALF,
        train=np.asarray(True), rule="training-mode", says="Dropout 'y'"),
    row("Dropout in a mode that is fed", "y = Dropout(x, ratio, train)", CHANNELS, ratio=HALF,
        inputs=f"{IMAGE}, bool train", rule="training-mode"),
    row("AveragePool that counts its padding", f"y = {POOL}, {PADDED}, count_include_pad = 1>(x)", CHANNELS,
        rule="padding", says="counts its zero padding in"),
    row("AveragePool that counts padding that it works out",
        f'y = {POOL}, auto_pad = "SAME_UPPER", count_include_pad = 1>(x)', CHANNELS, rule="padding"),
    row("AveragePool along space", f"y = {POOL}>(x)", (1, 1, 3, 1), inputs=ROWS, rule="layout", says="along space"),
    row("AveragePool with gaps that may not fit", f"y = AveragePool<{GAPPED}", CHANNELS, opset=19, rule="padding",
        says="nothing but padding"),
    row("GlobalAveragePool along space", "y = GlobalAveragePool(x)", (1, 1, 3, 1), inputs=ROWS, rule="layout"),
    row("MaxPool, a negative gain", "y = MaxPool<kernel_shape = [2, 2]>(x)", maps=(NEGATIVE,),
        rule="negative-gain", says="channel 2"),
    row("MaxPool along space", "y = MaxPool<kernel_shape = [2, 2]>(x)", inputs=ROWS,
        maps=(random_map((1, 1, 6, 1), negative=False),), rule="layout"),
    row("MaxPool whose indices are read", "y, i = MaxPool<kernel_shape = [2, 2]>(x)  z = Neg(i)", maps=POSITIVE,
        rule="inner-reader"),
    row("MaxPool with gaps in one direction that don't fit", f"y = MaxPool<{GAPPED}", maps=POSITIVE,
        inputs="double[N, 4, 1, 5] x", rule="padding", says="nothing but padding"),
    row("MaxPool with gaps and a size that isn't known", f"y = MaxPool<{GAPPED}", maps=POSITIVE, rule="padding"),
    row("MaxPool with gaps and padding that it works out",
        'y = MaxPool<kernel_shape = [2, 2], dilations = [2, 2], auto_pad = "SAME_LOWER">(x)', maps=POSITIVE,
        rule="padding"),
    row("MaxPool with gaps of an unknown shape", f"{UNKNOWN}y = MaxPool<{GAPPED}", maps=POSITIVE, inputs=OPAQUE,
        rule="padding"),
    row("Resize by cubes", 'y = Resize<mode = "cubic">(x, , twice)', CHANNELS, **TWICE, rule="layout", says="linearly"),
    row("Resize that crops", 'y = Resize<mode = "linear", coordinate_transformation_mode = "tf_crop_and_resize">'
        "(x, , twice)", CHANNELS, **TWICE, rule="layout", says="linearly"),
    row("Resize of channels", f"y = Resize<{LINEARLY}>(x, , channels)", CHANNELS, **TWICE, rule="layout",
        says="resizes a dimension"),
    row("Resize to what is fed", f"y = Resize<{LINEARLY}>(x, , , fed)", CHANNELS, inputs=COMPUTED, rule="layout"),
    row("Resize of an unknown shape to one that is known", f"{UNKNOWN}y = Resize<{LINEARLY}>(x, , , shape)", CHANNELS,
        inputs=OPAQUE, shape=i64([2, 4, 6, 5]), rule="layout"),
    row("Resize of an unknown shape", f"{UNKNOWN}y = Resize<{LINEARLY}>(x, , twice)", CHANNELS, inputs=OPAQUE, **TWICE,
        rule="layout"),
    row("Pad by what is fed", "y = Pad(x, list, seven)", maps=(EVEN,), inputs=COMPUTED, **SIDES, rule="shape",
        says="how far Pad 'y' pads"),
    row("Pad along axes of its own", "y = Pad(x, ends, seven, at)", maps=(EVEN,), ends=i64([1, 1]), **SIDES,
        rule="shape"),
    row("Pad along all axes in an order of its own", "y = Pad(x, sides, seven, order)", maps=(EVEN,), **SIDES,
        order=i64([1, 0, 2, 3]), rule="shape"),
    row("Pad by too few numbers", "y = Pad(x, ends, seven)", maps=(EVEN,), ends=i64([1, 1]), **SIDES, rule="shape"),
    row("Pad of channels", "y = Pad(x, more, seven)", CHANNELS, more=i64([0, 1, 0, 0, 0, 0, 0, 0]), **SIDES,
        rule="padding", says="the dimension along which it varies"),
    row("Pad of channels at their end, at the edge", 'y = Pad<mode = "edge">(x, more)', CHANNELS,
        more=i64([0, 0, 0, 0, 0, 1, 0, 0]), rule="padding"),
    row("Pad with what is fed", "y = Pad(x, sides, number)", maps=(EVEN,), inputs=f"{IMAGE}, double number", **SIDES,
        rule="not-constant", says="what Pad 'y' pads with"),
    row("Pad with a number for each channel", "y = Pad(x, sides, seven)", CHANNELS, **SIDES, rule="padding",
        says="differ between them"),
    row("Pad with a number for each shift", "y = Pad(x, sides)", maps=(SHIFTED,), **SIDES, rule="padding"),
    row("Pad with what no gain reaches", "y = Pad(x, sides, seven)",
        maps=(ChannelMap(np.zeros(SAME), np.full(SAME, 3.0)),), **SIDES, rule="padding"),
]  # fmt: skip

NOT_BACKWARD = [
    row("Reshape of what has an unknown size into channels", "y = Reshape(x, shape)", CHANNELS,
        shape=i64([0, 4, 3, 5]), inputs="double[N, K] x", rule="shape"),
    row("Concat along channels of unknown number", "y = Concat<axis = 1>(x, z)", (1, 6, 1),
        inputs="double[N, H, W] x, double[N, 2, W] z", rule="shape"),
    row("Concat with a tensor of unknown rank", "z = Opaque(x)  y = Concat<axis = 1>(x, z)", (1, 6, 1, 1),
        rule="shape"),
    row("Split into parts of unknown size", "y, z = Split<axis = 1>(x, fed)", (1, 2, 1, 1), SAME, inputs=COMPUTED,
        rule="shape"),
    row("Split of a tensor of unknown rank", f"{UNKNOWN}y, z = Split<axis = 1>(x, list)", (1, 2, 1, 1), SAME,
        inputs=f"{OPAQUE}, int64[2] list", rule="shape"),
    row("Slice of channels whose number isn't known", "y = Slice(x, from, to, at)", (1, 2, 1, 1),
        inputs="double[N, K, H, W] x", rule="shape"),
    row("Slice from where it is told", "y = Slice(x, fed, to, at)", CHANNELS, inputs=COMPUTED, rule="shape"),
    row("Slice of an unknown shape", f"{UNKNOWN}y = Slice(x, from, to, at)", CHANNELS, inputs=OPAQUE, rule="shape"),
    row("Gather of what is fed", "y = Gather<axis = 1>(x, fed)", SAME, inputs=COMPUTED, rule="shape"),
    row("Gather of an unknown shape", f"{UNKNOWN}y = Gather<axis = 1>(x, some)", SAME, some=i64([0, 1]), inputs=OPAQUE,
        rule="shape"),
    row("Gather of channels whose number isn't known", "y = Gather<axis = 1>(x, some)", (1, 2, 1, 1), some=i64([0, 1]),
        inputs="double[N, K, H, W] x", rule="shape"),
    row("Gather of channels, one of them twice", "y = Gather<axis = 1>(x, some)", (1, 3, 1, 1), some=i64([1, 0, -3]),
        rule="layout", says="don't stay apart"),
    row("ReduceMean along what stays as one", "y = ReduceMean(x, at)", maps=(random_map((1, 2, 1, 1)),),
        rule="layout"),
    row("ReduceMean over axes that are fed", "y = ReduceMean(x, fed)", SAME, inputs=COMPUTED, rule="shape"),
    row("ReduceMean of an unknown shape", f"{UNKNOWN}y = ReduceMean(x, at)", SAME, inputs=OPAQUE, rule="shape"),
    row("SpaceToDepth, channels that differ", "y = SpaceToDepth<blocksize = 2>(x)", inputs="double[2, 4, 6, 2] x",
        maps=MIXED, rule="layout"),
    row("SpaceToDepth, channels alike in another order", "y = SpaceToDepth<blocksize = 2>(x)",
        inputs="double[2, 4, 6, 2] x", maps=(repeated(FOUR, 4, blocks_first=False),), rule="layout"),
    row("Add that broadcasts", "y = Add(x, z)", CHANNELS, inputs=f"{IMAGE}, double[4, 1, 1] z", rule="layout",
        says="broadcasts"),
    row("Add of an unknown shape", "z = Opaque(x)  y = Add(x, z)", CHANNELS, rule="layout"),
    row("Pad with a number for each channel", "y = Pad(x, sides, seven)", CHANNELS, **SIDES, rule="padding"),
]  # fmt: skip
