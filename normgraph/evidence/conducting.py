"""Conducting experiments: the original region and its replacement on all families of inputs, against float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import onnx_ir as ir

from normgraph.constants import Array
from normgraph.doubles import FLOATING_KINDS, NotComputed
from normgraph.evidence.agreement import COMPARED
from normgraph.evidence.experiment import Experiment, experiment, opset_of
from normgraph.evidence.measuring import (
    FACTOR,
    ULPS,
    Float64,
    allowed_errors,
    errors_of_each,
    finite_error,
    nudged,
    sensitivity,
    spacing_at,
)
from normgraph.evidence.overflow import overflow_of
from normgraph.evidence.preconditions import broken, established, established_of_match
from normgraph.evidence.record import SEED, Evidence, Trial
from normgraph.evidence.sizes import SMALL, Assignment, Tried, again, assigned, assignments
from normgraph.evidence.structure import Runners, runners_of
from normgraph.execution import NotRunnable, Runner
from normgraph.extraction import NotExtractable
from normgraph.facts import FLOATING, Facts
from normgraph.feeds import ORDINARY, draw
from normgraph.feeds.families import limits
from normgraph.fragments import Input
from normgraph.lowering import Replacement, Target
from normgraph.match import Match
from normgraph.region import Rewritable


def prove(
    match: Match,
    replacement: Replacement,
    target: Target,
    facts: Facts,
    conducting: Callable[[Experiment], Evidence] | None = None,
) -> Evidence:
    """Establish the preconditions of a rewrite, and run the original region and its replacement on all families.

    Args:
        match: what is replaced.
        replacement: what it is replaced with.
        target: the runtime that it is made for.
        facts: the facts about the graph.
        conducting: what conducts the experiments: `conduct`, or an `OnceEach` where there are many to prove.
    """
    carry_out = conducting or conduct
    preconditions = established_of_match(match, replacement, opset_of(replacement, facts), facts)
    failure = broken(preconditions)
    if failure is not None:
        return Evidence(failure=failure, preconditions=preconditions)
    try:
        evidence = carry_out(experiment(match, replacement, target, facts))
        for position in replacement.provides:
            other = carry_out(experiment(match, replacement, target, facts, position))
            trials = (*evidence.trials, *other.trials)
            failure, alike = evidence.failure or other.failure, evidence.alike or other.alike
            evidence = replace(evidence, trials=trials, failure=failure, alike=alike)
    except (NotExtractable, NotRunnable) as failed:
        evidence = Evidence(failure=str(failed))
    return replace(evidence, preconditions=preconditions)


def compare(
    region: Rewritable,
    designed: Callable[[], Experiment],
    facts: Facts,
    conducting: Callable[[Experiment], Evidence] | None = None,
) -> Evidence:
    """The same for a region and what is made of it.

    Args:
        region: what is replaced.
        designed: makes the experiment, once the preconditions are established.
        facts: the facts about the graph.
        conducting: as for `prove`.
    """
    preconditions = established(region, facts)
    failure = broken(preconditions)
    if failure is not None:
        return Evidence(failure=failure, preconditions=preconditions)
    try:
        evidence = (conducting or conduct)(designed())
    except (NotExtractable, NotRunnable) as failed:
        evidence = Evidence(failure=str(failed))
    return replace(evidence, preconditions=preconditions)


def conduct(experiment: Experiment, runners: Runners | None = None) -> Evidence:
    """The numeric evidence: it follows from the experiment alone, and is the same whenever it is conducted.

    What isn't accepted is conducted once more with the truth computed by others, and so is that in which the original
    doesn't confirm the truth: what `normgraph.doubles` computes is never believed alone.

    Args:
        experiment: the experiment.
        runners: what computes it, where that is open already.

    Raises:
        NotRunnable: the original or its replacement can't be computed.
    """
    running = runners or runners_of(experiment)
    if running.instead is not None:
        with suppress(NotComputed):
            evidence = _conducted(experiment, running)
            if evidence.accepted and confirmed(evidence):
                return evidence
    return _conducted(experiment, running.by_others())


#: An original whose error on ordinary inputs is no more of the largest true value than this confirms the truth.
_CONFIRMING = 1e-4


def confirmed(evidence: Evidence) -> bool:
    """Whether the original, which others compute, agrees with the truth on ordinary inputs, in every element.

    Where the type is coarser than that, `ULPS` / `FACTOR` units in the last place will do: then the error isn't what
    the bound follows from.
    """
    assert evidence.dtype is not None, "it has been tried"
    share = max(_CONFIRMING, ULPS / FACTOR * float(limits(evidence.dtype.numpy()).eps))
    ordinary = (trial for trial in evidence.trials if trial.family in ORDINARY and 0 not in trial.shape)
    return all(trial.before <= share * trial.magnitude for trial in ordinary)


def _conducted(experiment: Experiment, running: Runners) -> Evidence:
    evidence = Evidence()
    for inputs in _inputs(experiment):  # if not at small sizes, it may hold at just those of the model
        evidence = _tried(experiment, inputs, running, _planned(experiment, inputs))
        if evidence.accepted:
            break
    return evidence


@dataclass(frozen=True, slots=True)
class Lesson:
    """What an experiment that was conducted in full teaches about others of its structure.

    Attributes:
        attempt: the position of the inputs that it was accepted with: small ones or the model's own.
        told: the trials that told something: the one that came closest to its bound, those that were refused.
    """

    attempt: int
    told: frozenset[Tried]


def lesson_of(experiment: Experiment, evidence: Evidence) -> Lesson:
    """What is to be learnt from an experiment that was conducted in full and accepted."""
    shapes = {trial.shape for trial in evidence.trials}
    worst = evidence.worst
    for attempt, inputs in enumerate(_inputs(experiment)):
        planned = [assigned(inputs[0][2], assignment.sizes) for assignment in _planned(experiment, inputs)]
        if shapes.issubset(planned):
            told = {(planned.index(t.shape), t.family) for t in evidence.trials if t.refused or t is worst}
            return Lesson(attempt, frozenset(told))
    raise AssertionError("it was tried at sizes that were planned")


def conduct_again(experiment: Experiment, runners: Runners, lesson: Lesson) -> Evidence:
    """The numeric evidence of an experiment by a few trials, all of which have been made with other weights.

    Args:
        experiment: the experiment.
        runners: what computes it.
        lesson: what was learnt from an experiment of the same structure.
    """
    inputs = _inputs(experiment)[-1 if lesson.attempt else 0]
    planned = again(_planned(experiment, inputs), experiment.again, lesson.told)
    with suppress(NotComputed):
        evidence = _tried(experiment, inputs, runners, planned)
        if runners.instead is None or (evidence.accepted and confirmed(evidence)):
            return evidence
    return _tried(experiment, inputs, runners.by_others(), planned)


def _inputs(experiment: Experiment) -> list[Sequence[Input]]:
    """The inputs to try it on, small ones first."""
    original = experiment.original
    small = experiment.small or original.small_inputs(experiment.axes, max(SMALL, experiment.least_extent))
    return [small] if small == original.inputs else [small, original.inputs]


def _planned(experiment: Experiment, inputs: Sequence[Input]) -> list[Assignment]:
    return assignments(inputs, experiment.assumed, experiment.least_extent, experiment.families, experiment.axes)


def _tried(
    experiment: Experiment, inputs: Sequence[Input], runners: Runners, planned: Sequence[Assignment]
) -> Evidence:
    dtype = ir.DataType(inputs[0][1])
    differing: list[str] = []
    try:
        trials = tuple(
            trial
            for each in planned
            for trial in _trials_at(experiment, inputs, runners, each, differing if each is planned[0] else None)
        )
    except NotComputed:
        raise
    except NotRunnable as failure:
        return Evidence(failure=str(failure), dtype=dtype, axes=experiment.axes)
    evidence = Evidence(trials, dtype=dtype, axes=experiment.axes)
    if evidence.accepted and differing:
        return replace(evidence, failure=differing[0])
    if evidence.accepted and all(math.isinf(trial.allowed) for trial in trials if 0 not in trial.shape):
        return replace(evidence, failure="neither the original nor its replacement gives numbers: nothing is proven")
    if evidence.accepted and dtype is ir.DataType.FLOAT16 and trials:
        gained = overflow_of(experiment, trials[0].shape, runners.truth, runners.after)
        evidence = replace(evidence, overflow=gained)
    return evidence


def _trials_at(
    experiment: Experiment,
    inputs: Sequence[Input],
    runners: Runners,
    assignment: Assignment,
    differing: list[str] | None,
) -> Iterator[Trial]:
    """The trials at some sizes; where these are the first, what differs in float64 is added to those told."""
    name, element_type, shape = inputs[0]
    dtype = ir.DataType(element_type).numpy()
    extents = assigned(shape, assignment.sizes)
    others = [(n, t, assigned(s, assignment.sizes)) for n, t, s in inputs[1:]]
    made: list[_Results] = []
    refused: list[Trial] = []
    for family in assignment.families:
        x, exact_x = _drawn(family, extents, experiment.axes, dtype)
        feed = {name: x}
        for position, (other, its_type, its_shape) in enumerate(others, 1):
            drawn = family if position <= experiment.operands else "normal"
            feed[other] = _filler(its_type, its_shape, position, drawn)
        try:
            before = np.asarray(runners.before(feed), np.float64)
            doubles = in_doubles({**feed, name: exact_x})
            exact = np.asarray(runners.truth(doubles), np.float64)
        except NotComputed:
            raise
        except NotRunnable:
            if assignment.optional:  # the original doesn't run at such sizes, or nothing tells what would be right
                break
            raise
        try:
            after = np.asarray(runners.after(feed), np.float64)
        except NotRunnable:
            if 0 not in extents:
                raise
            refused.append(Trial(family, extents, 0.0, 0.0, 0.0, refused=True))
            break
        if not before.shape == after.shape == exact.shape:
            yield from _judged(made, name, dtype, runners.truth)
            yield Trial(family, extents, 0.0, float("inf"), 0.0)
            made = []
            continue
        if made and (exact.shape != made[0].exact.shape or len(made) * exact.size > _AT_ONCE):
            yield from _judged(made, name, dtype, runners.truth)
            made = []
        made.append(_Results(family, feed, exact, before, after))
        if differing is not None and runners.agreement is not None and family in COMPARED:
            broken_there = runners.agreement.broken(family, doubles, extents, exact)
            differing += [] if broken_there is None else [broken_there]
    yield from _judged(made, name, dtype, runners.truth)
    yield from refused


def _drawn(family: str, extents: tuple[int, ...], axes: tuple[int, ...], dtype: np.dtype) -> tuple[Array, Float64]:
    """A family's input, and the same as doubles; small ones are kept: a model's norms are mostly of one shape."""
    if math.prod(extents) > _KEPT:
        x = draw(family, extents, axes, dtype, (SEED,))
        return x, x.astype(np.float64)
    return _kept(family, extents, axes, dtype)


@lru_cache(maxsize=32)
def _kept(family: str, extents: tuple[int, ...], axes: tuple[int, ...], dtype: np.dtype) -> tuple[Array, Float64]:
    x = draw(family, extents, axes, dtype, (SEED,))
    doubles = x.astype(np.float64)
    for array in (x, doubles):
        array.flags.writeable = False
    return x, doubles


#: Inputs of no more elements are kept.
_KEPT = 1 << 15
#: So many elements of results are judged at once, since small arrays cost more calls than numbers.
_AT_ONCE = 1 << 13


@dataclass(frozen=True, slots=True)
class _Results:
    family: str
    feed: Mapping[str, Array]
    exact: Float64
    before: Float64
    after: Float64


def _judged(made: Sequence[_Results], name: str, dtype: np.dtype, truth: Runner) -> Iterator[Trial]:
    """Judge the results of several trials, all of one shape.

    How much rounding the input does to the result is only asked where the other bounds don't suffice.
    """
    if not made:
        return
    exact = np.stack([results.exact for results in made])
    found = np.stack([*(results.before for results in made), *(results.after for results in made)])
    each = errors_of_each(found.reshape(2, *exact.shape), exact, spacing_at(exact, dtype))
    before, after = each[: len(made)], each[len(made) :]
    spoilt = [math.isinf(errors.largest) for errors in before]
    finite = [
        finite_error(results.before, results.exact) if overflows else errors.largest
        for results, errors, overflows in zip(made, before, spoilt, strict=True)
    ]
    bounds = allowed_errors(finite, exact, dtype)
    for results, original, replaced, allowed, overflows in zip(made, before, after, bounds, spoilt, strict=True):
        x = results.feed[name]
        bound = allowed
        error = replaced.largest
        if overflows and math.isinf(error):  # it may fail where the original does, and nowhere else
            error = finite_error(results.after, results.exact, unless=~np.isfinite(results.before))
        if error > bound:
            moved = (exactly(truth, {**results.feed, name: other}) for other in nudged(x, dtype))
            bound = max(bound, ULPS * sensitivity(results.exact, moved))
        if error <= bound and math.isinf(replaced.largest):
            bound = math.inf
        figures = (original.largest, replaced.largest, bound)
        magnitude = float(np.max(np.abs(results.exact), where=np.isfinite(results.exact), initial=0.0))
        errors = (original.ulps, replaced.ulps, replaced.at)
        yield Trial(results.family, x.shape, *figures, *errors, magnitude=magnitude)


def exactly(truth: Runner, feed: Mapping[str, Array]) -> Float64:
    """The truth for a feed, whose floating numbers become doubles."""
    return np.asarray(truth(in_doubles(feed)), np.float64)


def in_doubles(feed: Mapping[str, Array]) -> dict[str, Array]:
    """A feed whose floating numbers are doubles."""
    return {n: a.astype(np.float64, copy=False) if a.dtype.kind in FLOATING_KINDS else a for n, a in feed.items()}


#: What gains and biases known at run time only are fed beside a family of inputs; ordinary numbers beside the others.
_BESIDE = {"offset 100": "offset 10", "offset 1000": "tiny variance"}
#: Beside this family, every other one of their elements is zero.
_WITH_ZEROS = "offset 10"


def _filler(element_type: int, shape: tuple[int, ...], position: int, family: str) -> Array:
    """What an input behind the first is fed.

    Normalizations only read shapes of most, sums of branches add them up, and gains and biases among them have families
    of their own.
    """
    dtype = ir.DataType(element_type)
    if dtype not in FLOATING:
        return np.zeros(shape, dtype.numpy())
    made = draw(_BESIDE.get(family, "normal"), shape, (), dtype.numpy(), (SEED, position))
    if family == _WITH_ZEROS:
        made.reshape(-1)[::2] = 0
    return made
