"""A contract: conditions that a model must meet, and the judgement of whether it does."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from normgraph.check.budgets import LatencyBudget
from normgraph.check.consistency import inconsistencies
from normgraph.check.examination import Examination
from normgraph.check.quantities import FORBIDDEN, QUANTITIES
from normgraph.errors import UsageError
from normgraph.inventory import Fold, Site
from normgraph.likely import likely

#: Up to so many sites are named where a condition doesn't hold.
NAMED = 12

_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_DEMAND = re.compile(r"\s*(?P<name>[\w-]+)\s*(?P<comparison>==?|<=?|>=?)\s*(?P<number>\d+)\s*")

Rule = Literal["expect", "forbid", "max-error", "max-latency", "baseline", "readable"]


@dataclass(frozen=True)
class Culprit:
    """A site that a condition fails on.

    Attributes:
        site: its name.
        reason: what is the matter with it.
    """

    site: str
    reason: str


@dataclass(frozen=True)
class Finding:
    """Whether one condition holds for a model.

    Attributes:
        rule: the kind of condition.
        condition: the condition, as a person would write it.
        failure: why it doesn't hold, one sentence that says what to do; None if it holds.
        culprits: where it doesn't hold.
        note: something worth knowing although it holds.
        judged: whether it could be found out; where not, the failure says why, and the model is broken.
    """

    rule: Rule
    condition: str
    failure: str | None = None
    culprits: tuple[Culprit, ...] = ()
    note: str | None = None
    judged: bool = True


@dataclass(frozen=True)
class Judgement:
    """What came of checking a model.

    Attributes:
        model: the model's path.
        findings: one for each condition, in the contract's order.
        examination: what was looked at; None where the model couldn't be read, or isn't there any more.
    """

    model: str
    findings: tuple[Finding, ...]
    examination: Examination | None = None

    @property
    def status(self) -> Literal["passed", "failed", "broken"]:
        """Broken is a model of which some condition couldn't be judged: it can't be read, or not be timed."""
        if not all(finding.judged for finding in self.findings):
            return "broken"
        return "failed" if any(finding.failure is not None for finding in self.findings) else "passed"


@dataclass(frozen=True)
class Expectation:
    """A quantity, a comparison and a number, such as ``LayerNormalization = 25``."""

    quantity: str
    comparison: str
    number: int

    def __str__(self) -> str:
        return f"{self.quantity} {self.comparison} {self.number}"

    def judge(self, seen: Examination) -> Finding:
        """Whether it holds."""
        quantity = QUANTITIES[self.quantity]
        found = quantity.count(seen)
        if _COMPARISONS[self.comparison](found, self.number):
            return Finding("expect", str(self))
        unwanted = found > self.number
        sites = quantity.unwanted(seen) if unwanted else _not_settled(seen, self.quantity)
        advice = "" if seen.optimized else self._advice(found, -1 if unwanted else 1, sites)
        return Finding("expect", str(self), f"found {found}{advice}", culprits(sites))

    def _advice(self, found: int, step: int, sites: Sequence[Site | Fold]) -> str:
        """What optimizing would do about it, each site that it rewrites counting one less or more."""
        rewrites = sum(site.rule in ("not-fused", "not-folded") for site in sites)
        if not rewrites:
            return ""
        if _COMPARISONS[self.comparison](found + step * rewrites, self.number):
            return "; `normgraph optimize` would change that, and --optimized judges what it makes"
        return f"; `normgraph optimize` would only make it {found + step * rewrites}"


def _not_settled(seen: Examination, kind: str) -> list[Site]:
    """What could be missing where there are too few of a kind."""
    if kind not in QUANTITIES or not kind[0].isupper():
        return []
    return [site for site in seen.report.sites if site.status in ("kept", "near_miss") and site.kind in (kind, None)]


def culprits(entries: Iterable[Site | Fold]) -> tuple[Culprit, ...]:
    """Sites as culprits, each with what is known of it."""
    return tuple(Culprit(entry.name, _fate(entry)) for entry in entries)


def _fate(entry: Site | Fold) -> str:
    if entry.rule is not None:
        return f"{entry.reason} ({entry.rule})"
    if getattr(entry, "statistics", None) == "batch":
        return "its statistics are taken over the batch"
    kind = getattr(entry, "kind", None)
    return f"{kind} is {entry.status}" if kind else entry.status.replace("_", " ")


@dataclass(frozen=True)
class Contract:
    """What is demanded of a model.

    Attributes:
        expect: quantities.
        forbid: keys of `normgraph.check.quantities.FORBIDDEN`.
        max_error: the largest absolute error against float64 that a rewrite may have in its proof.
        max_latency: how long a run may take.
        target: the runtime; None for the default.
        allow_contrib: permit operators of the target's own.
        optimized: judge what `normgraph.optimize` makes of the model, not the model as it stands.
    """

    expect: tuple[Expectation, ...] = ()
    forbid: tuple[str, ...] = ()
    max_error: float | None = None
    max_latency: LatencyBudget | None = None
    target: str | None = None
    allow_contrib: bool = False
    optimized: bool = False

    def __bool__(self) -> bool:
        return bool(self.expect or self.forbid or self.max_error is not None or self.max_latency is not None)

    def joined(self, other: Contract) -> Contract:
        """Both contracts: the conditions of both, and of what can only be one, the other's where it says it."""
        limits = [limit for limit in (self.max_error, other.max_error) if limit is not None]
        return Contract(
            tuple(dict.fromkeys((*self.expect, *other.expect))),
            tuple(dict.fromkeys((*self.forbid, *other.forbid))),
            min(limits, default=None),
            other.max_latency or self.max_latency,
            other.target or self.target,
            self.allow_contrib or other.allow_contrib,
            self.optimized or other.optimized,
        )

    def checked(self, where: str) -> Contract:
        """Itself.

        Raises:
            UsageError: its conditions can't be judged together.
        """
        if self.max_error is not None and not self.optimized:
            raise UsageError(
                f"a largest error is that of rewrites, and the model is judged as it stands: {where}; "
                "add --optimized (in a file: optimized = true), or leave max-error out"
            )
        rewrites = [expectation.quantity for expectation in self.expect if QUANTITIES[expectation.quantity].rewrites]
        rewrites += [name for name in self.forbid if FORBIDDEN[name].rewrites]
        if rewrites and not self.optimized:
            raise UsageError(
                f"'{rewrites[0]}' is told of rewrites, and the model is judged as it stands, which has none: {where}; "
                "add --optimized (in a file: optimized = true), or leave it out"
            )
        for mistake in inconsistencies(self.expect, self.forbid):
            raise UsageError(f"conditions must be able to hold and to fail, and {mistake}: {where}; change or drop one")
        return self


def judge(seen: Examination, contract: Contract) -> Judgement:
    """Whether a model meets a contract."""
    findings = [Finding("readable", "the model can be read")]
    findings += [expectation.judge(seen) for expectation in contract.expect]
    findings += [_forbidden(seen, name) for name in contract.forbid]
    if contract.max_error is not None:
        findings.append(_within(seen, contract.max_error))
    return Judgement(seen.report.model, tuple(findings), seen)


def broken(model: str, reason: str) -> Judgement:
    """The judgement of a model that couldn't be examined."""
    return Judgement(model, (Finding("readable", "the model can be read", reason, judged=False),))


def added(judgement: Judgement, finding: Finding) -> Judgement:
    """A judgement with one more finding."""
    return replace(judgement, findings=(*judgement.findings, finding))


def _forbidden(seen: Examination, name: str) -> Finding:
    row = FORBIDDEN[name]
    found = row.found(seen)
    if not found:
        return Finding("forbid", f"no {name}")
    return Finding("forbid", f"no {name}", f"{row.meaning} is forbidden; {row.remedy}", culprits(found))


def _within(seen: Examination, limit: float) -> Finding:
    condition = f"max-error = {limit:g}"
    beyond = []
    for entry in seen.proven:
        proof = entry.evidence
        error = math.inf if proof is None else proof.after
        if not error <= limit:
            at = "without a proof" if proof is None or proof.worst is None else f"on {_worst(entry)} inputs"
            beyond.append(Culprit(entry.name, f"error {error:.2g} against float64, {at}"))
    if not beyond:
        return Finding("max-error", condition)
    return Finding(
        "max-error",
        condition,
        f"rewrites have errors beyond {limit:g}: raise the limit if that was already so before, or leave them out",
        tuple(beyond),
    )


def _worst(entry: Site | Fold) -> str:
    assert entry.evidence is not None
    return max(entry.evidence.trials, key=lambda trial: trial.after).family


def parse_expectations(text: str, where: str) -> tuple[Expectation, ...]:
    """What ``LayerNormalization=25, decomposed=0`` stands for.

    Args:
        text: demands, separated by commas.
        where: where it was written, for the message.

    Raises:
        UsageError: it isn't understood.
    """
    return tuple(_expectation(part, where) for part in text.split(",") if part.strip())


def _expectation(text: str, where: str) -> Expectation:
    found = _DEMAND.fullmatch(text)
    if found is None:
        raise UsageError(
            f"an expectation must be a quantity, one of = <= >= < >, and a number, not '{text.strip()}': {where}; "
            "write it as in LayerNormalization=25"
        )
    name = found["name"] if found["name"] in QUANTITIES else found["name"].replace("-", "_")
    known(name, QUANTITIES, "quantity", where)
    return Expectation(name, "=" if found["comparison"] == "==" else found["comparison"], int(found["number"]))


def known(name: str, table: Iterable[str], noun: str, where: str) -> None:
    """Make sure that a name is in a table.

    Raises:
        UsageError: it isn't; the message has the likely ones.
    """
    names = list(table)
    if name in names:
        return
    advice = likely(name, names, most=3) or f"choose one of {', '.join(names)}"
    raise UsageError(f"there is no {noun} '{name}': {where}; {advice}")
