"""Compares the headers of a pair once, before it is first loaded: llama.cpp ends the whole process
over some damaged files.

Remembers size and time of each file that passed, so that later starts cost nothing. Knows nothing
of names and of where files come from.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from gemma_mtp import __version__, atomic, gguf, pairing, paths


def check_once(target: Path, drafter: Path) -> None:
    """Raise unless both files are sound and belong together."""
    pair, state = f"{target}\n{drafter}", _state(target, drafter)
    passed = _read()
    if state is not None and passed.get(pair) == state:
        return
    pairing.check_pair(gguf.read_header(target), gguf.read_header(drafter))
    there = {known: seen for known, seen in passed.items() if _are_there(known)}
    with contextlib.suppress(OSError):
        atomic.write_text(_file(), json.dumps({**there, pair: state}))


def _state(*files: Path) -> str | None:
    """What a change of either file or of this program changes; None where a file is missing."""
    try:
        found = [file.stat() for file in files]
    except OSError:
        return None
    return " ".join([__version__, *(f"{s.st_size}@{s.st_mtime_ns}" for s in found)])


def _are_there(pair: str) -> bool:
    return all(Path(file).is_file() for file in pair.split("\n"))


def _read() -> dict[str, str]:
    data = atomic.read_json(_file())
    return data if isinstance(data, dict) else {}


def _file() -> Path:
    return paths.cache_dir() / "checked.json"
