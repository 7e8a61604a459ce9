"""What a contract can count, and what it can forbid: two tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from normgraph.check.examination import Examination
from normgraph.inventory import NATIVE, Fold, Site
from normgraph.targets import TARGETS


@dataclass(frozen=True)
class Quantity:
    """A number that a contract may demand something of.

    Attributes:
        meaning: what is counted, for the documentation.
        count: counts it.
        unwanted: what to name where there are more than expected.
        rewrites: whether it counts rewrites, of which there are none unless the model is optimized.
    """

    meaning: str
    count: Callable[[Examination], int]
    unwanted: Callable[[Examination], Sequence[Site | Fold]] = lambda _: ()
    rewrites: bool = False


def _kind(name: str) -> Quantity:
    return Quantity(f"{name} operators, native and fused", lambda seen: seen.settled(name))


def _near_misses(seen: Examination) -> list[Site]:
    return [site for site in seen.report.sites if site.status == "near_miss"]


def _unfolded(seen: Examination) -> list[Fold]:
    return [fold for fold in seen.report.folds if fold.status == "kept" and fold.subject == "map"]


_KINDS = sorted({*NATIVE, *(kind for target in TARGETS.values() for kind in target.operators)})

#: The quantities, by the name that a contract gives them.
QUANTITIES: Mapping[str, Quantity] = {
    **{name: _kind(name) for name in _KINDS},
    "native": Quantity("normalizations that stood in the model as operators", lambda seen: seen.report.count("native")),
    "fused": Quantity("normalizations that `optimize` fused", lambda seen: seen.report.count("fused"), rewrites=True),
    "decomposed": Quantity(
        "recognised normalizations that are spelled out, those aside that are best so on the target",
        lambda seen: len(seen.decomposed),
        lambda seen: seen.decomposed,
    ),
    "near_misses": Quantity(
        "what looks like a normalization and is none", lambda seen: len(_near_misses(seen)), _near_misses
    ),
    "foldable_bn": Quantity(
        "BatchNormalizations and other scales and shifts per channel that could be folded",
        lambda seen: len(seen.foldable),
        lambda seen: seen.foldable,
    ),
    "unfolded_bn": Quantity(
        "all of these that are still there, foldable or not", lambda seen: len(_unfolded(seen)), _unfolded
    ),
    "folded_bn": Quantity(
        "those that `optimize` folded",
        lambda seen: sum(fold.status == "folded" and fold.subject == "map" for fold in seen.report.folds),
        rewrites=True,
    ),
    "nodes": Quantity("nodes, those of subgraphs included", lambda seen: seen.report.nodes.after),
    "opset": Quantity("the version of the default operator set", lambda seen: seen.report.opset.after),
}


@dataclass(frozen=True)
class Forbidden:
    """Something that a contract may forbid.

    Attributes:
        meaning: what it is.
        found: where it is found.
        remedy: what to do about it.
        rewrites: whether it comes of rewrites, of which there are none unless the model is optimized.
        quantity: the key of `QUANTITIES` that it demands to be 0, where there is one.
    """

    meaning: str
    found: Callable[[Examination], Sequence[Site | Fold]]
    remedy: str
    rewrites: bool = False
    quantity: str | None = None


def _unproven(seen: Examination) -> list[Site | Fold]:
    entries: list[Site | Fold] = [*seen.report.sites, *seen.report.folds]
    return [entry for entry in entries if entry.rule == "proof-failed"]


def _over_the_batch(seen: Examination) -> list[Site]:
    return [site for site in seen.report.sites if site.statistics == "batch"]


#: What can be forbidden, by name.
FORBIDDEN: Mapping[str, Forbidden] = {
    "training-mode-bn": Forbidden(
        "a BatchNormalization in training mode",
        lambda seen: seen.in_training_mode,
        "put the network into inference mode before the export (model.eval())",
    ),
    "batch-statistics": Forbidden(
        "a normalization whose statistics are taken over the batch, so that a sample's result depends on the others",
        _over_the_batch,
        "export with stored statistics, or normalize within each sample",
    ),
    "decomposed": Forbidden(
        "a recognised normalization that is spelled out in nodes",
        lambda seen: seen.decomposed,
        "run `normgraph optimize`; `normgraph explain` says what stands in the way of the rest",
        quantity="decomposed",
    ),
    "near-miss": Forbidden(
        "what looks like a normalization and is none",
        _near_misses,
        "see its reason in `normgraph explain`",
        quantity="near_misses",
    ),
    "foldable-bn": Forbidden(
        "a BatchNormalization that could be folded",
        lambda seen: seen.foldable,
        "run `normgraph optimize`",
        quantity="foldable_bn",
    ),
    "failed-proof": Forbidden(
        "a rewrite whose proof failed",
        _unproven,
        "see its figures in the report of `normgraph optimize`",
        rewrites=True,
    ),
}
