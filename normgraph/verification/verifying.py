"""Running two models side by side on the same inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx_ir as ir

from normgraph.constants import Array
from normgraph.errors import UsageError
from normgraph.execution import NotRunnable
from normgraph.facts import FLOATING
from normgraph.feeds import Feed, Feeding, Signature, feeds_for, signature_of
from normgraph.feeds.signature import Input
from normgraph.model_io import Source
from normgraph.progress import Progress, silent
from normgraph.verification.bisecting import Divergence, first_difference
from normgraph.verification.comparing import Comparison, Tolerance, compared
from normgraph.verification.defaults import overridable, overridden
from normgraph.verification.record import Verification
from normgraph.verification.sessions import Session, Subject, description, subject
from normgraph.verification.truth import Truth, truth_of

#: What floating inputs are drawn from unless the caller says otherwise.
FAMILIES = ("normal", "offset 10", "tiny variance", "constant rows")
#: Without floating inputs families make no difference, and different draws have to.
DRAWS = 3
_VARIES = "the {} model gives other results when it is run again: there is nothing to compare with"


@dataclass(frozen=True)
class Verifying:
    """How two models are compared.

    Attributes:
        feeding: what they are fed; without families those that fit their inputs.
        tolerance: how far outputs may differ; None to judge by float64, or by a bound for each type.
        truth: whether to compute the first model in float64 where that can be done.
        optimized: whether ONNX Runtime's own optimizations are on; off, they can't hide what differs.
        bisect: whether to look for where the models part if they do.
    """

    feeding: Feeding = field(default_factory=lambda: Feeding(families=(), sizes=3))
    tolerance: Tolerance | None = None
    truth: bool = True
    optimized: bool = False
    bisect: bool = True


def verify(before: Source, after: Source, how: Verifying | None = None, *, progress: Progress = silent) -> Verification:
    """Run two models side by side on the same inputs, and compare every output.

    Args:
        before: the first model: a path, a ``ModelProto``, an ``onnx_ir.Model`` or PyTorch's ``ONNXProgram``. A path is
            handed to ONNX Runtime as it is, so that external data and models beyond 2 GB are no matter.
        after: the second model, likewise.
        how: how they are compared; by default as `Verifying` has it.
        progress: told about the runs.

    Raises:
        BadModelError: a model can't be read, or its inputs can't be made.
        UsageError: the first model doesn't run on what it is fed.
        MissingRuntimeError: ONNX Runtime isn't installed.

    >>> import onnx, normgraph
    >>> model = onnx.parser.parse_model('''
    ...     <ir_version: 8, opset_import: ["" : 17]>
    ...     example (float[N, 4] x) => (float[N, 4] y) { y = Softmax(x) }''')
    >>> normgraph.verify(model, model).passed
    True
    """
    how = how or Verifying()
    with TemporaryDirectory(prefix="normgraph-", ignore_cleanup_errors=True) as name:
        return _verified(before, after, how, Path(name), progress)


def _verified(before: Source, after: Source, how: Verifying, folder: Path, progress: Progress) -> Verification:
    progress("opening the models", 0, 0)
    one, other = subject(before, "before", folder), subject(after, "after", folder)
    runtime = description(optimized=how.optimized)
    signatures = signature_of(one.model, one.name), signature_of(other.model, other.name)
    problems = _signature_problems(one.model, other.model, *signatures)
    if problems:
        return Verification(one.name, other.name, runtime, "not computed", problems, tolerance=how.tolerance)
    try:
        first = Session(one.path, optimized=how.optimized)
    except NotRunnable as refused:
        raise UsageError(f"the first model must run: {one.name}: {refused}") from refused
    try:
        second = Session(other.path, optimized=how.optimized)
    except NotRunnable as refused:
        return Verification(one.name, other.name, runtime, "not computed", (f"{other.name}: {refused}",))
    feeds = _feeds(signatures[0], how.feeding, first)
    other_defaults = overridden(one.model, feeds[0])
    if how.feeding.source is None and other_defaults is not None and _runs(first, other_defaults):
        feeds.append(other_defaults)
    truth = Truth("not computed: it wasn't asked for")
    if how.truth:
        truth = truth_of(one.model, folder, feeds[0].arrays, first(feeds[0].arrays))
    found, problems = _compared(first, second, truth, feeds, how, progress)
    divergence = None
    if how.bisect and any(not comparison.passed for comparison in found):
        progress("looking for where the models part", 0, 0)
        divergence = _divergence(one, other, feeds, found, folder, how)
    recipes = {feed.label: _recipe(feed) for feed in feeds}
    return Verification(
        one.name, other.name, runtime, truth.how, problems, tuple(found), divergence, recipes, how.tolerance
    )


def _signature_problems(one: ir.Model, other: ir.Model, first: Signature, second: Signature) -> tuple[str, ...]:
    problems = []
    inputs = ({item.name: item for item in signature.inputs} for signature in (first, second))
    before, after = inputs
    for name in before.keys() | after.keys():
        if name not in after or name not in before:
            where = "first" if name in before else "second"
            problems.append(f"input '{name}' is in the {where} model only")
        elif before[name].dtype != after[name].dtype or len(before[name].dims) != len(after[name].dims):
            problems.append(f"input '{name}' is {_told(before[name])} before and {_told(after[name])} after")
    accepted = {value.name for value in other.graph.inputs}
    problems += [
        f"input '{value.name}', which a caller may override, is in the first model only"
        for value in overridable(one)
        if value.name not in accepted
    ]
    made = [[value.name or "" for value in model.graph.outputs] for model in (one, other)]
    if made[0] != made[1]:
        problems.append(f"the outputs are {', '.join(made[0])} before and {', '.join(made[1])} after")
    return tuple(sorted(problems))


def _told(item: Input) -> str:
    return f"{item.dtype.name.lower()}[{', '.join(map(str, item.dims))}]"


def _feeds(signature: Signature, feeding: Feeding, session: Session) -> list[Feed]:
    """What both models are fed: sizes at which the first one runs."""
    real = any(item.dtype in FLOATING and item.values.role == "real" for item in signature.inputs)
    families = feeding.families or (FAMILIES if real else FAMILIES[:1])
    draws = feeding.draws if real or feeding.draws > 1 else DRAWS
    failure: list[str] = []

    chosen = Feeding(feeding.source, feeding.dims, families, feeding.seed, draws, feeding.sizes)
    try:
        feeds = feeds_for(signature, chosen, lambda feed: _runs(session, feed, failure))
    except UsageError as refused:
        raise UsageError(f"{refused} ({failure[0]})" if failure else str(refused)) from None
    return feeds


def _runs(session: Session, feed: Feed, failures: list[str] | None = None) -> bool:
    """Whether a model runs on a feed; why not is added to the failures."""
    try:
        session(feed.arrays)
    except NotRunnable as refused:
        if failures is not None:
            failures.append(str(refused))
        return False
    return True


def _compared(
    first: Session, second: Session, truth: Truth, feeds: Sequence[Feed], how: Verifying, progress: Progress
) -> tuple[list[Comparison], tuple[str, ...]]:
    found: list[Comparison] = []
    judged = False
    told: set[str] = set()
    for done, feed in enumerate(feeds):
        progress("running both models", done, len(feeds))
        try:
            before = first(feed.arrays)
        except NotRunnable as refused:
            raise UsageError(f"the first model must run on what it is fed: {feed.label}: {refused}") from refused
        if not done and _varies(before, first(feed.arrays)):
            return found, (_VARIES.format("first"),)
        try:
            after = second(feed.arrays)
        except NotRunnable as refused:
            return found, (f"the second model doesn't run where the first does: {feed.label}: {refused}",)
        exact = truth(feed.arrays) or {}
        judged |= _is_empty(feed) or any(_has_numbers(array) for array in (*before.values(), *exact.values()))
        told |= {name for made in (before, exact) for name, array in made.items() if not _nothing_but_nan(array)}
        compared_now = [
            compared(name, feed.label, array, after[name], exact.get(name), how.tolerance)
            for name, array in before.items()
            if name in after
        ]
        found += compared_now
        if not all(comparison.passed for comparison in compared_now):
            for which, session, made in (("first", first, before), ("second", second, after)):
                if _varies(made, session(feed.arrays)):
                    return found, (_VARIES.format(which),)
        alone = sorted(before.keys() ^ after.keys())
        if alone:
            return found, (f"only one of the models makes {', '.join(map(repr, alone))}, on {feed.label}",)
    if found and not judged:
        nothing = "whatever it is fed, the first model gives nothing but NaN, infinity and empty tensors"
        return found, (f"{nothing}: nothing was compared",)
    unheard = dict.fromkeys(comparison.tensor for comparison in found if comparison.tensor not in told)
    return found, tuple(
        f"output '{name}' is nothing but NaN, whatever it is fed: it wasn't compared" for name in unheard
    )


def _nothing_but_nan(array: Array) -> bool:
    return bool(array.size) and array.dtype.kind not in "biuSUO" and bool(np.isnan(array.astype(np.float64)).all())


def _has_numbers(array: Array) -> bool:
    """Whether a tensor has an element that isn't NaN or infinite."""
    return bool(array.size) and (array.dtype.kind in "biuSUO" or bool(np.isfinite(array.astype(np.float64)).any()))


def _is_empty(feed: Feed) -> bool:
    """Whether an empty tensor is what is to be expected."""
    return not feed.arrays or any(not array.size for array in feed.arrays.values())


def _varies(before: Mapping[str, Array], again: Mapping[str, Array]) -> bool:
    if before.keys() != again.keys():
        return True
    return any(array.tobytes() != again[name].tobytes() for name, array in before.items() if array.dtype.kind != "O")


def _divergence(
    one: Subject, other: Subject, feeds: Sequence[Feed], found: Sequence[Comparison], folder: Path, how: Verifying
) -> Divergence | None:
    worst = max((comparison for comparison in found if not comparison.passed), key=lambda c: c.excess)
    feed = next(feed for feed in feeds if feed.label == worst.feed)
    return first_difference(one, other, feed.arrays, worst, folder, optimized=how.optimized)


def _recipe(feed: Feed) -> dict[str, Any] | None:
    if feed.recipe is None:
        return None
    return {"family": feed.recipe.family, "seed": feed.recipe.seed, "sizes": dict(feed.recipe.sizes)}
