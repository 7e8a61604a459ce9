"""Lowering: which operators a recognised normalization becomes, for a target.

`lower` turns a match into `Replacement`s, a few steps each over named values that say nothing of where they will stand:
the same replacement is put into the model and, beside the original region, into the models that prove it right.  What
can't or shouldn't be lowered comes back as a `Shortfall` with its reason.  Which operators a target has is written in
`normgraph.targets`, how each is made in `normgraph.operators`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import onnx_ir as ir

from normgraph.coefficients import over_dimensions
from normgraph.constants import Array
from normgraph.diagnosis import Shortfall
from normgraph.match import Match
from normgraph.outer import Outer

#: The names under which a replacement refers to the tensor that it normalizes and to its result.
INPUT, OUTPUT = "x", "y"
#: Likewise to what stands behind the norm, see `normgraph.outer`, and to the norm itself, where something does.
GAIN, SHIFT, BIAS, _PLAIN = "gain", "shift", "offset", "plain"

Attribute = int | float | str | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A node to be: operator, names of its inputs, name of its first output, attributes, domain, further outputs."""

    operator: str
    inputs: tuple[str, ...]
    output: str
    attributes: tuple[tuple[str, Attribute], ...] = ()
    domain: str = ""
    further: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Replacement:
    """What a match is replaced with.

    Attributes:
        kind: the kind of normalization that the match is replaced as.
        steps: the nodes in order; they read INPUT and make OUTPUT.
        constants: the constants that they read, by name, in the type in which they are stored.
        opset: the least version of the default domain that has all these operators.
        worth_raising: whether the model's opset may be raised for it without being asked.
        until: the last version at which the steps mean that; None for the newest.
        provides: which of the match's needed values it makes too: position → name.
        operands: the tensors known at run time only that the steps read beside INPUT, by name.
        applied: how many of the steps apply something behind the norm.
        instead: why it isn't of the kind that fits the match best; None where it is.
    """

    kind: str
    steps: tuple[Step, ...]
    constants: Mapping[str, Array]
    opset: int
    worth_raising: bool = True
    until: int | None = None
    provides: Mapping[int, str] = field(default_factory=dict)
    operands: Mapping[str, ir.Value] = field(default_factory=dict)
    applied: int = 0
    instead: Shortfall | None = None

    def name_of(self, needed: int | None) -> str:
        """The name of the result, or of the needed value at this position."""
        return OUTPUT if needed is None else self.provides[needed]

    def staying(self, match: Match) -> set[ir.Node]:
        """The nodes of the match that stay, because something outside needs what they make."""
        needed = (value for position, value in enumerate(match.needed) if position not in self.provides)
        return {node for value in needed for node in value.nodes}


Emitted = tuple[tuple[Step, ...], dict[str, Array]] | Shortfall
#: Makes the steps and constants of an operator, or says why it can't express the match.
Emitter = Callable[[Match, ir.DataType], Emitted]
#: Adds to these steps what makes the needed values of a match too: the steps, their constants, which ones are made.
Provider = Callable[[Match, ir.DataType, tuple[Step, ...]], tuple[tuple[Step, ...], dict[str, Array], dict[int, str]]]


@dataclass(frozen=True, slots=True)
class Operator:
    """How a target computes a kind of normalization.

    Attributes:
        name: what is emitted, for people.
        opset: the least version of the default domain that is needed.
        dtypes: the element types that the target takes.
        emit: makes the nodes.
        since: the target's version since which it has the operator.
        contrib: whether it isn't in the ONNX standard.
        worth_raising: whether it is fast enough there that the model's opset may be raised for it without being asked.
        until: the last version of the default domain at which it is written like that; None for the newest.
        bounds: whether it divides by a length that an epsilon bounds, and by no other.
        provide: makes values within the match that are needed elsewhere, where the target's operator gives them too.
        measured: how fast it is there, beside the nodes that it replaces, with the version that this was measured on.
        declined: the element types that the target takes and for which the nodes are better.
        because: in what they are better.
    """

    name: str
    opset: int
    dtypes: frozenset[ir.DataType]
    emit: Emitter
    since: tuple[int, ...] = ()
    contrib: bool = False
    worth_raising: bool = True
    until: int | None = None
    bounds: bool = False
    provide: Provider | None = None
    measured: str = ""
    declined: frozenset[ir.DataType] = frozenset()
    because: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """A runtime.

    Attributes:
        name: as `--target` takes it.
        source: what its entries were measured on or read from.
        operators: kind of normalization → the operators for it, the best first.
        refusals: kind of normalization → why it isn't lowered although it might be.
        provable: whether this machine's ONNX Runtime computes as the target does, so that replacements are proven in
            it; for other targets the reference kernels stand in, which compute operators as they are defined.
    """

    name: str
    source: str
    operators: Mapping[str, tuple[Operator, ...]]
    refusals: Mapping[str, str]
    provable: bool = False


@dataclass(frozen=True, slots=True)
class Demand:
    """What the lowering is asked for.

    Attributes:
        target: the runtime.
        version: its version; empty for the newest known.
        contrib: whether operators outside the ONNX standard are permitted.
    """

    target: Target
    version: tuple[int, ...] = ()
    contrib: bool = False


def lower(match: Match, dtype: ir.DataType | None, demand: Demand) -> tuple[Replacement, ...] | Shortfall:
    """The replacements for a match on a target, the best first, or the reason why there is none.

    Args:
        match: what was recognised.
        dtype: the element type of the base tensor.
        demand: for which runtime, and what is permitted.
    """
    found: list[Replacement] = []
    shortfall: Shortfall | None = None
    for kind in match.norm.kinds:
        bounded = kind == "LpNormalization" and match.norm.epsilon != 0.0
        refusal = None if bounded else demand.target.refusals.get(kind)
        operators = [entry for entry in demand.target.operators.get(kind, ()) if entry.bounds == bounded]
        # That an operator doesn't take the type, or isn't permitted, says nothing where another one does and is.
        operators = [entry for entry in operators if dtype in entry.dtypes] or operators
        operators = [entry for entry in operators if demand.contrib or not entry.contrib] or operators
        if refusal is not None:
            shortfall = shortfall or Shortfall("not-worth-it", f"{demand.target.name}: {refusal}")
        elif not operators:
            shortfall = shortfall or Shortfall("no-operator", f"{demand.target.name} has no operator for {kind}")
        for operator in operators:
            result = _lowered(match, kind, dtype, operator, demand)
            if isinstance(result, Shortfall):
                shortfall = shortfall or result
            else:
                found.extend(
                    each if kind == match.norm.kinds[0] else replace(each, instead=shortfall) for each in result
                )
    if found:
        return tuple(found)
    assert shortfall is not None
    return shortfall


def _lowered(
    match: Match, kind: str, dtype: ir.DataType | None, operator: Operator, demand: Demand
) -> tuple[Replacement, ...] | Shortfall:
    if operator.contrib and not demand.contrib:
        return Shortfall("contrib", f"{operator.name} isn't in the ONNX standard")
    if demand.version and demand.version < operator.since:
        since = ".".join(map(str, operator.since))
        return Shortfall("no-operator", f"{demand.target.name} has {operator.name} since {since}")
    if dtype not in operator.dtypes:
        named = "an unknown type" if dtype is None else dtype.name.lower()
        return Shortfall("no-kernel", f"{demand.target.name} has no {operator.name} kernel for {named}")
    if dtype in operator.declined:
        return Shortfall("not-worth-it", f"{demand.target.name}: {operator.because}")
    emitted = operator.emit(match, dtype)
    if isinstance(emitted, Shortfall):
        return emitted
    if match.outer is not None and dtype is not None:
        return _with_outer(emitted, match, match.outer, dtype, kind, operator)
    steps, constants = emitted
    plain = Replacement(kind, steps, constants, operator.opset, operator.worth_raising, operator.until)
    if operator.provide is None or not match.needed or dtype is None:
        return (plain,)
    steps, more, provides = operator.provide(match, dtype, steps)
    return (
        (replace(plain, steps=steps, constants={**constants, **more}, provides=provides), plain)
        if provides
        else (plain,)
    )


def _with_outer(
    emitted: tuple[tuple[Step, ...], dict[str, Array]],
    match: Match,
    outer: Outer,
    dtype: ir.DataType,
    kind: str,
    operator: Operator,
) -> tuple[Replacement, ...] | Shortfall:
    """The replacement with γ, the shift and β applied behind the norm, broadcast as the graph broadcasts them.

    It makes no needed value of the match: these may be needed for γ and β themselves, before it can stand.
    """
    steps, constants = emitted
    last = steps[-1]
    made = [*steps[:-1], replace(last, output=_PLAIN)]
    operands: dict[str, ir.Value] = {}
    applied: list[tuple[str, str]] = []
    if outer.gain is not None:
        applied.append(("Mul", GAIN))
        operands[GAIN] = outer.gain.value
    if outer.shift != 0.0:
        applied.append(("Add", SHIFT))
        array = over_dimensions(outer.shift, match.output_layout)
        if array is None:
            return Shortfall("dynamic-axis", "the size of a dimension that the bias runs over isn't known")
        with np.errstate(over="ignore", under="ignore"):
            constants[SHIFT] = array.astype(dtype.numpy())
        if not np.all(np.isfinite(constants[SHIFT].astype(np.float64))):
            return Shortfall("parameter-range", f"the bias doesn't fit into {dtype.name.lower()}")
    if outer.bias is not None:
        applied.append(("Sub" if outer.negative else "Add", BIAS))
        operands[BIAS] = outer.bias.value
    for position, (name, operand) in enumerate(applied):
        output = OUTPUT if operand == applied[-1][1] else f"applied_{position}"
        made.append(Step(name, (made[-1].output, operand), output))
    worth = (operator.opset, operator.worth_raising, operator.until)
    return (Replacement(kind, tuple(made), constants, *worth, operands=operands, applied=len(applied)),)
