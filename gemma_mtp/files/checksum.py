"""The sha256 of a file, read in pieces.

Pulls, `show --check` and `verify` call it. Knows only files.
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
