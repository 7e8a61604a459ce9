"""What the operators of a replacement compute, in float64, by the reference kernels.

Of a runtime that isn't on this machine one can't measure how it rounds, but that the replacement computes the
same thing is for the definitions to show.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from normgraph.constants import Array
from normgraph.execution import NotRunnable
from normgraph.kernels.batch_normalization import batch_normalization
from normgraph.kernels.group_normalization import group_normalization
from normgraph.kernels.instance_normalization import instance_normalization
from normgraph.kernels.layer_normalization import layer_normalization
from normgraph.kernels.lp_normalization import lp_normalization
from normgraph.kernels.mean_variance_normalization import mean_variance_normalization
from normgraph.kernels.rms_normalization import rms_normalization
from normgraph.kernels.standardization import moments
from normgraph.lowering import INPUT, OUTPUT, Replacement

Definition = Callable[[Sequence[Any], Mapping[str, Any]], Array | tuple[Array, ...]]


def _with_statistics(operands: Sequence[Any], attributes: Mapping[str, Any]) -> tuple[Array, ...]:
    """LayerNormalization's three outputs."""
    x, axis, epsilon = operands[0], attributes["axis"], attributes["epsilon"]
    mean, variance = moments(x, axes=tuple(range(axis % x.ndim, x.ndim)))
    return layer_normalization(*operands, axis=axis, epsilon=epsilon), mean, (variance + epsilon) ** -0.5


def _summed(value: Array, operands: Sequence[Any], attributes: Mapping[str, Any]) -> Array:
    """The sum over the axes of a reduction, which stand in its attribute or its second operand, and are kept."""
    axes = attributes["axes"] if len(operands) == 1 else operands[1].tolist()
    total: Array = value.sum(axis=tuple(axes), keepdims=True)
    return total


#: Operator → its definition: (operands, attributes) → result.
DEFINITIONS: Mapping[str, Definition] = {
    "Add": lambda operands, _: operands[0] + operands[1],
    "BatchNormalization": lambda operands, a: batch_normalization(*operands, epsilon=a["epsilon"]),
    "GroupNormalization": lambda operands, a: group_normalization(
        *operands, num_groups=a["num_groups"], epsilon=a["epsilon"]
    ),
    "InstanceNormalization": lambda operands, a: instance_normalization(*operands, epsilon=a["epsilon"]),
    "LayerNormalization": _with_statistics,
    "LpNormalization": lambda operands, a: lp_normalization(operands[0], axis=a["axis"], p=a["p"]),
    "MeanVarianceNormalization": lambda operands, a: mean_variance_normalization(operands[0], axes=a["axes"]),
    "Div": lambda operands, _: operands[0] / operands[1],
    "Max": lambda operands, _: np.maximum(operands[0], operands[1]),
    "ReduceL1": lambda operands, a: _summed(np.abs(operands[0]), operands, a),
    "ReduceL2": lambda operands, a: np.sqrt(_summed(operands[0] ** 2, operands, a)),
    "ReduceSumSquare": lambda operands, a: _summed(operands[0] ** 2, operands, a),
    "Sqrt": lambda operands, _: np.sqrt(operands[0]),
    "Cast": lambda operands, _: operands[0],
    "Mul": lambda operands, _: operands[0] * operands[1],
    "Reciprocal": lambda operands, _: 1.0 / operands[0],
    "Squeeze": lambda operands, _: np.squeeze(operands[0], tuple(operands[1].tolist())),
    "Sub": lambda operands, _: operands[0] - operands[1],
    "RMSNormalization": lambda operands, a: rms_normalization(*operands, axis=a["axis"], epsilon=a["epsilon"]),
    "Reshape": lambda operands, _: np.reshape(
        operands[0], [operands[0].shape[i] if size == 0 else size for i, size in enumerate(operands[1])]
    ),
    "Shape": lambda operands, _: np.asarray(operands[0].shape, np.int64),
    "SimplifiedLayerNormalization": lambda operands, a: rms_normalization(
        *operands, axis=a["axis"], epsilon=a["epsilon"]
    ),
    "Transpose": lambda operands, a: np.transpose(operands[0], a["perm"]),
}


def compute(
    replacement: Replacement, x: Array, result: str = OUTPUT, operands: Mapping[str, Array] | None = None
) -> Array:
    """The result of a replacement, or another value that it makes, in float64.

    Args:
        replacement: the replacement.
        x: what is normalized.
        result: the name of the value that is asked for.
        operands: what else it reads that isn't constant, by name.

    Raises:
        NotRunnable: an operator has no definition here, or rejects its operands.
    """
    values: dict[str, Array] = {INPUT: x.astype(np.float64)}
    values.update((name, array.astype(np.float64)) for name, array in (operands or {}).items())
    for name, array in replacement.constants.items():
        values[name] = array if array.dtype.kind == "i" else array.astype(np.float64)
    for step in replacement.steps:
        if step.operator not in DEFINITIONS:
            raise NotRunnable(f"{step.operator} has no definition to be checked by")
        try:
            with np.errstate(all="ignore"):
                made = DEFINITIONS[step.operator]([values[name] for name in step.inputs], dict(step.attributes))
        except ValueError as error:
            raise NotRunnable(f"{step.operator} can't be computed: {error}") from error
        outputs = made if isinstance(made, tuple) else (made,)
        values.update(zip((step.output, *step.further), outputs, strict=False))
    return values[result]
