"""Foreign tensors in the algebra: what is γ·core + c ± β, and what isn't followed."""

import pytest

from normgraph.algebra import HALF, Polynomial, base
from normgraph.atoms import Foreign
from normgraph.axes import Axis, Size, broadcast
from normgraph.errors import NotRepresentable
from normgraph.foreign import atom, check_operands, check_result, foreigners, may_enter, parted, polynomial

ROWS, COLUMNS = Axis(0, Size(2)), Axis(1, Size(4))
X = base((ROWS, COLUMNS))
MEAN = X.mean(axis=(COLUMNS,))
RATE = ((X * X).mean(axis=(COLUMNS,)) - MEAN * MEAN + 1e-5) ** -HALF
NORM = X * RATE - MEAN * RATE
GAMMA, BETA = (Foreign(number, ((COLUMNS,),)) for number in (0, 1))
G, B = polynomial(GAMMA), polynomial(BETA)
TURNED = polynomial(Foreign(0, ((ROWS,), ())))

PARTED = [
    pytest.param(X * (RATE * G) + (B - MEAN * RATE * G), GAMMA, 0.0, BETA, False, id="TensorFlow's"),
    pytest.param(X * (RATE * G) - (B + MEAN * RATE * G), GAMMA, 0.0, BETA, True, id="bias-subtracted"),
    pytest.param(NORM * G, GAMMA, 0.0, None, False, id="gain-alone"),
    pytest.param(NORM + B, None, 0.0, BETA, False, id="bias-alone"),
    pytest.param(NORM * G + 3.0, GAMMA, 3.0, None, False, id="constant-bias"),
    pytest.param(NORM * G + 3.0 + B, GAMMA, 3.0, BETA, False, id="constant-bias-beside-another"),
]


@pytest.mark.parametrize(("value", "gain", "shift", "bias", "negative"), PARTED)
def test_value_is_taken_apart(
    value: Polynomial, gain: Foreign | None, shift: float, bias: Foreign | None, negative: bool
) -> None:
    parts = parted(value)
    assert parts is not None
    assert (parts.gain, parts.shift, parts.bias, parts.negative) == (gain, shift, bias, negative)
    assert parts.core == NORM


def test_gain_that_is_the_bias_too_is_taken_out_once() -> None:
    parts = parted(NORM * G + G)
    assert parts is not None
    assert (parts.core, parts.gain, parts.bias) == (NORM + 1.0, GAMMA, None)


WHOLE = [
    pytest.param(X * RATE * G - MEAN * RATE, id="gain-on-one-term"),
    pytest.param(X * RATE * G - MEAN * RATE * B, id="two-gains"),
    pytest.param(NORM * G + NORM * B, id="two-gains-on-x"),
    pytest.param(NORM * G * G, id="gain-squared"),
    pytest.param(NORM * G * B, id="gains-multiplied"),
    pytest.param(NORM * G**-1, id="divided-by-the-gain"),
    pytest.param(NORM * G + B * RATE, id="bias-divided-too"),
    pytest.param(NORM * G + B * 0.5, id="half-of-a-bias"),
    pytest.param(NORM * G + B + polynomial(Foreign(2, ())), id="two-biases"),
    pytest.param(NORM * G + TURNED, id="gain-turned-as-bias"),
    pytest.param((NORM * G).mean(axis=(COLUMNS,)) + X * RATE, id="mean-of-the-gained"),
]


@pytest.mark.parametrize("value", WHOLE)
def test_other_values_are_not(value: Polynomial) -> None:
    parts = parted(value)
    assert parts is None or foreigners(parts.core) or parts.core != NORM


NONE_OF_IT = [
    *(parameter for parameter in WHOLE if parameter.id != "mean-of-the-gained"),
    pytest.param(NORM * G + B + B * RATE, id="bias-and-the-bias-divided"),
]


@pytest.mark.parametrize("value", NONE_OF_IT)
def test_what_is_no_gain_and_bias_has_no_parts(value: Polynomial) -> None:
    assert parted(value) is None


def test_constant_without_a_gain_stays_in_the_core() -> None:
    parts = parted(NORM + 3.0 + B)
    assert parts is not None
    assert (parts.core, parts.gain, parts.shift, parts.bias) == (NORM + 3.0, None, 0.0, BETA)


REFUSED = [
    pytest.param("Sqrt", [G], id="root"),
    pytest.param("ReduceMean", [NORM * G], id="mean"),
    pytest.param("Div", [X, RATE * G], id="divisor"),
    pytest.param("Mul", [RATE * G, MEAN * B], id="product-of-two"),
    pytest.param("Mul", [RATE * G, RATE * G], id="square"),
    pytest.param("Reshape", [RATE * G], id="reshape-of-what-may-be-larger"),
]


@pytest.mark.parametrize(("operator", "operands"), REFUSED)
def test_what_is_not_linear_is_not_followed(operator: str, operands: list[Polynomial]) -> None:
    with pytest.raises(NotRepresentable):
        check_operands(operator, operands, [(Size(1, ("K",)),), (Size(1, ("K",)),)])


def test_sure_sizes_make_no_other_operator_one_that_is_followed() -> None:
    with pytest.raises(NotRepresentable, match="goes into ReduceMean"):
        check_operands("ReduceMean", [RATE * G], [(Size(4),)])


LINEAR = [
    pytest.param("Sqrt", [X], id="without-such-a-tensor"),
    pytest.param("Mul", [X, RATE * G], id="factor"),
    pytest.param("Div", [X * G, RATE], id="dividend"),
    pytest.param("Add", [X * RATE * G, B], id="sum-of-two"),
    pytest.param("Reshape", [RATE * G], id="reshape-where-sizes-are-sure"),
]


@pytest.mark.parametrize(("operator", "operands"), LINEAR)
def test_what_is_linear_is_followed(operator: str, operands: list[Polynomial]) -> None:
    check_operands(operator, operands, [(Size(4),), (Size(4),)])


def test_what_takes_a_tensor_away_is_not_followed() -> None:
    check_result([RATE * G, X], X * RATE * G)
    with pytest.raises(NotRepresentable, match="taken away"):
        check_result([RATE * G, RATE * G], RATE * G - RATE * G)


ENTERED = [
    pytest.param("Mul", 0, X, True, id="factor-of-x"),
    pytest.param("Div", 0, RATE**-1, True, id="over-a-deviation"),
    pytest.param("Div", 1, RATE, False, id="divisor"),
    pytest.param("Add", 1, MEAN * RATE, True, id="summand-of-what-is-divided"),
    pytest.param("Add", 1, X, False, id="summand-of-x"),
    pytest.param("Pow", 1, X, False, id="exponent"),
    pytest.param("Pow", 1, RATE, False, id="exponent-of-what-is-divided"),
]


@pytest.mark.parametrize(("operator", "position", "other", "enters"), ENTERED)
def test_where_a_tensor_is_met(operator: str, position: int, other: Polynomial, enters: bool) -> None:
    assert may_enter(operator, position, [other]) is enters


def test_dimensions_of_a_tensor_have_axes_but_those_of_one_element() -> None:
    layout = atom(0, (Size(1), Size(4), Size(1, ("M",))), 7).layout
    assert [tuple((axis.index, axis.size) for axis in dimension) for dimension in layout] == [
        (),
        ((8, Size(4)),),
        ((9, Size(1, ("M",))),),
    ]


def test_dynamic_size_of_a_tensor_yields_and_demands_nothing() -> None:
    named = (Axis(0, Size(1, ("N",))),)
    layout = atom(0, (Size(1, ("M",)),), 7).layout
    assert broadcast((named,), layout).layout == (named,)
    assert broadcast(layout, (named,)).assumed == ()
    constant = (Axis(9, Size(5), fresh=True),)
    assert broadcast(layout, (constant,)).layout == broadcast((constant,), layout).layout == (constant,)
