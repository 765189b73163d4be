"""Names that others gave to files, before they become paths below a model's folder.

The one check for names from the catalogue, a hub, a carried folder or a file's header. What holds
such a name (`RemoteFile`, `FileRecord`) makes the check when it is created. Knows no disk.
"""

from __future__ import annotations

import re
from reprlib import Repr

REPO = r"\w[\w.-]{0,95}/\w[\w.-]{0,95}"  # as a hub writes it; ASCII
WORD = re.compile(r"[A-Za-z0-9](?:[\w.+-]{0,62}\w)?", re.ASCII)  # a model, an alias, a variant

_DEEPEST = 8  # folders and the file itself
_LONGEST_PART = 200  # bytes; disks take 255, and the endings of unfinished downloads come on top
_FORBIDDEN = frozenset('\\:*?"<>|')  # they lead elsewhere, or cannot be written, on some system

_short = Repr()
_short.maxstring = _short.maxother = 60


def shown(value: object) -> str:
    """`value` as a message may quote it: short, on one line, every control character spelled."""
    return _short.repr(value)


def objection(path: object) -> str:
    """Why `path` cannot be the name of a GGUF file below a model's folder; "" when it can."""
    if not isinstance(path, str) or not path:
        return "it is no text"
    if not path.isprintable():  # NUL, line ends, lone surrogates, overrides of the direction
        return "it holds characters that cannot be shown"
    if not path.lower().endswith(".gguf"):
        return "it does not end in .gguf"
    parts = path.split("/")
    if len(parts) > _DEEPEST:
        return "it has too many folders"
    if any(len(part.encode()) > _LONGEST_PART for part in parts):
        return "it is too long"
    if any(part == "" or part != part.strip(" ").rstrip(".") for part in parts):
        return "it leads out of the model's folder"
    if not _FORBIDDEN.isdisjoint(path):
        return "it holds a character that some systems forbid"
    return ""


def check(path: object) -> None:
    """Raise ValueError unless `path` can be the name of a GGUF file below a model's folder."""
    why = objection(path)
    if why:
        raise ValueError(f"{shown(path)} cannot be the name of a model's file: {why}")
