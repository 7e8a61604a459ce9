"""Tensors whose bytes stay in a file: read when asked for, copied from file to file by the kernel."""

import errno
import functools
import math
import mmap
import os
import stat
import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, overload

import numpy as np
import onnx
import onnx_ir as ir

from normgraph.errors import BadModelError

# What a kernel answers when it can't copy between these two files; reading and writing still can.
CANNOT_COPY = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EXDEV, errno.ENOTSOCK}
CHUNK_BYTES = 1 << 24
WINDOW_BYTES = 1 << 14
PACKED_BITS = {2, 4, 6}


class OpenFile:
    """A regular file that stays open, and so readable even when its name is given to another file.

    ``file[at]`` and ``file[start:stop]`` read it like ``bytes``.

    Attributes:
        path: The name that it was opened by.
        size: Its size in bytes when it was opened.

    Raises:
        BadModelError: There is no such file, it isn't a regular file or may not be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            # A pipe would block at open, so look first.
            mode = path.stat().st_mode
            if stat.S_ISDIR(mode):
                raise BadModelError(f"a model must be a file, and this is a folder: {path}; name the file inside it")
            if not stat.S_ISREG(mode):
                raise BadModelError(f"a model must be a regular file: {path}; copy it to one")
            file = path.open("rb", buffering=0)
        except FileNotFoundError:
            raise BadModelError(f"there is no such file: {path}; check the path") from None
        except OSError as error:
            raise BadModelError(f"the file can't be read: {path} ({error.strerror}); check its permissions") from None
        weakref.finalize(self, file.close)
        self.descriptor = file.fileno()
        self.size = os.fstat(self.descriptor).st_size
        self._window, self._window_start = b"", 0

    @functools.cached_property
    def mapped(self) -> mmap.mmap:
        """All of it, mapped into memory; it counts as used once it is touched, by up to 2 MiB a touch."""
        return mmap.mmap(self.descriptor, 0, access=mmap.ACCESS_READ)

    @overload
    def __getitem__(self, at: int) -> int: ...

    @overload
    def __getitem__(self, at: slice) -> bytes: ...

    def __getitem__(self, at: int | slice) -> int | bytes:
        if isinstance(at, slice):
            start, stop, _ = at.indices(self.size)
            return self._read(start, stop)
        if not 0 <= at - self._window_start < len(self._window):
            self._window = self._read(at, min(at + WINDOW_BYTES, self.size))
            self._window_start = at
        return self._window[at - self._window_start]

    def _read(self, start: int, stop: int) -> bytes:
        if not hasattr(os, "pread"):
            return self.mapped[start:stop]
        chunks = []
        while start < stop:
            chunk = os.pread(self.descriptor, min(stop - start, CHUNK_BYTES), start)
            if not chunk:
                raise BadModelError(f"the file became shorter while it was read: {self.path}; try again")
            chunks.append(chunk)
            start += len(chunk)
        return b"".join(chunks)


def _copy_file_range(source: int, target: int, count: int, offset: int) -> int:
    return os.copy_file_range(source, target, count, offset)


def _sendfile(source: int, target: int, count: int, offset: int) -> int:
    return os.sendfile(target, source, offset, count)


# Tried in turn; each copies at the target's own file position and returns how many bytes it copied.
KERNEL_COPIES: tuple[Callable[[int, int, int, int], int], ...] = tuple(
    copy for name, copy in (("copy_file_range", _copy_file_range), ("sendfile", _sendfile)) if hasattr(os, name)
)


def copy_range(source: OpenFile, offset: int, length: int, target: BinaryIO) -> None:
    """Appends a range of a file to another at its current position, inside the kernel where it can."""
    target.flush()
    begin = target.tell()
    done = 0
    for copy in KERNEL_COPIES:
        try:
            while done < length:
                count = copy(source.descriptor, target.fileno(), min(length - done, 1 << 30), offset + done)
                if count == 0:
                    break
                done += count
        except OSError as error:
            if error.errno not in CANNOT_COPY:
                raise
        # The kernel moved the descriptor; the file object has to be told.
        target.seek(begin + done)
    while done < length:
        chunk = source[offset + done : offset + min(length, done + CHUNK_BYTES)]
        target.write(chunk)
        done += len(chunk)


@dataclass(frozen=True)
class FileRange:
    """Some bytes of an open file.

    Attributes:
        source: The file.
        offset: Where they begin in it.
        nbytes: How many they are.
    """

    source: OpenFile
    offset: int
    nbytes: int

    def tofile(self, file: BinaryIO) -> None:
        """Appends the bytes to a regular file at its current position."""
        copy_range(self.source, self.offset, self.nbytes, file)


def _is_regular(target: object) -> bool:
    try:
        return stat.S_ISREG(os.fstat(target.fileno()).st_mode)  # type: ignore[attr-defined]
    except (AttributeError, OSError):
        return False


def _read(source: OpenFile, offset: int, dtype: ir.DataType, shape: ir.Shape) -> ir.TensorProtocol:
    """The range as a read-only tensor: a copy, or of a large one a view of the mapped file where its layout allows it.

    What has been touched of a mapped file counts as used as long as the file is open.
    """
    dims, size = shape.numpy(), math.prod(shape.numpy())
    if dtype.bitwidth in PACKED_BITS:
        raw = source[offset : offset + _packed_size(dtype, size)]
        return ir.serde.deserialize_tensor(onnx.TensorProto(dims=dims, data_type=dtype.value, raw_data=raw))
    element = dtype.numpy().newbyteorder("<")
    if not size:
        flat = np.empty(0, element)
    elif size * element.itemsize <= CHUNK_BYTES or offset % element.itemsize:
        # Protobuf aligns nothing, but libraries that take arrays by their address may count on it.
        flat = np.frombuffer(source[offset : offset + size * element.itemsize], element)
    else:
        flat = np.frombuffer(source.mapped, element, size, offset)
    array = flat.reshape(dims)
    if sys.byteorder != "little":
        array = array.astype(dtype.numpy())
        array.flags.writeable = False
    return ir.Tensor(array, dtype, shape=shape)


def packed_size(tensor: ir.TensorProtocol, where: str) -> int:
    """How many bytes a tensor of this type and shape takes in ``TensorProto.raw_data``.

    Raises:
        BadModelError: No bytes can stand for it: its dimensions are negative, or its type is STRING or none.
    """
    dims = tensor.shape.numpy()
    if tensor.dtype in (ir.DataType.STRING, ir.DataType.UNDEFINED) or any(dim < 0 for dim in dims):
        raise BadModelError(
            f"a tensor of raw bytes must have a numeric type and a static shape, "
            f"and this is {tensor.dtype.name}{list(dims)}: {where}; export the model again"
        )
    return _packed_size(tensor.dtype, elements(tensor, where))


def elements(tensor: ir.TensorProtocol, where: str) -> int:
    """How many elements a tensor of this shape has.

    Raises:
        BadModelError: More than any offset reaches, perhaps too many to print.
    """
    size = math.prod(tensor.shape.numpy())
    if size >= 2**63:
        raise BadModelError(
            f"a tensor must have fewer elements than 2^63, and its shape asks for more: {where}; export the model again"
        )
    return size


def _packed_size(dtype: ir.DataType, size: int) -> int:
    return (size * dtype.bitwidth + 7) // 8


class FileTensor(ir.LazyTensor):
    """An immutable tensor that is a range of an open file, in the layout of ``TensorProto.raw_data``.

    Serialized by onnx_ir it becomes ordinary ``raw_data``; normgraph's own writer copies the range instead.

    Args:
        source: The file.
        offset: Where the tensor begins in it, in bytes.
        dtype: Element type; any but STRING.
        shape: Static shape.
        name: Name of the tensor.
        doc_string: Its documentation.
        metadata_props: Its metadata.
        external: Whether the file is one of external data rather than the model itself.
    """

    __slots__ = ("external", "offset", "source")

    def __init__(
        self,
        source: OpenFile,
        offset: int,
        dtype: ir.DataType,
        shape: ir.Shape,
        *,
        name: str | None,
        doc_string: str | None = None,
        metadata_props: dict[str, str] | None = None,
        external: bool = False,
    ) -> None:
        read = functools.partial(_read, source, offset, dtype, shape)
        super().__init__(read, dtype, shape, name=name, doc_string=doc_string, metadata_props=metadata_props)
        self.source = source
        self.offset = offset
        self.external = external

    def element(self, position: int) -> np.generic:
        """One element of the flattened tensor, of a type of whole bytes, without reading the others."""
        element = self.dtype.numpy().newbyteorder("<")
        begin = self.offset + position * element.itemsize
        found: np.generic = np.frombuffer(self.source[begin : begin + element.itemsize], element)[0]
        return found

    def tobytes(self) -> bytes:
        """The tensor's bytes, little endian and packed as ONNX stores them."""
        return self.source[self.offset : self.offset + self.nbytes]

    def tofile(self, file: BinaryIO) -> None:
        """Appends the tensor's bytes to a binary file at its current position."""
        if _is_regular(file):
            copy_range(self.source, self.offset, self.nbytes, file)
        else:
            file.write(self.tobytes())

    def __repr__(self) -> str:
        return f"{self._repr_base()}(name={self.name!r}, path='{self.source.path}', offset={self.offset})"
