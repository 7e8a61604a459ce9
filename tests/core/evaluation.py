"""Polynomials on numbers: the second opinion on everything the algebra claims.

Nothing here uses the algebra's own arithmetic: a polynomial is read term by term and computed in float64 over labelled
axes, so that a wrong rule of `normgraph.algebra` shows as a wrong number.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from normgraph.algebra import Polynomial, base, constant
from normgraph.atoms import (
    Absolute,
    Atom,
    Base,
    Clamp,
    Extent,
    Foreign,
    Logarithm,
    Maximum,
    Mean,
    Monomial,
    Sum,
    Vanishes,
)
from normgraph.axes import Axis, Layout, Size, axes_of, size_of
from normgraph.coefficients import Coefficient
from normgraph.forms import Form
from normgraph.match import Match

Exact = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Labelled:
    """Numbers over axes, which ascend by index."""

    axes: tuple[Axis, ...]
    values: Exact

    def over(self, axes: tuple[Axis, ...]) -> Exact:
        """The numbers as an array that broadcasts over more axes."""
        return self.values[tuple(slice(None) if axis in self.axes else None for axis in axes)]


@dataclass(frozen=True)
class Evaluation:
    """What polynomials over a base tensor are for one input.

    Attributes:
        x: the input.
        layout: the axes of its dimensions.
        symbols: the sizes of the dynamic dimensions.
        foreign: the tensors that aren't computed from x, by their numbers.
    """

    x: Exact
    layout: Layout
    symbols: Mapping[str, int]
    foreign: Sequence[Exact] = ()

    def size(self, size: Size) -> int:
        """A size as a number."""
        return size.factor * int(np.prod([self.symbols[symbol] for symbol in size.symbols], dtype=np.int64))

    @np.errstate(all="ignore")
    def array(self, form: Form) -> Exact:
        """The value of a form, its dimensions where the form's layout has them."""
        return self._laid_out(self.polynomial(form.value), form.layout)

    @np.errstate(all="ignore")
    def magnitude(self, form: Form) -> Exact:
        """How large the terms are that are added up, which tells what rounding costs."""
        terms = (self._term(monomial, factor) for monomial, factor in form.value.terms.items())
        sizes = (Labelled(term.axes, np.abs(term.values)) for term in terms)
        return self._laid_out(_total(sizes), form.layout)

    def _laid_out(self, found: Labelled, layout: Layout) -> Exact:
        axes = axes_of(layout)
        assert set(found.axes) <= set(axes), "the value varies along an axis that its layout hasn't got"
        ascending = tuple(sorted(axes, key=lambda axis: axis.index))
        whole = np.broadcast_to(found.over(ascending), [self.size(axis.size) for axis in ascending])
        ordered = whole.transpose([ascending.index(axis) for axis in axes])
        return ordered.reshape([self.extent(dimension) for dimension in layout])

    def extent(self, dimension: Iterable[Axis]) -> int:
        """The extent of a dimension."""
        return int(np.prod([self.size(axis.size) for axis in dimension], dtype=np.int64))

    @np.errstate(all="ignore")
    def polynomial(self, value: Polynomial) -> Labelled:
        """The sum of the terms."""
        return _total(self._term(monomial, factor) for monomial, factor in value.terms.items())

    def _term(self, monomial: Monomial, factor: Coefficient) -> Labelled:
        return _joined(np.multiply, self._monomial(monomial), _coefficient(factor))

    def _monomial(self, monomial: Monomial) -> Labelled:
        product = Labelled((), np.ones(()))
        for atom, exponent in sorted(monomial, key=repr):
            found = self._atom(atom)
            power = int(exponent) if exponent.denominator == 1 else float(exponent)
            product = _joined(np.multiply, product, Labelled(found.axes, found.values**power))
        return product

    def _atom(self, atom: Atom) -> Labelled:
        if isinstance(atom, Base):
            axes = axes_of(self.layout)
            assert set(axes) == atom.axes
            split = self.x.reshape([self.size(axis.size) for axis in axes])
            order = sorted(range(len(axes)), key=lambda position: axes[position].index)
            return Labelled(tuple(axes[position] for position in order), split.transpose(order))
        if isinstance(atom, Foreign):
            return self._foreign(atom)
        if isinstance(atom, Extent):
            return Labelled((), np.asarray(float(self.symbols[atom.symbol])))
        if isinstance(atom, Mean):
            return _reduced(_mean, self._monomial(atom.of), atom.over)
        inner = self.polynomial(atom.of)
        if isinstance(atom, Clamp):
            return Labelled(inner.axes, np.maximum(inner.values, atom.minimum))
        if isinstance(atom, Absolute):
            return Labelled(inner.axes, np.abs(inner.values))
        if isinstance(atom, Maximum):
            return _reduced(functools.partial(np.max, initial=-np.inf), inner, atom.over)
        if isinstance(atom, Logarithm):
            return Labelled(inner.axes, np.log(inner.values))
        if isinstance(atom, Vanishes):
            return Labelled(inner.axes, np.where(inner.values == 0, 1.0, 0.0))
        assert isinstance(atom, Sum)
        return inner

    def _foreign(self, atom: Foreign) -> Labelled:
        axes = axes_of(atom.layout)
        whole = np.broadcast_to(self.foreign[atom.number], [self.extent(dimension) for dimension in atom.layout])
        split = whole.reshape([self.size(axis.size) for axis in axes])
        order = sorted(range(len(axes)), key=lambda position: axes[position].index)
        return Labelled(tuple(axes[position] for position in order), split.transpose(order))


def _total(terms: Iterable[Labelled]) -> Labelled:
    return functools.reduce(lambda a, b: _joined(np.add, a, b), terms, Labelled((), np.zeros(())))


def _coefficient(value: Coefficient) -> Labelled:
    return Labelled((), np.asarray(value)) if isinstance(value, float) else Labelled(value.axes, value.values)


def _joined(operation: np.ufunc, a: Labelled, b: Labelled) -> Labelled:
    axes = tuple(sorted({*a.axes, *b.axes}, key=lambda axis: axis.index))
    return Labelled(axes, np.asarray(operation(a.over(axes), b.over(axes))))


def _mean(values: Exact, axis: tuple[int, ...]) -> Exact:
    """The mean; that of nothing is NaN, about which NumPy's own warns."""
    count = np.prod([values.shape[position] for position in axis])
    return np.asarray(np.sum(values, axis=axis) / count)


def _reduced(reduction: Callable[..., Exact], value: Labelled, over: frozenset[Axis]) -> Labelled:
    assert over <= set(value.axes), "a statistic is taken over an axis along which nothing varies"
    positions = tuple(position for position, axis in enumerate(value.axes) if axis in over)
    kept = tuple(axis for axis in value.axes if axis not in over)
    return Labelled(kept, np.asarray(reduction(value.values, axis=positions)))


def bound(layout: Layout, shape: Sequence[int], symbols: Mapping[str, int]) -> dict[str, int]:
    """The symbols with those that a shape tells of besides: of several in one dimension only the product counts."""
    found = dict(symbols)
    for dimension, extent in zip(layout, shape, strict=True):
        size = size_of(dimension)
        known = [found[symbol] for symbol in size.symbols if symbol in found]
        left = extent // max(1, size.factor * int(np.prod(known, dtype=np.int64)))
        for symbol in size.symbols:
            if symbol not in found:
                found[symbol], left = left, 1
    return found


@np.errstate(all="ignore")
def normalized(
    match: Match, x: Exact, symbols: Mapping[str, int], values: Mapping[str, npt.NDArray[np.generic]] | None = None
) -> Exact:
    """What a match says of its output, from the formula of its kind.

    Args:
        match: the match.
        x: its base.
        symbols: the sizes of the dynamic dimensions.
        values: by name, what is multiplied and added behind it at run time; it broadcasts as NumPy has it.
    """
    evaluation = Evaluation(x, match.layout, bound(match.layout, x.shape, symbols))
    value = evaluation.polynomial(base(axes_of(match.layout)))
    over = tuple(position for position, axis in enumerate(value.axes) if axis in match.norm.over)
    centred = value.values - value.values.mean(axis=over, keepdims=True)
    if match.norm.kinds[0] in ("RMSNormalization", "LpNormalization"):
        centred = value.values
    power, epsilon = match.norm.power, match.norm.epsilon
    spread = (np.abs(centred) ** power).mean(axis=over, keepdims=True)
    divisor = {
        "within the root": lambda: (spread + epsilon) ** (1 / power),
        "beside the root": lambda: spread ** (1 / power) + epsilon,
        "below the root": lambda: np.maximum(spread ** (1 / power), epsilon),
        "below the square": lambda: np.maximum(spread, epsilon) ** (1 / power),
        "zero stays": lambda: np.where(spread == 0, 1, spread) ** (1 / power),
    }[match.norm.guard]()
    core = centred / divisor
    gain, bias = (_coefficient(part).over(value.axes) for part in (match.norm.gain, match.norm.bias))
    whole = np.broadcast_to(core * gain + bias, core.shape)
    axes = axes_of(match.output_layout)
    ordered = whole.transpose([value.axes.index(axis) for axis in axes])
    result = ordered.reshape([evaluation.extent(dimension) for dimension in match.output_layout])
    if match.outer is None:
        return result
    gain, bias = (
        None if operand is None else np.asarray((values or {})[operand.value.name or ""], np.float64)
        for operand in (match.outer.gain, match.outer.bias)
    )
    shift = evaluation.array(Form(constant(match.outer.shift), match.output_layout, None))
    result = (result if gain is None else result * gain) + shift
    return result if bias is None else result - bias if match.outer.negative else result + bias
