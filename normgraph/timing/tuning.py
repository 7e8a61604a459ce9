"""Tuning: for each rewrite, by its structure and shape, whether it pays on a machine; in a file that CI can repeat."""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from normgraph.errors import OutputError, UsageError
from normgraph.providers import PROVIDERS
from normgraph.timing.statistics import Ratio

#: The version of the file's form.
SCHEMA = 1
#: How much slower a rewrite may be before it is left out, relative: less isn't worth a difference between machines.
SLACK = 0.02


@dataclass(frozen=True)
class Decision:
    """What was measured of a rewrite, and what follows.

    Attributes:
        kind: the operator that it becomes.
        inputs: element type and shape of each input, in words.
        before: seconds of a run of the original nodes.
        after: those of what replaces them.
        ratio: how many times as fast the rewrite is.
        rewrite: whether it is made.
    """

    kind: str
    inputs: tuple[str, ...]
    before: float
    after: float
    ratio: Ratio
    rewrite: bool

    def to_dict(self) -> dict[str, Any]:
        """It as plain data."""
        return {
            "kind": self.kind,
            "inputs": list(self.inputs),
            "before": self.before,
            "after": self.after,
            "ratio": self.ratio.to_dict(),
            "rewrite": self.rewrite,
        }


def is_worth(ratio: Ratio) -> bool:
    """Whether a rewrite is to be made: unless it is slower beyond noise, and by more than `SLACK`."""
    return ratio.high >= 1 / (1 + SLACK)


@dataclass
class Tuning:
    """The decisions for a provider.

    Attributes:
        provider: a key of `normgraph.providers.PROVIDERS`.
        runtime: the version of ONNX Runtime that was measured with, empty for none yet.
        decisions: those there are, by the keys of `normgraph.timing.structure`.
    """

    provider: str
    runtime: str = ""
    decisions: dict[str, Decision] = field(default_factory=dict)

    def save(self, path: str | PathLike[str]) -> None:
        """Write them, in the form of ``tuning.schema.json``; an earlier file is replaced as a whole.

        Raises:
            OutputError: the file can't be written.
        """
        target = Path(path)
        document = {
            "schema": SCHEMA,
            "provider": self.provider,
            "onnxruntime": self.runtime,
            "decisions": {key: self.decisions[key].to_dict() for key in sorted(self.decisions)},
        }
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
        try:
            temporary.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", "utf-8")
            temporary.replace(target)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            reason = error.strerror or str(error)
            raise OutputError(f"the tuning can't be written: {target} ({reason}); check its folder") from error


def load(path: str | PathLike[str]) -> Tuning:
    """Read a tuning.

    Raises:
        UsageError: it can't be read, or isn't one.
    """
    try:
        document = json.loads(Path(path).read_text("utf-8"))
        if document["schema"] != SCHEMA:
            raise ValueError(f"its form is {document['schema']!r}, and {SCHEMA} is known")
        if document["provider"] not in PROVIDERS:
            raise ValueError(f"its provider is {document['provider']!r}, and known are {', '.join(PROVIDERS)}")
        decisions = {str(key): _decision(entry) for key, entry in document["decisions"].items()}
        return Tuning(document["provider"], str(document["onnxruntime"]), decisions)
    except OSError as error:
        raise UsageError(
            f"the tuning can't be read: {path} ({error.strerror or error}); make one with --autotune"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"a tuning must be what --autotune --tuning wrote, and this isn't: {path} "
            f"({type(error).__name__}: {error}); make it anew"
        ) from error


def _decision(entry: Mapping[str, Any]) -> Decision:
    ratio = entry["ratio"]
    if not isinstance(entry["rewrite"], bool):
        raise TypeError(f"rewrite is {entry['rewrite']!r}")
    return Decision(
        str(entry["kind"]),
        tuple(str(text) for text in entry["inputs"]),
        _figure(entry, "before"),
        _figure(entry, "after"),
        Ratio(
            _figure(ratio, "estimate"),
            _figure(ratio, "low"),
            math.inf if ratio["high"] is None else _figure(ratio, "high"),
        ),
        entry["rewrite"],
    )


def _figure(entry: Mapping[str, Any], name: str) -> float:
    number = float(entry[name])
    if not 0 <= number < math.inf:
        raise ValueError(f"{name} is {entry[name]!r}")
    return number
