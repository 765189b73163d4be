"""Parts of downloads and other files of ours that no complete pair needs. `prune` calls it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gemma_mtp.files.folder_lock import LOCK, is_locked
from gemma_mtp.models import chat_states, converted_drafter
from gemma_mtp.models.inventory import StoredPair, bytes_on_disk, folders, in_folder, remove_folder
from gemma_mtp.models.pair_record import RECORD, SUMS
from gemma_mtp.models.store import Store
from gemma_mtp.models.temporary_pair import is_temporary


@dataclass(frozen=True)
class Leftover:
    """Something of ours that no complete pair needs."""

    path: Path
    bytes: int
    why: str


def leftovers(store: Store, *, keeps_chats: bool = True) -> list[Leftover]:
    """Parts of downloads, files set aside, temporary files: not those of a running pull. States of
    chats that cannot be used any more, or all of them unless the user `keeps_chats`; copies of
    drafters that are gone."""
    known = {store.folder(entry): entry for entry in store.catalogue.entries}
    found: list[Leftover] = []
    for folder in folders():
        if is_locked(folder):
            continue
        item = in_folder(store, folder, known.get(folder))
        if item is not None and item.ready:
            found += _beside(folder, item)
        else:
            size = 0 if folder.is_symlink() else bytes_on_disk(folder)
            other = "left by bench --shape" if is_temporary(folder) else "no model"
            found.append(Leftover(folder, size, f"part of {item.name}" if item else other))
    useless = [*chat_states.unusable(keeps_chats), *converted_drafter.unneeded()]
    return [*found, *(Leftover(path, bytes_on_disk(path), why) for path, why in useless)]


def clear(leftover: Leftover) -> None:
    """Delete one leftover. Raises UsageError where that is not possible."""
    if leftover.path.is_dir() and not leftover.path.is_symlink():
        remove_folder(leftover.path, leftover.path.name)
    else:
        leftover.path.unlink(missing_ok=True)


def _beside(folder: Path, item: StoredPair) -> Iterator[Leftover]:
    """What is in a folder beside the pair; a folder elsewhere may have other uses."""
    if folder.is_symlink():
        return
    wanted = {file.path for file in item.files} | {folder / name for name in (RECORD, SUMS, LOCK)}
    for path in sorted(folder.rglob("*")):
        if path not in wanted and not path.is_dir():
            yield Leftover(path, bytes_on_disk(path), f"not needed by {item.name}")
