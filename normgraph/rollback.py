"""Which rewrites a whole model bears: those that make it compute something else are found and taken back.

Each rewrite has been proven by itself. What is verified here is that all of them together, written into the model,
leave its outputs what they were; if they don't, the responsible ones are found by halving, and the rest stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import onnx_ir as ir

from normgraph.diagnosis import Shortfall
from normgraph.errors import VerificationError
from normgraph.proposals import Judge, Proposal
from normgraph.report import Report

if TYPE_CHECKING:
    from normgraph.verification import Verification

Refused = Mapping[str, Shortfall]


class Reported(Protocol):
    """A result that has a report."""

    @property
    def report(self) -> Report:
        """The report."""


Result = TypeVar("Result", bound=Reported)


def refusing(refused: Refused, judge: Judge) -> Judge:
    """A judge who has these rewrites left out, by the outputs under which the report tells of them.

    The others are left to another.
    """

    def judged(model: ir.Model, proposals: Sequence[Proposal]) -> list[int | Shortfall]:
        found = judge(model, proposals)
        pairs = zip(proposals, found, strict=True)
        return [next((refused[name] for name in p.told if name in refused), chosen) for p, chosen in pairs]

    return judged


@dataclass(frozen=True)
class Settled(Generic[Result]):
    """A result whose model was verified.

    Attributes:
        result: the result.
        report: its report, with what was taken back.
        verification: the verification that it passed.
        refused: the rewrites that were taken back, by the names of their outputs, each with its reason.
    """

    result: Result
    report: Report
    verification: Verification
    refused: Refused


def settle(attempt: Callable[[Refused], tuple[Result, Verification]], model: str) -> Settled[Result]:
    """Rewrite a model so that it passes its verification.

    Args:
        attempt: rewrites a fresh copy of the model without the rewrites that it is given, and verifies it.
        model: what the model is called in messages.

    Raises:
        VerificationError: the model differs even without any rewrite.
    """
    refused: dict[str, Shortfall] = {}
    first: Report | None = None
    while True:
        result, verification = attempt(refused)
        first = first or result.report
        if verification.passed:
            return Settled(result, _reported(result.report, first, refused, verification), verification, refused)
        rewrites = rewrites_of(result.report)
        if not rewrites:
            raise VerificationError(
                f"a model must compute the same after it was written, and it doesn't even without a rewrite: {model}: "
                f"{verification.describe()}; nothing is written; see with `normgraph verify` and the model twice "
                "whether it agrees with itself, which one with random operators doesn't"
            )
        culprit, found = _culprit(attempt, refused, rewrites, verification)
        refused[culprit] = Shortfall("model-verification-failed", f"with it the model differs: {found.describe()}")


def rewrites_of(report: Report) -> tuple[str, ...]:
    """The rewrites that were made, by the names of their outputs, in the order of the report."""
    fused = [site.output for site in report.sites if site.status == "fused"]
    folded = [fold.output for fold in report.folds if fold.status == "folded"]
    return tuple(dict.fromkeys([*fused, *folded]))


def _culprit(
    attempt: Callable[[Refused], tuple[Result, Verification]],
    refused: Refused,
    rewrites: Sequence[str],
    verification: Verification,
) -> tuple[str, Verification]:
    """A rewrite that makes the model differ, and how it does.

    Where the models part points at one, which is tried alone. Otherwise the shortest row of rewrites, from the first
    on, that makes the model differ is found by halving: the last of these is responsible, alone or with others.
    """

    def fails(applied: Sequence[str]) -> Verification | None:
        left_out = {
            name: Shortfall("model-verification-failed", "left out for a trial")
            for name in rewrites
            if name not in applied
        }
        _, found = attempt({**refused, **left_out})
        return None if found.passed else found

    suspect = None if verification.divergence is None else verification.divergence.comparison.tensor
    if suspect is not None and suspect in rewrites:
        alone = fails([suspect])
        if alone is not None:
            return suspect, alone
    good, bad, found = 0, len(rewrites), verification
    while bad - good > 1:
        middle = (good + bad) // 2
        failed = fails(rewrites[:middle])
        if failed is None:
            good = middle
        else:
            bad, found = middle, failed
    return rewrites[bad - 1], found


def _reported(report: Report, first: Report, refused: Refused, verification: Verification) -> Report:
    """The report, with the folds that were taken back as kept, and what was verified."""
    left = {fold.output for fold in report.folds}
    back = [
        replace(fold, status="kept", rule=refused[fold.output].rule, reason=refused[fold.output].sentence)
        for fold in first.folds
        if fold.output in refused and fold.output not in left and fold.status == "folded"
    ]
    return replace(report, folds=(*report.folds, *back), verification=verification)
