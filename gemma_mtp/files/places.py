"""What is in the way of a file or folder that cannot be used, in words. Changes nothing.

Whoever opens a file of ours asks when that fails. Knows the disk, not what the places are for.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from gemma_mtp.errors import UsageError
from gemma_mtp.files import bounded

HINT = "Mend that, or set GEMMA_MTP_HOME to another folder."


def dangling(path: Path) -> str:
    """The link to nothing that `path` is or goes through, as a part of a sentence; else ""."""
    for place in (*reversed(path.parents), path):
        try:
            if place.is_symlink() and not place.exists():
                return f"{place} is a link to {os.readlink(place)}, which is not there"
        except OSError:  # in a folder that may not be entered
            return ""
    return ""


def dangling_below(folder: Path) -> list[str]:
    """The links to nothing among `folder`, what lies in it, and what lies in the folders there."""
    if lost := dangling(folder):
        return [lost]
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return []
    below = (Path(top, name) for entry in entries for top, _, names in os.walk(entry)
             for name in sorted(names))  # fmt: skip
    return [lost for path in (*entries, *below) if path.is_symlink() and (lost := dangling(path))]


def obstacle(path: Path) -> str:
    """What keeps a file `path` from being there or being made, as a part of a sentence; else ""."""
    for place in reversed(path.parents):
        try:
            if not stat.S_ISDIR(place.stat().st_mode):
                return f"{place} is a file, where a folder should be"
        except FileNotFoundError:
            break
        except OSError as error:
            return dangling(path) or f"{place} cannot be reached: {error.strerror}"
    return dangling(path)


def folder_obstacle(folder: Path) -> str:
    """As `obstacle`, for what has to be a folder."""
    return "" if os.path.isdir(folder) else obstacle(folder / "file")


def own_text(file: Path) -> str:
    """What the user wrote into `file`, within limits: "" where there is none. Line ends stay as
    they are.

    Raises UsageError if the file cannot be read, ValueError if it is too large or no text.
    """
    try:
        return bounded.read_text(file)
    except OSError as error:
        lost = dangling(file)
        if isinstance(error, FileNotFoundError | NotADirectoryError) and not lost:
            return ""
        why = lost or error.strerror
        raise UsageError(f"{file} cannot be read: {why}.", HINT) from error
