"""Looks at the headers of files once, not at every start: a vocabulary takes a moment to read.

`store`, `drafter_search` and pulls ask through it. What came of a check is remembered with path,
the state of each file, so that any change to one of them is noticed without reading it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from gemma_mtp import __version__, paths
from gemma_mtp.files import json_file
from gemma_mtp.files.checksum import state_of
from gemma_mtp.models import foreign_drafter, gguf, gguf_names, pair_check

SOUND, FOREIGN = "sound", "foreign"
RULES = 5  # raised whenever headers are checked by other rules, so that all are checked again


def check_once(target: Path, drafter: Path | None = None) -> None:
    """Raise BadPair unless the target is sound and the drafter, if there is one, belongs to it."""
    _kind(target, drafter)


def is_foreign(target: Path, drafter: Path) -> bool:
    """The same check, and whether the drafter has to be converted before llama.cpp can load it."""
    return _kind(target, drafter) == FOREIGN


def _kind(target: Path, drafter: Path | None) -> str:
    def check() -> str:
        header = gguf.read_header(target)
        if drafter is None:
            pair_check.check_target(header)
            return SOUND
        return FOREIGN if foreign_drafter.check(header, gguf.read_header(drafter)) else SOUND

    return remembered([target] if drafter is None else [target, drafter], check)


def remembered(files: Sequence[Path], find: Callable[[], str], about: str = "") -> str:
    """What `find` says of these files; what it raises is raised again at the next call. `about`
    tells it from what else is remembered of them."""
    place = paths.cache_dir() / "checked.json"
    key = "\n".join([*map(str, files), *filter(None, [about])])
    state, known = _state(files), json_file.read(place)
    match known.get(key):
        case [said, str(found)] if said == state:
            return found
    found = find()
    there = {key: value for key, value in known.items() if Path(key.split("\n")[0]).is_file()}
    json_file.keep(place, {**there, key: [state, found]})
    return found


def _state(files: Sequence[Path]) -> str:
    """What a change of any file, of its other parts or of this program changes."""
    return " ".join([f"{__version__}/{RULES}", *map(state_of, gguf_names.parts_of(*files))])
