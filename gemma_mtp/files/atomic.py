"""Small files that readers see as they were or as they are now, never a part.

`json_file`, records of pairs and config.toml are written with it. Knows only files.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

ABANDONED = 3600.0  # seconds; nobody writes a small file for so long, so its writer was killed


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Replace `path`, making its folder if need be; on disk when this returns. Raises OSError.

    A link stays a link, what it names is replaced. A `private` file is for its owner alone.
    """
    path.parent.mkdir(mode=0o700 if private else 0o777, parents=True, exist_ok=True)
    place = Path(os.path.realpath(path))
    temporary = place.with_name(f"{place.name}.{os.getpid()}.tmp")  # two processes do not meet
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    try:
        descriptor = os.open(temporary, flags, 0o600 if private else 0o666)
        with open(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(place)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sweep(place)


def _sweep(place: Path) -> None:
    """Remove what writers of this file left that were killed."""
    beginning = f"{place.name}."
    with suppress(OSError):
        for name in os.listdir(place.parent):
            if name.startswith(beginning) and name.endswith(".tmp"):
                old = place.with_name(name)
                if time.time() - old.stat().st_mtime > ABANDONED:
                    old.unlink()
