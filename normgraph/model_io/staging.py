"""Files that are written under temporary names beside their targets, and put in place once they are complete."""

import os
import stat
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import onnx_ir as ir

from normgraph.errors import OutputError
from normgraph.model_io import wire
from normgraph.model_io.tensors import OpenFile, copy_range


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
            for piece in pieces:
                _append(file, piece)
            file.flush()
            os.fsync(file.fileno())
        return temporary

    def copy(self, file: Path, target: Path) -> Path:
        """A copy of a file that is to become the target, made by the kernel: at no cost where it can share blocks."""
        source, temporary = OpenFile(file), self._beside(target)
        with temporary.open("xb") as copied:
            temporary.chmod(stat.S_IMODE(file.stat().st_mode))
            copy_range(source, 0, source.size, copied)
            copied.flush()
            os.fsync(copied.fileno())
        return temporary

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


def _append(file: BinaryIO, piece: wire.Piece) -> None:
    begin = file.tell()
    if isinstance(piece, memoryview):
        file.write(piece)
        return
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
