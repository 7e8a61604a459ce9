"""Where models lie: files, folders and patterns, in this file system or at any URL that fsspec knows."""

from __future__ import annotations

import glob
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from normgraph.errors import BadModelError, NormgraphError, OutputError, UsageError

_MAGIC = frozenset("*?[")


@dataclass(frozen=True)
class Place:
    """A model that was named, by itself or by a pattern.

    Attributes:
        path: its path, or URL.
        relative: its path from the folder that was named, or that the pattern's fixed part names.
    """

    path: str
    relative: str


def is_url(text: str) -> bool:
    """Whether a text is a URL, not a path."""
    return "://" in text


def _links(url: str) -> tuple[str, str]:
    """The first URL of a chain such as ``zip://a/b.onnx::s3://bucket/c.zip``, and the rest: what it lies in."""
    own, separator, within = url.partition("::")
    return own, separator + within


def absolute(text: str) -> str:
    """A path from the root, which means the same to a process that stands in another folder; a URL as it is."""
    return text if is_url(text) else str(Path(text).absolute())


def is_of_this_process(text: str) -> bool:
    """Whether a URL is of a file system that every process has for itself, as ``memory://`` is."""
    return text.startswith("memory://")


def is_pattern(text: str) -> bool:
    """Whether a text stands for other files than itself: a pattern, or a folder.

    A path that exists is no pattern, whatever characters it has.
    """
    if is_url(text):
        own, _ = _links(text)
        return bool(_MAGIC.intersection(own)) or own.endswith("/")
    path = Path(text)
    return path.is_dir() or (bool(_MAGIC.intersection(text)) and not path.exists())


def expand(patterns: Iterable[str]) -> list[str]:
    """The paths of `places`."""
    return [place.path for place in places(patterns)]


def places(patterns: Iterable[str]) -> list[Place]:
    """The models that paths, folders, patterns and URLs stand for, each once, in the order of the patterns.

    Args:
        patterns: a path stands for itself, whether it exists or not; a folder, or a URL that ends in a slash, for
            every ``.onnx`` file below it; a pattern with ``*``, ``?`` or ``[…]`` for the files that it matches, ``**``
            for any number of folders.

    Raises:
        BadModelError: a folder or pattern has no file, or a URL can't be looked at.
        UsageError: there is a URL and fsspec isn't installed, or a name is empty.
    """
    found: dict[str, Place] = {}
    for pattern in patterns:
        if not pattern:
            raise UsageError("a model must have a name, and an empty one was given; name a file, folder or pattern")
        for place in _remote(pattern) if is_url(pattern) else _local(pattern):
            found.setdefault(place.path, place)
    return list(found.values())


def _local(pattern: str) -> list[Place]:
    path = Path(pattern)
    if not is_pattern(pattern):
        return [Place(pattern, path.name)]
    if path.is_dir():
        base, matched = path, sorted(str(file) for file in path.rglob("*.onnx") if file.is_file())
    else:
        base = Path(*_fixed(path.parts))
        matched = sorted(name for name in glob.glob(pattern, recursive=True) if Path(name).is_file())  # noqa: PTH207
    _demand(matched, pattern)
    return [Place(name, PurePath(name).relative_to(base).as_posix()) for name in matched]


def _remote(pattern: str) -> list[Place]:
    own, within = _links(pattern)
    if not is_pattern(pattern):
        return [Place(pattern, PurePosixPath(own).name)]
    matching = own + "**/*.onnx" if own.endswith("/") else own
    magic = min((own.index(character) for character in _MAGIC if character in own), default=len(own))
    base = own[: own.rindex("/", 0, magic) + 1]
    with _failing(pattern, BadModelError):
        system, inner = _filesystem(matching + within)
        names = sorted(str(name) for name in system.glob(inner) if system.isfile(name))
        root = str(system._strip_protocol(base)).strip("/")
        relative = [name.strip("/")[len(root) :].strip("/") for name in names]
        matched = [Place(base + name + within, name) for name in relative]
    _demand(matched, pattern)
    return matched


def _fixed(parts: tuple[str, ...]) -> tuple[str, ...]:
    """The parts of a pattern before the first that stands for several."""
    for position, part in enumerate(parts):
        if _MAGIC.intersection(part):
            return parts[:position]
    return parts


def _demand(matched: list[Any], pattern: str) -> None:
    if not matched:
        raise BadModelError(
            f"a folder or pattern must have models in it, and there is none: {pattern}; check how it is written"
        )


@contextmanager
def fetched(path: str) -> Iterator[Path]:
    """A model as a local file, its external data beside it: itself, or a copy for the time of the block.

    Raises:
        BadModelError: the URL can't be read, or the data lies outside of the model's folder.
        UsageError: it is a URL and fsspec isn't installed.
    """
    if not is_url(path):
        yield Path(path)
        return
    own, within = _links(path)
    with tempfile.TemporaryDirectory(prefix="normgraph-") as folder:
        local = Path(folder) / PurePosixPath(own).name
        _download(path, local)
        for location in _data_locations(local):
            parts = PurePosixPath(location).parts
            if not parts or PurePosixPath(location).is_absolute() or ".." in parts:
                raise BadModelError(f"external data must lie in its model's folder, not at {location!r}: {path}")
            (local.parent / location).parent.mkdir(parents=True, exist_ok=True)
            _download(f"{own.rpartition('/')[0]}/{location}{within}", local.parent / location)
        with _told_of(local, path):
            yield local


@contextmanager
def _told_of(local: Path, url: str) -> Iterator[None]:
    """Let errors name the URL, not the copy that nobody knows of."""
    try:
        yield
    except NormgraphError as error:
        error.args = tuple(part.replace(str(local), url) if isinstance(part, str) else part for part in error.args)
        raise


def _download(url: str, local: Path) -> None:
    with _failing(url, BadModelError):
        system, inner = _filesystem(url)
        with system.open(inner, "rb") as source, local.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 22)


def _data_locations(model: Path) -> list[str]:
    """The files of external data that a model names, each once."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        proto = onnx.load(model, load_external_data=False)
    except DecodeError:
        return []  # who reads it says what is wrong with it
    found: dict[str, None] = {}
    for tensor in _tensors(proto):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            found.update((entry.value, None) for entry in tensor.external_data if entry.key == "location")
    return list(found)


def _tensors(message: Any) -> Iterator[Any]:
    """Every TensorProto in a message."""
    import onnx

    for descriptor, value in message.ListFields():
        if descriptor.message_type is None:
            continue
        for inner in value if descriptor.is_repeated else [value]:
            if isinstance(inner, onnx.TensorProto):
                yield inner
            else:
                yield from _tensors(inner)


@contextmanager
def delivered(path: str) -> Iterator[Path]:
    """A local path to write a model to: the path itself, or one whose files go to the URL if the block ends well.

    The model itself is sent after its external data, so that it never stands there without it.

    Raises:
        OutputError: nothing can be written there.
        UsageError: it is a URL and fsspec isn't installed.
    """
    if not is_url(path):
        local = Path(path)
        try:
            local.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"the output's folder can't be made: {local.parent} ({error.strerror}); check what is there"
            ) from error
        yield local
        return
    folder, _, name = path.rpartition("/")
    with tempfile.TemporaryDirectory(prefix="normgraph-") as temporary:
        local = Path(temporary) / name
        yield local
        files = sorted(Path(temporary).iterdir(), key=lambda file: file == local)
        with _failing(path, OutputError):
            system, inner = _filesystem(folder)
            system.makedirs(inner, exist_ok=True)
            for file in files:
                system.put_file(str(file), f"{inner.rstrip('/')}/{file.name}")


def read_text(path: str) -> str | None:
    """A small file's text; None where there is none.

    Raises:
        BadModelError: it can't be read.
    """
    if not is_url(path):
        return Path(path).read_text("utf-8") if Path(path).exists() else None
    with _failing(path, BadModelError):
        system, inner = _filesystem(path)
        return str(system.cat_file(inner), "utf-8") if system.exists(inner) else None


@contextmanager
def _failing(url: str, kind: type[BadModelError | OutputError]) -> Iterator[None]:
    """Turn what a file system may raise, which is anything, into an error that names the URL."""
    try:
        yield
    except (BadModelError, OutputError, UsageError):
        raise
    except Exception as error:
        told = " ".join(str(error).split()) or type(error).__name__
        raise kind(f"the URL can't be used: {url} ({type(error).__name__}: {told}); check it and its access") from error


def _filesystem(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise UsageError(f"a URL needs fsspec: {url}; install 'normgraph[remote]'") from error
    system, inner = url_to_fs(url)
    system.invalidate_cache()  # what a store was found to hold may have changed since
    return system, inner
