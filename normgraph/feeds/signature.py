"""The signature of a model: what it is fed, and what its inputs may hold."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.passes.common import InlinePass

from normgraph.errors import BadModelError
from normgraph.facts import survey
from normgraph.feeds.values import Values, values_of


@dataclass(frozen=True, slots=True)
class Input:
    """An input that a caller has to feed.

    Attributes:
        name: its name.
        dtype: its element type.
        dims: its dimensions: sizes, and the names of dynamic ones. One that the model doesn't name is called after
            the input and its position, as in ``x.0``.
        values: what its elements may be.
    """

    name: str
    dtype: ir.DataType
    dims: tuple[int | str, ...]
    values: Values


@dataclass(frozen=True, slots=True)
class Signature:
    """The inputs of a model that have no default.

    Attributes:
        model: what the model is called in messages.
        inputs: the inputs, in their order.
    """

    model: str
    inputs: tuple[Input, ...]

    @property
    def symbols(self) -> tuple[str, ...]:
        """The names of the dynamic dimensions, in the order in which they first occur."""
        return tuple(dict.fromkeys(dim for item in self.inputs for dim in item.dims if isinstance(dim, str)))


def signature_of(model: ir.Model, name: str = "") -> Signature:
    """The signature of a model.

    Args:
        model: the model; it isn't changed, and its weights aren't read.
        name: what it is called in messages; by default as its graph is.

    Raises:
        BadModelError: an input isn't a tensor, or its type or rank isn't declared.
    """
    name = name or model.graph.name or "model"
    work = _without_functions(model)
    facts = survey(work)
    inputs = []
    for value in work.graph.inputs:
        if value.is_initializer():
            continue  # it has a default
        if value.dtype is None or value.shape is None or not isinstance(value.type, ir.TensorType):
            raise BadModelError(
                f"every input must be a tensor of known type and rank, and '{value.name}' is none: {name}; "
                "declare its type and shape, or export the model with a tensor in its place"
            )
        dims = tuple(_dimension(dim, f"{value.name}.{position}") for position, dim in enumerate(value.shape))
        inputs.append(Input(value.name or "", value.dtype, dims, values_of(value, value.dtype, facts)))
    return Signature(name, tuple(inputs))


def _dimension(declared: int | ir.SymbolicDim, unnamed: str) -> int | str:
    """A size, or the name of a dynamic one; for which some exporters write -1."""
    if isinstance(declared, int):
        return declared if declared >= 0 else unnamed
    return declared.value or unnamed


def _without_functions(model: ir.Model) -> ir.Model:
    """The model with its functions inlined where that can be done, so that what reads an input is seen."""
    if not model.functions:
        return model
    clone = model.clone()
    try:
        InlinePass()(clone)
    except Exception:  # then less is known of what reads an input, and nothing else follows
        return model
    return clone
