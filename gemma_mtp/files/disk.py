"""Room on the disk, what files take of it, and one sentence for whatever the disk refuses.

Pulls and the inventory of models call it. Knows nothing of what is written.
"""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.files import places
from gemma_mtp.text import byte_size

ELSEWHERE = "set GEMMA_MTP_HOME to a folder elsewhere"  # what helps where it is one of ours
SPARE = 64 << 20  # bytes left free, for what others write meanwhile


def free_bytes(folder: Path) -> int | None:
    """What is free where `folder` is or would be made; None where that cannot be found out."""
    for place in (folder, *folder.parents):
        try:
            return shutil.disk_usage(place).free
        except OSError:
            continue
    return None


def require_room(folder: Path, size: int, name: str, elsewhere: str = ELSEWHERE) -> None:
    """Raise GemmaMtpError before anything is fetched if `size` more bytes will not fit."""
    free = shutil.disk_usage(folder).free
    if size and size + SPARE > free:
        raise GemmaMtpError(
            f"{name} needs {byte_size(size)} more, but only {byte_size(free)} are free on the "
            f"disk of {folder}.",
            f"Free some space, or {elsewhere}.",
        )


def size_of(path: Path) -> int:
    """Bytes in a file; -1 where it cannot be reached."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def bytes_taken(path: Path, follow: bool = True) -> int:
    """Bytes of the disk that a file takes; a sparse one takes less than its size.

    0 for what is not there, and for links unless they are to be followed.
    """
    if path.is_symlink() and not follow:
        return 0
    try:
        status = path.stat()
    except OSError:
        return 0
    blocks = getattr(status, "st_blocks", None)  # not on Windows, where nothing is sparse
    return status.st_size if blocks is None else min(blocks * 512, status.st_size)


def disk_error(
    error: OSError,
    folder: Path,
    again: str = "pull again; what is here is kept",
    elsewhere: str = ELSEWHERE,
) -> GemmaMtpError:
    """What the system says of writing to `folder`, in words, with something to do about it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return GemmaMtpError(
            f"The disk of {folder} is full.",
            f"Free some space and {again}.",
        )
    reason = places.folder_obstacle(folder) or error.strerror or error
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return GemmaMtpError(
            f"{folder} cannot be written to: {reason}.",
            f"Make it writable, or {elsewhere}.",
        )
    return GemmaMtpError(
        f"Cannot write to {folder}: {reason}.", f"{elsewhere[:1].upper()}{elsewhere[1:]}."
    )
