"""Graphs executed: every value, as onnx's reference evaluator computes it in float64, and how certain it is."""

from collections.abc import Mapping
from dataclasses import dataclass
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
        nearby: the same for an input a few units in the last place away.
    """

    values: Mapping[str, Array]
    nearby: Mapping[str, Array]

    def differs(self, name: str, found: Exact) -> str | None:
        """In words how far `found` is from the value, if it is beyond rounding; where that is finite, that is."""
        seen, near = (np.asarray(values[name], np.float64) for values in (self.values, self.nearby))
        if found.shape != seen.shape:
            return f"{name} has shape {seen.shape}, not {found.shape}"
        with np.errstate(all="ignore"):
            slack = 1e-6 * (1 + np.abs(seen)) + 1e5 * np.abs(near - seen)
            judged = (
                np.isfinite(seen) & np.isfinite(near) & (np.abs(seen) < LARGEST) & (slack < 1e-2 * (1 + np.abs(seen)))
            )
            # Rounding makes roots and quotients of nearly nothing undefined.
            lost = np.isnan(found) & (np.abs(seen) < 1e-6)
            wrong = judged & ~lost & ~(np.abs(found - seen) <= slack)
        if not wrong.any():
            return None
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        return f"{name}{list(place)} is {seen[place]:.9g}, not {found[place]:.9g}"


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
    with np.errstate(all="ignore"):
        values: Any = evaluator.run(None, dict(fed), intermediate=True)
        nearby: Any = evaluator.run(None, {name: _nudged(x) for name, x in fed.items()}, intermediate=True)
    return Observation(values, nearby)


def _nudged(x: Exact) -> Exact:
    return np.asarray(x * (1 + np.resize([1e-13, -1e-13, 0.0], x.size).reshape(x.shape)))


def sample(shape: Shape, seed: int) -> Exact:
    """Numbers of both signs for an even seed, of one for an odd one."""
    normal = np.random.default_rng(seed).standard_normal(shape)
    return np.asarray(np.exp(normal) if seed % 2 else normal)
