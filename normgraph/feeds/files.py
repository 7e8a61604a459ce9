"""Feeds from files: NumPy archives, ONNX tensors, and folders laid out as ONNX's backend tests are."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import onnx
from onnx import numpy_helper

from normgraph.constants import Array
from normgraph.errors import UsageError
from normgraph.feeds.making import Feed, checked
from normgraph.feeds.signature import Signature

#: How NumPy calls arrays that were saved without a name.
_UNNAMED = re.compile(r"arr_(\d+)")
#: What files of NumPy's begin with. It takes all else for pickled objects, and says so.
_BEGINNINGS = {".npz": (b"PK\x03\x04", b"PK\x05\x06"), ".npy": (b"\x93NUMPY",)}

Read = TypeVar("Read")


def read_feeds(path: Path, signature: Signature) -> list[Feed]:
    """The feeds that a file or folder holds.

    Args:
        path: one of

            - ``.npz``: an array for each input, under its name; arrays saved without names go by their order
            - ``.npy`` or ``.pb`` (a serialized TensorProto): the only input
            - a folder of ``input_0.pb``, ``input_1.pb``, …: the inputs in their order
            - a folder of such folders (``test_data_set_0``, …) or of ``.npz`` files: a feed for each
        signature: the signature of the model that is to be fed.

    Raises:
        UsageError: there is nothing of the kind, it can't be read, or it doesn't fit the model.
    """
    if path.is_dir():
        return _read_folder(path, signature)
    if not path.is_file():
        raise UsageError(f"inputs must be a file or a folder, and there is none: {path}; check the name")
    return [checked(signature, str(path), _read_file(path, signature))]


def _read_folder(path: Path, signature: Signature) -> list[Feed]:
    numbered = {
        int(match[1]): file for file in path.iterdir() if (match := re.fullmatch(r"input_(\d+)\.pb", file.name))
    }
    if numbered:
        files = [numbered[number] for number in sorted(numbered)]
        arrays = {name: _tensor(file) for name, file in zip(_names(files, path, signature), files, strict=True)}
        return [checked(signature, str(path), arrays)]
    inner = sorted(
        (item for item in path.iterdir() if item.suffix == ".npz" or (item.is_dir() and any(item.glob("input_*.pb")))),
        key=lambda item: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", item.name)],
    )
    if not inner:
        raise UsageError(
            f"a folder of inputs must hold input_0.pb and so on, such folders, or .npz files: {path}; "
            "name the right folder or a file"
        )
    return [feed for item in inner for feed in read_feeds(item, signature)]


def _names(files: list[Path], path: Path, signature: Signature) -> list[str]:
    names = [item.name for item in signature.inputs]
    if len(files) != len(names):
        raise UsageError(
            f"a folder must hold a file for each input, and {len(files)} are there for {len(names)}: "
            f"{path}; the inputs of {signature.model} are: {', '.join(names) or 'none'}"
        )
    return names


def _read_file(path: Path, signature: Signature) -> Mapping[str, Array]:
    kind = path.suffix.lower()
    if kind == ".npz":
        return _by_name(_archive(path), signature)
    if kind == ".npy":
        return _only(_loaded(path), path, signature)
    if kind == ".pb":
        return _only(_tensor(path), path, signature)
    raise UsageError(f"inputs must be .npz, .npy, .pb or a folder of them: {path}; convert it, numpy.savez does")


def _archive(path: Path) -> dict[str, Array]:
    def read(file: BinaryIO) -> dict[str, Array]:
        with np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}

    return _readable(path, read)


def _loaded(path: Path) -> Array:
    return _readable(path, lambda file: np.asarray(np.load(file, allow_pickle=False)))


def _tensor(path: Path) -> Array:
    return _readable(path, lambda file: np.asarray(numpy_helper.to_array(onnx.TensorProto.FromString(file.read()))))


def _readable(path: Path, read: Callable[[BinaryIO], Read]) -> Read:
    """What is read from a file.

    Raises:
        UsageError: it can't be.
    """
    try:
        with path.open("rb") as file:
            if file.read(8).startswith(_BEGINNINGS.get(path.suffix.lower(), (b"",))):
                file.seek(0)
                return read(file)
        reason = f"it doesn't begin as {path.suffix.lower()} files do"
    except Exception as error:  # whatever the readers of archives, compressed data and messages have for broken ones
        reason = " ".join(str(error).split()) or type(error).__name__
        reason = "it holds Python objects, which aren't loaded" if "allow_pickle" in reason else reason
    raise UsageError(f"inputs must be readable, and this isn't: {path} ({reason}); write it again")


def _only(array: Array, path: Path, signature: Signature) -> Mapping[str, Array]:
    if len(signature.inputs) != 1:
        raise UsageError(
            f"a single array is enough for a model of one input only: {path}; {signature.model} has "
            f"{len(signature.inputs)}: use .npz, or a folder"
        )
    return {signature.inputs[0].name: array}


def _by_name(arrays: Mapping[str, Array], signature: Signature) -> Mapping[str, Array]:
    """The arrays under the names of the inputs, where they have none of their own."""
    order = [_UNNAMED.fullmatch(name) for name in arrays]
    if not all(order) or any(item.name in arrays for item in signature.inputs):
        return arrays
    names = [item.name for item in signature.inputs]
    return {names[int(m[1])] if int(m[1]) < len(names) else m[0]: arrays[m[0]] for m in order if m is not None}
