"""Originals of a repository on the hub: what it holds, and its files brought into a folder.

`convert` calls it. Each file is fetched as those of a pair are: in ranges that go on after an
interruption, checked against the sha256 that the hub states, linked where the hub's own cache has
it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from gemma_mtp import paths
from gemma_mtp.errors import BadPair, HubError
from gemma_mtp.files import disk
from gemma_mtp.files.checksum import sha256_of
from gemma_mtp.models.pull import hub, retry, reuse, verify
from gemma_mtp.models.pull.events import OnEvent, PullNote, PullProgress
from gemma_mtp.models.pull.hub_responses import HubFile
from gemma_mtp.models.pull.transfer import Transfer, journal_of

# Beside the weights: what the converter reads. A folder is none of it.
_WANTED = re.compile(r"[A-Za-z0-9][\w.-]{0,150}\.(safetensors|json|jinja|model)", re.ASCII)


@dataclass(frozen=True)
class Repository:
    """The files of one at a commit, those that are needed."""

    name: str
    commit: str
    files: tuple[HubFile, ...]

    @property
    def bytes(self) -> int:
        """All of them."""
        return sum(file.bytes or 0 for file in self.files)


def look_up(name: str, revision: str | None, on_event: OnEvent) -> Repository:
    """What a repository holds. Raises HubError, and BadPair for one without safetensors."""
    where = f"{hub.endpoint()}/{name}"
    listed = retry.ask(
        where, lambda: hub.list_files(name, revision), hub.longest_answer(), on_event
    )
    files = tuple(file for file in listed if _WANTED.fullmatch(file.path))
    if not any(file.path.endswith(".safetensors") for file in files):
        has_gguf = any(file.path.endswith(".gguf") for file in listed)
        hint = f"It holds GGUF files: gemma-mtp pull hf:{name}" if has_gguf else ""
        raise BadPair(f"{name} holds no safetensors.", hint)
    return Repository(name, files[0].commit, files)


def missing_bytes(found: Repository, folder: Path) -> int:
    """What is still to be downloaded into `folder`."""
    return sum(
        (file.bytes or 0) - disk.bytes_taken(folder / f"{file.path}.partial")
        for file in found.files
        if disk.size_of(folder / file.path) != file.bytes
    )


def fetch(found: Repository, folder: Path, on_event: OnEvent) -> None:
    """Bring all files into `folder`; those that are there with their size stay as they are.

    Raises HubError for what the hub refuses, and GemmaMtpError for what the disk does.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        disk.require_room(folder, max(missing_bytes(found, folder), 0), found.name)
        for file in found.files:
            if disk.size_of(folder / file.path) != file.bytes or file.bytes is None:
                _fetch(found, file, folder, on_event)
    except OSError as error:
        raise disk.disk_error(error, folder, "convert again; what is here is kept") from error


def _fetch(found: Repository, file: HubFile, folder: Path, on_event: OnEvent) -> None:
    final = folder / file.path
    if _linked(file, final, on_event):
        return
    blob = hub.Blob(found.name, file.commit, file.path)
    if file.bytes is None:
        raise HubError(f"{blob.where} does not state the size of {file.path}.")
    partial = final.with_name(f"{final.name}.partial")
    transfer, total, size = (
        Transfer(blob, partial, file.bytes, file.sha256),
        found.bytes,
        file.bytes,
    )
    others = sum(max(disk.size_of(folder / f.path), 0) for f in found.files)

    def on_bytes(done: int, verifying: bool) -> None:
        on_event(PullProgress(file.path, done, size, verifying, others + done, total, file.sha256))

    digest = transfer.run(on_bytes, on_event)
    if file.sha256:
        verify.require(digest == file.sha256, partial, file.path)
    partial.replace(final)
    journal_of(partial).unlink(missing_ok=True)


def _linked(file: HubFile, final: Path, on_event: OnEvent) -> bool:
    """Whether the file was on this machine already, and is the same now."""
    places = reuse.Places(paths.models_dir(), hub.cache_folder())
    for place in places.candidates(file.sha256, file.bytes) if file.sha256 else ():
        if sha256_of(place.path, lambda done: None) == file.sha256:
            how = reuse.link_or_copy(place.path, final, symlinks=True)
            on_event(PullNote(f"{file.path}: {how} from {place.owner}, nothing to download."))
            return True
    return False
