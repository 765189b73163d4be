"""A random pair in a folder of the cache, for as long as it is measured.

`bench --shape` asks for one. Whatever ends that, the folder goes; where the process was killed, it
goes when the next one is made, or with `prune`. The folder's lock says that its owner lives.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gemma_mtp import paths
from gemma_mtp.api import PairFiles
from gemma_mtp.errors import BadPair, UsageError
from gemma_mtp.files import disk
from gemma_mtp.files.folder_lock import is_locked, locked
from gemma_mtp.models import inventory
from gemma_mtp.models.catalogue import Entry
from gemma_mtp.models.gguf import read_header
from gemma_mtp.models.pair_check import check_pair
from gemma_mtp.models.random_pair import Progress, random_pair

PREFIX = "random-weights-"  # of the folders' names


def is_temporary(path: Path) -> bool:
    """Whether a folder, or a file in one, belongs to a pair of this kind."""
    return any(place.name.startswith(PREFIX) for place in (path, path.parent))


@contextmanager
def temporary_pair(entry: Entry, progress: Progress) -> Iterator[PairFiles]:
    """The files of a pair of the entry's shape, removed afterwards.

    Raises GemmaMtpError where the disk has no room for them or refuses them, BadPair for a shape
    that no pair can have, and Cancelled.
    """
    _remove_abandoned()
    folder = paths.models_dir() / f"{PREFIX}{entry.size}-{os.getpid()}"
    files = PairFiles(
        f"{entry.size}, random weights", folder / "target.gguf", folder / "drafter.gguf"
    )
    try:
        with _held(folder):
            _write(entry, files, progress)
            yield files
    finally:
        _remove(folder)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk.disk_error(error, folder) from error
    with locked(folder, lambda: None):
        yield


def _write(entry: Entry, files: PairFiles, progress: Progress) -> None:
    target, drafter = random_pair(entry)
    folder, size = files.target.parent, target.bytes_on_disk + drafter.bytes_on_disk
    disk.require_room(folder, size, f"A pair of the shape of {entry.size}")
    assert files.drafter is not None
    try:
        drafter.write(files.drafter, lambda share: progress(0.0))
        target.write(files.target, progress)
    except OSError as error:
        raise disk.disk_error(error, folder, "try again") from error
    try:
        check_pair(read_header(files.target), read_header(files.drafter))
    except BadPair as error:  # llama.cpp ends the process over some of them
        why = f"No pair can have the shape of {entry.size}: {error}"
        raise BadPair(why, f"Correct it in {paths.own_models()}.") from error


def _remove_abandoned() -> None:
    for folder in inventory.folders():
        if is_temporary(folder) and not is_locked(folder):
            _remove(folder)


def _remove(folder: Path) -> None:
    """What cannot be removed stays for `prune`, which says why."""
    if folder.is_dir():
        with suppress(UsageError):
            inventory.remove_folder(folder, folder.name)
