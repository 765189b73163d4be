"""Files that readers see as they were or as they are now, never a part.

`json_file`, records of pairs, config.toml and states of chats are written with it. Knows only
files.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from gemma_mtp.files.folder_lock import is_free, try_lock

ABANDONED = 3600.0  # seconds; nobody writes such a file for so long, so its writer was killed
MOMENT = 1.0  # seconds after which a file is held by its writer, if there still is one


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Replace `path`, making its folder if need be; on disk when this returns. Raises OSError.

    A link stays a link, what it names is replaced. A `private` file is for its owner alone.
    """
    path.parent.mkdir(mode=0o700 if private else 0o777, parents=True, exist_ok=True)
    write(Path(os.path.realpath(path)), [text.encode()], private=private)


def write(
    place: Path,
    parts: Iterable[bytes | memoryview],
    *,
    private: bool,
    wanted: Callable[[], bool] = lambda: True,
) -> None:
    """Replace the file `place`, in a folder that is there, if it is still `wanted` when all parts
    are on the disk. Raises OSError."""
    temporary = place.with_name(f"{place.name}.{os.getpid()}.tmp")  # two processes do not meet
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    try:
        descriptor = os.open(temporary, flags, 0o600 if private else 0o666)
        with open(descriptor, "wb") as file:
            try_lock(descriptor)
            file.writelines(parts)
            file.flush()
            os.fsync(descriptor)
            if os.name == "posix":  # where an open file can be renamed, and is held until then
                _named(temporary, place, wanted())
        if os.name != "posix":
            _named(temporary, place, wanted())
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    for old in abandoned(place.parent, f"{place.name}."):
        with suppress(OSError):
            old.unlink()


def _named(temporary: Path, place: Path, wanted: bool) -> None:
    if wanted:
        temporary.replace(place)
    else:
        temporary.unlink()


def abandoned(folder: Path, beginning: str = "") -> list[Path]:
    """What writers of files whose names begin so left in a folder when they were killed."""
    found: list[Path] = []
    with suppress(OSError):
        for name in os.listdir(folder):
            if name.startswith(beginning) and name.endswith(".tmp"):
                path = folder / name
                age = time.time() - path.stat().st_mtime
                if age > ABANDONED or (age > MOMENT and is_free(path)):
                    found.append(path)
    return found
