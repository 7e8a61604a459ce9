"""Element types of the values that operators make, read off the operators' schemas.

An output has the type of the input that shares its type variable, or the one type that its schema allows; a few
operators say it in an attribute.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir

from normgraph.constants import attribute

if TYPE_CHECKING:
    from normgraph.facts import Facts


def _from_attribute(name: str, default: int) -> Callable[[ir.Node], ir.DataType]:
    return lambda node: ir.DataType(attribute(node, name) or default)


def _of_fill(node: ir.Node) -> ir.DataType:
    value = attribute(node, "value")
    return ir.DataType.FLOAT if value is None else value.dtype


_DataType = ir.DataType
_FLOAT = int(ir.DataType.FLOAT)
#: Operators whose attributes say the type of their output.
_DECIDED_BY_ATTRIBUTE: dict[str, Callable[[ir.Node], ir.DataType]] = {
    "Cast": _from_attribute("to", _FLOAT),
    "ConstantOfShape": _of_fill,
    "RandomNormal": _from_attribute("dtype", _FLOAT),
    "RandomUniform": _from_attribute("dtype", _FLOAT),
}
#: Operators that ONNX Runtime has in the standard's domain, without a schema: the input whose type the output has.
_UNLISTED = {"SimplifiedLayerNormalization": 1}
_NAMES = "FLOAT DOUBLE FLOAT16 BFLOAT16 INT64 INT32 INT16 INT8 UINT64 UINT32 UINT16 UINT8 BOOL STRING".split()
_TENSOR_TYPES = {f"tensor({name.lower()})": ir.DataType[name] for name in _NAMES}


@cache
def _sources(operator: str, version: int, domain: str) -> tuple[int | ir.DataType | None, ...]:
    """For each output the input whose type it shares, or its only type, or None."""
    try:
        schema = onnx.defs.get_schema(operator, version, domain)
    except onnx.defs.SchemaError:
        return (_UNLISTED[operator],) if operator in _UNLISTED and not domain else ()
    variables = {parameter.type_str: position for position, parameter in reversed(list(enumerate(schema.inputs)))}
    allowed = {constraint.type_param_str: constraint.allowed_type_strs for constraint in schema.type_constraints}
    sources: list[int | ir.DataType | None] = []
    for output in schema.outputs:
        if not output.is_homogeneous:  # what a Loop carries has as many types as values
            sources.append(None)
            continue
        types = allowed.get(output.type_str, [output.type_str])
        only = _TENSOR_TYPES.get(types[0]) if len(types) == 1 else None
        sources.append(only if only is not None else variables.get(output.type_str))
    return tuple(sources)


def infer_type(node: ir.Node, position: int, facts: Facts) -> ir.DataType | None:
    """The element type of the output at a position, None where the schema doesn't tell."""
    operator, domain = node.op_type, node.domain
    if operator in _DECIDED_BY_ATTRIBUTE and not domain:
        return _DECIDED_BY_ATTRIBUTE[operator](node)
    version = facts.opsets.get(domain)
    sources = () if version is None else _sources(operator, version, domain)
    source = sources[position if position < len(sources) else -1] if sources else None
    if source is None or isinstance(source, _DataType):
        return source
    inputs = node.inputs
    value = inputs[source] if source < len(inputs) else None
    return None if value is None else value.dtype or facts.dtypes.get(value)
