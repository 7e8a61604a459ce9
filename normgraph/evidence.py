"""Evidence: is a rewrite right?  The original region and its replacement, each judged against float64.

Comparing the two with each other would punish the more accurate one, so both are compared with the original region
computed in float64.  A replacement is accepted if, on every family of inputs, its error isn't larger than `FACTOR`
times the original's, or lies within `ULPS` times the error that rounding the input alone would cause.  Static
dimensions that nothing depends on are tried small: the rows of a tensor are treated alike, and a few prove as much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from normgraph.axes import Size
from normgraph.constants import Array
from normgraph.definitions import compute
from normgraph.execution import NotRunnable, Runner, runner_of, truth_of
from normgraph.extraction import Fragment, Input, NotExtractable, original_fragment, replacement_fragment
from normgraph.facts import Facts
from normgraph.lowering import Replacement, Target
from normgraph.match import Match
from normgraph.region import Rewritable

FACTOR = 4.0
ULPS = 16.0
#: Static dimensions on which nothing depends are tried at about this size.
SMALL = 4

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Trial:
    """One family of inputs at one assignment of the dynamic dimensions.

    Attributes:
        family: the name of the family.
        shape: the shape of the base tensor.
        before: the largest absolute error of the original region, against float64; infinite where it overflowed.
        after: that of the replacement.
        allowed: the largest error that the replacement may have.
    """

    family: str
    shape: tuple[int, ...]
    before: float
    after: float
    allowed: float

    @property
    def passed(self) -> bool:
        """Whether the replacement is accurate enough here."""
        return self.after <= self.allowed


@dataclass(frozen=True)
class Evidence:
    """What was tried to prove a rewrite, and how it went.

    Attributes:
        trials: all trials, in the order of their making.
        failure: why no trial could be made at all; None if they were.
    """

    trials: tuple[Trial, ...] = ()
    failure: str | None = None

    @property
    def accepted(self) -> bool:
        """Whether the rewrite is proven."""
        return self.failure is None and bool(self.trials) and all(trial.passed for trial in self.trials)

    @property
    def before(self) -> float:
        """The largest error of the original region over the families."""
        return max((trial.before for trial in self.trials), default=float("nan"))

    @property
    def after(self) -> float:
        """The largest error of the replacement over the families."""
        return max((trial.after for trial in self.trials), default=float("nan"))

    @property
    def worst(self) -> Trial | None:
        """The trial in which the replacement comes closest to its bound, or exceeds it most."""
        return max(self.trials, key=lambda t: t.after / t.allowed if t.allowed else t.after, default=None)

    def describe(self) -> str:
        """The outcome in one sentence."""
        if self.failure is not None:
            return self.failure
        worst = self.worst
        if worst is None:
            return "no trial was made"
        verdict = "within" if self.accepted else "beyond"
        return (
            f"error {worst.after:.2g} against float64, {verdict} the {worst.allowed:.2g} allowed "
            f"(original: {worst.before:.2g}), on {worst.family} inputs of shape {list(worst.shape)}"
        )


def prove(match: Match, replacement: Replacement, target: Target, facts: Facts) -> Evidence:
    """Run the original region and its replacement over all families of inputs.

    Args:
        match: what is replaced.
        replacement: what it is replaced with.
        target: the runtime that it is made for.
        facts: the facts about the graph.
    """
    opset = max(facts.opset, replacement.opset)

    def runner(_: Fragment) -> Runner:
        if target.provable:
            return runner_of(replacement_fragment(match, replacement, facts, opset).model)
        return lambda feed: compute(replacement, feed[match.base.name or ""])

    return compare(match, runner, facts)


def compare(
    region: Rewritable, replaced: Callable[[Fragment], Runner], facts: Facts, *, least_extent: int = 2
) -> Evidence:
    """Run a region and what is to replace it over all families of inputs, each judged against float64.

    Args:
        region: what is replaced.
        replaced: makes what replaces it, given the region as a model of its own.
        facts: the facts about the graph.
        least_extent: the least size that dynamic dimensions are tried at.
    """
    try:
        before = original_fragment(region, facts)
        truth = truth_of(before.in_double().model)
        runners = (runner_of(before.model), replaced(before))
    except (NotExtractable, NotRunnable) as failure:
        return Evidence(failure=str(failure))
    small = before.small_inputs(region.axes, max(SMALL, least_extent))
    evidence = _tried(region, small, truth, runners, least_extent)
    if evidence.accepted or small == before.inputs:
        return evidence
    return _tried(region, before.inputs, truth, runners, least_extent)  # it may hold at just these sizes


def _tried(
    region: Rewritable, inputs: Sequence[Input], truth: Runner, runners: Sequence[Runner], least_extent: int
) -> Evidence:
    try:
        return Evidence(tuple(_trials(region, inputs, truth, runners, least_extent)))
    except NotRunnable as failure:
        return Evidence(failure=str(failure))


def _trials(
    region: Rewritable, inputs: Sequence[Input], truth: Runner, runners: Sequence[Runner], least_extent: int
) -> Iterator[Trial]:
    name, element_type, shape = inputs[0]
    dtype = ir.DataType(element_type).numpy()
    for assignment in assignments(inputs, region.assumed, least_extent):
        extents = tuple(_assigned(size, assignment) for size in shape)
        others = {n: _filler(t, s, assignment) for n, t, s in inputs[1:]}
        for family, x in families(extents, region.axes, dtype):
            feed = {name: x, **others}
            exact = _exact(truth, feed)
            nudged = _exact(truth, {**feed, name: _nudged(x, dtype)})
            results = [np.asarray(run(feed), np.float64) for run in runners]
            yield _judged(family, extents, exact, nudged, results, dtype)


def _judged(
    family: str,
    shape: tuple[int, ...],
    exact: Float64,
    nudged: Float64,
    results: Sequence[Float64],
    dtype: np.dtype,
) -> Trial:
    defined = np.isfinite(exact)
    if any(result.shape != exact.shape for result in results):
        return Trial(family, shape, 0.0, float("inf"), 0.0)
    before, after = (_largest_error(result, exact, defined) for result in results)
    finite = defined & np.isfinite(nudged)
    sensitivity = float(np.max(np.abs(nudged - exact)[finite], initial=0.0))
    ulp = float(_finfo(dtype).eps) * float(np.max(np.abs(exact[defined]), initial=0.0))
    allowed = max(FACTOR * before, ULPS * sensitivity, ULPS * ulp, float(_finfo(dtype).smallest_subnormal))
    return Trial(family, shape, before, after, allowed)


def _largest_error(result: Float64, exact: Float64, defined: npt.NDArray[np.bool_]) -> float:
    with np.errstate(invalid="ignore"):
        error = np.abs(result - exact)[defined]
    return float(np.max(np.where(np.isnan(error), np.inf, error), initial=0.0))


def _finfo(dtype: np.dtype) -> Any:
    """The limits of a floating type, of ml_dtypes' types too."""
    return ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]


def _exact(truth: Runner, feed: Mapping[str, Array]) -> Float64:
    doubles = {n: a.astype(np.float64) if a.dtype.kind in "fV" else a for n, a in feed.items()}
    return np.asarray(truth(doubles), np.float64)


def _nudged(x: Array, dtype: np.dtype) -> Float64:
    """x with each element moved by half a unit in the last place, up and down in turn."""
    signs = np.resize([0.5, -0.5], x.size).reshape(x.shape)
    exact = x.astype(np.float64)
    return np.asarray(exact * (1 + signs * float(_finfo(dtype).eps)))


def families(shape: tuple[int, ...], over: tuple[int, ...], dtype: np.dtype) -> Iterator[tuple[str, Array]]:
    """Named inputs: ordinary ones, and those on which normalizations go wrong.

    Args:
        shape: the shape of the tensor.
        over: the dimensions of the statistics.
        dtype: its type, which bounds the magnitudes.
    """
    generator = np.random.default_rng(20)
    largest = float(_finfo(dtype).max)
    noise = generator.standard_normal(shape)
    rows = tuple(1 if i in over else extent for i, extent in enumerate(shape))
    constant = np.broadcast_to(generator.standard_normal(rows), shape)
    yield "normal", noise.astype(dtype)
    for offset in (10.0, 100.0, 1000.0):
        yield f"offset {offset:g}", (noise + offset).astype(dtype)
    yield "tiny variance", (noise * 1e-3).astype(dtype)
    yield "constant rows", constant.astype(dtype)
    yield "large magnitude", (noise * min(1e4, largest / 50)).astype(dtype)


def assignments(inputs: Sequence[Input], assumed: Sequence[tuple[int, int]], least: int) -> list[dict[str, int]]:
    """Sizes for the dynamic dimensions: two assignments where there are any, with sizes that can't be confused.

    Args:
        inputs: the fragment's inputs.
        assumed: sizes that are demanded of dimensions of the first input.
        least: the least size; below it only a batch of one is tried.
    """
    symbols = list(dict.fromkeys(s for _, _, shape in inputs for size in shape for s in size.symbols))
    demanded: dict[str, int] = {}
    for position, size in assumed:
        symbol = inputs[0][2][position]
        if len(symbol.symbols) == 1 and symbol.factor == 1:
            demanded[symbol.symbols[0]] = size
    if not symbols:
        return [{}]
    leading = inputs[0][2][0].symbols[:1] if inputs[0][2] else ()
    first = {s: demanded.get(s, least + i) for i, s in enumerate(symbols)}
    second = {s: demanded.get(s, 1 if s in leading else least + 3 + 2 * i) for i, s in enumerate(symbols)}
    return [first, second]


def _assigned(size: Size, assignment: Mapping[str, int]) -> int:
    extent = size.factor
    for symbol in size.symbols:
        extent *= assignment[symbol]
    return extent


def _filler(element_type: int, shape: tuple[Size, ...], assignment: Mapping[str, int]) -> Array:
    return np.zeros([_assigned(size, assignment) for size in shape], ir.DataType(element_type).numpy())
