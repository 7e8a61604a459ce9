"""What a model is judged by: its report, and who exported it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from os import PathLike, fspath

from normgraph import api
from normgraph.batch import fetched
from normgraph.inventory import Fold, Site
from normgraph.model_io import load
from normgraph.report import Report
from normgraph.targets import DEFAULT_TARGET

#: A recognised normalization that is spelled out because the target is better off with it so: nothing is amiss.
CONTENT = frozenset({"already-best", "no-gain", "not-worth-it"})


@dataclass(frozen=True)
class Examination:
    """A model, looked at.

    Attributes:
        report: what is in it; where it was optimized, what was made of that.
        optimized: whether the report is of what `normgraph.optimize` made of the model, or of the model as it stands.
        producer: the exporter and its version, as the model names them.
    """

    report: Report
    optimized: bool
    producer: str

    @property
    def decomposed(self) -> list[Site]:
        """The recognised normalizations that are still spelled out although an operator would be better."""
        return [site for site in self.report.sites if site.status == "kept" and site.rule not in CONTENT]

    @property
    def foldable(self) -> list[Fold]:
        """The scales and shifts per channel that could be folded and aren't."""
        return [fold for fold in self.report.folds if fold.rule == "not-folded" and fold.subject == "map"]

    @property
    def in_training_mode(self) -> list[Site]:
        """The BatchNormalizations that take their statistics over the batch that they are given."""
        return [s for s in self.report.sites if s.kind == "BatchNormalization" and s.statistics == "batch"]

    def settled(self, kind: str) -> int:
        """How many normalizations of a kind are one operator."""
        return self.report.count("native", kind) + self.report.count("fused", kind)

    @property
    def proven(self) -> Iterator[Site | Fold]:
        """What was rewritten, each with its evidence."""
        yield from (site for site in self.report.sites if site.status == "fused")
        yield from (fold for fold in self.report.folds if fold.status == "folded")


def examine(
    path: str | PathLike[str],
    *,
    target: str = DEFAULT_TARGET,
    allow_contrib: bool = False,
    optimized: bool = False,
) -> Examination:
    """Look at the model in a file.

    Args:
        path: the file, or a URL that fsspec knows.
        target: as for `normgraph.optimize`.
        allow_contrib: likewise.
        optimized: look at what `normgraph.optimize` makes of the model, with every rewrite proven. Nothing is written.

    Raises:
        BadModelError: the model can't be read.
        UsageError: there is no such target.
    """
    with fetched(fspath(path)) as local:
        model = load(local)
        producer = f"{model.producer_name or 'unknown exporter'} {model.producer_version or ''}".strip()
        if optimized:
            report = api.optimize(model, target=target, allow_contrib=allow_contrib, in_place=True).report
        else:
            report = api.explain(model, target=target, allow_contrib=allow_contrib)
    return Examination(replace(report, model=fspath(path)), optimized, producer)
