"""The operators that normalizations are lowered to: how each is made from what was recognised.

One emitter for each operator: from a match to steps and constants, or the reason why the operator can't express it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from normgraph.axes import Axis, Dimension, Layout, axes_of
from normgraph.coefficients import Coefficient, spread
from normgraph.constants import Array
from normgraph.diagnosis import Shortfall
from normgraph.lowering import INPUT, OUTPUT, Attribute, Emitted, Step
from normgraph.match import Match
from normgraph.norms import batch_and_channels, batch_and_groups, channel_groups

Attributes = tuple[tuple[str, Attribute], ...]


def layer_normalization(match: Match, dtype: ir.DataType) -> Emitted:
    """LayerNormalization-17: over trailing dimensions, Scale and B over the same ones."""
    return _over_trailing("LayerNormalization", match, dtype, ("scale", "bias"))


def rms_normalization(match: Match, dtype: ir.DataType) -> Emitted:
    """RMSNormalization-23: over trailing dimensions, scale over the same ones."""
    return _over_trailing("RMSNormalization", match, dtype, ("scale",))


def simplified_layer_normalization(match: Match, dtype: ir.DataType) -> Emitted:
    """ONNX Runtime's SimplifiedLayerNormalization, which computes what RMSNormalization-23 does."""
    return _over_trailing("SimplifiedLayerNormalization", match, dtype, ("scale",))


def instance_normalization(match: Match, dtype: ir.DataType) -> Emitted:
    """InstanceNormalization: over all dimensions but the first two, scale and B over the second."""
    first = batch_and_channels(match.norm, match.layout)
    if first is None:
        return Shortfall("layout", "InstanceNormalization takes one batch and one channel dimension")
    batch, channels = (match.layout[position] for position in first)
    rest = tuple(dimension for position, dimension in enumerate(match.layout) if position not in first)
    parameters = parameters_of(match, (channels,), dtype, ("scale", "bias"), always=True)
    if isinstance(parameters, Shortfall):
        return parameters
    epsilon = epsilon_of(match, dtype)
    if isinstance(epsilon, Shortfall):
        return epsilon
    inner = (batch, channels, *rest)
    steps = between_transposes(
        "InstanceNormalization",
        tuple(parameters),
        (("epsilon", epsilon),),
        permutation(match.layout, inner),
        permutation(inner, match.output_layout),
    )
    return steps, parameters


def group_normalization(match: Match, dtype: ir.DataType) -> Emitted:
    """GroupNormalization-21: over groups of channels and all dimensions behind, scale and bias per channel."""
    groups, inner = groups_of(match), channels_first(match)
    parameters = parameters_of(match, (inner[1],), dtype, ("scale", "bias"), always=True)
    epsilon = epsilon_of(match, dtype)
    for failed in (groups, parameters, epsilon):
        if isinstance(failed, Shortfall):
            return failed
    assert isinstance(groups, int)
    assert isinstance(epsilon, float)
    assert isinstance(parameters, dict)
    attributes: Attributes = (("epsilon", epsilon), ("num_groups", groups))
    if dtype == ir.DataType.DOUBLE:
        attributes += (("stash_type", int(dtype)),)
    before, after = permutation(match.layout, inner), permutation(inner, match.output_layout)
    return between_transposes("GroupNormalization", tuple(parameters), attributes, before, after), parameters


def mean_variance_normalization(match: Match, dtype: ir.DataType) -> Emitted:
    """MeanVarianceNormalization, whose ε of 1e-9 stands beside the standard deviation."""
    after = permutation(match.layout, match.output_layout)
    return between_transposes("MeanVarianceNormalization", (), (("axes", match.axes),), None, after), {}


def batch_normalization(match: Match, dtype: ir.DataType) -> Emitted:
    """BatchNormalization-15 with mean 0, variance 1 and ε = 0: scale and shift of the second dimension."""
    parameters = parameters_of(match, (match.layout[1],), dtype, ("scale", "bias"), always=True)
    if isinstance(parameters, Shortfall):
        return parameters
    channels = parameters["scale"].shape
    parameters |= {"mean": np.zeros(channels, dtype.numpy()), "variance": np.ones(channels, dtype.numpy())}
    return between_transposes("BatchNormalization", tuple(parameters), (("epsilon", 0.0),), None, None), parameters


def permutation(source: Layout, target: Layout) -> tuple[int, ...] | None:
    """The `perm` of the Transpose from one layout to the other, None where it changes nothing."""
    remaining = list(range(len(source)))
    order: list[int] = []
    for dimension in target:
        position = next(i for i in remaining if source[i] == dimension)
        remaining.remove(position)
        order.append(position)
    return None if order == sorted(order) else tuple(order)


def _over_trailing(operator: str, match: Match, dtype: ir.DataType, names: tuple[str, ...]) -> Emitted:
    """An operator over trailing dimensions, between the transposes that bring these there and the result back."""
    epsilon = epsilon_of(match, dtype)
    if isinstance(epsilon, Shortfall):
        return epsilon
    inner = _layout_with_trailing(match)
    axis = min(i for i, dimension in enumerate(inner) if not match.norm.over.isdisjoint(dimension))
    parameters = parameters_of(match, inner[axis:], dtype, names)
    if isinstance(parameters, Shortfall):
        return parameters
    attributes: Attributes = (("axis", axis - len(inner)), ("epsilon", epsilon))
    if dtype == ir.DataType.DOUBLE:  # by default the standard computes the statistics of a double tensor in float32
        attributes += (("stash_type", int(dtype)),)
    before, after = permutation(match.layout, inner), permutation(inner, match.output_layout)
    return between_transposes(operator, tuple(parameters), attributes, before, after), parameters


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


def epsilon_of(match: Match, dtype: ir.DataType) -> float | Shortfall:
    """ε as the float32 attribute holds it; a double tensor's must be a float32 number."""
    with np.errstate(over="ignore", under="ignore"):
        epsilon = np.float32(match.norm.epsilon)
    if not np.isfinite(epsilon) or (epsilon == 0) != (match.norm.epsilon == 0):
        return Shortfall("epsilon-precision", f"epsilon {match.norm.epsilon:.6g} can't be held in a float32 attribute")
    if dtype == ir.DataType.DOUBLE and float(epsilon) != match.norm.epsilon:
        shown = f"{match.norm.epsilon!r} isn't a float32 number, and the operator's attribute is one"
        return Shortfall("epsilon-precision", f"epsilon {shown}: computed in double that would show")
    return float(epsilon)


def channels_first(match: Match) -> Layout:
    """The input's dimensions with the batch and the channels, which are normalized in groups, in front."""
    first = batch_and_groups(match.norm, match.layout)
    assert first is not None
    rest = tuple(dimension for position, dimension in enumerate(match.layout) if position not in first)
    return (*(match.layout[position] for position in first), *rest)


def groups_of(match: Match) -> int | Shortfall:
    """How many groups the channels are in."""
    split = channel_groups(match.norm, channels_first(match)[1])
    groups = 1
    for axis in split[0] if split is not None else ():
        if axis.size.static is None:
            return Shortfall("dynamic-axis", "the number of groups isn't known")
        groups *= axis.size.static
    return groups


def parameters_of(
    match: Match,
    dimensions: Sequence[Dimension],
    dtype: ir.DataType,
    names: tuple[str, ...],
    always: bool = False,
) -> dict[str, Array] | Shortfall:
    """Scale and bias over these dimensions; a bias of zero is left out unless the operator always takes one."""
    values = {"scale": match.norm.gain, "bias": match.norm.bias}
    found: dict[str, Array] = {}
    for name in names:
        if name == "bias" and values[name] == 0.0 and not always:
            continue
        array = full_parameter(values[name], dimensions, match, dtype)
        if isinstance(array, Shortfall):
            return array
        found[name] = array
    return found


def full_parameter(
    value: Coefficient, dimensions: Sequence[Dimension], match: Match, dtype: ir.DataType
) -> Array | Shortfall:
    """γ or β as a full array over the dimensions, rounded once to the tensor's type."""
    axes = axes_of(tuple(dimensions))
    extents = [_extent(axis, match) for axis in axes]
    if any(extent is None for extent in extents):
        return Shortfall("dynamic-axis", "the size of a dimension that scale and bias run over isn't known")
    ascending = tuple(sorted(axes, key=lambda axis: axis.index))
    array = spread(value, ascending).transpose([ascending.index(axis) for axis in axes])
    sizes = dict(zip(axes, (extent for extent in extents if extent is not None), strict=True))
    shape = [int(np.prod([sizes[axis] for axis in dimension], dtype=np.int64)) for dimension in dimensions]
    with np.errstate(over="ignore", under="ignore"):
        full = np.broadcast_to(array, [sizes[axis] for axis in axes]).reshape(shape).astype(dtype.numpy())
    if not np.all(np.isfinite(full.astype(np.float64))):
        return Shortfall("parameter-range", f"scale or bias doesn't fit into {dtype.name.lower()}")
    return full


def _extent(axis: Axis, match: Match) -> int | None:
    """The extent of an axis, as declared, as a constant demands it, or as gain or bias show it."""
    if axis.size.static is not None:
        return axis.size.static
    for position, size in match.assumed:
        if match.layout[position] == (axis,):
            return size
    for parameter in (match.norm.gain, match.norm.bias):
        if not isinstance(parameter, float) and axis in parameter.axes:
            return int(parameter.values.shape[parameter.axes.index(axis)])
    return None


def between_transposes(
    operator: str,
    parameters: tuple[str, ...],
    attributes: Attributes,
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
