"""The sha256 of a file, read in pieces, and the state by which a change is noticed without that.

Pulls, `show --check`, `verify` and what is remembered about models use them. Knows only files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

READ = 4 << 20  # bytes read at once


def sha256_of(path: Path, on_read: Callable[[int], None]) -> str:
    """The hash in hex digits; `on_read` hears how many bytes were read so far. Raises OSError."""
    digest, done = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while part := file.read(READ):
            digest.update(part)
            done += len(part)
            on_read(done)
    return digest.hexdigest()


def state_of(path: Path) -> str:
    """Size, inode and times of a file: writing into it or putting another in its place changes it.

    Its last time nobody can set back, but on Windows, where that is the time of its creation.
    """
    try:
        found = path.stat()
    except OSError:
        return "-"
    return f"{found.st_size}@{found.st_mtime_ns}#{found.st_ino}/{found.st_ctime_ns}"
