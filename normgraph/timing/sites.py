"""Where a gain comes from: each rewrite cut out of its model and timed, before and after, at the shapes it has there.

A `SiteTimer` is a judge of proposals (see `normgraph.proposals`): it times them, notes the figures, and if it is to
decide, chooses the fastest of the operators that a site may become, and objects where all are slower on this machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
import onnx_ir as ir

from normgraph.constants import Array
from normgraph.diagnosis import Shortfall
from normgraph.errors import RefusedError
from normgraph.execution import NotRunnable
from normgraph.extraction import NotExtractable
from normgraph.feeds import Feeding
from normgraph.fragments import Fragment
from normgraph.passes import inlined
from normgraph.progress import Progress, silent
from normgraph.proposals import Proposal, Way
from normgraph.rounds import rewrite
from normgraph.runtime import onnxruntime
from normgraph.sessions import OpenedModel, Setting
from normgraph.targets import demand
from normgraph.timing.measuring import Plan, measured
from normgraph.timing.observing import Shapes, observed_shapes
from normgraph.timing.statistics import ratio_of
from normgraph.timing.structure import key_of
from normgraph.timing.tuned import UNKNOWN, SiteTiming, Tuned
from normgraph.timing.tuning import Decision, Tuning, is_worth

#: How long a rewrite is measured.
PLAN = Plan(precision=0.02, budget=3.0)


@dataclass(frozen=True)
class _Pair:
    """The two models of a way to rewrite a site, and what they are fed."""

    name: str
    kind: str
    before: Fragment
    after: Fragment
    feed: Mapping[str, Array]
    key: str


class SiteTimer:
    """Times the rewrites that are proposed for a model.

    Args:
        feeding: what the model is fed, to see the shapes in it.
        setting: how models are run.
        tuning: the decisions there are; those that are measured are added.
        measures: whether to measure what isn't decided yet, or leave it.
        decides: whether to object to what doesn't pay.
        plan: how long to measure each.
        progress: told how many there are and how many are done.
    """

    def __init__(
        self,
        feeding: Feeding,
        setting: Setting,
        tuning: Tuning,
        *,
        measures: bool = True,
        decides: bool = True,
        plan: Plan = PLAN,
        progress: Progress = silent,
    ) -> None:
        self._feeding, self._setting, self._tuning = feeding, setting, tuning
        self._measures, self._decides = measures, decides
        self._plan, self._progress = plan, progress
        self.timings: list[SiteTiming] = []

    def __call__(self, model: ir.Model, proposals: Sequence[Proposal]) -> list[int | Shortfall]:
        """See `normgraph.proposals.Judge`."""
        if not proposals:
            return []
        ways = [(proposal.way, *(proposal.others() if self._decides else ())) for proposal in proposals]
        pairs = [[_cut_out(way) for way in several] for several in ways]
        names = {name for several in pairs for pair in several if not isinstance(pair, str) for name in pair[0].sources}
        shapes = observed_shapes(model, names, self._feeding, replace(self._setting, level="disabled", graphs=False))
        judged: list[int | Shortfall] = []
        for done, (proposal, several, made) in enumerate(zip(proposals, ways, pairs, strict=True)):
            self._progress("timing rewrites", done, len(proposals))
            found = [self._timing(proposal, *entry, shapes) for entry in zip(several, made, strict=True)]
            position, pays = self._choice(found) if self._decides else (0, True)
            self.timings.append(found[position])
            judged.append(position if pays else self._objection(found[position]))
        return judged

    def tuned(self, begun: int) -> Tuned:
        """What was found out since there were so many timings."""
        return Tuned(self._tuning.provider, self._tuning.runtime, tuple(self.timings[begun:]))

    def _choice(self, timings: Sequence[SiteTiming]) -> tuple[int, bool]:
        """The way that pays best, and whether it pays: another than the first only if it is faster beyond noise."""
        if timings[0].decision is None:
            return 0, True
        known = {position: timing.decision for position, timing in enumerate(timings) if timing.decision is not None}
        worth = [position for position, decision in known.items() if decision.rewrite]
        if not worth:
            return max(known, key=lambda position: known[position].ratio.estimate), False
        best = worth[0]
        for position in worth[1:]:
            if known[position].ratio.low > known[best].ratio.high:
                best = position
        return best, True

    def _objection(self, timing: SiteTiming) -> Shortfall:
        decision = timing.decision
        assert decision is not None
        reason = (
            f"{decision.kind} took {1e6 * decision.after:.3g} µs here, and the nodes as they are "
            f"{1e6 * decision.before:.3g} µs, on {', '.join(decision.inputs)} with {self._tuning.provider}"
        )
        return Shortfall("slower-here", reason)

    def _timing(
        self, proposal: Proposal, way: Way, made: tuple[Fragment, Fragment] | str, shapes: Shapes
    ) -> SiteTiming:
        name, output = proposal.name, proposal.output
        pair = made if isinstance(made, str) else _placed(name, way, *made, shapes)
        if isinstance(pair, str):
            return SiteTiming(name, output, way.kind, None, pair)
        if pair.key not in self._tuning.decisions:
            if not self._measures:
                return SiteTiming(name, output, way.kind, None, UNKNOWN)
            try:
                self._tuning.decisions[pair.key] = self._measured(pair)
            except RefusedError as error:
                return SiteTiming(name, output, way.kind, None, str(error))
            self._tuning.runtime = onnxruntime().__version__
        return SiteTiming(name, output, way.kind, self._tuning.decisions[pair.key])

    def _measured(self, pair: _Pair) -> Decision:
        before, after = measured([self._opener(pair.before, pair), self._opener(pair.after, pair)], self._plan)
        ratio = ratio_of(after.ratios(before))
        inputs = tuple(f"{a.dtype.name} {'×'.join(map(str, a.shape)) or 'scalar'}" for a in pair.feed.values())
        return Decision(pair.kind, inputs, before.median, after.median, ratio, is_worth(ratio))

    def _opener(self, fragment: Fragment, pair: _Pair) -> Callable[[], OpenedModel]:
        content = _with_sizes(fragment).SerializeToString()
        return lambda: OpenedModel(content, pair.feed, self._setting, pair.name)


def site_timings(
    model: ir.Model, target: str, feeding: Feeding, setting: Setting, progress: Progress = silent
) -> tuple[SiteTiming, ...]:
    """All rewrites of a model, each timed by itself.

    Args:
        model: the model; it isn't changed.
        target: the runtime that the rewrites are made for, as `normgraph.targets.demand` takes it.
        feeding: what the model is fed, to see the shapes in it.
        setting: how models are run.
        progress: told how far it is.

    Raises:
        BadModelError: its functions can't be inlined.
        RefusedError: the model doesn't run.
        UsageError: there is no such target, or the inputs don't fit.
    """
    work = inlined(model.clone())
    timer = SiteTimer(feeding, setting, Tuning(setting.provider.name), decides=False, progress=progress)
    rewrite(work, demand(target), judge=timer, progress=progress)
    return tuple(timer.timings)


def _cut_out(way: Way) -> tuple[Fragment, Fragment] | str:
    """The two models, or why there are none."""
    try:
        return way.pair()
    except (NotExtractable, NotRunnable) as error:
        return str(error)


def _placed(name: str, way: Way, before: Fragment, after: Fragment, shapes: Shapes) -> _Pair | str:
    """The two models with their inputs: ordinary numbers for the first, whose values matter, zeros for the others."""
    feed: dict[str, Array] = {}
    for position, (source, (fed, element_type, sizes)) in enumerate(zip(before.sources, before.inputs, strict=True)):
        static = tuple(size.factor for size in sizes) if not any(size.symbols for size in sizes) else None
        shape = shapes.get(source, static)
        if shape is None:
            return f"it is in a subgraph, where the shape of '{source}' isn't known"
        dtype = ir.DataType(element_type).numpy()
        drawn = np.random.default_rng(position).standard_normal(shape) if position == 0 else np.zeros(shape)
        feed[fed] = np.asarray(drawn).astype(dtype)
    return _Pair(name, way.kind, before, after, feed, key_of(before, after, feed))


def _with_sizes(fragment: Fragment) -> onnx.ModelProto:
    """The model with the sizes that are known of its inputs; the others stay dynamic, as in the whole model."""
    model = onnx.ModelProto()
    model.CopyFrom(fragment.model)
    known = {name: sizes for name, _, sizes in fragment.inputs}
    for value in model.graph.input:
        for dimension, size in zip(value.type.tensor_type.shape.dim, known[value.name], strict=True):
            if not size.symbols:
                dimension.dim_value = size.factor
    return model
