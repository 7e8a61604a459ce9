"""The sizes at which folds are proven: as small as they can be for each case of a window to occur."""

import numpy as np
import pytest

from normgraph.extraction import original_fragment
from normgraph.folding.extents import extents_needed, least_extent, small_inputs
from normgraph.folding.plan import Region
from tests.core.surveyed import Surveyed, f32, surveyed

CONSTANTS = {
    "w": f32(np.ones((4, 4, 3, 3))), "wide": f32(np.ones((4, 4, 4, 4))), "flat": f32(np.ones((4, 4, 1, 5))),
    "blocks": f32(np.ones((5, 16, 1, 1))), "rows": f32(np.ones((1, 1, 8, 8))), "v": f32([1, 2, 3, 4]),
    "twice": f32([1, 1, 2, 2]), "some": f32(np.ones((4, 4, 2, 2))),
}  # fmt: skip


def region(nodes: str, inputs: str, opset: int = 18) -> tuple[Region, Surveyed]:
    """All of a graph, from x to y."""
    read = {name: array for name, array in CONSTANTS.items() if f", {name}" in nodes}
    found = surveyed(nodes, inputs, constants=read, opset=opset)
    graph = found.model.graph
    return Region(found.values["x"], found.values["y"], tuple(graph), graph), found


@pytest.mark.parametrize(
    ("outputs", "stride", "reach", "begin", "end", "expected"),
    [
        pytest.param(1, 1, 1, 0, 0, 1, id="one element"),
        pytest.param(2, 1, 1, 0, 0, 2, id="two windows"),
        pytest.param(2, 3, 1, 0, 0, 4, id="two windows with elements between them"),
        pytest.param(2, 1, 3, 0, 0, 4, id="two windows over three elements"),
        pytest.param(2, 1, 7, 3, 3, 7, id="one wholly within, others over both ends"),
        pytest.param(2, 2, 3, 1, 1, 5, id="the last over the end"),
        pytest.param(2, 2, 3, 1, 0, 4, id="the last within, where nothing is padded behind it"),
        pytest.param(1, 2, 2, 2, 2, 2, id="one within, others over both ends"),
    ],
)
def test_so_long_an_input_has_every_window(
    outputs: int, stride: int, reach: int, begin: int, end: int, expected: int
) -> None:
    assert extents_needed(outputs, stride, reach, begin, end) == expected


IMAGE = "float[N, 4, H, W] x"


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        pytest.param("y = Relu(x)", 2, id="no window"),
        pytest.param("y = Conv(x, w)", 4, id="a window"),
        pytest.param("y = Conv<pads = [1, 1, 1, 1]>(x, w)", 3, id="that reaches over both ends"),
        pytest.param("y = Conv<strides = [3, 3]>(x, w)", 6, id="with strides"),
        pytest.param("y = Conv<dilations = [1, 2]>(x, w)", 6, id="with gaps"),
        pytest.param("y = Conv(x, flat)", 6, id="longer along one axis"),
        pytest.param("h = Conv(x, w)  y = Conv(h, w)", 6, id="behind another"),
        pytest.param("h = Conv(x, w)  y = Add(h, x)", 4, id="beside what has none"),
        pytest.param("y = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(x)", 4, id="without weights"),
        pytest.param('y = Conv<auto_pad = "SAME_UPPER">(x, wide)', 4, id="that pads by itself"),
        pytest.param('y = Conv<auto_pad = "VALID">(x, wide)', 5, id="that doesn't pad"),
        pytest.param("u = Opaque(x)  y = Conv(x, u)", 2, id="of unknown size"),
        pytest.param("y = ConvTranspose<strides = [2, 2]>(x, wide)", 3, id="the other way round"),
        pytest.param("y = custom.Conv(x, w)", 2, id="of another domain"),
        pytest.param("y = Upsample(x, twice)", 6, id="positions that are rounded"),
        pytest.param("y = custom.Upsample(x, twice)", 2, id="positions in another domain"),
    ],
)
def test_least_extent_is_that_at_which_each_case_occurs(nodes: str, expected: int) -> None:
    found, survey = region(nodes, IMAGE)
    assert least_extent(found, survey.facts) == expected


def test_what_pads_alone_has_no_window() -> None:
    found, survey = region("y = Pad<pads = [0, 0, 1, 1, 0, 0, 1, 1]>(x)", IMAGE, opset=9)
    assert least_extent(found, survey.facts) == 2


NORM = "BatchNormalization(x, v, v, v, v)"


@pytest.mark.parametrize(
    ("nodes", "shape", "extent", "expected"),
    [
        pytest.param("y = Conv(x, w)", (32, 4, 224, 224), 5, (2, 4, 5, 6), id="batch and space"),
        pytest.param("y = Conv(x, w)", (1, 4, 224, 224), 5, (1, 4, 5, 6), id="a batch of one"),
        pytest.param("y = Conv(x, w)", (3, 4, 224, 224), 5, (3, 4, 5, 6), id="as many as the kernel is wide"),
        pytest.param("y = Conv(x, some)", (8, 4, 4, 4), 2, (2, 4, 2, 3), id="as wide as there are channels"),
        pytest.param("t = Transpose<perm = [0, 1, 3, 2]>(x)  y = Conv(t, some)", (8, 4, 4, 4), 2, (2, 4, 4, 4),
                     id="as wide as there are channels, space turned"),
        pytest.param("a = Add(x, rows)  y = Conv(a, w)", (32, 4, 8, 8), 5, (2, 4, 8, 8), id="as wide as a constant"),
        pytest.param("y = Conv(x, w)", (32, 4, 6, 224), 9, (2, 4, 6, 10), id="smaller already"),
        pytest.param(f"b = {NORM}  s = SpaceToDepth<blocksize = 2>(b)  y = Conv(s, blocks)", (32, 4, 224, 224), 3,
                     (2, 4, 4, 6), id="whole blocks"),
        pytest.param("y = DepthToSpace<blocksize = 2>(x)", (32, 40, 224, 224), 3, (2, 3, 4, 5), id="other blocks"),
    ],
)  # fmt: skip
def test_inputs_are_as_small_as_they_can_be(
    nodes: str, shape: tuple[int, ...], extent: int, expected: tuple[int, ...]
) -> None:
    found, survey = region(nodes, f"float[{', '.join(map(str, shape))}] x")
    fragment = original_fragment(found, survey.facts)
    ((_, _, sizes),) = small_inputs(fragment, extent)
    assert tuple(size.static for size in sizes) == expected


@pytest.mark.parametrize(
    ("nodes", "shape", "extent", "known", "unknown"),
    [
        pytest.param("t = Identity(x)  y = Conv(t, some)", "8, 4, 4, 24", 2, (2, 4, 2, 3), (2, 4, 4, 2),
                     id="as wide as there are channels"),
        pytest.param(f"b = {NORM}  t = SpaceToDepth<blocksize = 2>(b)  y = Conv(t, blocks)", "8, 4, 24, 24", 3,
                     (2, 4, 4, 6), (2, 4, 3, 4), id="blocks"),
    ],
)  # fmt: skip
def test_an_operator_of_another_domain_is_none_that_is_known(
    nodes: str, shape: str, extent: int, known: tuple[int, ...], unknown: tuple[int, ...]
) -> None:
    found, survey = region(nodes, f"float[{shape}] x")
    for domain, expected in (("", known), ("custom", unknown)):
        survey.values["t"].producer().domain = domain  # type: ignore[union-attr]
        ((_, _, sizes),) = small_inputs(original_fragment(found, survey.facts), extent)
        assert tuple(size.static for size in sizes) == expected


def test_sizes_that_are_open_stay_so() -> None:
    found, survey = region("y = Conv(x, w)", IMAGE)
    ((_, _, sizes),) = small_inputs(original_fragment(found, survey.facts), 5)
    assert [size.static for size in sizes] == [None, 4, None, None]
