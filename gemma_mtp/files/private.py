"""Files that hold a person's words: nobody but their owner may read them.

History, conversations, exports and llama.cpp's log are opened with it. Knows only files.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path


def open_file(path: Path, flags: int) -> int:
    """A descriptor of `path`, which is made if need be, as its folder is. Raises OSError.

    Rights that others had to file or folder until now are taken away.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _close_to_others(path.parent)
    descriptor = os.open(path, flags | os.O_CREAT, 0o600)
    _close_to_others(path)
    return descriptor


def make(path: Path) -> None:
    """The same for a file that somebody else opens. Raises OSError.

    One that is there and can be written is not opened: closing it would end all locks that this
    process has on it, and another process would take SQLite's log for abandoned.
    """
    if not (path.is_file() and os.access(path, os.R_OK | os.W_OK)):
        os.close(open_file(path, os.O_RDWR))
        return
    _close_to_others(path.parent)
    _close_to_others(path)


def write_new(path: Path, text: str) -> None:
    """Write a file that was not there, in a folder that is left as it is; a device takes it all.

    Raises FileExistsError if it was there, OSError if it cannot be written; no part of it stays.
    """
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _close_to_others(path: Path) -> None:
    found = path.stat()
    shared = found.st_mode & stat.S_ISVTX  # a folder such as /tmp
    if os.name != "posix" or found.st_uid != os.geteuid() or shared or not found.st_mode & 0o077:
        return
    with suppress(OSError):  # some file systems know no rights
        path.chmod(stat.S_IMODE(found.st_mode) & 0o700)
