"""Brings the files of a pair into its folder: each is there already, is linked or copied from where
another program keeps it, or comes over the network.

`pair` says which, and when. Leaves bytes to `transfer`, hashes to `verify` and other programs'
files to `reuse`.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gemma_mtp import paths
from gemma_mtp.errors import HubError
from gemma_mtp.files import disk
from gemma_mtp.files.checksum import sha256_of
from gemma_mtp.models.catalogue import Entry
from gemma_mtp.models.pair_record import read_record
from gemma_mtp.models.pull import hub, reuse, verify
from gemma_mtp.models.pull.events import OnEvent, PullNote, PullProgress
from gemma_mtp.models.pull.expected_files import WantedFile
from gemma_mtp.models.pull.options import PullOptions
from gemma_mtp.models.pull.transfer import Transfer, journal_of


@dataclass
class Arriving:
    """The files that are `wanted` of one pull, while its folder is held. What arrives lies beside
    its final name until the pair is complete."""

    entry: Entry
    folder: Path
    on_event: OnEvent
    options: PullOptions
    wanted: Sequence[WantedFile]

    def already_here(self, wanted: WantedFile) -> Path | None:
        """The file under its own name, from a pull that ended before both were there."""
        path, record = self.folder / wanted.file.path, read_record(self.folder)
        if not path.is_file():
            return None
        if disk.size_of(path) == wanted.bytes:
            known = any(
                (file.path, file.sha256) == (wanted.file.path, wanted.sha256)
                and file.time
                and file.is_unchanged(self.folder)
                for file in (record.files if record else ())
            )
            if known or self._is_it(wanted, path):
                return path
        if record is None and (
            wanted.sha256 or (wanted.blob and wanted.blob.md5)
        ):  # else it is a good file of another revision
            aside = verify.set_aside(path)
            self.say(f"{path.name} was here with other contents; it was set aside as {aside}.")
        return None

    def _is_it(self, wanted: WantedFile, path: Path) -> bool:
        """Whether a file holds what is wanted, by the one sum that is stated of that."""
        md5 = wanted.blob.md5 if wanted.blob else ""
        if wanted.sha256 or not md5:
            return self._sha256(wanted, path) == wanted.sha256
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
        if found.hexdigest() != md5:
            return False
        wanted.sha256 = self._sha256(wanted, path)
        return True

    def reused(self, wanted: WantedFile) -> Path | None:
        models, named = paths.models_dir(), self.options.reuse
        places = reuse.Places(models, hub.cache_folder(), named, wanted.kept)
        own, symlinks = (self.folder / wanted.file.path).resolve(), self.options.symlinks
        for found in places.candidates(wanted.sha256, wanted.bytes):
            try:
                digest = self._sha256(wanted, found.path) if found.path != own else ""
            except OSError:  # unreadable, or gone meanwhile
                continue
            if not digest or digest != (wanted.sha256 or (digest if found.sure else "")):
                continue
            size, staged = disk.size_of(found.path), self.path(wanted, ".linked")
            if not symlinks and not reuse.links_to(self.folder, found.path):
                disk.require_room(self.folder, size, self.entry.name)
            how = reuse.link_or_copy(found.path, staged, symlinks)
            self.say(f"{wanted.file.path}: {how} from {found.owner}, nothing to download.")
            wanted.bytes, wanted.origin, wanted.sha256 = size, found.owner, digest
            self.forget_partial(wanted)
            return staged
        return None

    def fetched(self, wanted: WantedFile) -> Path:
        name, blob = wanted.file.path, wanted.blob
        if blob is None:
            raise wanted.unreachable or HubError(f"{name} cannot be downloaded.")
        if wanted.bytes is None:
            raise HubError(f"{blob.where} does not state the size of {name}.")
        partial = self.path(wanted, ".partial")
        digest = self.transferred(wanted, blob, partial)
        if not wanted.sha256:
            checked = "MD5" if blob.md5 else "size"
            self.say(f"No sha256 is stated for {name}; its {checked} was checked.")
            wanted.sha256 = digest
        if not (good := (digest, wanted.md5) == (wanted.sha256, blob.md5)):
            journal_of(partial).unlink(missing_ok=True)
        verify.require(good, partial, name)
        return partial

    def transferred(
        self, wanted: WantedFile, blob: hub.Blob, partial: Path, end: int | None = None
    ) -> str:
        """Fetch a file, or what comes before its `end`; returns the sha256 of that."""
        md5 = hashlib.md5(usedforsecurity=False) if blob.md5 else None
        contents, size = wanted.sha256 or blob.md5, wanted.bytes or 0
        transfer = Transfer(blob, partial, size, contents, end=end, also=md5)
        if transfer.changed:
            self.say(f"{wanted.file.path} changed on {blob.site.name} since; it is fetched anew.")
        try:
            digest = transfer.run(
                lambda done, verifying: self._progress(wanted, done, verifying, beginning=end),
                self.on_event,
            )
        except BaseException:
            if not transfer.done:
                with contextlib.suppress(OSError):
                    self.forget_partial(wanted)
            raise
        wanted.md5 = md5.hexdigest() if md5 else ""
        return digest

    def path(self, wanted: WantedFile, suffix: str) -> Path:
        path = self.folder / (wanted.file.path + suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def forget_partial(self, wanted: WantedFile) -> None:
        partial = self.path(wanted, ".partial")
        partial.unlink(missing_ok=True)
        journal_of(partial).unlink(missing_ok=True)

    def _sha256(self, wanted: WantedFile, path: Path) -> str:
        size = path.stat().st_size
        return sha256_of(path, lambda done: self._progress(wanted, done, True, size))

    def _progress(
        self, wanted: WantedFile, done: int, verifying: bool, size: int | None = None,
        beginning: int | None = None,
    ) -> None:  # fmt: skip
        total = size or wanted.bytes or 0
        others = [w for w in self.wanted if w is not wanted]
        here = sum(w.bytes or 0 for w in others if w.staged) + (total if verifying else done)
        both = total + sum(w.bytes or 0 for w in others)
        self.on_event(
            PullProgress(
                wanted.file.path, done, beginning or total, verifying, here, both, wanted.sha256,
                beginning is not None,
            )
        )  # fmt: skip

    def say(self, text: str) -> None:
        self.on_event(PullNote(text))
