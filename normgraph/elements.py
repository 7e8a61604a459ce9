"""Arithmetic on shapes: what is known of the elements of small integer tensors.

Exporters compute the shapes of reshapes and expansions at run time, from Shape nodes.  Each rule says what the elements
of a node's output are, as products of static and dynamic sizes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from normgraph.axes import Size, product, static_size
from normgraph.constants import attribute, raw_bytes
from normgraph.shapes import axes_of

if TYPE_CHECKING:
    from normgraph.facts import Facts

#: Integer tensors of more elements aren't followed.
MAXIMAL_TRACKED = 64


@dataclass(frozen=True, slots=True)
class Elements:
    """The elements of an integer tensor, or of a floating one that was cast from integers.

    Attributes:
        sizes: one size per element, None where it is unknown; a static one may be negative.
        rank: 0 for a scalar, 1 for a vector.
    """

    sizes: tuple[Size | None, ...]
    rank: int


Rule = Callable[[ir.Node, "Facts"], Elements | None]


def stored_elements(tensor: ir.TensorProtocol, extents: tuple[int, ...], dtype: ir.DataType) -> Elements:
    """The elements of a small tensor of integers."""
    raw = raw_bytes(tensor)
    if dtype == ir.DataType.INT64 and len(raw) == 8 * math.prod(extents):
        return _elements_of_bytes(raw, len(extents))
    return Elements(tuple(map(static_size, np.asarray(tensor.numpy()).reshape(-1).tolist())), rank=len(extents))


@lru_cache(maxsize=4096)
def _elements_of_bytes(raw: bytes, rank: int) -> Elements:
    """The elements of a tensor of 64-bit integers; a model stores the same few axes and shapes again and again."""
    return Elements(tuple(map(static_size, np.frombuffer(raw, "<i8").tolist())), rank)


def _of(node: ir.Node, facts: Facts, position: int = 0) -> Elements | None:
    value = node.inputs[position] if position < len(node.inputs) else None
    return None if value is None else facts.elements.get(value)


def _shape(node: ir.Node, facts: Facts) -> Elements | None:
    source = node.inputs[0]
    shape = None if source is None else facts.shape(source)
    if shape is None:
        return None
    window = slice(attribute(node, "start", 0), attribute(node, "end"))
    return Elements(tuple(shape[window]), rank=1)


def _size(node: ir.Node, facts: Facts) -> Elements | None:
    source = node.inputs[0]
    shape = None if source is None else facts.shape(source)
    return None if shape is None else Elements((product(shape),), rank=0)


def _gather(node: ir.Node, facts: Facts) -> Elements | None:
    data, index = _of(node, facts), _of(node, facts, 1)
    if data is None or index is None or data.rank != 1:
        return None
    picked: list[Size | None] = []
    for position in index.sizes:
        if position is None or position.symbols or not -len(data.sizes) <= position.factor < len(data.sizes):
            return None
        picked.append(data.sizes[position.factor])
    return Elements(tuple(picked), rank=index.rank)


def _slice(node: ir.Node, facts: Facts) -> Elements | None:
    data = _of(node, facts)
    if data is None or data.rank != 1:
        return None
    if len(node.inputs) == 1:  # before opset 10
        starts, ends = attribute(node, "starts"), attribute(node, "ends")
    else:
        starts, ends = facts.integers(node.inputs[1]), facts.integers(node.inputs[2])
    step: int | None = 1
    if len(node.inputs) > 4 and node.inputs[4] is not None:
        steps = facts.integers(node.inputs[4])
        step = steps[0] if steps else None
    if not starts or not ends or step is None or step <= 0:
        return None
    return Elements(data.sizes[starts[0] : ends[0] : step], rank=1)


def _concat(node: ir.Node, facts: Facts) -> Elements | None:
    sizes: list[Size | None] = []
    for position in range(len(node.inputs)):
        part = _of(node, facts, position)
        if part is None:
            value = node.inputs[position]
            shape = None if value is None else facts.shape(value)
            if shape is None or len(shape) != 1 or shape[0].static is None:
                return None
            part = Elements((None,) * shape[0].static, rank=1)
        sizes.extend(part.sizes)
    followed = len(sizes) <= MAXIMAL_TRACKED and any(size is not None for size in sizes)
    return Elements(tuple(sizes), rank=1) if followed else None


def _reshaped(node: ir.Node, facts: Facts) -> Elements | None:
    """Squeeze, Unsqueeze and Reshape between a scalar and a vector."""
    source = _of(node, facts)
    if source is None:
        return None
    if node.op_type == "Squeeze":
        return Elements(source.sizes, rank=0) if len(source.sizes) == 1 else None
    written = attribute(node, "axes") if node.op_type == "Unsqueeze" else None
    entries = written or (facts.integers(node.inputs[1]) if len(node.inputs) > 1 else None)
    if entries is None:
        return None
    rank = len(entries) + (source.rank if node.op_type == "Unsqueeze" else 0)
    return Elements(source.sizes, rank) if rank <= 1 else None


def _passed_on(node: ir.Node, facts: Facts) -> Elements | None:
    return _of(node, facts)


#: Types that hold every size in question exactly, or to within rounding far below any tolerance.
_EXACT = frozenset({ir.DataType.INT64, ir.DataType.INT32, ir.DataType.FLOAT, ir.DataType.DOUBLE})


def _cast(node: ir.Node, facts: Facts) -> Elements | None:
    return _of(node, facts) if ir.DataType(attribute(node, "to", 0)) in _EXACT else None


def _elementwise(operation: Callable[[Size, Size], Size | None]) -> Rule:
    def rule(node: ir.Node, facts: Facts) -> Elements | None:
        a = _of(node, facts)
        b = None if a is None else _of(node, facts, 1)
        if a is None or b is None:
            return None
        count = max(len(a.sizes), len(b.sizes))
        if len(a.sizes) not in (1, count) or len(b.sizes) not in (1, count):
            return None
        pairs = zip(_cycled(a, count), _cycled(b, count), strict=True)
        sizes = tuple(None if x is None or y is None else operation(x, y) for x, y in pairs)
        return Elements(sizes, rank=max(a.rank, b.rank))

    return rule


def _cycled(elements: Elements, count: int) -> tuple[Size | None, ...]:
    return elements.sizes if len(elements.sizes) == count else elements.sizes * count


def _sum(a: Size, b: Size) -> Size | None:
    return static_size(a.factor + b.factor) if not a.symbols and not b.symbols else None


def _difference(a: Size, b: Size) -> Size | None:
    return static_size(a.factor - b.factor) if not a.symbols and not b.symbols else None


def _equal(a: Size, b: Size) -> Size | None:
    """1 or 0; a dynamic size is never negative, and equals itself."""
    if a == b:
        return static_size(1)
    if not a.symbols and not b.symbols:
        return static_size(0)
    return static_size(0) if min(a.factor, b.factor) < 0 <= max(a.factor, b.factor) else None


def _where(node: ir.Node, facts: Facts) -> Elements | None:
    condition, a, b = (_of(node, facts, position) for position in range(3))
    if condition is None or a is None or b is None:
        return None
    count = max(len(part.sizes) for part in (condition, a, b))
    if any(len(part.sizes) not in (1, count) for part in (condition, a, b)):
        return None
    chosen = [
        None if c is None else (y if c.factor == 0 else x)
        for c, x, y in zip(*(_cycled(part, count) for part in (condition, a, b)), strict=True)
    ]
    return Elements(tuple(chosen), rank=max(condition.rank, a.rank, b.rank))


def _reduce_prod(node: ir.Node, facts: Facts) -> Elements | None:
    source = _of(node, facts)
    if source is None or source.rank != 1 or any(size is None for size in source.sizes):
        return None
    if axes_of(node, facts, 1) != (0,):
        return None
    return Elements(
        (product(s for s in source.sizes if s is not None),), rank=1 if attribute(node, "keepdims", 1) else 0
    )


def _constant_of_shape(node: ir.Node, facts: Facts) -> Elements | None:
    shape = facts.integers(node.inputs[0])
    value = attribute(node, "value")
    if shape is None or len(shape) > 1 or value is None or not value.dtype.is_integer():
        return None
    count = shape[0] if shape else 1
    if count > MAXIMAL_TRACKED:
        return None
    return Elements((static_size(int(value.numpy().reshape(-1)[0])),) * count, len(shape))


ELEMENT_RULES: dict[str, Rule] = {
    "Add": _elementwise(_sum),
    "Cast": _cast,
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "Div": _elementwise(lambda a, b: a.divided_by(b)),
    "Equal": _elementwise(_equal),
    "Gather": _gather,
    "Identity": _passed_on,
    "Mul": _elementwise(lambda a, b: a * b),
    "ReduceProd": _reduce_prod,
    "Reshape": _reshaped,
    "Shape": _shape,
    "Size": _size,
    "Slice": _slice,
    "Squeeze": _reshaped,
    "Sub": _elementwise(_difference),
    "Unsqueeze": _reshaped,
    "Where": _where,
}
