"""Looks at the headers of files once, not at every start: a vocabulary takes a moment to read.

Remembers what came of it with path, size, time and inode of each file, so that any change to one of
them is noticed without reading it. Knows nothing of names and of where files come from.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from gemma_mtp import __version__, paths
from gemma_mtp.files import atomic
from gemma_mtp.models import gguf, gguf_names, pair_check

# Raised whenever headers are checked by other rules, so that all are checked again.
RULES = 2


def check_once(target: Path, drafter: Path | None = None) -> None:
    """Raise unless the target is sound, and the drafter, if there is one, belongs to it."""

    def check() -> str:
        header = gguf.read_header(target)
        if drafter is None:
            pair_check.check_target(header)
        else:
            pair_check.check_pair(header, gguf.read_header(drafter))
        return "sound"

    remembered([target] if drafter is None else [target, drafter], check)


def remembered(files: Sequence[Path], find: Callable[[], str]) -> str:
    """What `find` says of these files; what it raises is raised again at the next call."""
    key, state = "\n".join(map(str, files)), _state(files)
    known = _read()
    if known.get(key, [])[:1] == [state]:
        return known[key][1]
    found = find()
    there = {key: value for key, value in known.items() if Path(key.split("\n")[0]).is_file()}
    with contextlib.suppress(OSError):
        atomic.write_text(_file(), json.dumps({**there, key: [state, found]}))
    return found


def _state(files: Sequence[Path]) -> str:
    """What a change of any file, of its other parts or of this program changes."""
    parts = [part for file in files for part in gguf_names.parts_of(file)]
    return " ".join([f"{__version__}/{RULES}", *map(_state_of, parts)])


def _state_of(file: Path) -> str:
    try:
        found = file.stat()
    except OSError:
        return "-"
    return f"{found.st_size}@{found.st_mtime_ns}#{found.st_ino}"


def _read() -> dict[str, list[str]]:
    data = atomic.read_json(_file())
    good = isinstance(data, dict) and all(
        isinstance(value, list) and len(value) == 2 and all(isinstance(v, str) for v in value)
        for value in data.values()
    )
    return data if good else {}


def _file() -> Path:
    return paths.cache_dir() / "checked.json"
