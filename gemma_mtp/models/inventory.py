"""What lies in the folders of models on this machine: complete pairs, parts of them, leftovers.

Lists, checks and removes; files of other programs are never touched, only links to them. Knows
neither terminal nor network.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gemma_mtp import paths
from gemma_mtp.api import PairFiles
from gemma_mtp.errors import BadPair, GemmaMtpError, ModelNotAvailable, NotPulled, UsageError
from gemma_mtp.files.checksum import sha256_of
from gemma_mtp.files.disk import taken
from gemma_mtp.files.folder_lock import LOCK, locked
from gemma_mtp.models import gguf
from gemma_mtp.models import last_used as used
from gemma_mtp.models.catalogue import Entry
from gemma_mtp.models.hub_names import entry_of
from gemma_mtp.models.pair_record import (
    RECORD,
    SUMS,
    UNFINISHED,
    PairRecord,
    mark_unfinished,
    read_record,
    read_unfinished,
)
from gemma_mtp.models.store import Store

OnCheck = Callable[[str, int, int], None]
"""File, bytes in all, bytes read so far."""


@dataclass(frozen=True)
class StoredFile:
    """One file of a pair; `sha256` "" where nothing was pinned."""

    role: str
    path: Path
    bytes: int
    sha256: str
    origin: str = ""


@dataclass(frozen=True)
class Item:
    """A pair on this machine, complete or not; `bytes` are those on the disk."""

    name: str
    variant: str
    bytes: int
    ready: bool
    builtin: bool
    source: str
    last_used: str | None
    files: tuple[StoredFile, ...] = ()
    folder: Path | None = None
    entry: Entry | None = None

    def as_json(self) -> dict[str, Any]:
        """One object of `list --json`."""
        keys = ("name", "variant", "bytes", "ready", "builtin", "source", "last_used")
        return {key: getattr(self, key) for key in keys}


@dataclass(frozen=True)
class Leftover:
    """Something of ours that no complete pair needs."""

    path: Path
    bytes: int
    why: str


def items(store: Store) -> list[Item]:
    """Everything here: the catalogue's pairs in its order, then other repositories'."""
    known = {store.folder(entry): entry for entry in store.catalogue.entries if not entry.builtin}
    found = [_builtin(store, entry) for entry in store.ready() if entry.builtin]
    here = {folder: _in_folder(store, folder, known.get(folder)) for folder in _folders()}
    ordered = [folder for folder in known if folder in here]
    ordered += [folder for folder in here if folder not in known]
    return found + [item for folder in ordered if (item := here[folder]) is not None]


def find(store: Store, name: str) -> Item:
    """The pair here that `name` means, complete or not."""
    entry = store.find(name)
    wanted = entry.name if entry else name
    for item in items(store):
        if item.name == wanted:
            return item
    if entry is not None:
        raise NotPulled(entry.name)
    raise ModelNotAvailable(f'There is no model called "{name}" here.', "See gemma-mtp list.")


def own(pair: PairFiles) -> Item:
    """A pair of files that the user named."""
    named = [("target", pair.target)] + ([("drafter", pair.drafter)] if pair.drafter else [])
    files = tuple(
        StoredFile(role, part, part.stat().st_size, "")
        for role, path in named
        for part in gguf.read_header(path).files
    )
    size = sum(file.bytes for file in files)
    return Item(pair.name, "", size, True, False, "", used.when(pair.name), files)


def check(item: Item, on_check: OnCheck) -> dict[str, str]:
    """The sha256 of every file, by path; raises BadPair for the first that is not as pulled."""
    if not item.ready:
        raise BadPair(f"{item.name} is not complete.", f"gemma-mtp pull {item.name}")
    sums = {}
    for file in item.files:
        total = file.path.stat().st_size
        digest = sha256_of(file.path, partial(on_check, file.path.name, total))
        if file.sha256 and digest != file.sha256:
            distrust(item)
            raise BadPair(
                f"{file.path} is damaged: its sha256 is {digest}, not {file.sha256}.",
                f"gemma-mtp pull {item.name}",
            )
        sums[str(file.path)] = digest
    return sums


def distrust(item: Item) -> None:
    """A damaged pair is not ready any more, so that a pull looks at it again."""
    if item.folder is not None:
        with contextlib.suppress(OSError):
            mark_unfinished(item.folder)


def remove(item: Item) -> int:
    """Delete a pair's folder and return the bytes that this frees; a link goes, what it names
    stays."""
    if item.builtin or item.folder is None:
        raise UsageError(f"{item.name} belongs to the program and cannot be removed.")
    linked = item.folder.is_symlink()
    _clear(item.folder, item.name)
    used.forget(item.name)
    return 0 if linked else item.bytes


def leftovers(store: Store) -> list[Leftover]:
    """Parts of downloads, files set aside, temporary files: not those of a running pull."""
    known = {store.folder(entry): entry for entry in store.catalogue.entries}
    found = []
    for folder in _folders():
        if _is_busy(folder):
            continue
        item = _in_folder(store, folder, known.get(folder))
        if item is None or not item.ready:
            why = f"part of {item.name}" if item else "no model"
            size = 0 if folder.is_symlink() else _size(folder)
            found.append(Leftover(folder, size, why))
        else:
            found += _strays(folder, item)
    return found


def clear(leftover: Leftover) -> None:
    """Delete one leftover."""
    if leftover.path.is_dir() and not leftover.path.is_symlink():
        _clear(leftover.path, leftover.path.name)
    else:
        leftover.path.unlink(missing_ok=True)


def _builtin(store: Store, entry: Entry) -> Item:
    files = store.files(entry)
    named = (("target", files.target), ("drafter", files.drafter)) if files else ()
    stored = tuple(StoredFile(role, p, p.stat().st_size, "") for role, p in named if p)
    size = sum(file.bytes for file in stored)
    when = used.when(entry.name)
    return Item(entry.name, entry.tag, size, True, True, "built in", when, stored, None, entry)


def _in_folder(store: Store, folder: Path, entry: Entry | None) -> Item | None:
    """What a folder of models holds; None if nothing says what it is for."""
    marker = read_record(folder)
    about = marker or read_unfinished(folder)
    if entry is not None:
        name, tag, source = entry.name, entry.tag, f"{entry.repo}@{entry.revision[:12]}"
        ready = store.is_ready(entry)
    elif about is not None and about.name:
        name, tag = about.name, _tag(about)
        source = f"{about.repo}@{about.revision[:12]}"
        ready = marker is not None and _complete(folder, marker)
        entry = None if ready else entry_of(about)
    else:
        return None
    if not ready and _is_bare(folder):
        return None
    files = _held(folder, marker) if ready and marker else ()
    size = sum(file.bytes for file in files) if ready else _size(folder)
    return Item(name, tag, size, ready, False, source, used.when(name), files, folder, entry)


def _held(folder: Path, marker: PairRecord) -> tuple[StoredFile, ...]:
    held = sorted(marker.files, key=lambda file: file.role != "target")
    return tuple(StoredFile(h.role, folder / h.path, h.bytes, h.sha256, h.origin) for h in held)


def _tag(marker: PairRecord) -> str:
    target = next((held for held in marker.files if held.role == "target"), None)
    return target.quantization.lower() if target else ""


def _complete(folder: Path, marker: PairRecord) -> bool:
    with contextlib.suppress(OSError):
        return all((folder / held.path).stat().st_size == held.bytes for held in marker.files)
    return False


def _is_bare(folder: Path) -> bool:
    """Whether nothing of a model is here yet, only what a pull writes before its first byte."""
    files = [path for path in folder.rglob("*") if not path.is_dir()]
    return not any(
        taken(path)
        and path.name not in (RECORD, SUMS, UNFINISHED, LOCK)
        and path.suffix != ".journal"
        for path in files
    )


def _folders() -> list[Path]:
    try:
        return sorted(path for path in paths.models_dir().iterdir() if path.is_dir())
    except OSError:
        return []


def _strays(folder: Path, item: Item) -> Iterator[Leftover]:
    """What is in a folder beside the pair; a folder elsewhere may have other uses."""
    if folder.is_symlink():
        return
    wanted = {file.path for file in item.files}
    wanted |= {folder / name for name in (RECORD, SUMS, LOCK)}
    for path in sorted(folder.rglob("*")):
        if path not in wanted and not path.is_dir():
            yield Leftover(path, _size(path), f"not needed by {item.name}")


def _size(path: Path) -> int:
    """Bytes on the disk: parts of downloads are sparse, links are nothing."""
    total = 0
    for file in [path, *path.rglob("*")] if path.is_dir() else [path]:
        with contextlib.suppress(OSError):
            status = file.lstat()
            blocks = getattr(status, "st_blocks", None)
            if file.is_file() and not file.is_symlink():
                total += status.st_size if blocks is None else min(blocks * 512, status.st_size)
    return total


class _Busy(GemmaMtpError):
    """Another process holds the folder."""


def _is_busy(folder: Path) -> bool:
    def busy() -> None:
        raise _Busy("busy")

    try:
        with locked(folder, busy):
            return False
    except _Busy:
        return True
    except OSError:  # a folder that cannot be written cannot be cleared either
        return True


def _clear(folder: Path, name: str) -> None:
    """The marker goes first, so that no half pair is ever ready; the lock goes last. Of a folder
    that lies elsewhere only the link goes."""

    def busy() -> None:
        raise UsageError(f"{name} is just being pulled.", "Stop the pull first, with Ctrl-C.")

    linked = folder.is_symlink()
    try:
        if linked and not os.access(folder, os.W_OK):
            return folder.unlink()
        with locked(folder, busy):
            if linked:
                (folder / LOCK).unlink()
                return folder.unlink()
            (folder / RECORD).unlink(missing_ok=True)
            for path in sorted(folder.rglob("*"), reverse=True):
                if path.is_dir() and not path.is_symlink():
                    path.rmdir()
                elif path.name != LOCK:
                    path.unlink(missing_ok=True)
        (folder / LOCK).unlink(missing_ok=True)
        folder.rmdir()
    except OSError as error:
        raise UsageError(f"{error.filename or folder} cannot be removed: {error.strerror}.") from (
            error
        )
