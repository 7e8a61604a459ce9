"""Writes a model by copying its unchanged weights from where they lie, and only ever whole."""

import filecmp
import os
from bisect import bisect_left
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Literal

import onnx
import onnx_ir as ir

from normgraph.errors import OutputError
from normgraph.model_io import wire
from normgraph.model_io.carried import to_proto
from normgraph.model_io.disk import is_device
from normgraph.model_io.reading import LARGE_BYTES, RAW_DATA
from normgraph.model_io.staging import Staging, put
from normgraph.model_io.tensors import FileTensor
from normgraph.model_io.walk import Replace, initializers, replace_tensors

ExternalData = Literal["auto", "always", "never"]

MAX_MESSAGE_BYTES = wire.MAX_MESSAGE_BYTES
# External data is mapped by its readers, so each tensor begins on a page.
PAGE_BYTES = 4096
# Stands as the location of a tensor that is put into the model's own file; no path can hold a NUL.
EMBEDDED = "\0embedded"


@dataclass(frozen=True)
class Layout:
    """What a model is written as: the pieces of its own file and those of its data file, if it has one."""

    model: wire.Pieces
    data: wire.Pieces


def save(model: ir.Model, path: str | PathLike[str], *, external_data: ExternalData = "auto") -> tuple[Path, ...]:
    """Writes a model; its file appears under its name only once it is complete and on disk.

    Tensors that lie in files are copied range by range, by the kernel where it can, and never held in memory.
    The same model gives the same bytes. The model is left as it was, and may be written over the file
    it was read from: its tensors go on reading the old content.

    Args:
        model: The model.
        path: Where to write it. The folder must exist.
        external_data: Whether initializers of 4 KiB and more go into a data file beside it, ``<name>.data``:
            "always", "never", or "auto", which is when some came from external data or when one file would be
            larger than protobuf's limit of 2 GiB.

    A kill at any moment leaves a model that can be read: the earlier one with its data, or the new one with its own.
    Where both have a data file of the same name there is a moment at which the new model reads its data under a
    temporary name; killed just then, it goes on doing so.

    Returns:
        The files written: the model's, behind its data file if it has one.

    Raises:
        OutputError: The folder is missing, nothing can be written there, the disk is full, or the model is
            too large for a single file and external data is "never". No file is left half written, and an
            earlier one is untouched.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise OutputError(f"the output's folder must exist: {path.parent}; create it")
    if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for names that are too long
        raise OutputError(f"the output must be a file, and this is a folder: {path}; name a file in it")
    if is_device(path):
        raise OutputError(f"the output must be a regular file: {path}; name one")
    data_path = path.with_name(path.name + ".data")
    layout = _layout(model, path, data_path.name, external_data)
    try:
        with Staging() as staging:
            return _put_in_place(model, layout, path, data_path, staging)
    except OSError as error:
        raise OutputError(
            f"the model can't be written: {path} ({error.strerror or error}); "
            "check the folder's permissions and the space left"
        ) from error


def _put_in_place(model: ir.Model, layout: Layout, path: Path, data_path: Path, staging: Staging) -> tuple[Path, ...]:
    """Writes both files and names them, so that whatever stands under the model's name can always be read."""
    if not layout.data:
        put(staging.write(path, layout.model), path)
        return (path,)
    data = staging.write(data_path, layout.data)
    final = staging.write(path, layout.model)
    if not os.path.lexists(data_path):
        put(data, data_path)
        put(final, path)
        return data_path, path
    if data_path.is_file() and filecmp.cmp(data, data_path, shallow=False):
        put(final, path)
        return data_path, path
    # An earlier model may be reading the data file: the new one reads its data elsewhere until both have been replaced.
    # The data needs a copy for that; a second name for it won't do, for onnx refuses data that has two.
    bridge = staging.write(path, _lay_out(model, data.name).model)
    copied = staging.copy(data, data_path)
    staging.give_up(data)
    put(bridge, path)
    put(copied, data_path)
    put(final, path)
    data.unlink()
    return data_path, path


def _layout(model: ir.Model, path: Path, data_name: str, external_data: ExternalData) -> Layout:
    if external_data == "always" or (external_data == "auto" and _had_external_data(model)):
        return _lay_out(model, data_name)
    layout = _lay_out(model, None)
    size = wire.size_of(layout.model)
    if size > MAX_MESSAGE_BYTES:
        if external_data == "never":
            raise OutputError(
                f"a model in a single file must stay below 2 GiB, and this takes {size:,} bytes: {path}; "
                "let it use external data"
            )
        return _lay_out(model, data_name)
    return layout


def _had_external_data(model: ir.Model) -> bool:
    return any(
        isinstance(tensor, ir.ExternalTensor) or (isinstance(tensor, FileTensor) and tensor.external)
        for _, tensor in initializers(model)
    )


def _lay_out(model: ir.Model, data_name: str | None) -> Layout:
    """Serializes a model with its large tensors left out and says where their bytes go."""
    embedded: list[ir.TensorProtocol] = []
    data: wire.Pieces = []
    written: dict[Hashable, int] = {}
    end = 0

    def stand_in(tensor: ir.TensorProtocol, may_be_external: bool) -> ir.TensorProtocol:
        nonlocal end
        if data_name is not None and may_be_external and tensor.nbytes >= LARGE_BYTES:
            # Tensors that share a range of a file go on sharing one.
            key = (tensor.source, tensor.offset, tensor.nbytes) if isinstance(tensor, FileTensor) else len(data)
            if key not in written:
                gap = -end % PAGE_BYTES
                data.extend([memoryview(bytes(gap)), tensor] if gap else [tensor])
                written[key] = end + gap
                end += gap + tensor.nbytes
            location, offset = data_name, written[key]
        else:
            location, offset = EMBEDDED, len(embedded)
            embedded.append(tensor)
        return ir.ExternalTensor(
            location,
            offset,
            tensor.nbytes,
            tensor.dtype,
            shape=ir.Shape(tensor.shape.numpy()),
            name=tensor.name or "",
            doc_string=tensor.doc_string,
            metadata_props=dict(tensor.metadata_props),
        )

    with _substituted(model, stand_in):
        proto = to_proto(model)
    return Layout(_embed(proto.SerializeToString(deterministic=True), embedded), data)


def _is_left_out(tensor: ir.TensorProtocol) -> bool:
    """Whether a tensor's bytes are kept out of serialization, which would hold all of them in memory."""
    if isinstance(tensor, ir.ExternalTensor | FileTensor):
        return True
    if tensor.dtype == ir.DataType.STRING:
        return False
    if isinstance(tensor, ir.serde.TensorProtoTensor):
        # One that holds typed data is written as it was read; only raw data can be copied byte by byte.
        return tensor.raw.HasField("raw_data") and tensor.nbytes >= LARGE_BYTES
    return tensor.nbytes >= LARGE_BYTES


@contextmanager
def _substituted(model: ir.Model, stand_in: Replace) -> Iterator[None]:
    """Has stand-ins in the place of the tensors that are left out, until the block ends."""

    def substitute(tensor: ir.TensorProtocol, may_be_external: bool) -> ir.TensorProtocol:
        return stand_in(tensor, may_be_external) if _is_left_out(tensor) else tensor

    put_back = replace_tensors(model, substitute)
    try:
        yield
    finally:
        put_back()


def _embed(skeleton: bytes, tensors: list[ir.TensorProtocol]) -> wire.Pieces:
    """Puts tensors back where a serialized model says that they are embedded, as fields of raw data."""
    if not tensors:
        return [memoryview(skeleton)]
    marks: list[int] = []
    needle = EMBEDDED.encode()
    at = skeleton.find(needle)
    while at >= 0:
        marks.append(at)
        at = skeleton.find(needle, at + len(needle))

    def holds_mark(start: int, end: int) -> bool:
        index = bisect_left(marks, start)
        return index < len(marks) and marks[index] < end

    def put_back(start: int, end: int) -> wire.Pieces | None:
        proto = onnx.TensorProto.FromString(skeleton[start:end])
        info = {entry.key: entry.value for entry in proto.external_data}
        if info.get("location") != EMBEDDED:
            return None
        tensor = tensors[int(info["offset"])]
        proto.ClearField("external_data")
        proto.ClearField("data_location")
        rest = proto.SerializeToString(deterministic=True)
        later = (tag for number, _, tag, _, _ in wire.fields(rest, 0, len(rest)) if number > RAW_DATA)
        split = next(later, len(rest))
        view = memoryview(rest)
        return [view[:split], wire.length_delimited(RAW_DATA, tensor.nbytes), tensor, view[split:]]

    pieces = wire.rewrite(skeleton, 0, len(skeleton), put_back, holds_mark) or []
    placed = sum(not isinstance(piece, memoryview) for piece in pieces)
    assert placed == len(tensors), f"{len(tensors) - placed} tensors have lost their place"
    return pieces
