"""Where models lie: files, folders and patterns, in this file system or in any that fsspec knows."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from normgraph.errors import BadModelError

_MAGIC = frozenset("*?[")


def expand(patterns: Iterable[str]) -> list[str]:
    """The files that paths, folders and patterns stand for, each once, in the order of the patterns.

    Args:
        patterns: a path stands for itself, whether it exists or not; a folder for every ``.onnx`` file below it; a
            pattern with ``*``, ``?`` or ``[…]`` for the files that it matches, ``**`` for any number of folders. A
            path that exists is no pattern, whatever characters it has.

    Raises:
        BadModelError: a folder or pattern has no file.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            matched = sorted(str(file) for file in path.rglob("*.onnx") if file.is_file())
            _demand(matched, f"a folder must hold .onnx files, and this holds none: {pattern}; name another")
        elif _MAGIC.intersection(pattern) and not path.exists():
            matched = sorted(name for name in glob.glob(pattern, recursive=True) if Path(name).is_file())  # noqa: PTH207
            _demand(matched, f"a pattern must match a file, and this matches none: {pattern}; check its folder")
        else:
            matched = [pattern]
        found.update(dict.fromkeys(matched))
    return list(found)


def _demand(matched: list[str], message: str) -> None:
    if not matched:
        raise BadModelError(message)
