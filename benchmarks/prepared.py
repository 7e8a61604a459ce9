"""What each tool makes of a model, made once and kept beside it, so that what times them does nothing but time."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tools import DISTRIBUTIONS, NOT_INSTALLED
from workers import FOLDER, command_of, versions_of, worker_environment

import normgraph
from normgraph.constants import Array
from normgraph.errors import NormgraphError
from normgraph.feeds import Feeding, feeds_for, signature_of
from normgraph.model_io import load
from normgraph.providers import provider_named
from normgraph.sessions import OpenedModel, Setting

#: The tools beside normgraph that write ONNX files for any runtime; ONNX Runtime's own optimizations are on for all.
PEERS = ("onnxruntime.transformers", "onnxscript", "onnxslim", "onnxsim", "onnxoptimizer")
OWN = "normgraph"
#: Sizes of dynamic dimensions.
DIMS = {"batch": 1, "sequence": 128}
#: Seconds that a tool may take for a model.
PATIENCE = 900
#: How far outputs may differ from the original's, relative to the largest element.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Prepared:
    """A model and what became of it.

    Attributes:
        path: its file.
        made: the files of the tools whose results are right, normgraph's first.
        problems: for each of the others, why it isn't among them.
        keys: what all of that followed from.
    """

    path: Path
    made: Mapping[str, Path]
    problems: Mapping[str, str]
    keys: tuple[str, ...]


def feeding_for(path: Path) -> Feeding:
    """What a model is fed."""
    symbols = signature_of(load(path), str(path)).symbols
    return Feeding(dims={name: size for name, size in DIMS.items() if name in symbols}, sizes=1)


def prepare(path: Path, provider: str, interpreter: str) -> Prepared:
    """Let every tool write its version of a model into the folder `made` beside it, unless it is there already.

    A result is checked: its outputs have to be the original's.

    Args:
        path: the model's file.
        provider: what runs it, a key of `normgraph.providers.PROVIDERS`.
        interpreter: that of the other tools.

    Raises:
        AssertionError: what normgraph made isn't right.
        NormgraphError: the model itself can't be read or doesn't run, or normgraph fails on it.
    """
    source, versions = _digest([path]), versions_of(interpreter)
    place = path.parent / "made" / provider
    expected: list[Array] = []
    made: dict[str, Path] = {}
    problems: dict[str, str] = {}
    keys: list[str] = []
    for tool in (OWN, *PEERS):
        target, record = place / tool / path.name, place / tool / f"{path.stem}.json"
        version = _own_version() if tool == OWN else versions.get(DISTRIBUTIONS[tool], "")
        keys.append(f"{source} {provider} {tool} {version} {_digest([FOLDER / 'tools.py'])} {TOLERANCE} {DIMS}")
        if not record.exists() or json.loads(record.read_text("utf-8"))["key"] != keys[-1]:
            target.parent.mkdir(parents=True, exist_ok=True)
            problem = _make(tool, path, target, provider, interpreter)
            if problem is None:
                expected = expected or _outputs(path, path, provider)
                problem = _problem(path, target, provider, expected)
            record.write_text(json.dumps({"key": keys[-1], "problem": problem}) + "\n", "utf-8")
        found = json.loads(record.read_text("utf-8"))["problem"]
        if found is None:
            made[tool] = target
        else:
            assert tool != OWN, f"what normgraph made of {path} is no good: {found}"
            problems[tool] = found
    return Prepared(path, made, problems, tuple(keys))


def _make(tool: str, path: Path, target: Path, provider: str, interpreter: str) -> str | None:
    """Let a tool write its version of a model; what went wrong, if anything did."""
    if tool == OWN:
        normgraph.optimize(path, target=provider_named(provider).target).save(target)
        return None
    command = command_of(interpreter, "whole_peer.py", tool, target, path)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PATIENCE, env=worker_environment()
        )
    except subprocess.TimeoutExpired:
        return f"not done after {PATIENCE} s"
    if done.returncode == NOT_INSTALLED:
        return "not installed"
    return "fails" if done.returncode or json.loads(done.stdout)["failed"] else None


def _outputs(original: Path, path: Path, provider: str) -> list[Array]:
    """What a model computes of what the original is fed."""
    feed = feeds_for(signature_of(load(original), str(original)), feeding_for(original))[0].arrays
    opened = OpenedModel(path, feed, Setting(provider_named(provider)))
    opened.run()
    return opened.outputs()


def _problem(original: Path, path: Path, provider: str, expected: Sequence[Array]) -> str | None:
    """What is wrong with what a tool wrote, if anything is."""
    try:
        found = _outputs(original, path, provider)
    except NormgraphError:
        return "doesn't run"
    for one, other in zip(expected, found, strict=True):
        if one.shape != other.shape or not np.max(np.abs(one - other)) <= TOLERANCE * np.max(np.abs(one)):
            return "wrong"
    return None


def _own_version() -> str:
    """A hash of normgraph's sources, which change more often than its version."""
    return _digest(sorted((FOLDER.parent / "normgraph").rglob("*.py")))


def _digest(paths: Sequence[Path]) -> str:
    found = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()[:32]
