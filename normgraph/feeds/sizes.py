"""Sizes for the dynamic dimensions of a model."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping

from normgraph.errors import UsageError
from normgraph.facts import FLOATING
from normgraph.feeds.signature import Input, Signature

Sizes = Mapping[str, int]

#: Candidates, the likeliest first: leading dimensions, the first of the others and the step to the next, pixels.
#: The first two differ in every size; the others are for models that want room, or sizes that agree.
_CANDIDATES = ((2, 7, 2, 32), (1, 12, 3, 64), (3, 16, 0, 64), (2, 64, 0, 96), (1, 128, 0, 224), (2, 2, 0, 32))
_OPERATIONS: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
}


def size_candidates(signature: Signature, given: Sizes | None = None) -> Iterator[Sizes]:
    """Assignments of sizes to the dynamic dimensions, the likeliest first; whether a model takes them, it has to tell.

    Dimensions whose names are arithmetic on others, such as ``past + sequence``, are computed.

    Args:
        signature: the model's signature.
        given: sizes that the caller asks for, by the names of the dimensions.

    Raises:
        UsageError: a size is given for a dimension that the model hasn't got.
    """
    given = given or {}
    symbols = signature.symbols
    bases = tuple(dict.fromkeys(name for symbol in symbols for name in _names_in(symbol)))
    for name in given:
        if name not in symbols and name not in bases:
            known = ", ".join(symbols) or "none"
            raise UsageError(
                f"a size may be given for a dynamic dimension only, and '{name}' isn't one: {signature.model}; "
                f"its dynamic dimensions are: {known}"
            )
    leading, pixels = _leading(signature), _pixels(signature)
    made: list[dict[str, int]] = []
    for batch, first, step, extent in _CANDIDATES:
        sizes: dict[str, int] = {}
        others = 0
        for name in bases:
            if name in given:
                sizes[name] = given[name]
            elif name in leading:
                sizes[name] = batch
            elif name in pixels:
                sizes[name] = extent
            else:
                sizes[name] = first + step * others
                others += 1
        sizes |= {symbol: _evaluated(symbol, sizes) for symbol in symbols if symbol not in sizes}
        sizes |= given
        if sizes not in made:
            made.append(sizes)
            yield sizes


def _leading(signature: Signature) -> set[str]:
    """Dimensions that stand first wherever they stand, as a batch does."""
    first = {item.dims[0] for item in signature.inputs if item.dims and isinstance(item.dims[0], str)}
    behind = {dim for item in signature.inputs for dim in item.dims[1:]}
    return {str(name) for name in first - behind}


def _pixels(signature: Signature) -> set[str]:
    """Dimensions of images and volumes, which convolutions make smaller."""
    images = [item for item in signature.inputs if item.dtype in FLOATING and len(item.dims) >= 4 and not _cached(item)]
    return {dim for item in images for dim in item.dims[1:] if isinstance(dim, str)}


def _cached(item: Input) -> bool:
    """Whether it holds keys and values of earlier tokens."""
    return any(word in item.name.lower() for word in ("past", "cache", "key", "value"))


def _names_in(symbol: str) -> tuple[str, ...]:
    """The names that a dimension's name is arithmetic on; itself where it is none."""
    parsed = _parsed(symbol)
    if parsed is None:
        return (symbol,)
    return tuple(node.id for node in ast.walk(parsed) if isinstance(node, ast.Name))


def _parsed(symbol: str) -> ast.expr | None:
    try:
        parsed = ast.parse(symbol, mode="eval").body
    except (SyntaxError, ValueError, RecursionError):
        return None
    arithmetic = isinstance(parsed, ast.BinOp) and all(
        isinstance(node, ast.BinOp | ast.Name | ast.operator | ast.expr_context)
        or (isinstance(node, ast.Constant) and isinstance(node.value, int))
        for node in ast.walk(parsed)
    )
    return parsed if arithmetic and _is_known(parsed) else None


def _is_known(parsed: ast.expr) -> bool:
    return all(type(node.op) in _OPERATIONS for node in ast.walk(parsed) if isinstance(node, ast.BinOp))


def _evaluated(symbol: str, sizes: Sizes) -> int:
    def compute(node: ast.expr) -> int:
        if isinstance(node, ast.BinOp):
            return _OPERATIONS[type(node.op)](compute(node.left), compute(node.right))
        if isinstance(node, ast.Name):
            return sizes[node.id]
        assert isinstance(node, ast.Constant)
        return int(node.value)  # type: ignore[arg-type]

    parsed = _parsed(symbol)
    try:
        return max(0, compute(parsed)) if parsed is not None else 1
    except ZeroDivisionError:
        return 1
