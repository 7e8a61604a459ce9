"""Group and instance normalizations by way of another operator, for runtimes without kernels of their own for them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from normgraph.axes import Layout, product, size_of
from normgraph.constants import Array
from normgraph.diagnosis import Shortfall
from normgraph.lowering import INPUT, OUTPUT, Attribute, Emitted, Step
from normgraph.match import Match
from normgraph.norms import batch_and_channels
from normgraph.operators import (
    between_transposes,
    channels_first,
    epsilon_of,
    full_parameter,
    groups_of,
    parameters_of,
    permutation,
)


def grouped_instance_normalization(match: Match, dtype: ir.DataType) -> Emitted:
    """Reshape – InstanceNormalization – Reshape, then scale and bias per channel: another group normalization."""
    groups, epsilon, inner = groups_of(match), epsilon_of(match, dtype), channels_first(match)
    if isinstance(groups, Shortfall):
        return groups
    if isinstance(epsilon, Shortfall):
        return epsilon
    if any(node.op_type == "InstanceNormalization" for node in match.nodes):
        return Shortfall("already-best", "it stands as Reshape–InstanceNormalization–Reshape, which is best there")
    constants: dict[str, Array] = {
        "grouped_shape": np.array([0, groups, _rest(inner[1:], groups)], np.int64),
        "ones": np.ones(groups, dtype.numpy()),
        "zeros": np.zeros(groups, dtype.numpy()),
    }
    middle = Step("InstanceNormalization", ("grouped", "ones", "zeros"), "normalized_groups", (("epsilon", epsilon),))
    steps = [*_between_reshapes(middle, match)]
    trailing = (1,) * (len(inner) - 2)
    for name, operator, value, neutral in (
        ("scale", "Mul", match.norm.gain, 1.0),
        ("bias", "Add", match.norm.bias, 0.0),
    ):
        if value == neutral:
            continue
        parameter = full_parameter(value, (inner[1],), match, dtype)
        if isinstance(parameter, Shortfall):
            return parameter
        constants[name] = parameter.reshape(*parameter.shape, *trailing)
        steps.append(Step(operator, (steps[-1].output, name), f"with_{name}"))
    return _ending(steps, match), constants


def grouped_layer_normalization(match: Match, dtype: ir.DataType) -> Emitted:
    """Reshape – LayerNormalization – Reshape, with scale and bias per channel: another group normalization.

    x [N, C, …] is seen as [N, G, C/G, …] and normalized over the last two; Scale and B are [G, C/G, 1], which broadcast
    to x as LayerNormalization-17 permits.
    """
    inner = channels_first(match)
    groups, epsilon = groups_of(match), epsilon_of(match, dtype)
    parameters = parameters_of(match, (inner[1],), dtype, ("scale", "bias"))
    for failed in (groups, epsilon, parameters):
        if isinstance(failed, Shortfall):
            return failed
    assert isinstance(groups, int)
    assert isinstance(epsilon, float)
    assert isinstance(parameters, dict)
    grouped = {name: array.reshape(groups, -1, 1) for name, array in parameters.items()}
    size = grouped["scale"].shape[1]
    constants = grouped | {"grouped_shape": np.array([0, groups, size, _rest(inner[2:], 1)], np.int64)}
    attributes: tuple[tuple[str, Attribute], ...] = (("axis", -2), ("epsilon", epsilon))
    middle = Step("LayerNormalization", ("grouped", *grouped), "normalized_groups", attributes)
    return _ending(_between_reshapes(middle, match), match), constants


def layer_normalization_of_instances(match: Match, dtype: ir.DataType) -> Emitted:
    """LayerNormalization over all dimensions but two, with scale and bias per channel: an instance normalization.

    Scale and B are [C, 1, …], which broadcast to x as LayerNormalization-17 permits.
    """
    first = batch_and_channels(match.norm, match.layout)
    if first is None:
        return Shortfall("layout", "an instance normalization has one batch and one channel dimension")
    batch, channels = (match.layout[position] for position in first)
    inner = (batch, channels, *(d for position, d in enumerate(match.layout) if position not in first))
    epsilon = epsilon_of(match, dtype)
    parameters = parameters_of(match, (channels,), dtype, ("scale", "bias"))
    if isinstance(epsilon, Shortfall):
        return epsilon
    if isinstance(parameters, Shortfall):
        return parameters
    trailing = (1,) * (len(inner) - 2)
    constants = {name: array.reshape(*array.shape, *trailing) for name, array in parameters.items()}
    attributes: tuple[tuple[str, Attribute], ...] = (("axis", 2 - len(inner)), ("epsilon", epsilon))
    before, after = permutation(match.layout, inner), permutation(inner, match.output_layout)
    return between_transposes("LayerNormalization", tuple(constants), attributes, before, after), constants


def _rest(dimensions: Layout, groups: int) -> int:
    """What a Reshape is told of the last dimension: its size, written out where it is known.

    That leaves room for an empty batch, of which -1 would have no meaning.
    """
    whole = product(size_of(dimension) for dimension in dimensions)
    return -1 if whole.static is None else whole.static // groups


def _between_reshapes(middle: Step, match: Match) -> list[Step]:
    """Reshape – what reads "grouped" – Reshape, in the layout with the channels second."""
    before = permutation(match.layout, channels_first(match))
    source = INPUT if before is None else "moved"
    moving = [] if before is None else [Step("Transpose", (INPUT,), source, (("perm", before),))]
    return [
        *moving,
        Step("Shape", (source,), "shape"),
        Step("Reshape", (source, "grouped_shape"), "grouped"),
        middle,
        Step("Reshape", (middle.output, "shape"), "normalized"),
    ]


def _ending(steps: list[Step], match: Match) -> tuple[Step, ...]:
    """The steps, the last of which makes the output, with its dimensions where they belong."""
    after = permutation(channels_first(match), match.output_layout)
    if after is not None:
        return (*steps, Step("Transpose", (steps[-1].output,), OUTPUT, (("perm", after),)))
    last = steps[-1]
    return (*steps[:-1], Step(last.operator, last.inputs, OUTPUT, last.attributes))
