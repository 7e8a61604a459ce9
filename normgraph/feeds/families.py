"""Named families of floating inputs: ordinary ones, and those on which normalizations go wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from normgraph.constants import Array

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Family:
    """A way to draw numbers.

    Attributes:
        name: what it is asked for by.
        make: (standard normal noise, noise that is one number along the axes of the statistics, limits of the
            type) → the numbers, before they are rounded to the type.
        meaning: what it is for, in a few words.
    """

    name: str
    make: Callable[[Float64, Float64, Any], Float64]
    meaning: str


def limits(dtype: np.dtype) -> Any:
    """The limits of a floating type, of ml_dtypes' types too."""
    return ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]


def _offset(by: float) -> Family:
    return Family(
        f"offset {by:g}",
        lambda noise, *_: noise + by,
        f"mean {by:g}, standard deviation 1: the variance is a small difference of large numbers",
    )


def _largest(noise: Float64, _: Float64, limit: Any) -> Float64:
    """Up to a tenth of the largest number of the type, either sign: squares overflow, sums of few don't."""
    bound = float(limit.max) / 10
    return np.clip(noise * (bound / 3), -bound, bound)


#: The families by their names.
FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        Family("normal", lambda noise, *_: noise, "mean 0, standard deviation 1"),
        _offset(10.0),
        _offset(100.0),
        _offset(1000.0),
        _offset(10000.0),
        Family("tiny variance", lambda noise, *_: noise * 1e-3, "standard deviation 0.001: epsilon shows"),
        Family("constant rows", lambda _, rows, __: rows, "no variance at all: nothing but epsilon is divided by"),
        Family(
            "large magnitude",
            lambda noise, _, limit: noise * min(1e4, float(limit.max) / 50),
            "standard deviation 10,000, or a fiftieth of the largest number",
        ),
        Family("largest", _largest, "up to a tenth of the largest number: squares overflow"),
        Family(
            "subnormal",
            lambda noise, _, limit: noise * float(limit.smallest_normal) / 8,
            "below the smallest normal number, where few bits are left",
        ),
    )
}
#: Those that say how a model fares on what it was made for.
ORDINARY = ("normal",)


def draw(name: str, shape: Sequence[int], over: Sequence[int], dtype: np.dtype, seed: Sequence[int]) -> Array:
    """Numbers of a family.

    Args:
        name: a key of `FAMILIES`.
        shape: the shape of the tensor.
        over: the dimensions along which rows are constant in the family that has such.
        dtype: a floating type, which bounds the magnitudes.
        seed: what the random numbers follow from, and nothing else does.

    >>> draw("constant rows", (1, 3), (1,), np.dtype(np.float16), (0,)).tolist()
    [[0.10491943359375, 0.10491943359375, 0.10491943359375]]
    """
    extents = tuple(shape)
    rows = tuple(1 if i in over else extent for i, extent in enumerate(extents))
    noise, constant = _noise(extents, rows, tuple(seed))
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(FAMILIES[name].make(noise, constant, limits(dtype))).astype(dtype)


@lru_cache(maxsize=32)
def _noise(shape: tuple[int, ...], rows: tuple[int, ...], seed: tuple[int, ...]) -> tuple[Float64, Float64]:
    """Standard normal numbers of a shape, and such of another broadcast to it; all families are made from them."""
    generator = np.random.default_rng(list(seed))
    noise = generator.standard_normal(shape)
    noise.flags.writeable = False
    return noise, np.broadcast_to(generator.standard_normal(rows), shape)
