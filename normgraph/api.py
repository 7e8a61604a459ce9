"""The library's front door: `optimize` and `explain`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from os import PathLike, fspath
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir

from normgraph.affine import names_of
from normgraph.errors import UsageError
from normgraph.facts import graphs_of
from normgraph.folding import Wishes
from normgraph.inventory import Fold, Site
from normgraph.lowering import Demand
from normgraph.model_io import ExternalData, Source, as_model, save
from normgraph.model_io.carried import to_proto
from normgraph.model_io.walk import graphs_within
from normgraph.opset import raise_opset
from normgraph.passes import inlined
from normgraph.progress import Progress, silent
from normgraph.proposals import consent
from normgraph.report import Change, Report
from normgraph.rollback import Refused, refusing, settle
from normgraph.rounds import foreseen, rewrite
from normgraph.targets import DEFAULT_TARGET, demand

if TYPE_CHECKING:
    from normgraph.feeds import Feeding
    from normgraph.timing.sites import SiteTimer
    from normgraph.verification import Verification, Verifying


@dataclass(frozen=True)
class Optimized:
    """What `optimize` returns.

    Attributes:
        model: the optimized model.
        report: what was found and done.
    """

    model: ir.Model
    report: Report

    def to_proto(self) -> onnx.ModelProto:
        """The model as a ModelProto, its weights in memory."""
        return to_proto(self.model)

    def save(self, path: str | PathLike[str], *, external_data: ExternalData = "auto") -> None:
        """Write the model; see `normgraph.model_io.save`."""
        save(self.model, path, external_data=external_data)


def optimize(
    model: Source,
    *,
    target: str = DEFAULT_TARGET,
    opset: int | None = None,
    allow_contrib: bool = False,
    in_place: bool = False,
    fold_gain: bool = False,
    duplicate: bool = False,
    autotune: str | None = None,
    tuning: str | PathLike[str] | None = None,
    feeding: Feeding | None = None,
    verify: Verifying | None = None,
    progress: Progress = silent,
) -> Optimized:
    """Fuse the decomposed normalizations of a model into native operators, each rewrite proven by numbers.

    Args:
        model: a path, a ``onnx.ModelProto``, an ``onnx_ir.Model`` or PyTorch's ``ONNXProgram``.
        target: the runtime that the operators are chosen for, a key of ``normgraph.targets.TARGETS``, with its
            version behind an @ where that matters.
        opset: the opset of the result. By default it is raised only if a rewrite is worth it.
        allow_contrib: permit operators that aren't in the ONNX standard where the target has them.
        in_place: change an ``onnx_ir.Model`` itself (or that of an ``ONNXProgram``), not a copy of it.
        fold_gain: fold gain and bias of a LayerNormalization or RMSNormalization into the linear operators that read
            it, where nothing else does.
        duplicate: copy a linear operator that something beside a BatchNormalization reads, and fold into the copy.
        autotune: the provider of ONNX Runtime, a key of ``normgraph.providers.PROVIDERS``, on which each rewrite is
            timed; what is slower there beyond noise isn't rewritten.
        tuning: a file of such decisions. With `autotune` it is completed, and made if it isn't there; without, nothing
            is timed, and what it doesn't decide is rewritten.
        feeding: what the model is fed to see the shapes that rewrites are timed at; by default ordinary numbers.
        verify: compare the whole model with the original, and take back the rewrites that make it differ; None for
            no more than the proof of each rewrite.
        progress: called with what is being done, how many are done, and how many there are.

    Returns:
        The optimized model and the report.

    Raises:
        BadModelError: the model can't be read.
        MissingProviderError: the provider isn't part of the installed ONNX Runtime, or doesn't start.
        OpsetError: the model can't be written at the opset asked for.
        UsageError: there is no such target, the file isn't one of decisions, the provider doesn't run what is made for
            the target, or only an IR model can be changed in place.
        VerificationError: `verify` is given, and the model differs even without a rewrite.

    >>> import onnx, normgraph
    >>> model = onnx.parser.parse_model('''
    ...     <ir_version: 8, opset_import: ["" : 17]>
    ...     example (float[N, 4] x) => (float[N, 4] y)
    ...     <float two = {2.0}, float epsilon = {1e-5}> {
    ...         mean = ReduceMean<axes = [-1]>(x)
    ...         centred = Sub(x, mean)
    ...         squared = Pow(centred, two)
    ...         variance = ReduceMean<axes = [-1]>(squared)
    ...         shifted = Add(variance, epsilon)
    ...         deviation = Sqrt(shifted)
    ...         y = Div(centred, deviation)
    ...     }''')
    >>> result = normgraph.optimize(model)
    >>> [node.op_type for node in result.model.graph]
    ['LayerNormalization']
    >>> result.report.count("fused")
    1
    """
    demanded = demand(target, contrib=allow_contrib)
    original = _in_place(model) if in_place else as_model(model)
    name = _name_of(model, original)
    with _timer(target, autotune, tuning, feeding, progress) as timer:
        request = _Request(name, target, demanded, opset, Wishes(duplicate, fold_gain), timer, progress)
        if verify is None:
            return _optimized(original, request, {})
        from normgraph.verification import verify as verified  # which few ask for

        def attempt(refused: Refused) -> tuple[Optimized, Verification]:
            result = _optimized(original.clone() if in_place else as_model(model), request, refused)
            before = model if isinstance(model, str | PathLike) else original
            return result, verified(before, result.model, verify, progress=progress)

        settled = settle(attempt, name)
        result = _optimized(original, request, settled.refused) if in_place else settled.result
        return Optimized(result.model, settled.report)


@dataclass(frozen=True)
class _Request:
    """What is asked of a model.

    Attributes:
        name: what the model is called in the report.
        target: the runtime, as it was named.
        demand: the same, looked up.
        opset: the opset of the result, None to raise it only where that is worth it.
        wishes: the folds that are asked for beyond those that save work.
        timer: asked which of the rewrites that are proven are to be made; None to make all.
        progress: told about the proofs.
    """

    name: str
    target: str
    demand: Demand
    opset: int | None
    wishes: Wishes
    timer: SiteTimer | None
    progress: Progress


def _optimized(original: ir.Model, request: _Request, refused: Refused) -> Optimized:
    """Optimize a model in place, some rewrites left out."""
    opset, progress = request.opset, request.progress
    before = _size(original)
    work = inlined(original)
    progress("looking for normalizations", 0, 0)
    timer = request.timer
    judge = refusing(refused, consent if timer is None else timer)
    begun = 0 if timer is None else len(timer.timings)
    done = rewrite(work, request.demand, opset=opset, wishes=request.wishes, judge=judge, progress=progress)
    if work is not original:
        if done.rounds:
            original.graph = work.graph
            original.ir_version = work.ir_version
            original.functions.clear()
        work = original  # where nothing was gained by inlining, the functions stay
    if opset is not None and opset != work.opset_imports.get("", opset):
        raise_opset(work, opset)
    after = _size(work)
    opsets, nodes = Change(before[0], after[0]), Change(before[1], after[1])
    tuned = None if timer is None else timer.tuned(begun)
    folds = _told(done.folds, done.sites, work)
    report = Report(request.name, request.target, opsets, nodes, tuple(done.sites), folds, tuned=tuned)
    return Optimized(work, report)


def explain(model: Source, *, target: str = DEFAULT_TARGET, allow_contrib: bool = False) -> Report:
    """List every normalization of a model, native or decomposed, and what stands in the way of those that aren't fused.

    Args:
        model: as for `optimize`; it isn't changed.
        target: the runtime for which it is said what could be fused.
        allow_contrib: as for `optimize`.

    Returns:
        The report: what `optimize` could fuse has the status "kept" and the rule "not-fused".

    Raises:
        BadModelError: the model can't be read.
    """
    original = as_model(model)
    opset, nodes = _size(original)
    name = _name_of(model, original)
    work = inlined(original)
    found = foreseen(work, demand(target, contrib=allow_contrib))
    folds = _told(found.folds, found.sites, work)
    return Report(name, target, Change(opset, opset), Change(nodes, nodes), tuple(found.sites), folds)


def _timer(
    target: str,
    provider: str | None,
    file: str | PathLike[str] | None,
    feeding: Feeding | None,
    progress: Progress,
) -> AbstractContextManager[SiteTimer | None]:
    """See `normgraph.timing.autotune.judging`, which is imported only where something is to be decided."""
    if provider is None and file is None:
        return nullcontext()
    from normgraph.timing.autotune import judging

    return judging(target, provider, file, feeding, progress)


def _told(folds: Sequence[Fold], sites: Sequence[Site], model: ir.Model) -> tuple[Fold, ...]:
    """The folds without maps that are only a part of a norm, which has its own reason: a scale within, or γ and β."""
    parts = [frozenset(site.nodes) for site in sites if site.status == "kept" and site.kind != "BatchNormalization"]
    near_misses = {site.output for site in sites if site.status == "near_miss"}
    behind = {
        name
        for graph in graphs_of(model)
        for node in graph
        if near_misses.intersection(value.name for value in node.inputs if value is not None)
        for name in names_of((node,))
    }

    def is_part(fold: Fold) -> bool:
        return not behind.isdisjoint(fold.nodes) or any(nodes.issuperset(fold.nodes) for nodes in parts)

    return tuple(fold for fold in folds if fold.status == "folded" or fold.rule == "not-folded" or not is_part(fold))


def _in_place(model: Source) -> ir.Model:
    found = getattr(model, "model", model)
    if not isinstance(found, ir.Model):
        raise UsageError(
            f"only an onnx_ir.Model can be changed in place, not a {type(model).__name__}: leave in_place out"
        )
    return found


def _name_of(source: Source, model: ir.Model) -> str:
    if isinstance(source, str | PathLike):
        return fspath(source)
    return model.graph.name or "model"


def _size(model: ir.Model) -> tuple[int, int]:
    """Opset and number of nodes."""
    owners: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    return model.opset_imports.get("", 0), sum(len(graph) for owner in owners for graph in graphs_within(owner))
