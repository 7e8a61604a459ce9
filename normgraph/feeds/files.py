"""Feeds from files: NumPy archives, ONNX tensors, and folders laid out as ONNX's backend tests are."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from normgraph.constants import Array
from normgraph.errors import UsageError
from normgraph.feeds.making import Feed, checked
from normgraph.feeds.signature import Signature

#: How NumPy calls arrays that were saved without a name.
_UNNAMED = re.compile(r"arr_(\d+)")


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
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise _unreadable(path, error) from error


def _loaded(path: Path) -> Array:
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _tensor(path: Path) -> Array:
    try:
        return np.asarray(numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes())))
    except (OSError, ValueError, TypeError, DecodeError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> UsageError:
    reason = " ".join(str(error).split())
    return UsageError(f"inputs must be readable, and this isn't: {path} ({reason}); write it again")


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
