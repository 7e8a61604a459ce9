"""Whether a replacement is the same function as the original in float64, where hardly anything is rounded.

In a type of few digits a bound on errors lets much pass: 16 units in the last place are 1.6 % of the largest value in
float16, and 12.5 % in bfloat16.  So there both are computed in float64 as well.  All that may be left between them then
is what rounding the constants of the replacement does, each once to the type.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir
from onnx import numpy_helper

from normgraph.coefficients import TOLERANCE
from normgraph.constants import Array
from normgraph.doubles import FLOATING_KINDS, Doubles, NotComputed
from normgraph.evidence.measuring import Float64
from normgraph.evidence.record import SEED
from normgraph.execution import NotRunnable, Runner
from normgraph.feeds.families import limits
from normgraph.fragments import Fragment

#: The families on which the two are compared: ordinary inputs, those that show epsilon, those that show a shift.
COMPARED = ("normal", "tiny variance", "subnormal")
#: What may differ whatever is rounded, relative to the largest true value: constants within `TOLERANCE` of each other
#: are taken for the same in matching, and some of them meet in one value.
AGREED = 5 * TOLERANCE
#: Of a type whose unit in the last place is finer the bound on errors says as much.
_FINE = 1e-6
#: Operators that make no more of magnitudes than of what they are the magnitudes of.
_LINEAR = frozenset(
    ["Add", "Cast", "Concat", "Conv", "ConvTranspose", "Expand", "Flatten", "Gather", "Gemm", "Identity", "MatMul",
     "Mul", "Reshape", "Shape", "Squeeze", "Sum", "Transpose", "Unsqueeze"]
)  # fmt: skip
#: Those that make one number of many of their weights; of all others each element reads one of each constant.
_CONTRACTING = frozenset(["Conv", "ConvTranspose", "Gemm", "MatMul"])


def is_coarse(dtype: np.dtype) -> bool:
    """Whether the bound on the errors of a type leaves room for another function."""
    return float(limits(dtype).eps) > _FINE


@dataclass(frozen=True)
class Agreement:
    """A replacement in float64, to be held against the truth.

    Attributes:
        computed: computes it, its weights aside.
        replaced: its model.
        weights: its weights, as doubles.
        rounded: those of its constants that were rounded.
        dtype: the type that they were rounded to.
        others: makes what computes it as well, weights and all: ONNX Runtime or onnx's reference evaluator.
        doubted: whether these are asked before anything is refused.
    """

    computed: Doubles
    replaced: onnx.ModelProto
    weights: Mapping[str, Float64]
    rounded: Mapping[str, Float64]
    dtype: np.dtype
    others: Callable[[], Runner]
    doubted: bool = False

    def broken(self, family: str, feed: Mapping[str, Array], shape: tuple[int, ...], exact: Float64) -> str | None:
        """How it differs from the truth by more than rounding its constants explains, as a sentence.

        Args:
            family: the family of inputs.
            feed: the inputs, doubles.
            shape: the shape of the first.
            exact: the truth.

        Returns:
            The sentence; None if it doesn't differ, or if that can't be told.
        """
        try:
            found = np.asarray(self.computed({**feed, **self.weights}), np.float64)
            beyond = _beyond(found, exact, lambda: self._rounding(feed, found))
            if beyond is not None and self.doubted:
                with suppress(NotRunnable):
                    again = np.asarray(self.others()(feed), np.float64)
                    beyond = _beyond(again, exact, lambda: self._rounding(feed, found))
        except NotComputed:
            return None
        if beyond is None:
            return None
        difference, allowed = beyond
        return (
            f"in float64 it differs by {difference:.2g}, of which rounding its constants explains {allowed:.2g}, "
            f"on {family} inputs of shape {list(shape)}, seed {SEED}"
        )

    def _rounding(self, feed: Mapping[str, Array], found: Float64) -> Float64:
        """What rounding its constants, each by half a unit in the last place, does to each element at most.

        Where an element of the result is made from one of each constant, moving all of that shows it.  Where it is a
        sum of products, Σwx, it is u·Σ|w||x| with u the unit roundoff, once for each factor that was rounded: the same
        map of magnitudes.

        Raises:
            NotComputed: it isn't known.
        """
        if not self.rounded:
            return np.zeros_like(found)
        unit, least = float(limits(self.dtype).eps) / 2, float(limits(self.dtype).smallest_normal)
        fed = {**feed, **self.weights}
        magnitudes = {name: np.maximum(np.abs(array), least) for name, array in self.rounded.items()}
        nodes = self.replaced.graph.node
        if all(node.op_type not in _CONTRACTING for node in nodes):
            moved = ({**fed, name: self.rounded[name] + m * unit} for name, m in magnitudes.items())
            total: Float64 = sum((np.abs(self.computed(each) - found) for each in moved), np.zeros_like(found))
            return total
        factors = [_factors(node, self.rounded.keys()) for node in nodes]
        held = {**_floating(self.replaced), **fed}
        given = {name: np.abs(a) if a.dtype.kind in FLOATING_KINDS else a for name, a in held.items()}
        bound: Float64 = np.asarray(self.computed({**given, **magnitudes}), np.float64)
        return bound * ((1 + unit) ** max(1, sum(factors)) - 1)


def agreement_of(
    original: Fragment,
    candidate: Callable[[], Fragment],
    exact: bool,
    opened: Callable[[], Doubles | None],
    others: Callable[[], Runner],
) -> Agreement | None:
    """What holds a replacement against the truth; None where its type is fine, or it isn't computed in float64 here.

    Args:
        original: the region.
        candidate: its replacement.
        exact: whether none of its constants was rounded. Otherwise all were but those that the region calls the same.
        opened: makes what computes that; None if it isn't computed here.
        others: makes what computes it as well, weights and all.
    """
    dtype = ir.DataType(original.inputs[0][1]).numpy()
    computed = opened() if is_coarse(dtype) else None
    if computed is None:
        return None
    replaced = candidate()
    weights = _in_doubles(replaced.constants)
    own = {**_floating(original.model), **original.constants}
    made = {} if exact else {**_floating(replaced.model), **weights}
    rounded = {name: a for name, a in made.items() if name not in own or not np.array_equal(a, own[name])}
    return Agreement(computed, replaced.model, weights, rounded, dtype, others)


def _in_doubles(arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {name: _double(array) for name, array in arrays.items()}


def _double(array: Array) -> Array:
    return array.astype(np.float64) if array.dtype.kind in FLOATING_KINDS else array


def _floating(model: onnx.ModelProto) -> dict[str, Float64]:
    """The floating constants that a model holds."""
    held = ((tensor.name, numpy_helper.to_array(tensor)) for tensor in model.graph.initializer)
    return {name: array.astype(np.float64) for name, array in held if array.dtype.kind in FLOATING_KINDS}


def _factors(node: onnx.NodeProto, rounded: Iterable[str]) -> int:
    """How many factors of a node's result were rounded.

    Raises:
        NotComputed: what it makes of magnitudes bounds nothing.
    """
    signs = [a.f for a in node.attribute if a.name in ("alpha", "beta")]
    if node.op_type not in _LINEAR or any(sign < 0 for sign in signs):
        raise NotComputed(node.op_type)
    return int(node.op_type in {*_CONTRACTING, "Mul"} and not set(rounded).isdisjoint(node.input))


def _beyond(found: Float64, exact: Float64, rounding: Callable[[], Float64]) -> tuple[float, float] | None:
    """Where a result differs from the truth by more than is explained: by how much, and what is explained."""
    if found.shape != exact.shape:
        return math.inf, 0.0
    known = np.isfinite(exact)
    least = AGREED * float(np.max(np.abs(exact), where=known, initial=0.0))
    with np.errstate(invalid="ignore"):
        difference = np.where(known, np.abs(found - exact), 0.0)
    difference[np.isnan(difference)] = math.inf
    if difference.max(initial=0.0) <= least:
        return None
    explained = np.broadcast_to(np.nan_to_num(rounding() + least, nan=0.0), difference.shape)
    at = np.unravel_index(int(np.argmax(difference - explained)), difference.shape)
    return None if difference[at] <= explained[at] else (float(difference[at]), float(explained[at]))
