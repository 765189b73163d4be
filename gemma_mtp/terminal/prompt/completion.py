"""What a word may become, and the files it may name; `chat.start` completes with it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gemma_mtp.text import byte_size

MOST = 500
_SPECIAL = re.compile(r"([\s\\'\"*?\[\]])")


@dataclass(frozen=True)
class Completion:
    """A text that replaces the last `-start` characters before the cursor."""

    text: str
    start: int = 0
    description: str = ""


def paths(prefix: str) -> Iterable[Completion]:
    """Files and folders that the path typed so far may mean.

    What a shell would take apart (spaces, quotes, patterns) is escaped with backslashes, or stays
    within the quote that was opened. A folder ends in a slash and goes on.
    """
    quote = prefix[:1] if prefix[:1] in ("'", '"') else ""
    typed = prefix[1:] if quote else re.sub(r"\\(.)", r"\1", prefix)
    if typed == "~":
        return [Completion("~/", -1, "folder")]
    folder, slash, start = typed.rpartition("/")
    found = sorted(_entries(Path(folder + slash), start), key=lambda entry: entry.name.lower())
    return [_completion(e, folder + slash, quote, len(prefix)) for e in found[:MOST]]


def _entries(folder: Path, start: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder.expanduser()) as entries:
            for entry in entries:
                hidden = entry.name.startswith(".") and not start.startswith(".")
                if entry.name.startswith(start) and not hidden:
                    yield entry
    except (OSError, RuntimeError, ValueError):  # no such folder, no such user, no such character
        return


def _completion(entry: os.DirEntry[str], folder: str, quote: str, typed: int) -> Completion:
    try:
        is_folder = entry.is_dir()
        description = "folder" if is_folder else byte_size(entry.stat().st_size)
    except OSError:
        is_folder, description = False, ""
    path = folder + entry.name + ("/" if is_folder else "")
    if not quote:
        return Completion(_escaped(path), -typed, description)
    return Completion(quote + path + ("" if is_folder else quote), -typed, description)


def _escaped(path: str) -> str:
    return _SPECIAL.sub(r"\\\1", path)
