"""Whether a pair that was pulled is still what was verified, and what to do where it is not.

Size and time of each file are compared with its mark, and the headers are read; where one of these
speaks against a file, its sha256 decides. Knows nothing of the network.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from gemma_mtp.api import PairFiles
from gemma_mtp.errors import BadPair
from gemma_mtp.files.checksum import sha256_of
from gemma_mtp.models.catalogue import Entry
from gemma_mtp.models.check_cache import check_once
from gemma_mtp.models.pair_record import (
    PairRecord,
    is_unchanged,
    pair_files,
    read_record,
    ready_files,
    write_record,
)
from gemma_mtp.models.pull.events import OnEvent, PullNote, PullProgress


def ready_as_verified(entry: Entry, folder: Path, revision: str) -> PairFiles | None:
    """The pair at this revision, if it is here and nothing speaks against its files."""
    ready, marker = ready_files(entry, folder), read_record(folder)
    if ready is None or marker is None or not is_about(marker, entry, revision):
        return None
    return ready if all(is_unchanged(folder, h) for h in marker.files) and _loads(ready) else None


def is_about(marker: PairRecord, entry: Entry, revision: str) -> bool:
    """Whether a folder says that it holds exactly this, be it true or not."""
    known = {held.path: held.asked for held in marker.files}
    asked = ((file.sha256, known.get(file.path)) for file in pair_files(entry))
    same = all(found is not None and sha256 in ("", found) for sha256, found in asked)
    return same and marker.revision in ("", revision)


def verify_again(entry: Entry, folder: Path, marker: PairRecord, on_event: OnEvent) -> bool:
    """Whether the files that changed since they were verified hold the same nevertheless.

    One that does not is set aside. Where none changed, all are read: a header gave cause to.
    """
    ours = {file.path for file in pair_files(entry)}  # a marker may name anything
    known = [held for held in marker.files if held.path in ours]
    changed = [held for held in known if not is_unchanged(folder, held)]
    sound = True
    for held in changed or known:
        path = folder / held.path
        if not path.is_file():
            sound = False
        elif sha256_of(path, partial(_report, on_event, held.path, path)) != held.sha256:
            sound = False
            on_event(PullNote(f"{held.path} is damaged; it was set aside as {set_aside(path)}."))
    files = tuple(replace(held, time=modified_at(folder / held.path)) for held in known)
    write_record(folder, replace(marker, files=files))
    return sound


def modified_at(path: Path) -> int:
    """The time of the last change of a file in ns; -1 where it is not there."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return -1


def set_aside(path: Path, name: str | None = None) -> str:
    """Give a file with wrong contents a name that nothing takes for the right one; returns it."""
    aside = path.with_name((Path(name).name if name else path.name) + ".corrupt")
    path.replace(aside)
    return aside.name


def _loads(files: PairFiles) -> bool:
    """As far as its headers say."""
    try:
        if files.drafter is not None:
            check_once(files.target, files.drafter)
    except BadPair:
        return False
    return True


def _report(on_event: OnEvent, name: str, path: Path, done: int) -> None:
    size = path.stat().st_size
    on_event(PullProgress(name, done, size, True, done, size))
