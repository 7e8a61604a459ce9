"""A whole model with every floating tensor a double, where it can be run so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from normgraph.constants import Array
from normgraph.execution import NotRunnable
from normgraph.model_io.carried import to_proto
from normgraph.model_io.walk import initializers
from normgraph.reference_operators import OPERATORS
from normgraph.runtime import first_line
from normgraph.verification.comparing import RELATIVE
from normgraph.verification.error_function import without_erf
from normgraph.verification.sessions import Session
from normgraph.verification.values import parts
from normgraph.widening import in_double, obstacle
from normgraph.wording import counted

#: Weights of more bytes than this aren't made doubles: they are held in memory, more than once.
LARGEST_IN_RUNTIME = 512 * 2**20
#: Beyond this, onnx's reference evaluator, which ONNX Runtime is relieved by, takes half a minute for an input: it is
#: asked about one only.
LARGEST_IN_REFERENCE = 16 * 2**20
_REFERENCE = "onnx's reference evaluator"
#: So many times what two models may differ by may a model depart from its truth, on ordinary inputs.
DEPARTURE = 10

Runner = Callable[[Mapping[str, Array]], dict[str, Array]]


@dataclass(frozen=True)
class Truth:
    """What a model computes in float64.

    Attributes:
        how: what computes it, or why nothing does.
        runner: computes the outputs; None where nothing does.
    """

    how: str
    runner: Runner | None = None

    def __call__(self, feed: Mapping[str, Array]) -> dict[str, Array] | None:
        """The outputs in float64, None where there are none."""
        if self.runner is None:
            return None
        try:
            return self.run(feed)
        except NotRunnable:
            return None

    def run(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs in float64.

        Raises:
            NotRunnable: nothing computes them.
        """
        if self.runner is None:
            raise NotRunnable(self.how)
        return self.runner({n: a.astype(np.float64) if str(a.dtype) in RELATIVE else a for n, a in feed.items()})


def truth_of(model: ir.Model, folder: Path, trial: Mapping[str, Array], made: Mapping[str, Array]) -> Truth:
    """A model in float64, if it can be run so.

    Args:
        model: the model; it isn't changed.
        folder: where its counterpart is written.
        trial: a feed to try it with.
        made: what the model itself makes of that. What computes something else in float64 isn't its truth: operators
            that two implementations don't agree about would excuse any error.
    """
    size = sum(tensor.nbytes for _, tensor in initializers(model))
    if size > LARGEST_IN_RUNTIME:
        return Truth(f"not computed: weights of {size / 2**20:,.0f} MiB would be held in memory as doubles")
    proto = to_proto(model)
    reason = obstacle(proto)
    if reason is not None:
        return Truth(f"not computed: {reason}")
    exact = in_double(proto)
    without_erf(exact)
    path = folder / "double.onnx"
    path.write_bytes(exact.SerializeToString())
    runners: list[tuple[str, Callable[[], Runner]]] = [("ONNX Runtime", lambda: Session(path))]
    runners.append((_REFERENCE, lambda: _Reference(exact)))
    reason = ""
    for name, opened in runners:
        try:
            truth = Truth(f"the first model with every floating tensor a double, in {name}", opened())
            found = truth.run(trial)
        except NotRunnable as refused:
            reason = str(refused)
            continue
        reason = _departure(found, made)
        if not reason:
            alone = name == _REFERENCE and size > LARGEST_IN_REFERENCE
            return (
                Truth(f"{truth.how}, on the first input only: the model is large", _Once(trial, found))
                if alone
                else truth
            )
        reason = f"{name} computes something else: {reason}"
    return Truth(f"not computed: in float64 {reason}")


def _departure(exact: Mapping[str, Array], made: Mapping[str, Array]) -> str:
    """Where what a model makes is further from its truth than any rounding carries it; empty where it isn't."""
    for name, array in made.items():
        bound = RELATIVE.get(str(array.dtype))
        if bound is None or name not in exact:
            continue
        if exact[name].shape != array.shape:
            return f"output '{name}' has shape {list(exact[name].shape)} in place of {list(array.shape)}"
        a, b = np.asarray(array, np.float64), np.asarray(exact[name], np.float64)
        finite = np.isfinite(a) & np.isfinite(b)
        lost = int(np.count_nonzero(np.isfinite(a) & ~np.isfinite(b)))
        if lost:
            return f"output '{name}' is NaN or infinite there only, in {counted(lost, 'element')}"
        scale = float(np.max(np.abs(b), where=finite, initial=0.0))
        with np.errstate(invalid="ignore", over="ignore"):  # infinity less infinity, which isn't looked at
            largest = float(np.max(np.abs(a - b), where=finite, initial=0.0))
        if largest > DEPARTURE * bound * scale:
            return f"output '{name}' differs by {largest:.2g}"
    return ""


@dataclass(frozen=True)
class _Once:
    """What was computed for one feed, which isn't computed for others.

    Attributes:
        feed: the feed.
        found: the outputs for it.
    """

    feed: Mapping[str, Array]
    found: dict[str, Array]

    def __call__(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        same = feed.keys() == self.feed.keys() and all(
            np.array_equal(array, np.asarray(self.feed[name], array.dtype)) for name, array in feed.items()
        )
        if not same:
            raise NotRunnable("the model is large")
        return self.found


class _Reference:
    def __init__(self, model: onnx.ModelProto) -> None:
        self._names = [output.name for output in model.graph.output]
        try:
            self._evaluator = ReferenceEvaluator(model, new_ops=OPERATORS)
        except Exception as failure:
            raise NotRunnable(f"onnx's reference evaluator refuses it: {first_line(failure)}") from failure

    def __call__(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        try:
            with np.errstate(all="ignore"):
                results = self._evaluator.run(None, dict(feed))
            found: dict[str, Array] = {}
            for name, result in zip(self._names, results, strict=True):
                found |= parts(name, result)
        except Exception as failure:
            raise NotRunnable(f"onnx's reference evaluator fails on it: {first_line(failure)}") from failure
        return found
