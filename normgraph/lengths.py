"""Vectors divided by their lengths: LpNormalization, and the shortest exact form where ε guards the division.

LpNormalization has no epsilon. Where a length is bounded, x/max(‖x‖, ε), it is another function for short vectors, and
no operator of the standard computes it: what remains is to write it in as few nodes as can be.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from normgraph.axes import axes_of, product
from normgraph.coefficients import Coefficient, axes_of_coefficient, spread
from normgraph.constants import Array
from normgraph.diagnosis import Shortfall
from normgraph.lowering import INPUT, OUTPUT, Attribute, Emitted, Step
from normgraph.match import Match
from normgraph.operators import permutation

#: How a guarded length is computed: operators by the guard, the one that the bound goes into marked by its name.
_GUARDED: dict[tuple[str, int], tuple[str, ...]] = {
    ("below the root", 2): ("ReduceL2", "Max"),
    ("beside the root", 2): ("ReduceL2", "Add"),
    ("below the square", 2): ("ReduceSumSquare", "Max", "Sqrt"),
    ("below the root", 1): ("ReduceL1", "Max"),
    ("beside the root", 1): ("ReduceL1", "Add"),
}


def lp_normalization(match: Match, dtype: ir.DataType) -> Emitted:
    """LpNormalization over one dimension, and a Mul where vectors get another length than one."""
    norm = match.norm
    position = next(i for i, d in enumerate(match.layout) if not norm.over.isdisjoint(d))
    count = product(axis.size for axis in norm.over).static
    assert count is not None
    attributes: tuple[tuple[str, Attribute], ...] = (("axis", position), ("p", norm.power))
    steps = [Step("LpNormalization", (INPUT,), "unit", attributes)]
    scale = _scale(norm.gain, count ** (1 / norm.power), match, dtype)
    constants: dict[str, Array] = {}
    if scale is not None:
        if not np.all(np.isfinite(scale.astype(np.float64))):
            return Shortfall("parameter-range", f"the scale doesn't fit into {dtype.name.lower()}")
        constants["scale"] = scale
        steps.append(Step("Mul", ("unit", "scale"), "scaled"))
    return _ending(steps, match), constants


def _scale(gain: Coefficient, factor: float, match: Match, dtype: ir.DataType) -> Array | None:
    """The length that vectors get, as a constant that broadcasts; None where it is one."""
    ascending = tuple(sorted(axes_of_coefficient(gain), key=lambda axis: axis.index))
    lengths = spread(gain, ascending) * factor
    if not ascending and abs(float(lengths.reshape(())) - 1.0) <= 2e-6:
        return None
    ordered = tuple(axis for axis in axes_of(match.layout) if axis in ascending)
    extents = dict(zip(ascending, lengths.shape, strict=True))
    layout = match.layout if ascending else ()
    shape = [int(np.prod([extents.get(axis, 1) for axis in dimension])) for dimension in layout]
    with np.errstate(over="ignore", under="ignore"):
        return lengths.transpose([ascending.index(axis) for axis in ordered]).reshape(shape).astype(dtype.numpy())


def guarded(*, axes_are_input: bool) -> Callable[[Match, ir.DataType], Emitted]:
    """The emitter of ReduceL2 – Max – Div and its like, at opsets that have a reduction's axes as an input or not."""

    def emit(match: Match, dtype: ir.DataType) -> Emitted:
        norm = match.norm
        reduction, bounding, *root = _GUARDED[norm.guard, norm.power]
        with np.errstate(over="ignore", under="ignore"):
            constants: dict[str, Array] = {"bound": np.asarray(bound_of(match)).astype(dtype.numpy())}
        if not np.isfinite(constants["bound"].astype(np.float64)) or constants["bound"] == 0:
            return Shortfall(
                "epsilon-precision", f"epsilon {bound_of(match):.6g} can't be held in {dtype.name.lower()}"
            )
        if axes_are_input:
            constants["axes"] = np.array(match.axes, np.int64)
            steps = [Step(reduction, (INPUT, "axes"), "length", (("keepdims", 1),))]
        else:
            steps = [Step(reduction, (INPUT,), "length", (("axes", match.axes), ("keepdims", 1)))]
        steps.append(Step(bounding, ("length", "bound"), "guarded"))
        steps += [Step(operator, ("guarded",), "root") for operator in root]
        steps.append(Step("Div", (INPUT, steps[-1].output), "unit"))
        finished = _ending(steps, match)
        if len(finished) >= len(match.nodes):
            few = f"{formula(match)} stands in as few nodes as it can"
            return Shortfall("guard", f"LpNormalization has no epsilon, and {few}")
        return finished, constants

    return emit


def bound_of(match: Match) -> float:
    """ε as it stands beside the length, or beside its square, not beside a mean."""
    norm = match.norm
    count = product(axis.size for axis in norm.over).static
    assert count is not None
    square = norm.power == 1 or norm.guard in ("below the square", "within the root")
    return norm.epsilon * float(count if square else count**0.5)


def formula(match: Match) -> str:
    """What is divided by what, for people."""
    length = "Σ|x|" if match.norm.power == 1 else "Σx²" if match.norm.guard == "below the square" else "‖x‖"
    bound = f"{bound_of(match):.6g}"
    if match.norm.guard == "beside the root":
        return f"x/({length} + {bound})"
    return f"x/√max({length}, {bound})" if match.norm.guard == "below the square" else f"x/max({length}, {bound})"


def _ending(steps: list[Step], match: Match) -> tuple[Step, ...]:
    """The steps, the last of which makes the output, transposed where the match's is."""
    after = permutation(match.layout, match.output_layout)
    if after is not None:
        steps = [*steps, Step("Transpose", (steps[-1].output,), "turned", (("perm", after),))]
    last = steps[-1]
    return (*steps[:-1], Step(last.operator, last.inputs, OUTPUT, last.attributes))
