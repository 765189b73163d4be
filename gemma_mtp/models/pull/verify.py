"""Whether the files of a pair are what was pulled: their sha256, and what to do where it differs.

`pull.pair` calls it before, during and after a pull. Size and time of each file are compared with
its record, and the headers are read; where one of these speaks against a file, its sha256 decides.
Knows nothing of the network.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from gemma_mtp.api import PairFiles
from gemma_mtp.errors import BadPair, HubError
from gemma_mtp.files.checksum import sha256_of
from gemma_mtp.models.catalogue import Entry
from gemma_mtp.models.check_cache import check_once
from gemma_mtp.models.pair_record import (
    PairRecord,
    modified_at,
    pair_files,
    read_record,
    ready_files,
    write_record,
)
from gemma_mtp.models.pull.events import OnEvent, PullNote, PullProgress


def ready_as_verified(entry: Entry, folder: Path, revision: str) -> PairFiles | None:
    """The pair at this revision, if it is here and nothing speaks against its files."""
    ready, record = ready_files(entry, folder), read_record(folder)
    if ready is None or record is None or record.revision not in ("", revision):
        return None
    if entry.encoder is not None and ready.encoder is None:  # it was pulled without
        return None
    return (
        ready
        if all(f.is_unchanged(folder) for f in record.files) and _loads(entry, ready)
        else None
    )


def verify_again(entry: Entry, folder: Path, record: PairRecord, on_event: OnEvent) -> bool:
    """Whether the files that changed since they were verified hold the same nevertheless.

    One that does not is set aside. Where none has changed, all are hashed, since something in a
    header speaks against them.
    """
    ours = {file.path for file in pair_files(entry)}  # a record may name anything
    known = [file for file in record.files if file.path in ours]
    changed = [file for file in known if not file.is_unchanged(folder)]
    sound = True
    for file in changed or known:
        path = folder / file.path
        if not path.is_file():
            sound = False
        elif sha256_of(path, partial(_report, on_event, file.path, path)) != file.sha256:
            sound = False
            on_event(PullNote(f"{file.path} is damaged; it was set aside as {set_aside(path)}."))
    files = tuple(replace(file, time=modified_at(folder / file.path)) for file in known)
    write_record(folder, replace(record, files=files))
    return sound


def require(good: bool, downloaded: Path, name: str) -> None:
    """Set a downloaded file aside and raise HubError unless its sum is the expected one."""
    if not good:
        raise HubError(
            f"{name} arrived with other contents than expected; it was set aside as "
            f"{set_aside(downloaded, name)}.",
            "Pull again; if it happens again, the file on the hub was changed.",
        )


def set_aside(path: Path, name: str | None = None) -> str:
    """Give a file with wrong contents a name that nothing takes for the right one; returns it."""
    aside = path.with_name((Path(name).name if name else path.name) + ".corrupt")
    path.replace(aside)
    return aside.name


def _loads(entry: Entry, files: PairFiles) -> bool:
    """As far as its headers say; the target of a drafter alone is elsewhere."""
    try:
        if not entry.drafter_alone:
            check_once(files.target, files.drafter)
    except BadPair:
        return False
    return True


def _report(on_event: OnEvent, name: str, path: Path, done: int) -> None:
    size = path.stat().st_size
    on_event(PullProgress(name, done, size, True, done, size))
