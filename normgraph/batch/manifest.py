"""What a folder of outputs was made of: with it, a run that was cut short goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from normgraph.batch.places import delivered, read_text

#: The file's name, in the folder of the outputs.
NAME = "normgraph-manifest.json"
SCHEMA = 1


@dataclass(frozen=True)
class Made:
    """An output that is done.

    Attributes:
        input: the hash of the input's content, its external data included.
        how: the hash of the options, and of normgraph's version.
        output: the hash of the output's content, likewise.
        told: what the summary says of it.
    """

    input: str
    how: str
    output: str
    told: Mapping[str, Any]


def content_hash(paths: Iterable[Path]) -> str:
    """The SHA-256 of files, their number and sizes included; names don't count."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(path.stat().st_size.to_bytes(8, "little"))
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def options_hash(options: Mapping[str, Any]) -> str:
    """The SHA-256 of options as JSON."""
    return hashlib.sha256(json.dumps(options, sort_keys=True, default=str).encode()).hexdigest()


class Manifest:
    """The manifest of a folder, written anew as things get done, in no more than a tenth of the time.

    A run that is killed may have done a little more than is noted; that is done again.

    Args:
        folder: the folder of the outputs, a path or a URL.
        fresh: forget what an earlier run did.
    """

    def __init__(self, folder: str, *, fresh: bool) -> None:
        self._path = f"{folder.rstrip('/')}/{NAME}"
        text = None if fresh else read_text(self._path)
        self._made: dict[str, Made] = _parsed(text) if text is not None else {}
        self._due = 0.0
        self._written = True

    def made(self, relative: str) -> Made | None:
        """What an earlier run noted of an output."""
        return self._made.get(relative)

    def note(self, relative: str, made: Made) -> None:
        """Note that an output is done."""
        self._made[relative] = made
        self._written = False
        if time.monotonic() >= self._due:
            self.write()

    def write(self) -> None:
        """Write down what has been noted since the last time.

        Raises:
            OutputError: it can't be written.
        """
        if self._written:
            return
        started = time.monotonic()
        rows = {name: asdict(self._made[name]) for name in sorted(self._made)}
        text = json.dumps({"schema": SCHEMA, "outputs": rows}, indent=1, ensure_ascii=False) + "\n"
        with delivered(self._path) as local:
            temporary = local.with_name(f".{local.name}.tmp")
            temporary.write_text(text, "utf-8", "backslashreplace")  # of names that are no UTF-8: JSON's own escapes
            temporary.replace(local)
        self._written = True
        now = time.monotonic()
        self._due = now + 9 * (now - started)


def _parsed(text: str) -> dict[str, Made]:
    """The outputs of a manifest; none of one that isn't understood: then all is done again."""
    try:
        content = json.loads(text)
        if content["schema"] != SCHEMA:
            return {}
        return {str(name): Made(**row) for name, row in content["outputs"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
