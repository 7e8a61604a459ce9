"""Statistics that are needed beside a norm: what LayerNormalization's outputs Mean and InvStdDev can stand for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from normgraph.algebra import HALF, Polynomial, base
from normgraph.axes import Layout, axes_of
from normgraph.constants import Array
from normgraph.lowering import INPUT, Step
from normgraph.match import Match, Needed

_MEAN, _INVERSE = "mean", "inverse_deviation"


def of_layer_normalization(
    match: Match, dtype: ir.DataType, steps: tuple[Step, ...]
) -> tuple[tuple[Step, ...], dict[str, Array], dict[int, str]]:
    """The mean, the inverse deviation, the deviation and the centred value, from LayerNormalization-17's outputs.

    Both outputs keep the dimensions that they are taken over, and are float32 where the input is half-precision.  The
    standard has no double ones.

    Returns:
        All steps, the constants of those that were added, and which of the match's needed values are made.
    """
    position = next((i for i, step in enumerate(steps) if step.operator == "LayerNormalization"), None)
    if position is None or steps[position].inputs[0] != INPUT or dtype == ir.DataType.DOUBLE:
        return steps, {}, {}
    first = dict(steps[position].attributes)["axis"]
    assert isinstance(first, int)
    kept: Layout = tuple(() if i >= first % len(match.layout) else d for i, d in enumerate(match.layout))
    made: dict[int, list[Step]] = {}
    constants: dict[str, Array] = {}
    provides: dict[int, str] = {}
    for index, needed in enumerate(match.needed):
        added = _made(needed, f"needed_{index}", match, dtype, kept, constants)
        result = "" if added is None else added[-1].output if added else _role(needed.form.value, match)
        if added is not None and result not in provides.values():
            made[index], provides[index] = added, result
    provides = _worth_making(match, provides)
    if not provides:
        return steps, {}, {}
    native = replace(steps[position], further=(_MEAN, _INVERSE))
    used = [step for index in provides for step in made[index]]
    read = {name for step in used for name in step.inputs}
    return (
        (*steps[:position], native, *steps[position + 1 :], *used),
        {name: array for name, array in constants.items() if name in read},
        provides,
    )


def _worth_making(match: Match, provides: dict[int, str]) -> dict[int, str]:
    """Those of the values whose nodes don't stay for another value's sake."""
    others = [needed for index, needed in enumerate(match.needed) if index not in provides]
    staying = {node for needed in others for node in needed.nodes}
    return {index: name for index, name in provides.items() if not staying.issuperset(match.needed[index].nodes)}


def _role(value: Polynomial, match: Match) -> str:
    """What a value is to the norm; empty if nothing that can be made."""
    x, over = base(axes_of(match.layout)), match.norm.over
    mean = x.mean(axis=over)
    spread = (x * x).mean(axis=over) - mean * mean + match.norm.epsilon
    roles = {_MEAN: mean, _INVERSE: spread**-HALF, "deviation": spread**HALF, "centred": x - mean}
    return next((name for name, polynomial in roles.items() if polynomial.close_to(value)), "")


def _made(
    needed: Needed, name: str, match: Match, dtype: ir.DataType, kept: Layout, constants: dict[str, Array]
) -> list[Step] | None:
    """The steps that make a value of an output of the operator, none if it is one; None if it can't be made."""
    role, form = _role(needed.form.value, match), needed.form
    if role == "centred":
        if form.layout != match.layout or form.dtype != dtype:
            return None
        cast = [] if dtype == ir.DataType.FLOAT else [_cast(_MEAN, f"{name}_mean", dtype)]
        return [*cast, Step("Sub", (INPUT, cast[0].output if cast else _MEAN), name)]
    squeezed = tuple(i for i, d in enumerate(match.layout) if not match.norm.over.isdisjoint(d))
    dropped = tuple(d for i, d in enumerate(kept) if i not in squeezed)
    if not role or form.layout not in (kept, dropped) or form.dtype is None:
        return None
    steps: list[Step] = []
    source = _INVERSE if role == "deviation" else role
    if role == "deviation":
        steps.append(Step("Reciprocal", (source,), f"{name}_deviation"))
    if form.layout != kept:
        constants[f"{name}_axes"] = np.array(squeezed, np.int64)
        steps.append(Step("Squeeze", (steps[-1].output if steps else source, f"{name}_axes"), f"{name}_squeezed"))
    if form.dtype != ir.DataType.FLOAT:
        steps.append(_cast(steps[-1].output if steps else source, f"{name}_cast", form.dtype))
    return steps


def _cast(source: str, result: str, dtype: ir.DataType) -> Step:
    return Step("Cast", (source,), result, (("to", int(dtype)),))
