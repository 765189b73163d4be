"""Room on the disk, and one sentence for whatever the disk refuses.

Knows nothing of what is to be written.
"""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.files import places

SPARE = 64 << 20  # left free


def require_room(folder: Path, size: int, name: str) -> None:
    """Raise before anything is fetched if `size` more bytes will not fit."""
    free = shutil.disk_usage(folder).free
    if size and size + SPARE > free:
        raise GemmaMtpError(
            f"{name} needs {size / 1e9:.1f} GB more, but only {free / 1e9:.1f} GB are free on the "
            f"disk of {folder}.",
            "Free some space, or set GEMMA_MTP_HOME to a folder on another disk.",
        )


def taken(path: Path) -> int:
    """Bytes a file takes on the disk; a sparse one takes less than its size."""
    try:
        status = path.stat()
    except OSError:
        return 0
    blocks = getattr(status, "st_blocks", None)  # not on Windows, where nothing is sparse
    return status.st_size if blocks is None else min(blocks * 512, status.st_size)


def disk_error(error: OSError, folder: Path) -> GemmaMtpError:
    """What the system says, in words, with something to do about it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return GemmaMtpError(
            f"The disk of {folder} is full.",
            "Free some space and pull again; what is here is kept.",
        )
    reason = places.folder_obstacle(folder) or error.strerror or error
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return GemmaMtpError(
            f"{folder} cannot be written to: {reason}.",
            "Make it writable, or set GEMMA_MTP_HOME to another folder.",
        )
    return GemmaMtpError(
        f"Cannot write to {folder}: {reason}.", "Set GEMMA_MTP_HOME to another folder."
    )
