"""An experiment: all that the numeric proof of a rewrite follows from, as a value.

Names and positions in the model are no part of it: two regions that are written alike and have the same constants
follow from the same, see `normgraph.evidence.structure`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from normgraph.axes import ONE
from normgraph.coefficients import TOLERANCE, Coefficient
from normgraph.constants import Array
from normgraph.definitions import compute
from normgraph.evidence.sizes import SMALL
from normgraph.execution import Runner, fed, runner_of, well_typed
from normgraph.extraction import cut_out, replacement_fragment
from normgraph.facts import Facts
from normgraph.feeds import FAMILIES, ORDINARY
from normgraph.fragments import Fragment, Input
from normgraph.lowering import OUTPUT, Replacement, Target
from normgraph.match import Match

#: Operators for which it makes no difference whether gains and shifts are constants, by the first such operand.
PLACES: Mapping[str, int] = {
    "Add": 0, "Div": 0, "Mul": 0, "Sub": 0, "BatchNormalization": 1, "GroupNormalization": 1,
    "InstanceNormalization": 1, "LayerNormalization": 1, "RMSNormalization": 1, "SimplifiedLayerNormalization": 1,
}  # fmt: skip


class Candidate(Protocol):
    """What is to replace a region."""

    @property
    def fragment(self) -> Fragment:
        """It as a model, which differs for all that is computed differently."""

    def runner(self) -> Runner:
        """Computes it.

        Raises:
            NotRunnable: nothing here computes it.
        """


@dataclass(frozen=True)
class Modelled:
    """A replacement as a model that ONNX Runtime computes.

    Attributes:
        fragment: the model.
    """

    fragment: Fragment

    def runner(self) -> Runner:
        """See `Candidate`."""
        return fed(runner_of(self.fragment.model), self.fragment.constants)


@dataclass(frozen=True)
class Defined:
    """A replacement for a runtime that isn't here, computed by the reference kernels.

    Attributes:
        replacement: the replacement.
        fragment: the same as a model.
        result: which of the values that it makes is computed.
    """

    replacement: Replacement
    fragment: Fragment
    result: str = OUTPUT

    def runner(self) -> Runner:
        """See `Candidate`."""
        well_typed(self.fragment.model)  # the definitions compute in float64 throughout
        name, *others = (name for name, _, _ in self.fragment.inputs)
        operands = dict(zip(self.replacement.operands, others, strict=True))

        def run(feed: Mapping[str, Array]) -> Array:
            read = {operand: feed[given] for operand, given in operands.items()}
            return compute(self.replacement, feed[name], self.result, read)

        return run


@dataclass(frozen=True)
class Experiment:
    """What the numeric proof of a rewrite follows from.

    Attributes:
        original: the region as a model of its own, its weights beside it where others may have the same structure.
        candidate: what is to replace it.
        axes: the dimensions of the first input over which statistics are taken.
        assumed: sizes that constants demand of its dynamic dimensions: (dimension, size).
        least_extent: the least size that dynamic dimensions are tried at.
        families: the families of inputs that are tried.
        small: the inputs at the sizes that are tried first; None for what `Fragment.small_inputs` makes of them.
        again: the families that are tried where another of the same structure has been tried on all.
        sized: whether experiments have the same structure only where sizes are the same; a linear map is none the less
            the same for having more channels.
        operands: how many of the inputs behind the first are factors or summands known at run time only, which are fed
            families of their own.
        exact: whether no constant of the candidate was rounded to its type.
        subject: the name of what is made anew, by which a report refers to it; nothing follows from it.
    """

    original: Fragment
    candidate: Candidate
    axes: tuple[int, ...]
    assumed: tuple[tuple[int, int], ...]
    least_extent: int = 2
    families: tuple[str, ...] = tuple(FAMILIES)
    small: tuple[Input, ...] | None = None
    again: tuple[str, ...] = (*ORDINARY, "offset 10000", "large magnitude")
    sized: bool = True
    operands: int = 0
    exact: bool = False
    subject: str = ""


def experiment(
    match: Match, replacement: Replacement, target: Target, facts: Facts, made: int | None = None
) -> Experiment:
    """The experiment that proves the replacement of a match.

    Args:
        match: what is replaced.
        replacement: what it is replaced with.
        target: the runtime that it is made for.
        facts: the facts about the graph.
        made: the position of the needed value whose making is to be proven; None for that of the result.

    Raises:
        NotExtractable: the region can't be made a model of its own.
    """
    opset = opset_of(replacement, facts)
    fragment = replacement_fragment(match, replacement, facts, opset, made=made, places=PLACES)
    provable = target.provable
    candidate = Modelled(fragment) if provable else Defined(replacement, fragment, replacement.name_of(made))
    needed = None if made is None else match.needed[made]
    region = match if needed is None else replace(match, output=needed.value, nodes=needed.nodes)
    subject = match.output.name or ""
    original = cut_out(region, facts, PLACES, match.operands)[0]
    small, operands = _small(original, match), len(match.operands)
    exact = _is_exact(match, replacement, facts)
    return Experiment(
        original,
        candidate,
        match.axes,
        match.assumed,
        small=small,
        operands=operands,
        exact=exact,
        subject=subject,
    )


def _is_exact(match: Match, replacement: Replacement, facts: Facts) -> bool:
    """Whether the type holds what the norm is scaled and shifted by, and the replacement is given nothing else."""
    dtype = facts.dtype(match.base)
    shift = 0.0 if match.outer is None else match.outer.shift
    if dtype is None or replacement.kind == "LpNormalization":  # which is given a length or a bound
        return False
    return all(_holds(dtype.numpy(), each) for each in (match.norm.gain, match.norm.bias, shift))


def _holds(dtype: np.dtype, value: Coefficient) -> bool:
    exact = np.asarray(value if isinstance(value, float) else value.values, np.float64)
    with np.errstate(over="ignore", under="ignore"):
        return bool(np.all(np.abs(exact.astype(dtype).astype(np.float64) - exact) <= TOLERANCE * np.abs(exact)))


def _small(original: Fragment, match: Match) -> tuple[Input, ...] | None:
    """The inputs at small sizes where the base has others beside it whose dimensions are its own; else None."""
    _, *others = original.inputs
    if not others or len(others) != len(match.operands):
        return None
    alone = replace(original, inputs=original.inputs[:1]).small_inputs(match.axes, SMALL)
    sizes = dict(zip(match.layout, alone[0][2], strict=True))
    shapes = (tuple(sizes.get(d, ONE) if d else ONE for d in operand.layout) for operand in match.operands)
    described = ((name, element_type, made) for (name, element_type, _), made in zip(others, shapes, strict=True))
    return (*alone, *described)


def opset_of(replacement: Replacement, facts: Facts) -> int:
    """The version of the default domain at which a replacement will stand at least."""
    return max(facts.opset, replacement.opset)
