"""Lowering: which operators a recognised normalization becomes, for a target and within an opset.

`TARGETS` says what each runtime has.  `lower` turns a match into a `Replacement`, a few steps over named values that
say nothing of where they will stand: the same replacement is put into the model and, beside the original region, into
the models that prove it right.  What can't or shouldn't be lowered comes back as a `Shortfall` with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from normgraph.axes import Axis, Dimension, Layout, axes_of
from normgraph.coefficients import Coefficient, spread
from normgraph.constants import Array
from normgraph.match import Match
from normgraph.norms import Shortfall

F16, BF16, F32, F64 = ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.FLOAT, ir.DataType.DOUBLE

#: The names under which a replacement refers to the tensor that it normalizes and to its result.
INPUT, OUTPUT = "x", "y"


@dataclass(frozen=True, slots=True)
class Step:
    """A node to be: operator, names of its inputs, name of its output, attributes."""

    operator: str
    inputs: tuple[str, ...]
    output: str
    attributes: tuple[tuple[str, int | float | tuple[int, ...]], ...] = ()


@dataclass(frozen=True)
class Replacement:
    """What a match is replaced with.

    Attributes:
        steps: the nodes in order; they read INPUT and make OUTPUT.
        constants: the constants that they read, by name, in the type in which they are stored.
        opset: the least version of the default domain that has all these operators.
    """

    steps: tuple[Step, ...]
    constants: Mapping[str, Array]
    opset: int


@dataclass(frozen=True, slots=True)
class Operator:
    """How a target computes a kind of normalization.

    Attributes:
        opset: the version of the default domain since which the target has the operator.
        dtypes: the element types that it takes.
        lower: makes the replacement.
    """

    opset: int
    dtypes: frozenset[ir.DataType]
    lower: Callable[[Match, ir.DataType], Replacement | Shortfall]


@dataclass(frozen=True, slots=True)
class Target:
    """A runtime.

    Attributes:
        name: as `--target` takes it.
        description: what its entries were read from.
        operators: kind of normalization → operator.
    """

    name: str
    description: str
    operators: Mapping[str, Operator]


def lower(match: Match, dtype: ir.DataType | None, target: Target) -> Replacement | Shortfall:
    """The replacement of a match on a target, or the reason why there is none.

    Args:
        match: what was recognised.
        dtype: the element type of the base tensor.
        target: the runtime.
    """
    operator = target.operators.get(match.norm.kind)
    if operator is None:
        return Shortfall("no-operator", f"{target.name} has no operator for {match.norm.kind}")
    if dtype not in operator.dtypes:
        named = "an unknown type" if dtype is None else dtype.name.lower()
        return Shortfall("no-kernel", f"{target.name} has no {match.norm.kind} kernel for {named}")
    return operator.lower(match, dtype)


def _layer_normalization(match: Match, dtype: ir.DataType) -> Replacement | Shortfall:
    epsilon = np.float32(match.norm.epsilon)
    if not np.isfinite(epsilon) or (epsilon == 0) != (match.norm.epsilon == 0):
        return Shortfall("epsilon-range", f"epsilon {match.norm.epsilon:.6g} can't be held in a float32 attribute")
    inner = _layout_with_trailing(match)
    before, after = permutation(match.layout, inner), permutation(inner, match.output_layout)
    axis = min(i for i, dimension in enumerate(inner) if not match.norm.over.isdisjoint(dimension))
    shape = _static_shape(inner[axis:], match)
    if shape is None:
        return Shortfall("dynamic-axis", "the size of a normalized dimension isn't known, so Scale can't be made")
    constants = {"scale": _parameter(match.norm.gain, inner[axis:], shape, dtype)}
    if match.norm.bias != 0.0:
        constants["bias"] = _parameter(match.norm.bias, inner[axis:], shape, dtype)
    for name, array in constants.items():
        if not np.all(np.isfinite(array.astype(np.float64))):
            return Shortfall("parameter-range", f"the {name} doesn't fit into {dtype.name.lower()}")
    attributes: tuple[tuple[str, int | float], ...] = (("axis", axis - len(inner)), ("epsilon", float(epsilon)))
    if dtype == F64:  # the standard's default computes the statistics of a double tensor in float32
        attributes += (("stash_type", int(F64)),)
    steps = _between_transposes("LayerNormalization", tuple(constants), attributes, before, after)
    return Replacement(steps, constants, 17)


def _layout_with_trailing(match: Match) -> Layout:
    """The layout in which to normalize: the input's, else the output's, else the statistics' dimensions moved last."""
    over = match.norm.over
    for layout in (match.layout, match.output_layout):
        last_other = max((i for i, d in enumerate(layout) if d and over.isdisjoint(d)), default=-1)
        first = min(i for i, d in enumerate(layout) if not over.isdisjoint(d))
        if last_other < first:
            return layout
    others = tuple(d for d in match.layout if over.isdisjoint(d))
    return others + tuple(d for d in match.layout if not over.isdisjoint(d))


def permutation(source: Layout, target: Layout) -> tuple[int, ...] | None:
    """The `perm` of the Transpose from one layout to the other, None where it changes nothing."""
    remaining = list(range(len(source)))
    order: list[int] = []
    for dimension in target:
        position = next(i for i in remaining if source[i] == dimension)
        remaining.remove(position)
        order.append(position)
    return None if order == sorted(order) else tuple(order)


def _static_shape(dimensions: Sequence[Dimension], match: Match) -> tuple[int, ...] | None:
    """The extents of dimensions, as declared, as constants demand them, or as the parameters show them."""
    assumed = {match.layout[position][0]: size for position, size in match.assumed}
    extents: list[int] = []
    for dimension in dimensions:
        extent = 1
        for axis in dimension:
            size = axis.size.static or assumed.get(axis) or _extent_in((match.norm.gain, match.norm.bias), axis)
            if size is None:
                return None
            extent *= size
        extents.append(extent)
    return tuple(extents)


def _extent_in(parameters: Sequence[Coefficient], axis: Axis) -> int | None:
    for parameter in parameters:
        if not isinstance(parameter, float) and axis in parameter.axes:
            return parameter.values.shape[parameter.axes.index(axis)]
    return None


def _parameter(
    value: Coefficient, dimensions: Sequence[Dimension], shape: tuple[int, ...], dtype: ir.DataType
) -> Array:
    """γ or β as a full array over the dimensions, rounded once to the tensor's type."""
    axes = axes_of(tuple(dimensions))
    ascending = tuple(sorted(axes, key=lambda axis: axis.index))
    array = spread(value, ascending).transpose([ascending.index(axis) for axis in axes])
    extents = [_extent_of(axis, array.shape[i], shape, dimensions) for i, axis in enumerate(axes)]
    with np.errstate(over="ignore"):
        return np.broadcast_to(array, extents).reshape(shape).astype(dtype.numpy())


def _extent_of(axis: Axis, present: int, shape: tuple[int, ...], dimensions: Sequence[Dimension]) -> int:
    if present != 1:
        return present
    whole = {d[0]: extent for d, extent in zip(dimensions, shape, strict=True) if len(d) == 1}
    return whole.get(axis, axis.size.factor)


def _between_transposes(
    operator: str,
    parameters: tuple[str, ...],
    attributes: tuple[tuple[str, int | float], ...],
    before: tuple[int, ...] | None,
    after: tuple[int, ...] | None,
) -> tuple[Step, ...]:
    """Transpose – operator – Transpose, without the transposes that change nothing."""
    steps: list[Step] = []
    source = INPUT
    if before is not None:
        steps.append(Step("Transpose", (source,), "moved", (("perm", before),)))
        source = "moved"
    result = OUTPUT if after is None else "normalized"
    steps.append(Step(operator, (source, *parameters), result, attributes))
    if after is not None:
        steps.append(Step("Transpose", (result,), OUTPUT, (("perm", after),)))
    return tuple(steps)


_EVERY_FLOAT = frozenset({F16, BF16, F32, F64})
_LAYER_NORMALIZATION = Operator(17, _EVERY_FLOAT, _layer_normalization)

#: What each runtime has: a new target is a row here.
TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        Target("onnx", "the ONNX standard", {"LayerNormalization": _LAYER_NORMALIZATION}),
        Target(
            "onnxruntime",
            "ONNX Runtime's CPU provider, measured on 1.32",
            {"LayerNormalization": _LAYER_NORMALIZATION},
        ),
    )
}
DEFAULT_TARGET = "onnxruntime"
