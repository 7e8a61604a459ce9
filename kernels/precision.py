"""Float64 and bounded memory, around definitions that know of neither."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Float64 = NDArray[np.float64]
#: An index of an array, one entry for each axis or an ellipsis and some.
Index = tuple[Any, ...]

#: The dtypes a kernel takes; bfloat16 is the one that the package ml_dtypes registers with NumPy.
FLOATING = ("float16", "bfloat16", "float32", "float64")

#: Those of them that NumPy has by itself; to ask another one for its name takes longer than to compute a small tensor.
_NATIVE = frozenset(map(np.dtype, ("float16", "float32", "float64")))

#: Elements that a kernel works on at once: 8 MiB in float64, of which about five copies live at a time.
BLOCK_ELEMENTS = 1 << 20


def require_floating(operator: str, **operands: Array | None) -> None:
    """Check that every operand has a floating-point dtype that ONNX knows.

    Raises:
        ValueError: one hasn't; float64 is what all are computed in, so longdouble is refused too.
    """
    for name, operand in operands.items():
        if operand is not None and operand.dtype not in _NATIVE and operand.dtype.name not in FLOATING:
            raise ValueError(
                f"{operator}: {name} must be one of {', '.join(FLOATING)}; "
                f"it is {operand.dtype.name} of shape {operand.shape}"
            )


def blocks(shape: tuple[int, ...], whole_axes: Collection[int]) -> Iterator[tuple[slice, ...]]:
    """Indices that cut a tensor into blocks and cover each element once.

    Args:
        shape: of the tensor.
        whole_axes: axes that no cut may cross, because something is summed along them.

    Yields:
        One slice for each axis. A block has at most `BLOCK_ELEMENTS` elements, unless the whole axes alone
        have more.
    """
    extents = list(shape)
    for axis in range(len(shape)):
        elements = prod(extents)
        if elements <= BLOCK_ELEMENTS:
            break
        if axis not in whole_axes:
            extents[axis] = max(1, extents[axis] * BLOCK_ELEMENTS // elements)
    yield from itertools.product(*map(_cuts, shape, extents))


def _cuts(length: int, step: int) -> list[slice]:
    """Slices of at most `step` that cover a length."""
    return [slice(start, start + step) for start in range(0, length, max(step, 1))]


def evaluate(
    definition: Callable[..., Float64],
    x: Array,
    *,
    whole_axes: Collection[int],
    dtype: np.dtype[Any] | None = None,
    **operands: Any,
) -> Array:
    """Run a definition on float64 blocks of a tensor and round the result once.

    Nothing is computed in x's own precision. Floating-point exceptions follow IEEE 754 silently: what
    overflows `dtype` becomes infinite, NaN stays NaN. float64 to bfloat16 rounds through float32 (that is how
    ml_dtypes converts), which can be off by one in the last place in one of about 2¹⁶ cases.

    Args:
        definition: a function of one block and `operands`, which returns an array of the block's shape.
        x: the tensor.
        whole_axes: axes that the definition must see entirely; none negative.
        dtype: of the result; x's where not given.
        operands: what else the definition takes, by keyword. Arrays must broadcast to x's shape; they are cut
            and cast as x is. Anything else is handed on as it is.

    Returns:
        An array of x's shape.
    """
    result = np.empty(x.shape, dtype or x.dtype)
    aligned = {name: _aligned(operand, x.ndim) for name, operand in operands.items()}
    with np.errstate(all="ignore"):
        for index in blocks(x.shape, whole_axes):
            parts = {name: _part(operand, index) for name, operand in aligned.items()}
            result[index] = definition(x[index].astype(np.float64), **parts)
    return result


def _aligned(operand: Any, rank: int) -> Any:
    """The operand with leading axes of extent one up to the rank, as broadcasting would add them."""
    if not isinstance(operand, np.ndarray):
        return operand
    return operand.reshape((1,) * (rank - operand.ndim) + operand.shape)


def _part(operand: Any, index: tuple[slice, ...]) -> Any:
    """What of an aligned operand meets the block at `index`, in float64."""
    if not isinstance(operand, np.ndarray):
        return operand
    cut = (slice(None) if n == 1 else part for n, part in zip(operand.shape, index, strict=True))
    return operand[tuple(cut)].astype(np.float64)
