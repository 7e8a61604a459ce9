"""Graphs executed: every value, as onnx's reference evaluator computes it in float64, and how certain it is."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator

from tests.core.growing import Exact, Shape

Array = npt.NDArray[np.generic]
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)
# Beyond this a value is the outcome of a division by almost nothing, and old versions of Clip cut it.
LARGEST = 1e30


@dataclass(frozen=True)
class Observation:
    """Every value of a graph for one input.

    Attributes:
        values: the values by name.
        nearby: computes them for an input that is changed by so much of itself.
    """

    values: Mapping[str, Array]
    nearby: Callable[[float], Mapping[str, Array]]

    @cached_property
    def _near(self) -> Mapping[str, Array]:
        return self.nearby(1e-13)

    @cached_property
    def _further(self) -> Sequence[Mapping[str, Array]]:
        return [self._near, *(self.nearby(change) for change in (-1e-13, 3e-13, 1e-12, 1e-11))]

    def differs(self, name: str, found: Exact, magnitude: Exact | float = 0.0) -> str | None:
        """In words how far `found` is from the value, if it is beyond rounding; where that is finite, that is.

        Args:
            name: the value's name.
            found: what it is said to be.
            magnitude: how large the numbers are that `found` was added up from.
        """
        seen = np.asarray(self.values[name], np.float64)
        if found.shape != seen.shape:
            return f"{name} has shape {seen.shape}, not {found.shape}"
        if not _wrong(found, seen, [self._near[name]], magnitude).any():
            return None
        wrong = _wrong(found, seen, [values[name] for values in self._further], magnitude)
        if not wrong.any():
            return None
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        return f"{name}{list(place)} is {seen[place]:.9g}, not {found[place]:.9g}"


def _wrong(found: Exact, seen: Exact, nearby: Sequence[Array], magnitude: Exact | float) -> npt.NDArray[np.bool_]:
    """Where `found` is further from what was seen than rounding carries it, as far as that can be judged."""
    with np.errstate(all="ignore"):
        spread = np.max([np.abs(np.asarray(near, np.float64) - seen) for near in nearby], axis=0)
        slack = 1e-6 * (1 + np.abs(seen)) + 1e5 * spread + 1e-12 * magnitude
        judged = np.isfinite(seen) & (np.abs(seen) < LARGEST) & (slack < 1e-2 * (1 + np.abs(seen)))
        # Rounding makes roots and quotients of nearly nothing undefined.
        lost = np.isnan(found) & (np.abs(seen) < 1e-6)
        return np.asarray(judged & ~lost & ~(np.abs(found - seen) <= slack))


def exact(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with every Cast to a floating type leading to double, and the statistics of norms in double."""
    widened = onnx.ModelProto()
    widened.CopyFrom(model)
    for node in widened.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i in _FLOATS:
                attribute.i = TensorProto.DOUBLE
        told = [attribute for attribute in node.attribute if attribute.name == "stash_type"]
        for attribute in told:  # the reference evaluator takes the operands' type, and doesn't want to be asked for it
            node.attribute.remove(attribute)
    return widened


def observe(evaluator: ReferenceEvaluator, fed: Mapping[str, Exact]) -> Observation:
    """Run a model that is `exact`."""

    def run(change: float) -> Mapping[str, Array]:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of a pool that is all NaN
            found: Any = evaluator.run(None, {n: _changed(x, change) for n, x in fed.items()}, intermediate=True)
        return dict(found)

    return Observation(run(0.0), run)


def _changed(x: Exact, change: float) -> Exact:
    return np.asarray(x * (1 + np.resize([change, -change, 0.0], x.size).reshape(x.shape)))


def sample(shape: Shape, seed: int) -> Exact:
    """Numbers of both signs for an even seed, of one for an odd one."""
    normal = np.random.default_rng(seed).standard_normal(shape)
    return np.asarray(np.exp(normal) if seed % 2 else normal)
