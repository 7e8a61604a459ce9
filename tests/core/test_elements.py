"""Arithmetic on shapes: the elements of small integer tensors, exactly or not at all."""

import numpy as np
import pytest

from normgraph.axes import Size
from normgraph.elements import MAXIMAL_TRACKED, Elements
from tests.core.surveyed import surveyed

X = "float[N, 4, M] x, int64[1] unknown, bool[3] condition"
CONSTANTS = {
    "zero": 0, "one": 1, "two": 2, "first": [0], "last": [-1], "pair": [0, -1], "five": [5], "minus": [-1],
    "begin": [1], "end": [99], "back": [-2], "empty": [], "three": [1, 2, 3], "axes": [0, 1], "half": [0.5],
}  # fmt: skip


def elements(nodes: str, opset: int = 18) -> Elements | None:
    """What is known of y."""
    constants = {
        name: np.asarray(value, np.float32 if name == "half" else np.int64)
        for name, value in CONSTANTS.items()
        if name in nodes.replace("(", " ").replace(",", " ").replace(")", " ").split()
    }
    found = surveyed(nodes, X, opset=opset, constants=constants)
    return found.facts.elements.get(found.values["y"])


KNOWN = [
    pytest.param("y = Shape(x)", "[N 4 M]", id="Shape"),
    pytest.param("y = Shape<start=1>(x)", "[4 M]", id="Shape-from"),
    pytest.param("y = Shape<start=-2, end=-1>(x)", "[4]", id="Shape-part"),
    pytest.param("y = Shape<end=9>(x)", "[N 4 M]", id="Shape-beyond"),
    pytest.param("y = Size(x)", "4*M*N", id="Size"),
    pytest.param("s = Shape(x)  y = Gather(s, one)", "4", id="Gather-scalar"),
    pytest.param("s = Shape(x)  y = Gather(s, pair)", "[N M]", id="Gather"),
    pytest.param("s = Shape(x)  y = Slice(s, begin, end)", "[4 M]", id="Slice"),
    pytest.param("s = Shape(x)  y = Slice(s, back, end)", "[4 M]", id="Slice-from-behind"),
    pytest.param("s = Shape(x)  y = Slice(s, first, end, first, begin)", "[N 4 M]", id="Slice-by-one"),
    pytest.param("s = Shape(x)  y = Concat<axis=0>(s, five)", "[N 4 M 5]", id="Concat"),
    pytest.param("s = Shape(x)  y = Concat<axis=0>(s, unknown)", "[N 4 M ?]", id="Concat-with-what-is-not-known"),
    pytest.param("s = Shape(x)  g = Gather(s, zero)  y = Unsqueeze(g, first)", "[N]", id="Unsqueeze"),
    pytest.param("s = Shape(x)  g = Gather(s, first)  y = Squeeze(g)", "N", id="Squeeze"),
    pytest.param("s = Shape(x)  g = Gather(s, zero)  y = Reshape(g, minus)", "[N]", id="Reshape-to-a-vector"),
    pytest.param("s = Shape(x)  g = Gather(s, first)  y = Reshape(g, empty)", "N", id="Reshape-to-a-scalar"),
    pytest.param("s = Shape(x)  y = Cast<to=1>(s)", "[N 4 M]", id="Cast"),
    pytest.param("s = Shape(x)  y = Mul(s, two)", "[2*N 8 2*M]", id="Mul"),
    pytest.param("s = Size(x)  t = Shape(x)  g = Gather(t, zero)  y = Div(s, g)", "4*M", id="Div"),
    pytest.param("y = Add(three, one)", "[2 3 4]", id="Add"),
    pytest.param("y = Sub(three, two)", "[-1 0 1]", id="Sub"),
    pytest.param("s = Shape(x)  y = ReduceProd<keepdims=0>(s)", "4*M*N", id="ReduceProd"),
    pytest.param("s = Shape(x)  y = ReduceProd(s)", "[4*M*N]", id="ReduceProd-kept"),
    pytest.param("y = ConstantOfShape<value=int64[1]{7}>(five)", "[7 7 7 7 7]", id="ConstantOfShape"),
    pytest.param("s = Shape(x)  y = Equal(s, minus)", "[0 0 0]", id="Equal-to-a-negative"),
    pytest.param("s = Shape(x)  y = Equal(s, s)", "[1 1 1]", id="Equal-to-itself"),
    pytest.param("y = Equal(three, two)", "[0 1 0]", id="Equal"),
    pytest.param("s = Shape(x)  e = Equal(s, minus)  y = Where(e, three, s)", "[N 4 M]", id="Where"),
    pytest.param("s = Shape(x)  y = Identity(s)", "[N 4 M]", id="Identity"),
]
UNKNOWN = [
    pytest.param("s = Shape(x)  y = Gather(s, unknown)", id="gathered-from-somewhere"),
    pytest.param("s = Shape(x)  y = Slice(s, unknown, end)", id="sliced-somewhere"),
    pytest.param("s = Shape(x)  y = Slice(s, first, end, first, unknown)", id="sliced-by-something"),
    pytest.param("s = Shape(x)  y = Slice(s, last, first, first, back)", id="sliced-backwards"),
    pytest.param("s = Shape(x)  g = Gather(s, zero)  y = Unsqueeze(g, axes)", id="of-rank-two"),
    pytest.param("s = Shape(x)  y = Unsqueeze(s, first)", id="a-row"),
    pytest.param("s = Shape(x)  y = ReduceProd<noop_with_empty_axes=1>(s)", id="not-reduced"),
    pytest.param("s = Shape(x)  y = Where(condition, s, three)", id="chosen-by-something"),
    pytest.param("s = Shape(x)  y = Cast<to=10>(s)", id="half-holds-no-large-sizes"),
    pytest.param("s = Shape(x)  y = Cast<to=9>(s)", id="as-booleans"),
    pytest.param("y = ConstantOfShape(five)", id="not-an-integer"),
    pytest.param("y = Concat<axis=0>(unknown, unknown)", id="nothing-known"),
    pytest.param("y = Mul(unknown, two)", id="computed-from-what-is-fed"),
    pytest.param("y = Cast<to=7>(half)", id="never-an-integer-before"),
]
IN_PART = [
    pytest.param("s = Shape(x)  y = Add(s, s)", "[? 8 ?]", id="sum-of-names"),
    pytest.param("s = Shape(x)  y = Sub(s, s)", "[? 0 ?]", id="difference-of-names"),
    pytest.param("s = Shape(x)  y = Div(s, two)", "[? 2 ?]", id="half-of-names"),
    pytest.param("y = Div(three, two)", "[? 1 ?]", id="divided-with-a-remainder"),
    pytest.param("s = Shape(x)  y = Equal(s, one)", "[? 0 ?]", id="name-that-may-be-one"),
    pytest.param("s = Shape(x)  n = Mul(s, minus)  y = Equal(n, minus)", "[? 0 ?]", id="negative-name"),
    pytest.param("s = Shape(x)  e = Equal(s, one)  y = Where(e, three, s)", "[? 4 ?]", id="chosen-in-part"),
]


def shown(found: Elements) -> str:
    sizes = " ".join("?" if size is None else str(size) for size in found.sizes)
    return f"[{sizes}]" if found.rank else sizes


@pytest.mark.parametrize(("nodes", "expected"), [*KNOWN, *IN_PART])
def test_elements_are_followed(nodes: str, expected: str) -> None:
    found = elements(nodes)
    assert found is not None
    assert shown(found) == expected


@pytest.mark.parametrize("nodes", UNKNOWN)
def test_elements_are_not_guessed(nodes: str) -> None:
    found = elements(nodes)
    assert found is None or all(size is None for size in found.sizes)


@pytest.mark.parametrize(
    ("nodes", "opset"),
    [
        pytest.param("s = Shape(x)  y = Slice<starts=[1], ends=[3]>(s)", 9, id="Slice"),
        pytest.param("s = Shape(x)  g = Gather(s, zero)  y = Unsqueeze<axes=[0]>(g)", 11, id="Unsqueeze"),
    ],
)
def test_attributes_of_older_opsets_are_understood(nodes: str, opset: int) -> None:
    assert elements(nodes, opset) is not None


def test_static_elements_are_constants_of_their_type() -> None:
    found = surveyed("s = Shape(x)  g = Gather(s, i)  y = Cast<to=1>(g)", "float[N, 4] x", constants={"i": 1})
    array = found.facts.constant(found.values["y"])
    assert array is not None
    np.testing.assert_array_equal(array, np.float32(4), strict=True)


def test_ratio_of_dynamic_sizes_is_a_constant_of_its_type() -> None:
    nodes = "m = ReduceMax(x, i)  a = Size(x)  b = Size(m)  c = Cast<to=11>(a)  d = Cast<to=11>(b)  y = Div(c, d)"
    found = surveyed(nodes, "double[N, 4] x", constants={"i": [-1]})
    array = found.facts.constant(found.values["y"])
    assert array is not None
    np.testing.assert_array_equal(array, np.float64(4), strict=True)


def test_long_tensors_are_not_followed() -> None:
    parts = ", ".join(["s"] * (MAXIMAL_TRACKED // 3 + 1))
    assert elements(f"s = Shape(x)  y = Concat<axis=0>({parts})") is None


def test_sizes_are_what_the_model_calls_them() -> None:
    found = elements("y = Shape(x)")
    assert found == Elements((Size(1, ("N",)), Size(4), Size(1, ("M",))), rank=1)
