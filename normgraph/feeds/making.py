"""Feeds made by a recipe, and feeds of other origin checked against a signature."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from normgraph.axes import Size
from normgraph.constants import Array
from normgraph.errors import UsageError
from normgraph.facts import FLOATING
from normgraph.feeds.families import FAMILIES, draw
from normgraph.feeds.signature import Input, Signature

#: No machine has memory for an input of more elements, and NumPy has other errors for such sizes.
MOST = 1 << 42


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a made feed follows from: together with the model's signature it gives the same numbers again.

    Attributes:
        family: of the floating inputs, a key of `families.FAMILIES`.
        seed: of the random numbers.
        sizes: the sizes of the dynamic dimensions, by their names.
    """

    family: str
    seed: int
    sizes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Feed:
    """Arrays for the inputs of a model.

    Attributes:
        label: what it is called in reports.
        arrays: an array for each input.
        recipe: what it was made by; None where it came from elsewhere.
    """

    label: str
    arrays: Mapping[str, Array]
    recipe: Recipe | None = field(default=None)


def made(signature: Signature, sizes: Mapping[str, int], *, family: str = "normal", seed: int = 0) -> Feed:
    """A feed for a model.

    Floating inputs are drawn from the family. Integers stay within the range that their use admits; masks are ones
    with zeros behind them, as padding leaves them; shapes and their like leave tensors as they are; single flags are
    switched from family to family and from seed to seed.

    Args:
        signature: the model's signature.
        sizes: a size for each dynamic dimension, as `size_candidates` gives them.
        family: a key of `families.FAMILIES`.
        seed: another gives other numbers.

    Raises:
        UsageError: there is no such family, an input takes what can't be made (text, complex numbers), or is larger
            than memory.
    """
    if family not in FAMILIES:
        raise UsageError(f"there is no family of inputs '{family}': choose one of {', '.join(FAMILIES)}")
    arrays = {}
    for item in signature.inputs:
        shape = tuple(sizes[dim] if isinstance(dim, str) else dim for dim in item.dims)
        try:
            if math.prod(shape) > MOST:
                raise MemoryError
            arrays[item.name] = _array(item, shape, signature, sizes, family, seed)
        except MemoryError as error:
            raise UsageError(
                f"inputs must fit into memory, and '{item.name}' of {'×'.join(map(str, shape))} elements doesn't: "
                f"{signature.model}; take smaller sizes"
            ) from error
    told = ", ".join(f"{name}={size}" for name, size in sizes.items())
    label = f"{family}, seed {seed}" + (f", {told}" if told else "")
    return Feed(label, arrays, Recipe(family, seed, dict(sizes)))


def _array(
    item: Input, shape: tuple[int, ...], signature: Signature, sizes: Mapping[str, int], family: str, seed: int
) -> Array:
    stream = (seed, zlib.crc32(item.name.encode()))
    values = item.values
    dtype = item.dtype
    if dtype not in FLOATING and not dtype.is_integer() and dtype is not ir.DataType.BOOL:
        raise UsageError(
            f"inputs of type {dtype.name} can't be made, and '{item.name}' is one: {signature.model}; "
            "give inputs of your own"
        )
    generator = np.random.default_rng(stream)
    if values.role == "fixed":
        elements = [_number(size, sizes) for size in values.fixed]
        return np.asarray(elements).astype(dtype.numpy()).reshape(shape)
    if values.role in ("index", "number"):
        low = max(low for low, _ in values.ranges)
        high = min(low + _number(count, sizes) for low, count in values.ranges)
        if values.role == "index":
            low = max(low, 0)
        return generator.integers(low, max(high, low + 1), shape).astype(dtype.numpy())
    if values.role == "mask":
        return _mask(generator, shape).astype(dtype.numpy())
    if values.role == "flag" and math.prod(shape) == 1:
        return np.full(shape, _switched(item, signature, family, seed))
    if values.role == "flag":
        return generator.integers(0, 2, shape).astype(dtype.numpy())
    return draw(family, shape, (len(shape) - 1,) if len(shape) > 1 else (), dtype.numpy(), stream)


def _switched(item: Input, signature: Signature, family: str, seed: int) -> bool:
    """A single flag, which mostly decides between branches: feeds of other families or seeds take the other ones.

    The flags are the digits of a number that is one more for each family and each seed.
    """
    flags = [other.name for other in signature.inputs if other.values.role == "flag"]
    return bool((seed + list(FAMILIES).index(family)) >> flags.index(item.name) & 1)


def _mask(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Ones with zeros behind them along the last dimension, at least one of it a one; the first row is whole."""
    if not shape or not shape[-1]:
        return np.ones(shape)
    lengths = generator.integers(1, shape[-1] + 1, shape[:-1])
    if lengths.ndim and lengths.size:
        lengths.reshape(-1)[0] = shape[-1]
    return np.asarray(np.arange(shape[-1]) < lengths[..., None]).reshape(shape)


def _number(size: Size, sizes: Mapping[str, int]) -> int:
    """A size as a number; a symbol that the signature doesn't know is taken to be one."""
    number = size.factor
    for symbol in size.symbols:
        number *= sizes.get(symbol, 1)
    return number


def checked(signature: Signature, label: str, arrays: Mapping[str, Array]) -> Feed:
    """A feed of arrays from elsewhere, if they fit the signature.

    Raises:
        UsageError: an input is missing, or an array has another type, rank or size than its input, or no input.
    """
    inputs = {item.name: item for item in signature.inputs}
    missing = [name for name in inputs if name not in arrays]
    extra = [name for name in arrays if name not in inputs]
    if missing:
        raise UsageError(
            f"every input must be given, and '{missing[0]}' isn't in {label}: {signature.model}; "
            f"its inputs are: {', '.join(inputs)}"
        )
    if extra:
        raise UsageError(
            f"an array must be one of the model's inputs, and '{extra[0]}' in {label} isn't: {signature.model}; "
            f"its inputs are: {', '.join(inputs) or 'none'}"
        )
    bound: dict[str, int] = {}
    for name, item in inputs.items():
        _check(item, np.asarray(arrays[name]), bound, label, signature.model)
    return Feed(label, {name: np.asarray(arrays[name]) for name in inputs})


def _check(item: Input, array: Array, bound: dict[str, int], label: str, model: str) -> None:
    wanted = f"{item.dtype.name.lower()}[{', '.join(map(str, item.dims))}]"
    found = f"{array.dtype}{list(array.shape)}"
    fits = item.dtype is ir.DataType.STRING or array.dtype == item.dtype.numpy()
    fits = fits and array.ndim == len(item.dims)
    for dim, extent in zip(item.dims, array.shape, strict=False):
        fits = fits and (bound.setdefault(dim, extent) if isinstance(dim, str) else dim) == extent
    if not fits:
        raise UsageError(
            f"an array must fit its input, and '{item.name}' in {label} is {found} where {wanted} is asked for: "
            f"{model}; convert or export it accordingly"
        )
