"""What lies in the folders of models on this machine: complete pairs, and parts of them.

`list`, `show` and `rm` call it; `leftovers` finds what none of its items needs. Files of other
programs are never touched, only links to them. Knows neither terminal nor network.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from gemma_mtp import paths
from gemma_mtp.api import PairFiles
from gemma_mtp.errors import BadPair, GemmaMtpError, NotPulled, UsageError
from gemma_mtp.files import disk
from gemma_mtp.files.checksum import sha256_of
from gemma_mtp.files.folder_lock import LOCK, locked
from gemma_mtp.models import converted_drafter, gguf, last_used, pair_record, presets
from gemma_mtp.models.catalogue import Entry
from gemma_mtp.models.hub_names import entry_of, names_source
from gemma_mtp.models.local_names import is_local, missing
from gemma_mtp.models.pair_record import PairRecord, read_record, read_unfinished
from gemma_mtp.models.presets import Kept
from gemma_mtp.models.store import Store, looks_like_path
from gemma_mtp.models.typed_names import refuse_other_family

OnCheck = Callable[[str, int, int], None]
"""File, bytes in all, bytes read so far."""


@dataclass(frozen=True)
class StoredFile:
    """One file of a pair; `sha256` "" where nothing was pinned."""

    role: str
    path: Path
    bytes: int
    sha256: str = ""
    origin: str = ""


@dataclass(frozen=True)
class StoredPair:
    """A pair on this machine, complete or not; `bytes` are those on the disk. `preset_of` is the
    model of a preset, which has these files."""

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
    preset_of: str = ""

    def as_json(self) -> dict[str, Any]:
        """One object of `list --json`."""
        keys = ("name", "variant", "bytes", "ready", "builtin", "source", "last_used")
        of = {"preset_of": self.preset_of} if self.preset_of else {}
        return {**{key: getattr(self, key) for key in keys}, **of}


def items(store: Store) -> list[StoredPair]:
    """Everything here: the catalogue's pairs in its order, then other repositories'."""
    known = {store.folder(entry): entry for entry in store.catalogue.entries if not entry.builtin}
    found = [_builtin(store, entry) for entry in store.ready() if entry.builtin]
    here = {folder: in_folder(store, folder, known.get(folder)) for folder in folders()}
    ordered = [folder for folder in known if folder in here]
    ordered += [folder for folder in here if folder not in known]
    return found + [item for folder in ordered if (item := here[folder]) is not None]


def of_presets(store: Store) -> list[StoredPair]:
    """The user's presets, each with the files of its model; not ready where these are not here."""
    return [_of_preset(store, kept) for kept in presets.all_kept()]


def _of_preset(store: Store, kept: Kept) -> StoredPair:
    try:
        item = of_files(store.resolve(kept.name)) if looks_like_path(kept.model) else (
            find(store, kept.model))  # fmt: skip
    except GemmaMtpError:
        item = StoredPair("", "", 0, False, False, "", None)
    return replace(item, name=kept.name, builtin=False, folder=None, preset_of=kept.model,
                   last_used=last_used.when(kept.name))  # fmt: skip


def find(store: Store, name: str) -> StoredPair:
    """The pair here that `name` means, complete or not. Raises NotPulled or ModelNotAvailable."""
    name = store.meant(name).name
    entry = store.find(name)
    wanted = entry.name if entry else name
    for item in items(store):
        if item.name == wanted:
            return item
    if entry is not None:
        raise NotPulled(entry.name)
    if is_local(name):
        raise missing(name)
    if names_source(name):
        refuse_other_family(name, store.catalogue)
        raise NotPulled(name)
    raise store.unknown(name)


def of_files(pair: PairFiles) -> StoredPair:
    """A pair of files that the user named."""
    parts = (
        (role, part) for role, path in _files_of(pair) for part in gguf.read_header(path).files
    )
    files = _stored(parts)
    size = sum(file.bytes for file in files)
    return StoredPair(pair.name, "", size, True, False, "", last_used.when(pair.name), files)


def check_sha256(item: StoredPair, on_check: OnCheck) -> dict[str, str]:
    """The sha256 of every file, by path; raises BadPair for the first that is not as pulled."""
    if not item.ready:
        raise BadPair(f"{item.name} is not complete.", f"gemma-mtp pull {item.name}")
    sums = {}
    for file in item.files:
        digest = sha256_of(file.path, partial(on_check, file.path.name, file.path.stat().st_size))
        if file.sha256 and digest != file.sha256:
            mark_damaged(item)
            raise BadPair(
                f"{file.path} is damaged: its sha256 is {digest}, not {file.sha256}.",
                f"gemma-mtp pull {item.name}",
            )
        sums[str(file.path)] = digest
    return sums


def mark_damaged(item: StoredPair) -> None:
    """A damaged pair is not ready any more, so that a pull looks at it again."""
    if item.folder is not None:
        with contextlib.suppress(OSError):
            pair_record.mark_unfinished(item.folder)


def remove(item: StoredPair) -> int:
    """Delete a pair's folder and return the bytes that this frees; a link goes, what it names
    stays. Raises UsageError for a built-in pair, and where the folder cannot be removed."""
    if item.builtin or item.folder is None:
        raise UsageError(f"{item.name} belongs to the program and cannot be removed.")
    linked, copies = item.folder.is_symlink(), converted_drafter.copies_of(item.folder)
    freed = sum(map(bytes_on_disk, copies)) + (0 if linked else item.bytes)
    remove_folder(item.folder, item.name)
    for copy in copies:
        remove_folder(copy, item.name)
    last_used.forget(item.name)
    return freed


def remove_folder(folder: Path, name: str) -> None:
    """Delete what is kept of `name`; of a folder that lies elsewhere only the link.

    The record goes first, so that no half pair is ever ready, and the lock last. Raises UsageError
    while a pull works there, and where something cannot be removed.
    """

    def busy() -> None:
        raise UsageError(f"{name} is just being pulled or made.", "Stop that first, with Ctrl-C.")

    linked = folder.is_symlink()
    try:
        if linked and not os.access(folder, os.W_OK):
            return folder.unlink()
        with locked(folder, busy):
            if linked:
                (folder / LOCK).unlink()
                return folder.unlink()
            (folder / pair_record.RECORD).unlink(missing_ok=True)
            for path in sorted(folder.rglob("*"), reverse=True):
                if path.is_dir() and not path.is_symlink():
                    path.rmdir()
                elif path.name != LOCK:
                    path.unlink(missing_ok=True)
        (folder / LOCK).unlink(missing_ok=True)
        folder.rmdir()
    except OSError as error:
        why = f"{error.filename or folder} cannot be removed: {error.strerror}."
        raise UsageError(why) from error


def in_folder(store: Store, folder: Path, entry: Entry | None) -> StoredPair | None:
    """What a folder of models holds; None if nothing says what it is for.

    `entry`: that of the catalogue whose folder it is, if there is one.
    """
    record = read_record(folder)
    about = record or read_unfinished(folder)
    if entry is not None:
        name, tag, repo, revision = entry.name, entry.tag, entry.repo, entry.revision
        ready = store.is_ready(entry)
    elif about is not None and about.name:
        name, tag, repo, revision = about.name, _tag(about), about.repo, about.revision
        files = record.files if record else ()
        ready = bool(files) and all(disk.size_of(folder / f.path) == f.bytes for f in files)
        entry = None if ready else entry_of(about)
    else:
        return None
    if not ready and _is_bare(folder):
        return None
    stored = _recorded(folder, record) if ready and record else ()
    size = sum(file.bytes for file in stored) if ready else bytes_on_disk(folder)
    source, when = f"{repo}@{revision[:12]}", last_used.when(name)
    return StoredPair(name, tag, size, ready, False, source, when, stored, folder, entry)


def folders() -> list[Path]:
    """Those in which pulls keep pairs."""
    try:
        return sorted(path for path in paths.models_dir().iterdir() if path.is_dir())
    except OSError:
        return []


def bytes_on_disk(path: Path) -> int:
    """What a file, or all below a folder, takes: parts of downloads are sparse, links nothing."""
    below = [path, *path.rglob("*")] if path.is_dir() else [path]
    return sum(disk.bytes_taken(file, follow=False) for file in below if file.is_file())


def _builtin(store: Store, entry: Entry) -> StoredPair:
    pair = store.files(entry)
    files = _stored(_files_of(pair)) if pair else ()
    size, when = sum(file.bytes for file in files), last_used.when(entry.name)
    return StoredPair(entry.name, entry.tag, size, True, True, "built in", when, files, None, entry)


def _files_of(pair: PairFiles) -> list[tuple[str, Path]]:
    named = (("target", pair.target), ("drafter", pair.drafter), ("encoder", pair.encoder))
    return [(role, path) for role, path in named if path]


def _stored(files: Iterable[tuple[str, Path]]) -> tuple[StoredFile, ...]:
    """Files of which nobody keeps a record."""
    return tuple(
        StoredFile(role, path, path.stat().st_size, origin=_origin(path)) for role, path in files
    )


def _origin(path: Path) -> str:
    original = converted_drafter.original(path)
    return f"{original}, converted" if original else ""


def _recorded(folder: Path, record: PairRecord) -> tuple[StoredFile, ...]:
    files = sorted(record.files, key=lambda file: (file.role != "target", file.role == "encoder"))
    return tuple(
        StoredFile(f.role, folder / f.path, f.bytes, f.sha256, f.repo or f.origin) for f in files
    )


def _tag(record: PairRecord) -> str:
    targets = (file for file in record.files if file.role == "target")
    return next((file.quantization.lower() for file in targets), "drafter alone")


def _is_bare(folder: Path) -> bool:
    """Whether nothing of a model is here yet, only what a pull writes before its first byte."""
    ours = (pair_record.RECORD, pair_record.SUMS, pair_record.UNFINISHED, LOCK)
    return not any(
        disk.bytes_taken(path) and path.name not in ours and path.suffix != ".journal"
        for path in folder.rglob("*")
        if not path.is_dir()
    )
