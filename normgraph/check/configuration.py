"""Contracts in a file: ``normgraph.toml``, or the table ``[tool.normgraph]`` of ``pyproject.toml``."""

from __future__ import annotations

import glob
import math
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from normgraph.check.budgets import LatencyBudget, parse_duration
from normgraph.check.contract import Contract, known, parse_expectations
from normgraph.check.quantities import FORBIDDEN
from normgraph.errors import UsageError
from normgraph.providers import PROVIDERS
from normgraph.targets import demand

OWN, SHARED = "normgraph.toml", "pyproject.toml"


@dataclass(frozen=True)
class Configuration:
    """What a file of contracts says.

    Attributes:
        path: the file; None where there is none.
        models: the patterns of the models that are checked where none is named; empty for those of the contracts.
        baseline: the file of the baseline.
        common: what is demanded of every model.
        contracts: patterns of models, and what is demanded of those besides.
    """

    path: Path | None = None
    models: tuple[str, ...] = ()
    baseline: Path | None = None
    common: Contract = field(default_factory=Contract)
    contracts: tuple[tuple[tuple[str, ...], Contract], ...] = ()

    @property
    def folder(self) -> Path:
        """What its patterns and paths are relative to."""
        return Path() if self.path is None else self.path.parent

    @property
    def patterns(self) -> tuple[str, ...]:
        """The patterns of the models that are checked where none is named."""
        return self.models or tuple(dict.fromkeys(pattern for patterns, _ in self.contracts for pattern in patterns))

    def contract_of(self, model: str) -> Contract:
        """All that is demanded of a model."""
        joined = self.common
        for patterns, contract in self.contracts:
            if _matches(model, patterns, self.folder):
                joined = joined.joined(contract)
        return joined

    def check_matched(self, models: Sequence[str]) -> None:
        """Make sure that every contract is some model's: one that is nobody's would hold whatever the models are.

        Raises:
            UsageError: one is nobody's.
        """
        for number, (patterns, _) in enumerate(self.contracts, 1):
            if not any(_matches(model, patterns, self.folder) for model in models):
                raise UsageError(
                    f"a contract must be that of a model, and no model that is checked matches "
                    f"{' or '.join(map(repr, patterns)) or 'no pattern'}: {self.path}, contract {number}; "
                    "correct its patterns, or take it out"
                )


def _matches(model: str, patterns: tuple[str, ...], folder: Path) -> bool:
    """Whether one of the patterns, in a folder, stands for a file.

    The patterns are looked up in the file system, so that they mean here exactly what they mean where models are named.
    """
    wanted = os.path.realpath(model)
    return any(wanted == os.path.realpath(found) for pattern in patterns for found in _found(pattern, folder))


def _found(pattern: str, folder: Path) -> list[str]:
    return [str(folder / name) for name in glob.glob(pattern, root_dir=folder, recursive=True)]  # noqa: PTH207


def find(start: Path) -> Path | None:
    """The file of contracts of a folder: its own, or that of the nearest folder above that has one."""
    for folder in (start, *start.parents):
        if (folder / OWN).is_file():
            return folder / OWN
        if (folder / SHARED).is_file() and _own_table(folder / SHARED) is not None:
            return folder / SHARED
    return None


def read(path: Path) -> Configuration:
    """Read a file of contracts.

    Raises:
        UsageError: it isn't there, isn't TOML, or says what isn't understood.
    """
    table = _own_table(path)
    if table is None:
        raise UsageError(f"the file must have a table [tool.normgraph]: {path}; add it, or name another file")
    table = dict(table)
    check = table.pop("check", {})
    _nothing_left(table, f"{path}", ("check",))
    where = f"{path}, [check]"
    check = dict(_typed(check, dict, where, "a table"))
    models = _texts(check.pop("models", []), f"{where}, models")
    baseline = check.pop("baseline", None)
    rows = _typed(check.pop("contract", []), list, f"{where}, contract", "an array of tables: [[check.contract]]")
    contracts = []
    for number, given in enumerate(rows, 1):
        here = f"{path}, contract {number}"
        row = dict(_typed(given, dict, here, "a table"))
        if "models" not in row:
            raise UsageError(f"a contract must say whose it is: {here}, models; name files or patterns there")
        patterns = _texts(row.pop("models"), f"{here}, models")
        if not row:
            raise UsageError(f"a contract must demand something: {here}; write one of {', '.join(_KEYS)} there")
        contracts.append((patterns, _contract(row, here, ("models",))))
    common = _contract(check, where, ("models", "baseline", "contract"))
    if baseline is not None and not _typed(baseline, str, f"{where}, baseline", "a text"):
        raise UsageError(f"a baseline must be a file: {where}, baseline; name it, or leave it out")
    if baseline is not None:
        baseline = path.parent / baseline
    return Configuration(path, models, baseline, common, tuple(contracts))


def _own_table(path: Path) -> Mapping[str, Any] | None:
    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        raise UsageError(
            f"the file of contracts must be readable: {path} ({error.strerror}); name another with --config"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the file of contracts must be TOML: {path} ({error}); correct it there") from error
    if path.name != SHARED:
        return content
    tools = content.get("tool")
    table = tools.get("normgraph") if isinstance(tools, dict) else None
    return table if table is None else dict(_typed(table, dict, f"{path}, [tool.normgraph]", "a table"))


def _expect(value: Any, where: str) -> tuple[Any, ...]:
    return tuple(e for text in _texts(value, where) for e in parse_expectations(text, where))


def _forbid(value: Any, where: str) -> tuple[str, ...]:
    names = [name.strip() for text in _texts(value, where) for name in text.split(",")]
    for name in filter(None, names):
        known(name, FORBIDDEN, "such thing to forbid as", where)
    return tuple(filter(None, names))


def _max_error(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise UsageError(f"a largest error must be a number from 0 on, not {value!r}: {where}; correct it there")
    return float(value)


def _max_latency(value: Any, where: str) -> LatencyBudget:
    """A time such as "5ms", or a table of it and of what it is measured with."""
    table = {"time": value} if isinstance(value, str) else dict(_typed(value, dict, where, "a text or a table"))
    if "time" not in table:
        raise UsageError(f'a budget of time must have one: {where}; write it as in {{ time = "5ms" }}')
    seconds = parse_duration(_typed(table.pop("time"), str, f"{where}, time", "a text"), where)
    provider = _typed(table.pop("provider", "cpu"), str, f"{where}, provider", "a text")
    known(provider, PROVIDERS, "provider", where)
    threads = _natural(table.pop("threads", 0), f"{where}, threads")
    dims = _typed(table.pop("dims", {}), dict, f"{where}, dims", "a table")
    _nothing_left(table, where, ("time", "provider", "threads", "dims"))
    sizes = tuple((name, _natural(size, f"{where}, dims, {name}")) for name, size in dims.items())
    return LatencyBudget(seconds, provider, threads, sizes)


def _natural(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UsageError(f"here must stand a whole number from 0 on, not {value!r}: {where}; correct it there")
    return value


def _target(value: Any, where: str) -> str:
    name: str = _typed(value, str, where, "a text")
    try:
        demand(name)
    except UsageError as error:
        raise UsageError(f"{error} ({where})") from error
    return name


def _flag(value: Any, where: str) -> bool:
    flag: bool = _typed(value, bool, where, "true or false")
    return flag


#: The keys of a contract: the field that each fills, and what reads its value.
_KEYS: Mapping[str, tuple[str, Callable[[Any, str], Any]]] = {
    "expect": ("expect", _expect),
    "forbid": ("forbid", _forbid),
    "max-error": ("max_error", _max_error),
    "max-latency": ("max_latency", _max_latency),
    "target": ("target", _target),
    "allow-contrib": ("allow_contrib", _flag),
    "optimized": ("optimized", _flag),
}


def _contract(table: dict[str, Any], where: str, others: tuple[str, ...]) -> Contract:
    fields = {
        field: read_value(table.pop(key), f"{where}, {key}")
        for key, (field, read_value) in _KEYS.items()
        if key in table
    }
    _nothing_left(table, where, (*_KEYS, *others))
    return Contract(**fields)


def _nothing_left(table: Mapping[str, Any], where: str, keys: tuple[str, ...]) -> None:
    for key in table:
        known(key, keys, "key", where)


def _texts(value: Any, where: str) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise UsageError(f"here must stand a text or a list of texts, not {value!r}: {where}; correct it there")
    return tuple(texts)


def _typed(value: Any, kind: type, where: str, noun: str) -> Any:
    if not isinstance(value, kind):
        raise UsageError(f"here must stand {noun}, not {value!r}: {where}; correct it there")
    return value
