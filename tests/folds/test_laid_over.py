"""Kernels over each other: one convolution computes what several do that are added, or none is made."""

import numpy as np
import onnx_ir as ir
import pytest

from normgraph.folding.geometry import Geometry, geometry_of, laid_over, placed, pointwise
from normgraph.kernels.convolution import convolution


def along(kernel: int, begin: int = 0, end: int = 0, *, stride: int = 1, dilation: int = 1) -> Geometry:
    """A convolution over one axis."""
    return Geometry((kernel,), (stride,), (dilation,), (begin,), (end,))


def convolved(x: np.ndarray, weight: np.ndarray, geometry: Geometry) -> np.ndarray:
    pads = (*geometry.begin, *geometry.end)
    return convolution(x, weight, strides=geometry.strides, dilations=geometry.dilations, pads=pads)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        pytest.param([along(3, 1, 1), along(1)], along(3, 1, 1), id="one tap in the middle"),
        pytest.param([along(1), along(5, 2, 2), along(3, 1, 1)], along(5, 2, 2), id="the widest in the middle"),
        pytest.param([along(1), along(1)], along(1), id="one tap each"),
        pytest.param([along(1, 1, 1), along(1, 0, 2)], along(2, 1, 2), id="taps that are neighbours"),
        pytest.param([along(1, 2, 0), along(1, 0, 2)], along(2, 2, 2, dilation=2), id="taps with a gap between"),
        pytest.param([along(3, 2, 2, dilation=2), along(1)], along(3, 2, 2, dilation=2), id="with gaps"),
        pytest.param([along(2, 0, 1), along(2, 1, 0)], along(3, 1, 1), id="to the left and to the right"),
        pytest.param([along(3, 1, 1, stride=2), along(1, stride=2)], along(3, 1, 1, stride=2), id="strides"),
    ],
)
def test_one_kernel_does_for_all(parts: list[Geometry], expected: Geometry) -> None:
    random = np.random.default_rng(0)
    weights = [random.standard_normal((2, 3, *part.kernel)) for part in parts]
    whole = laid_over(parts)
    assert whole == expected
    together = sum(placed(w, part, whole) for w, part in zip(weights, parts, strict=True))
    for extent in (5, 6):
        x = random.standard_normal((1, 3, extent))
        added = sum(convolved(x, w, part) for w, part in zip(weights, parts, strict=True))
        np.testing.assert_allclose(convolved(x, np.asarray(together), whole), added, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([along(3, 1, 1), along(1, stride=2)], id="strides that differ"),
        pytest.param([along(3, 1, 1), along(3)], id="results of different sizes"),
        pytest.param([along(3, 2, 2, dilation=2), along(3, 1, 1)], id="gaps that differ"),
        pytest.param([along(2, 1, 1, dilation=2), along(1)], id="a tap in the gap"),
        pytest.param([along(1, -1, 1), along(1, -1, 1)], id="the beginning is cut off"),
        pytest.param([along(1, 1, -1), along(1, 1, -1)], id="the end is cut off"),
    ],
)
def test_no_kernel_does_for_all(parts: list[Geometry]) -> None:
    assert laid_over(parts) is None
    assert laid_over(parts[::-1]) is None


@pytest.mark.parametrize(
    ("geometry", "expected"),
    [
        pytest.param(pointwise(2), True, id="one tap"),
        pytest.param(along(1, 1, 0), False, id="zeros at the beginning"),
        pytest.param(along(1, 0, 1), False, id="zeros at the end"),
        pytest.param(along(2), False, id="two taps"),
        pytest.param(Geometry((1, 3), (1, 1), (1, 1), (0, 0), (0, 0)), False, id="three taps along one axis"),
    ],
)
def test_pointwise_reads_one_position_each(geometry: Geometry, expected: bool) -> None:
    assert geometry.is_pointwise is expected


@pytest.mark.parametrize(
    ("automatic", "stride", "extent", "pads"),
    [
        pytest.param("NOTSET", 2, None, (1, 2), id="as it is told"),
        pytest.param("VALID", 2, None, (0, 0), id="nothing, whatever it is told"),
        pytest.param("SAME_UPPER", 1, None, (1, 2), id="more at the end"),
        pytest.param("SAME_LOWER", 1, None, (2, 1), id="more at the beginning"),
        pytest.param("SAME_UPPER", 2, 7, (1, 2), id="for a size that is known"),
        pytest.param("SAME_UPPER", 2, 6, (1, 1), id="for another size"),
        pytest.param("SAME_UPPER", 5, 6, (1, 2), id="for a stride beyond its kernel"),
        pytest.param("SAME_UPPER", 4, 12, (0, 0), id="nothing is left to pad"),
        pytest.param("SAME_UPPER", 2, None, None, id="for a size that isn't known"),
    ],
)
def test_how_far_it_pads(automatic: str, stride: int, extent: int | None, pads: tuple[int, int] | None) -> None:
    attributes = [
        ir.AttrString("auto_pad", automatic),
        ir.AttrInt64s("strides", [stride]),
        ir.AttrInt64s("pads", [1, 2]),
    ]
    geometry = geometry_of(ir.Node("", "Conv", [], attributes), (4,), (extent,))
    assert (None if geometry is None else (*geometry.begin, *geometry.end)) == pads
