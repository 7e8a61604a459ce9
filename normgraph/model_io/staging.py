"""Files that are written under temporary names beside their targets, and put in place once they are complete."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import onnx_ir as ir

from normgraph.errors import OutputError
from normgraph.model_io import disk, wire
from normgraph.model_io.tensors import FileRange, FileTensor, OpenFile


class Staging:
    """Temporary files; when the block ends, those that haven't been put in place or given up are removed."""

    def __init__(self) -> None:
        self._files: list[Path] = []

    def __enter__(self) -> Self:
        """Begins the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Removes what is left."""
        for file in self._files:
            file.unlink(missing_ok=True)

    def write(self, target: Path, pieces: wire.Pieces) -> Path:
        """Writes pieces, down to the disk, to a file that is to become the target, whose permissions it gets.

        Raises:
            OutputError: a tensor doesn't give the bytes that it declares.
            OSError: the file can't be written.
        """
        temporary = self._beside(target)
        with temporary.open("xb") as file:
            if target.exists():
                temporary.chmod(stat.S_IMODE(target.stat().st_mode))
            disk.reserve(file, wire.size_of(pieces))
            sent = 0
            for part in _parts(pieces):
                _append(file, part)
                sent = disk.sent_on(file, sent)
            file.flush()
            os.fsync(file.fileno())
        return temporary

    def copy(self, file: Path, target: Path) -> Path:
        """A copy of a file that is to become the target, made by the kernel: at no cost where it can share blocks."""
        source = OpenFile(file)
        return self.write(target, [FileRange(source, 0, source.size)])

    def give_up(self, temporary: Path) -> None:
        """Leaves a file to the caller, under its temporary name."""
        self._files.remove(temporary)

    def _beside(self, target: Path) -> Path:
        self._files.append(target.with_name(f".{target.name}.{os.urandom(8).hex()}.tmp"))
        return self._files[-1]


def put(temporary: Path, target: Path) -> None:
    """Gives a file its name, and has that last through a power cut before anything else is done."""
    temporary.replace(target)
    if hasattr(os, "O_DIRECTORY"):
        _sync(target.parent, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _parts(pieces: wire.Pieces) -> Iterator[wire.Piece]:
    """The pieces, those that lie in files cut into what is copied at a time."""
    for piece in pieces:
        if isinstance(piece, FileTensor | FileRange):
            for begin in range(0, piece.nbytes, disk.STEP_BYTES):
                yield FileRange(piece.source, piece.offset + begin, min(disk.STEP_BYTES, piece.nbytes - begin))
        else:
            yield piece


def _append(file: BinaryIO, piece: wire.Piece) -> None:
    if isinstance(piece, memoryview):
        file.write(piece)
        return
    if isinstance(piece, FileRange):
        piece.tofile(file)
        return
    begin = file.tell()
    assert isinstance(piece, ir.TensorProtocol)
    if hasattr(piece, "tofile"):
        piece.tofile(file)
    else:
        file.write(piece.tobytes())
    if file.tell() != begin + piece.nbytes:
        raise OutputError(
            f"a tensor must give as many bytes as it declares, and {piece.name!r} gave "
            f"{file.tell() - begin:,} of {piece.nbytes:,}; check the data it is read from"
        )
