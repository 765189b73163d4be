"""One process at a time in a folder. The system lets go of the lock when its holder dies.

Pulls, and whoever removes models, hold it; a batch holds its file of answers in the same way. Knows
nothing of what is done in the folder.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = ".lock"
BUSY = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


@contextmanager
def locked(folder: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold `folder`; when another process does, call `on_wait` once and wait. Raises OSError."""
    descriptor = _open(folder)
    told = False
    try:
        while not try_lock(descriptor):
            if not told:
                on_wait()
            told = True
            time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)  # lets go as well


def hold(folder: Path) -> int | None:
    """Hold `folder` until the descriptor is closed; None while another process holds it.

    Raises OSError.
    """
    descriptor = _open(folder)
    if try_lock(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def is_locked(folder: Path) -> bool:
    """Whether another process holds `folder`, or nobody can: it cannot be written."""
    try:
        descriptor = _open(folder)
    except OSError:
        return True
    try:
        return not try_lock(descriptor)
    except OSError:
        return True
    finally:
        os.close(descriptor)


def _open(folder: Path) -> int:
    return os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)


if sys.platform == "win32":
    import msvcrt

    FAR = 2**31 - 2  # a byte that no file has

    def try_lock(descriptor: int) -> bool:
        os.lseek(descriptor, FAR, os.SEEK_SET)  # others may not read what is locked
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno not in BUSY:
                raise
            return False
        return True

    def is_free(path: Path) -> bool:
        """Nothing is known of files that are being written."""
        return False

else:
    import fcntl

    def try_lock(descriptor: int) -> bool:
        """Hold an open file until it is closed; whether no other process does. Raises OSError."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            # Some network file systems know no locks; two pulls at once are rare enough there.
            return error.errno not in BUSY
        return True

    def is_free(path: Path) -> bool:
        """Whether no process holds a file as `try_lock` does; False where that cannot be told."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True
