"""Labelled axes: what lines up, what splits, what is refused."""

import pytest

from normgraph.axes import (
    ONE,
    Axis,
    Layout,
    Misaligned,
    Size,
    SplitNeeded,
    axes_of,
    broadcast,
    fresh_layout,
    permute,
    product,
    reshape,
    size_of,
    split_layout,
)

N, S = Size(1, ("N",)), Size(1, ("S",))
A, B, C = Axis(0, Size(4)), Axis(1, Size(6)), Axis(2, Size(4))
D, E = Axis(3, N), Axis(4, S)
F4, F6, F24 = Axis(10, Size(4), fresh=True), Axis(11, Size(6), fresh=True), Axis(12, Size(24), fresh=True)
FN, FS = Axis(13, N, fresh=True), Axis(14, S, fresh=True)


@pytest.mark.parametrize(
    ("size", "divisor", "quotient"),
    [
        pytest.param(Size(12), Size(4), Size(3), id="numbers"),
        pytest.param(Size(8, ("N", "S")), Size(4, ("N",)), Size(2, ("S",)), id="symbols"),
        pytest.param(Size(3, ("N", "N")), N, Size(3, ("N",)), id="symbol-of-two"),
        pytest.param(Size(-8), Size(2), Size(-4), id="negative"),
        pytest.param(Size(7), Size(2), None, id="remainder"),
        pytest.param(Size(4), N, None, id="number-by-symbol"),
        pytest.param(N, Size(2), None, id="symbol-by-number"),
        pytest.param(N, S, None, id="other-symbol"),
        pytest.param(Size(0), Size(0), None, id="by-zero"),
    ],
)
def test_size_is_divided_exactly_or_not_at_all(size: Size, divisor: Size, quotient: Size | None) -> None:
    assert size.divided_by(divisor) == quotient
    if quotient is not None:
        assert quotient * divisor == size


def test_axes_of_different_sizes_rarely_have_one_hash() -> None:
    """What is remembered of a tensor's first axes is found at once, however many tensors there are."""
    shapes = [frozenset(Axis(i, Size(size)) for i, size in enumerate((1, n, 4 * n))) for n in range(2, 200)]
    assert len({hash(shape) for shape in shapes}) == len(shapes)


def test_size_reads_as_people_write_it() -> None:
    assert [str(size) for size in (Size(1), N, Size(2, ("N", "S")), Size(0))] == ["1", "N", "2*N*S", "0"]
    assert (Size(6).static, N.static) == (6, None)
    assert product([]) == ONE
    assert N * S == S * N == Size(1, ("N", "S"))


def test_new_layout_has_an_axis_for_each_dimension_but_those_of_size_one() -> None:
    assert fresh_layout([Size(4), ONE, N], 7, fresh=True) == (
        (Axis(7, Size(4), fresh=True),),
        (),
        (Axis(9, N, fresh=True),),
    )


ALIGNED = [
    pytest.param(((A,), (B,)), ((A,), (B,)), ((A,), (B,)), id="the-same"),
    pytest.param(((A,), (B,)), ((B,),), ((A,), (B,)), id="trailing"),
    pytest.param(((A,), ()), ((B,),), ((A,), (B,)), id="outer-product"),
    pytest.param((), ((A,),), ((A,),), id="scalar"),
    pytest.param(((A, B),), ((A, B),), ((A, B),), id="merged"),
    pytest.param(((A,), (B,)), ((F6,),), ((A,), (B,)), id="constant"),
    pytest.param(((F6,),), ((A,), (B,)), ((A,), (B,)), id="constant-on-the-left"),
    pytest.param(((A, B),), ((F24,),), ((A, B),), id="constant-meets-merged-axes"),
    pytest.param(((A,), ()), ((F6,),), ((A,), (F6,)), id="constant-makes-it-larger"),
    pytest.param(((D,), (E,)), ((FN,), ()), ((D,), (E,)), id="dynamic-constant"),
]
MISALIGNED = [
    pytest.param(((A,),), ((C,),), id="other-axis-of-the-same-size"),
    pytest.param(((A,), ()), ((), (A,)), id="an-axis-against-itself"),
    pytest.param(((A,), (C,)), ((C,), (A,)), id="transposed"),
    pytest.param(((D,),), ((E,),), id="other-dynamic-axis"),
    pytest.param(((A, B),), ((B, A),), id="merged-the-other-way"),
    pytest.param(((A, B),), ((A,),), id="merged-against-part"),
    pytest.param(((A,),), ((F6,),), id="constant-of-another-size"),
    pytest.param(((A,),), ((FN,),), id="dynamic-constant-against-a-number"),
    pytest.param(((A,), (F4,)), ((F4,), (A,)), id="constant-and-axis-crossed"),
    pytest.param(((D, B),), ((F24,),), id="dynamic-merged-axes"),
    pytest.param(((D,),), ((FS,),), id="dynamic-constant-of-another-size"),
    pytest.param(((D,),), ((F4, F6),), id="constant-of-merged-axes"),
]


@pytest.mark.parametrize(("left", "right", "result"), ALIGNED)
def test_layouts_align(left: Layout, right: Layout, result: Layout) -> None:
    found = broadcast(left, right)
    assert found.layout == result
    assert broadcast(right, left).layout == result
    for layout, renaming in ((left, found.left), (right, found.right)):
        assert set(axes_of(split_layout(layout, renaming))) <= set(axes_of(result))


@pytest.mark.parametrize(("left", "right"), MISALIGNED)
def test_layouts_that_only_look_alike_are_refused(left: Layout, right: Layout) -> None:
    for a, b in ((left, right), (right, left)):
        with pytest.raises(Misaligned):
            broadcast(a, b)


def test_dynamic_axis_that_meets_a_constant_is_assumed_to_have_its_size() -> None:
    found = broadcast(((D,), (A,)), ((F6,), ()))
    assert found.assumed == ((D, 6),)
    assert found.right == {F6: (D,)}
    assert broadcast(((A,),), ((F4,),)).assumed == ()


RESHAPED = [
    pytest.param(((A,), (B,)), (Size(24),), ((A, B),), id="merge"),
    pytest.param(((A, B),), (Size(4), Size(6)), ((A,), (B,)), id="split-where-it-was-merged"),
    pytest.param(((A,), (B,)), (Size(4), ONE, Size(6), ONE), ((A,), (), (B,), ()), id="ones-put-in"),
    pytest.param(((A,), (), (B,)), (Size(4), Size(6)), ((A,), (B,)), id="ones-taken-out"),
    pytest.param(((D,), (A,), (E,)), (Size(4, ("N",)), S), ((D, A), (E,)), id="dynamic-merge"),
    pytest.param(((), ()), (), (), id="scalar"),
]
NOT_RESHAPED = [
    pytest.param(((A,), (B,)), (Size(6), Size(4)), Misaligned, id="regrouped"),
    pytest.param(((A,), (B,)), (Size(4),), Misaligned, id="too-few"),
    pytest.param(((A,),), (Size(4), Size(6)), Misaligned, id="too-many"),
    pytest.param(((D,), (E,)), (S, N), Misaligned, id="dynamic-dimensions-exchanged"),
    pytest.param(((D,),), (Size(4),), Misaligned, id="dynamic-to-a-number"),
    pytest.param(((A,), (B,)), (Size(2), Size(12)), SplitNeeded, id="cut"),
]


@pytest.mark.parametrize(("layout", "shape", "result"), RESHAPED)
def test_reshape_regroups_axes(layout: Layout, shape: tuple[Size, ...], result: Layout) -> None:
    assert reshape(layout, shape) == result


@pytest.mark.parametrize(("layout", "shape", "error"), NOT_RESHAPED)
def test_reshape_that_tears_axes_is_refused(layout: Layout, shape: tuple[Size, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        reshape(layout, shape)


@pytest.mark.parametrize(
    ("axis", "shape", "parts"),
    [
        pytest.param(Axis(0, Size(12)), (Size(3), Size(4)), (Size(3), Size(4)), id="number"),
        pytest.param(Axis(0, Size(12)), (Size(2), Size(3), Size(2)), (Size(2), Size(6)), id="first-cut-first"),
        pytest.param(Axis(0, Size(8, ("N",))), (N, Size(8)), (N, Size(8)), id="dynamic"),
    ],
)
def test_cut_axis_says_into_what(axis: Axis, shape: tuple[Size, ...], parts: tuple[Size, ...]) -> None:
    with pytest.raises(SplitNeeded) as caught:
        reshape(((axis,),), shape)
    assert (caught.value.axis, caught.value.sizes) == (axis, parts)
    assert product(parts) == axis.size


def test_split_and_permute() -> None:
    parts = (Axis(7, Size(2)), Axis(8, Size(3)))
    split = split_layout(((A,), (B,)), {B: parts})
    assert split == ((A,), parts)
    assert permute(split, (1, 0)) == (parts, (A,))
    assert size_of(parts) == Size(6)
