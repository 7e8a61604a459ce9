"""What the kernel is told of a file that is written, so that its disk works while more of it is being copied."""

# Path's own questions raise for names that are too long; os.path's say no.
# ruff: noqa: PTH110, PTH113

import contextlib
import errno
import os
from pathlib import Path
from typing import BinaryIO

#: Bytes between two words to the kernel; smaller files are written without any.
STEP_BYTES = 1 << 24
#: What a file system answers that can't reserve space; it can be written to all the same.
CANNOT_RESERVE = {errno.EINVAL, errno.ENODEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}


def is_device(path: Path) -> bool:
    """Whether a path stands for something that a file can't be put in the place of."""
    return os.path.exists(path) and (not os.path.isfile(path) or os.path.realpath(path.parent) == "/dev")


def reserve(file: BinaryIO, size: int) -> None:
    """Has the space for a file found before anything is written: in one go, which costs less than block by block.

    Args:
        file: A new file.
        size: How many bytes are going to be in it.

    Raises:
        OSError: The disk is too full for it, or the file may not become so large.
    """
    if size < STEP_BYTES or not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        if error.errno not in CANNOT_RESERVE:
            raise


def sent_on(file: BinaryIO, sent: int) -> int:
    """Has the kernel begin to bring to the disk what has been appended to a file, once that is worth a word.

    Linux does so when told that the pages won't be needed: it writes them out, without anybody waiting. What is
    left to wait for at the end (fsync) is then the last of them.

    Args:
        file: The file.
        sent: Up to which byte the kernel has been told.

    Returns:
        Up to which byte it has been told now.
    """
    end = file.tell()
    if end - sent < STEP_BYTES or not hasattr(os, "posix_fadvise"):
        return sent
    file.flush()
    with contextlib.suppress(OSError):  # it is only advice
        os.posix_fadvise(file.fileno(), sent, end - sent, os.POSIX_FADV_DONTNEED)
    return end
