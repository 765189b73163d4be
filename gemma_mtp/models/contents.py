"""What the files of a pair contain, as their sha256: a state of a chat fits these contents alone.

Reading gigabytes takes long, so a file is read once: what came of it is remembered with the state
of the file, and of a pull its record says it. Any change of a file while it is used means that its
contents are not known. `chat_states` and `converted_drafter` ask. Where a mistake costs little,
`sampled` tells two files apart at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from gemma_mtp import paths
from gemma_mtp.files import json_file
from gemma_mtp.files.checksum import sha256_of, state_of
from gemma_mtp.models import gguf_names, pair_record

PIECES, PIECE = 16, 4096  # of a file that is sampled, and bytes of each
DEPTH = 3  # folders above a file in which its pair may have its record


class Contents:
    """Of files that are about to be used."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files, self._states = files, [state_of(file) for file in files]

    def known(self) -> list[str] | None:
        """The sha256 of each, without reading any; None where one is not known, or one has been
        changed since."""
        found = [recall(file) for file in self._files]
        return [sum for sum in found if sum] if all(found) and self._are_unchanged() else None

    def find(self) -> list[str] | None:
        """The same; what is not known is read. None where a file cannot be read or changes."""
        try:
            for file, state in zip(self._files, self._states, strict=True):
                if recall(file) is None and self._are_unchanged():
                    _remember(file, state, sha256_of(file, lambda done: None))
        except OSError:
            return None
        return self.known()

    def _are_unchanged(self) -> bool:
        return self._states == [state_of(file) for file in self._files]


def sampled(path: Path) -> str:
    """A sum of the size of a file and of pieces all over it, of a split model of each part. Files
    of one size whose weights differ do so in every piece. Raises OSError."""
    found = hashlib.sha256()
    for part in gguf_names.parts_of(path):
        with open(part, "rb") as file:
            size = part.stat().st_size
            found.update(size.to_bytes(8, "little"))
            for number in range(PIECES):
                file.seek(max(size - PIECE, 0) * number // (PIECES - 1))
                found.update(file.read(PIECE))
    return found.hexdigest()[:24]


def recall(file: Path) -> str | None:
    """The sha256 of a file, if it is known for the state in which the file is."""
    match json_file.read(_place()).get(str(file)):
        case [state, str(found)] if state == state_of(file):
            return found
    return _recorded(file)


def _remember(file: Path, state: str, found: str) -> None:
    there = {key: value for key, value in json_file.read(_place()).items() if Path(key).is_file()}
    json_file.keep(_place(), {**there, str(file): [state, found]})


def _recorded(file: Path) -> str | None:
    """What the record of a pull says: it was written when the file had been read to its end."""
    for folder in file.parents[:DEPTH]:
        record = pair_record.read_record(folder)
        for one in record.files if record else ():
            if folder / one.path == file and one.is_unchanged(folder):
                return one.sha256 if _is_older(file, folder / pair_record.RECORD) else None
    return None


def _is_older(file: Path, record: Path) -> bool:
    try:
        return file.stat().st_ctime_ns <= record.stat().st_mtime_ns
    except OSError:
        return False


def _place() -> Path:
    return paths.cache_dir() / "contents.json"
