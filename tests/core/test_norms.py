"""The table of norms: which operators a value is, read off its polynomial, and which it isn't."""

from collections.abc import Sequence

import numpy as np
import pytest

from normgraph.algebra import HALF, Polynomial, base, constant, extent
from normgraph.axes import Axis, Dimension, Layout, Size
from normgraph.coefficients import coefficient
from normgraph.diagnosis import DIAGNOSES, diagnose, looks_normalized
from normgraph.kernels import mean_variance_normalization
from normgraph.norms import NORMS, Norm, recognise

N, C, H, W = Axis(0, Size(2)), Axis(1, Size(6)), Axis(2, Size(3)), Axis(3, Size(4))
G, D = Axis(4, Size(2)), Axis(5, Size(3))
S = Axis(6, Size(1, ("S",)))
IMAGE: Layout = ((N,), (C,), (H,), (W,))
GROUPED: Layout = ((N,), (G, D), (H,), (W,))
ALONE: Layout = ((), (C,), (H,), (W,))
FLAT: Layout = ((N,), (C,), (H,), ())
TRAILING: Layout = ((N,), (G, D), (), ())
CUT_LAST: Layout = ((), (), (G, D), (W,))
CUT_FIRST: Layout = ((G, D), (N,), (W,))
CUT_LATE: Layout = ((N,), (), (G, D), (W,))
CUT_TWICE: Layout = ((N,), (G, D), (H, W))
MATRIX: Layout = ((N,), (G, D))


def along(*axes: Axis) -> Polynomial:
    """Numbers that vary along these axes."""
    shape = [axis.size.factor for axis in axes]
    return constant(coefficient(1 + np.arange(np.prod(shape)).reshape(shape), [(axis,) for axis in axes]))


def centred(x: Polynomial, *over: Axis) -> Polynomial:
    return x - x.mean(axis=over)


def standardized(x: Polynomial, *over: Axis, epsilon: float = 1e-5) -> Polynomial:
    d = centred(x, *over)
    return d * ((d * d).mean(axis=over) + epsilon) ** -HALF


def scaled(x: Polynomial, *over: Axis, epsilon: float = 1e-5) -> Polynomial:
    return x * ((x * x).mean(axis=over) + epsilon) ** -HALF


def plain(x: Polynomial, *over: Axis) -> Polynomial:
    """MeanVarianceNormalization, whose epsilon stands outside of the root."""
    d = centred(x, *over)
    return d / ((d * d).mean(axis=over) ** HALF + mean_variance_normalization.EPSILON)


def bounded(x: Polynomial, count: int, *over: Axis) -> Polynomial:
    """x divided by its length, which is bounded from below."""
    return x * (((x * x).mean(axis=over) * count) ** HALF).clamped(1e-3) ** -1


def kinds(value: Polynomial, layout: Layout) -> Sequence[str]:
    found = recognise(value, layout)
    return () if found is None else found.kinds


def of(layout: Layout) -> Polynomial:
    return base(axis for dimension in layout for axis in dimension)


X, Y = of(IMAGE), of(GROUPED)
LAYER, RMS, INSTANCE = "LayerNormalization", "RMSNormalization", "InstanceNormalization"
GROUP, LP, MVN = "GroupNormalization", "LpNormalization", "MeanVarianceNormalization"

FOUND = [
    pytest.param(standardized(X, W), IMAGE, [LAYER], id="last-axis"),
    pytest.param(standardized(X, W) * along(W) + along(W), IMAGE, [LAYER], id="gain-and-bias"),
    pytest.param(standardized(X, H, W), IMAGE, [LAYER, INSTANCE], id="two-axes-without-gain"),
    pytest.param(standardized(X, H, W) * along(H, W), IMAGE, [LAYER], id="gain-over-both"),
    pytest.param(standardized(X, H, W) * along(C), IMAGE, [INSTANCE], id="gain-per-channel"),
    pytest.param(standardized(X, H, W) + along(N), IMAGE, [INSTANCE], id="bias-per-sample"),
    pytest.param(standardized(of(ALONE), H, W) * along(C), ALONE, [INSTANCE], id="one-sample"),
    pytest.param(standardized(of(FLAT), H) * along(C), FLAT, [INSTANCE], id="sample-of-one-row"),
    pytest.param(standardized(X, C) * along(C), IMAGE, [LAYER], id="channels-first"),
    pytest.param(standardized(X, C, H, W) * along(C), IMAGE, [LAYER, GROUP], id="one-group"),
    pytest.param(standardized(Y, D, H, W) * along(G, D), GROUPED, [GROUP], id="groups"),
    pytest.param(standardized(Y, D) * 3, TRAILING, [GROUP], id="groups-of-single-positions"),
    pytest.param(scaled(X, W) * along(W), IMAGE, [RMS], id="root-mean-square"),
    pytest.param(scaled(X, C, W) * 2, IMAGE, [RMS], id="root-mean-square-over-two"),
    pytest.param(scaled(X, W, epsilon=0.0) / 2, IMAGE, [LP, RMS], id="unit-length"),
    pytest.param(X / (X * X).mean(axis=(W,)) ** HALF, IMAGE, [RMS, LP], id="without-epsilon"),
    pytest.param(scaled(X, W, epsilon=0.0) * along(W), IMAGE, [RMS, LP], id="without-epsilon-gain-per-element"),
    pytest.param(scaled(X, C, epsilon=0.0) * along(C), IMAGE, [LP, RMS], id="unit-length-of-channels-gain-per-channel"),
    pytest.param(scaled(X, H, W, epsilon=0.0) * 2, IMAGE, [RMS], id="length-over-two-axes"),
    pytest.param(bounded(X, 4, W), IMAGE, [LP], id="bounded-length"),
    pytest.param(plain(X, H, W), IMAGE, [MVN], id="epsilon-outside-over-space"),
    pytest.param(standardized(of(CUT_LAST), D, W) * 2, CUT_LAST, [GROUP], id="groups-behind-two-single-dimensions"),
    pytest.param(standardized(of(CUT_FIRST), D, W) * 2, CUT_FIRST, [GROUP], id="groups-first"),
    pytest.param(scaled(X, W, epsilon=0.0) / 2 - 1, IMAGE, [], id="unit-length-less-one"),
    pytest.param(
        centred(X, N, H, W)
        / ((centred(X, N, H, W) ** 2).mean(axis=(N, H, W)) ** HALF + mean_variance_normalization.EPSILON),
        IMAGE, [MVN], id="epsilon-outside",
    ),
]  # fmt: skip
NOT_FOUND = [
    pytest.param(standardized(X, W) * along(C), IMAGE, "not-a-normalization", id="gain-along-another-axis"),
    pytest.param(
        standardized(of(ALONE), W) * along(C, H), ALONE, "not-a-normalization", id="gain-along-two-other-axes"
    ),
    pytest.param(standardized(Y, D, H, W) * along(H), GROUPED, "not-a-normalization", id="groups-with-a-gain-per-row"),
    pytest.param(standardized(of(CUT_TWICE), D, W), CUT_TWICE, "not-a-normalization", id="parts-of-two-dimensions"),
    pytest.param(standardized(of(CUT_LATE), D, W), CUT_LATE, "not-a-normalization", id="groups-behind-a-single-one"),
    pytest.param(standardized(of(MATRIX), D), MATRIX, "not-a-normalization", id="groups-of-a-matrix"),
    pytest.param(scaled(Y, D), GROUPED, "not-a-normalization", id="root-mean-square-of-a-part"),
    pytest.param(scaled(X, W) * along(C), IMAGE, "not-a-normalization", id="root-mean-square-with-a-gain-per-channel"),
    pytest.param(scaled(Y, D, epsilon=0.0), GROUPED, "not-a-normalization", id="length-of-a-part"),
    pytest.param(bounded(Y, 3, D), GROUPED, "clamp", id="bounded-length-of-a-part"),
    pytest.param(bounded(X, 4, W) + 1, IMAGE, "clamp", id="bounded-length-with-bias"),
    pytest.param(plain(Y, D, H, W), GROUPED, "epsilon-outside", id="epsilon-outside-over-a-part"),
    pytest.param(plain(X, H, W) * 2, IMAGE, "epsilon-outside", id="epsilon-outside-with-a-gain"),
    pytest.param(plain(X, H, W) + 1, IMAGE, "epsilon-outside", id="epsilon-outside-with-a-bias"),
    pytest.param(standardized(Y, G) * 2, GROUPED, "not-a-normalization", id="group-behind"),
    pytest.param(standardized(Y, G, H, W) * 2, GROUPED, "not-a-normalization", id="groups-one-within-the-other"),
    pytest.param(standardized(Y, D) * 2, GROUPED, "not-a-normalization", id="part-of-a-dimension"),
    pytest.param(scaled(X, W) + 1, IMAGE, "not-a-normalization", id="root-mean-square-with-bias"),
    pytest.param(centred(X, W) / ((X * X).mean(axis=(W,)) + 1) ** HALF, IMAGE, "half-centred", id="spread-not-centred"),
    pytest.param(
        X / ((centred(X, W) ** 2).mean(axis=(W,)) + 1) ** HALF, IMAGE, "half-centred", id="value-not-centred"
    ),
    pytest.param(
        (X - 2 * X.mean(axis=(W,))) / ((centred(X, W) ** 2).mean(axis=(W,)) + 1) ** HALF, IMAGE, "half-centred",
        id="twice-the-mean",
    ),
    pytest.param(
        (centred(X, H)) * ((centred(X, W) ** 2).mean(axis=(W,)) + 1) ** -HALF, IMAGE, "axes-differ", id="other-axes"
    ),
    pytest.param(
        centred(X, W) * ((centred(X, W) ** 2).mean(axis=(W,)) + along(W)) ** -HALF, IMAGE, "epsilon-varies",
        id="epsilon-per-element",
    ),
    pytest.param(standardized(X, W, epsilon=-1e-5), IMAGE, "epsilon-varies", id="negative-epsilon"),
    pytest.param(
        centred(X, W) / ((centred(X, W) ** 2).mean(axis=(W,)) ** HALF + 1e-5), IMAGE, "epsilon-outside", id="std-plus"
    ),
    pytest.param(centred(X, W) / ((centred(X, W) ** 2).mean(axis=(W,)) + 1), IMAGE, "root", id="no-root"),
    pytest.param(centred(X, W) / ((centred(X, W) ** 4).mean(axis=(W,)) + 1) ** HALF, IMAGE, "power", id="fourth"),
    pytest.param(
        ((centred(X, W) ** 2).mean(axis=(W,)) + 1) ** HALF / centred(X, W), IMAGE, "inverted", id="wrong-way-up"
    ),
    pytest.param(
        centred(X, W) * (centred(X, W) ** 2).mean(axis=(W,)).clamped(1e-5) ** -HALF, IMAGE, "clamp", id="bounded"
    ),
    pytest.param(standardized(X, W) * extent("S"), IMAGE, "not-a-normalization", id="gain-by-a-dynamic-size"),
    pytest.param(standardized(X, W) * centred(X, W), IMAGE, "power", id="of-degree-two"),
    pytest.param(standardized(X, W) + X, IMAGE, "not-a-normalization", id="residual"),
    pytest.param(X / -2, IMAGE, None, id="scaled-only"),
    pytest.param(centred(X, W), IMAGE, None, id="centred-only"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "layout", "expected"), FOUND)
def test_normalization_is_every_kind_that_admits_it(value: Polynomial, layout: Layout, expected: Sequence[str]) -> None:
    assert list(kinds(value, layout)) == expected


@pytest.mark.parametrize(("value", "layout", "rule"), NOT_FOUND)
def test_what_is_none_is_told_why(value: Polynomial, layout: Layout, rule: str | None) -> None:
    assert kinds(value, layout) == ()
    assert looks_normalized(value) == (rule is not None)
    if rule is not None:
        assert diagnose(value).rule == rule
        assert diagnose(value).reason


def test_parameters_are_read_as_the_graph_has_them() -> None:
    gain, bias = along(W) * 2, along(W) - 1
    found = recognise(standardized(X, W, epsilon=3e-6) * gain + bias, IMAGE)
    assert found is not None
    assert found.over == frozenset([W])
    assert found.epsilon == 3e-6
    assert constant(found.gain) == gain
    assert constant(found.bias) == bias
    assert found.is_affine
    assert found.affine_axes == {W}


def test_scale_before_the_root_goes_into_gain_and_epsilon() -> None:
    d = centred(X, W)
    unbiased = (d * d).mean(axis=(W,)) * (4 / 3)
    found = recognise(d / (unbiased + 1e-3) ** HALF, IMAGE)
    assert found is not None
    assert found.epsilon == pytest.approx(1e-3 * 3 / 4)
    assert found.gain == pytest.approx((3 / 4) ** 0.5)


def test_dynamic_axis_is_as_good_as_a_static_one() -> None:
    layout: tuple[Dimension, ...] = ((S,), (W,))
    assert kinds(standardized(of(layout), W), layout) == (LAYER,)
    assert kinds(standardized(of(layout), S), layout) == (LAYER,)
    assert kinds(scaled(of(layout), S, epsilon=0.0), layout) == (RMS,)


def test_every_row_and_every_diagnosis_is_tried() -> None:
    assert {kind for case in FOUND for kind in list(case.values[2])} == {row.kind for row in NORMS}  # type: ignore[call-overload]
    assert {case.values[2] for case in NOT_FOUND} - {None} == {rule for rule, _ in DIAGNOSES}


def test_no_norm_is_without_a_kind() -> None:
    with pytest.raises(TypeError):
        Norm(over=frozenset([W]), epsilon=0.0, gain=1.0, bias=0.0)  # type: ignore[call-arg]


def test_mean_of_nothing_makes_no_norm() -> None:
    empty = Axis(7, Size(0))
    x = base((N, empty, W))
    assert kinds(standardized(x, empty, W), ((N,), (empty,), (W,))) == ()
    assert list(kinds(standardized(x, W), ((N,), (empty,), (W,)))) == [LAYER, INSTANCE]
