"""The baseline: what was in each model when somebody last approved of it, as a file to commit.

A regression is judged by two measures, since an exporter's upgrade may rename everything: a normalization of the same
name that is worse off than it was, or fewer of a kind than there were.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from normgraph.check.contract import Culprit, Finding
from normgraph.check.examination import CONTENT, Examination
from normgraph.errors import OutputError, UsageError

#: The version of the file's form.
SCHEMA = 1
#: What scales and shifts per channel are called, which are of no kind.
SCALE = "scale and shift per channel"

#: How good a state is: 2 needs nothing more, 1 is a rewrite away from that, 0 is neither.
_GRADES: Mapping[str, int] = {
    **dict.fromkeys(("fused", "native", "folded", *CONTENT), 2),
    **dict.fromkeys(("not-fused", "not-folded"), 1),
}
_IN_WORDS = ("{} can't be fused any more", "{} can't be fused any more", "{} isn't one operator any more")
_OF_SCALES = ("{} can't be folded any more", "{} can't be folded any more", "{} isn't folded any more")


@dataclass(frozen=True)
class Entry:
    """A normalization, or a scale and shift per channel, as the baseline knows it.

    Attributes:
        name: the site's name.
        kind: the operator; SCALE for scales and shifts; None for a near miss.
        status: as in the report.
        rule: what stands in the way; None where nothing does.
        reason: the same as a sentence; it isn't kept in the file.
    """

    name: str
    kind: str | None
    status: str
    rule: str | None = None
    reason: str | None = field(default=None, compare=False)

    @property
    def grade(self) -> int:
        """How good its state is, from 0 to 2."""
        return max(_GRADES.get(self.status, 0), _GRADES.get(self.rule or "", 0))


@dataclass(frozen=True)
class Snapshot:
    """A model, as the baseline knows it.

    Attributes:
        producer: the exporter and its version.
        target: the runtime that it was judged for.
        optimized: whether the entries are those of the optimized model.
        opset: the version of the default domain.
        nodes: the number of nodes.
        entries: what is in it, in the order of the graph.
    """

    producer: str
    target: str
    optimized: bool
    opset: int
    nodes: int
    entries: tuple[Entry, ...]


def snapshot(seen: Examination) -> Snapshot:
    """What the baseline keeps of a model."""
    report = seen.report
    # Native BatchNormalizations are among the folds, which say more of them.
    sites = [site for site in report.sites if (site.kind, site.status) != ("BatchNormalization", "native")]
    entries = [Entry(site.name, site.kind, site.status, site.rule, site.reason) for site in sites]
    entries += [Entry(fold.name, SCALE, fold.status, fold.rule, fold.reason) for fold in report.folds]
    return Snapshot(
        seen.producer, report.target, seen.optimized, report.opset.after, report.nodes.after, tuple(entries)
    )


def key_of(model: str, baseline: Path) -> str:
    """What a model is called in a baseline: its path from there, so that it means the same on every machine."""
    if "://" in model:
        return model
    try:
        relative = os.path.relpath(os.path.realpath(model), os.path.realpath(baseline.parent))
    except ValueError:  # on another drive
        return Path(model).as_posix()
    return Path(relative).as_posix()


def read(path: Path) -> dict[str, Snapshot]:
    """The models of a baseline, by their names there.

    Raises:
        UsageError: the file isn't there, or isn't a baseline.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["schema"] != SCHEMA:
            raise UsageError(
                f"a baseline must have schema {SCHEMA}, and this has {content['schema']!r}: {path}; "
                "write it anew with --update-baseline"
            )
        return {str(name): _snapshot(row) for name, row in content["models"].items()}
    except IsADirectoryError as error:
        raise UsageError(f"the baseline must be a file, and this is a folder: {path}; name a file in it") from error
    except OSError as error:
        raise UsageError(
            f"the baseline must be readable: {path} ({error.strerror}); write it with --update-baseline"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"the file isn't a baseline: {path} ({type(error).__name__}: {error}); write it anew with --update-baseline"
        ) from error


def _snapshot(row: Mapping[str, Any]) -> Snapshot:
    entries = tuple(Entry(**entry) for entry in row["entries"])
    return Snapshot(**{**row, "entries": entries})


def write(path: Path, models: Mapping[str, Snapshot]) -> None:
    """Write a baseline; the same models give the same bytes.

    Raises:
        OutputError: it can't be written.
    """
    rows = {name: _row(models[name]) for name in sorted(models)}
    text = json.dumps({"schema": SCHEMA, "models": rows}, indent=1, ensure_ascii=False) + "\n"
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(text, "utf-8", "backslashreplace")  # of names that are no UTF-8: JSON's own escapes
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"the baseline can't be written: {path} ({error.strerror}); check its folder") from error


def _row(model: Snapshot) -> dict[str, Any]:
    kept = ("name", "kind", "status", "rule")
    return {**asdict(model), "entries": [{name: getattr(entry, name) for name in kept} for entry in model.entries]}


def compare(before: Snapshot, after: Snapshot, where: str) -> list[Finding]:
    """What has become worse, a finding for each kind; or one that says that nothing has.

    Args:
        before: the model in the baseline.
        after: the model now.
        where: the baseline's file, for the messages.
    """
    condition = f"as good as in {where}"
    if (before.target, before.optimized) != (after.target, after.optimized):
        was, now = _terms(before), _terms(after)
        return [
            Finding(
                "baseline",
                condition,
                f"the baseline was made for {was}, and this is judged for {now}: use the same options, "
                "or write it anew with --update-baseline",
            )
        ]
    since = _since(before, after)
    findings = [
        Finding("baseline", condition, f"{failure} {since}", culprits)
        for failure, culprits in (*_worse(before, after), *_more_loose(before, after))
    ]
    return findings or [Finding("baseline", condition, note=_improvement(before, after))]


def _terms(model: Snapshot) -> str:
    return f"{model.target}, {'optimized' if model.optimized else 'as it stands'}"


def _since(before: Snapshot, after: Snapshot) -> str:
    if before.producer != after.producer:
        return f"since the exporter changed: {before.producer} → {after.producer}"
    if before.opset != after.opset:
        return f"since the opset changed: {before.opset} → {after.opset} (both by {after.producer})"
    return f"(exporter unchanged: {after.producer})"


def _worse(before: Snapshot, after: Snapshot) -> Iterator[tuple[str, tuple[Culprit, ...]]]:
    """For each kind what has got worse, and where."""
    now = _by_name(after.entries)
    for kind in dict.fromkeys(entry.kind for entry in before.entries if entry.kind is not None):
        for grade in (2, 1):
            had = [entry for entry in before.entries if entry.kind == kind and entry.grade >= grade]
            has = [entry for entry in after.entries if entry.kind == kind and entry.grade >= grade]
            lost = _unmatched(had, has)
            fallen = [entry for entry in lost if any(same.grade < grade for same in now.get(entry.name, ()))]
            # A scale and shift that is gone may have been folded beforehand.
            missing = len(fallen) if kind == SCALE else max(len(had) - len(has), len(fallen))
            if missing <= 0:
                continue
            told = fallen if len(fallen) >= missing else lost
            words = (_OF_SCALES if kind == SCALE else _IN_WORDS)[grade]
            subject = f"{missing} {kind}" if missing == 1 else f"{missing} {kind} sites"
            sentence = words.format(subject)
            if missing > 1:
                sentence = sentence.replace("isn't", "aren't")
            yield (
                f"{sentence} ({len(had)} in the baseline, {len(has)} now)",
                tuple(Culprit(entry.name, _became(now.get(entry.name, ()))) for entry in told),
            )
            break


def _more_loose(before: Snapshot, after: Snapshot) -> Iterator[tuple[str, tuple[Culprit, ...]]]:
    """What is neither an operator nor can become one, of which there is more than there was, by name."""
    had, has = _loose(before), _loose(after)
    if len(has) <= len(had) or any(True for _ in _worse(before, after)):
        return  # where something got worse, that is what it is about
    added = _unmatched(has, had)
    yield (
        f"{len(has) - len(had)} more can't be fused or folded ({len(had)} in the baseline, {len(has)} now)",
        tuple(Culprit(entry.name, _state(entry)) for entry in added),
    )


def _loose(model: Snapshot) -> list[Entry]:
    return [entry for entry in model.entries if entry.grade == 0]


def _by_name(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.name, []).append(entry)
    return found


def _unmatched(some: Sequence[Entry], others: Sequence[Entry]) -> list[Entry]:
    """Those whose name isn't among the others, each name counted as often as it stands there."""
    names = {name: len(entries) for name, entries in _by_name(others).items()}
    left = []
    for entry in some:
        if names.get(entry.name, 0):
            names[entry.name] -= 1
        else:
            left.append(entry)
    return left


def _became(entries: Sequence[Entry]) -> str:
    return "; ".join(_state(entry) for entry in entries) or "nothing of that name is found any more"


def _state(entry: Entry) -> str:
    told = f"{entry.kind} is {entry.status}" if entry.kind else "it is a near miss"
    return told if entry.rule is None else f"{told}: {entry.reason} ({entry.rule})"


def _improvement(before: Snapshot, after: Snapshot) -> str | None:
    better = sum(e.grade == 2 for e in after.entries) - sum(e.grade == 2 for e in before.entries)
    if better > 0 or len(_loose(after)) < len(_loose(before)):
        return "better than the baseline: record it with --update-baseline"
    return None
