"""A node as it would be written at another opset, apart from the graph so that asking changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, TypeAlias

import onnx.defs
import onnx_ir as ir

from normgraph.constants import Array, stored_tensor
from normgraph.facts import Facts


class UnknownAttributeError(Exception):
    """An attribute was asked for that refers to one of the function around the node: it isn't known."""


@dataclass(frozen=True, eq=False)
class NewConstant:
    """An operand that the graph hasn't got yet.

    Attributes:
        role: name of the input it feeds, as ONNX calls it.
        data: its elements, of the type and shape that the input takes.
    """

    role: str
    data: Array


Operand: TypeAlias = ir.Value | NewConstant | None


@dataclass(frozen=True, eq=False)
class Form:
    """One node of the default domain on its way from one opset to another.

    Attributes:
        node: the node as it stands in the graph.
        opset: version of the default domain that the graph holding the node imports.
        target: the version it is to be written at.
        op_type: operator in this form.
        inputs: operands in this form, None where an optional one is left out.
        attributes: attributes in this form.
        outputs: how many of the node's outputs, from the first, this form keeps.
        flattened_at: where not None, the operator works on its first input flattened to two dimensions at
            this axis, and its output gets the input's shape back.
        facts: what is known of the graph's values beyond what the model declares.
    """

    node: ir.Node
    opset: int
    target: int
    op_type: str
    inputs: tuple[Operand, ...]
    attributes: Mapping[str, ir.Attr]
    outputs: int
    flattened_at: int | None = None
    facts: Facts = field(default_factory=Facts)

    @classmethod
    def of(cls, node: ir.Node, opset: int, target: int, facts: Facts) -> Form:
        """The form in which the node stands in the graph."""
        inputs, attributes = tuple(node.inputs), dict(node.attributes)
        return cls(node, opset, target, node.op_type, inputs, attributes, len(node.outputs), facts=facts)

    def operand(self, index: int) -> Operand:
        """The operand at an input, None where there is none."""
        return self.inputs[index] if index < len(self.inputs) else None

    def constant(self, index: int) -> Array | None:
        """The elements of an operand that is the same in every run, else None."""
        operand = self.operand(index)
        if operand is None or isinstance(operand, NewConstant):
            return None if operand is None else operand.data
        tensor = stored_tensor(operand)
        return None if tensor is None else tensor.numpy()

    def dtype(self, index: int) -> ir.DataType | None:
        """The element type of an operand, None where it is unknown or there is no operand."""
        operand = self.operand(index)
        if isinstance(operand, NewConstant):
            return ir.DataType.from_numpy(operand.data.dtype)
        known = None if operand is None else self.facts.dtype(operand)
        return known or dtype_of(operand, self.opset)

    def shape(self, index: int) -> tuple[int | None, ...] | None:
        """The sizes that the model declares for an operand, None for dynamic ones; None for no known rank."""
        operand = self.operand(index)
        if operand is None or isinstance(operand, NewConstant):
            return None if operand is None else operand.data.shape
        known = self.facts.shape(operand)
        if known is not None:
            return tuple(size.static for size in known)
        shape = operand.shape
        return None if shape is None else tuple(size if isinstance(size, int) else None for size in shape)

    def attribute(self, name: str, default: Any = None) -> Any:
        """The value of an attribute; `default` where the node hasn't got it.

        Raises:
            UnknownAttributeError: The attribute refers to one of the function that holds the node.
        """
        found = self.attributes.get(name)
        if found is not None and found.is_ref():
            raise UnknownAttributeError(name)
        return default if found is None else found.value

    def is_read(self, output: int) -> bool:
        """Whether anything reads an output of the node."""
        if output >= len(self.node.outputs):
            return False
        value = self.node.outputs[output]
        return bool(value.uses()) or value.is_graph_output()

    def with_input(self, index: int, operand: Operand) -> Form:
        """This form with another operand at an input."""
        inputs = list(self.inputs) + [None] * (index + 1 - len(self.inputs))
        inputs[index] = operand
        while inputs[-1] is None:
            inputs.pop()
        return replace(self, inputs=tuple(inputs))

    def with_attributes(self, **values: int | str) -> Form:
        """This form with further attributes."""
        made = {
            name: ir.AttrString(name, value) if isinstance(value, str) else ir.AttrInt64(name, value)
            for name, value in values.items()
        }
        return replace(self, attributes={**self.attributes, **made})

    def without(self, *names: str) -> Form:
        """This form without some attributes."""
        return replace(self, attributes={n: attr for n, attr in self.attributes.items() if n not in names})


@cache
def versions_of(op_type: str) -> tuple[int, ...]:
    """The opsets that define an operator of the default domain anew, ascending; empty if none does."""
    found: list[int] = []
    version = onnx.defs.onnx_opset_version()
    while version > 0:  # to ask for one operator's definitions costs a thousandth of asking for all
        try:
            version = onnx.defs.get_schema(op_type, version, "").since_version
        except onnx.defs.SchemaError:  # nothing is as old as that
            break
        found.append(version)
        version -= 1
    return tuple(reversed(found))


def dtype_of(value: ir.Value | None, opset: int) -> ir.DataType | None:
    """The element type of a value: declared, stored, or tied by its producer's signature to another value's.

    Args:
        value: the value, or None for an operand left out.
        opset: version of the default domain that the graph holding the value imports.

    Returns:
        The type, None where nothing tells it.
    """
    while value is not None:
        if value.dtype is not None:
            return value.dtype
        tensor = stored_tensor(value)
        if tensor is not None:
            dtype: ir.DataType = tensor.dtype
            return dtype
        told = _told_by_signature(value, opset)
        if not isinstance(told, ir.Value):
            return told
        value = told
    return None


def _told_by_signature(value: ir.Value, opset: int) -> ir.DataType | ir.Value | None:
    """The type of a node's output, or the input whose type it shares, as the operator's signature says."""
    node, index = value.producer(), value.index()
    if node is None or index is None or node.domain:
        return None
    if node.op_type == "Cast":
        to = node.attributes.get("to")
        return None if to is None or to.is_ref() else ir.DataType(to.value)
    since = max((version for version in versions_of(node.op_type) if version <= opset), default=None)
    if since is None:
        return None
    schema = onnx.defs.get_schema(node.op_type, since, "")
    formal = schema.outputs[min(index, len(schema.outputs) - 1)]
    if len(formal.types) == 1:
        (name,) = formal.types
        return ir.DataType[name[len("tensor(") : -1].upper()] if name.startswith("tensor(") else None
    for operand, parameter in zip(node.inputs, schema.inputs, strict=False):
        if operand is not None and parameter.type_str == formal.type_str and parameter.is_homogeneous:
            return operand
    return None
