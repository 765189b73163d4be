"""Gets a pair, its files as one unit: verified, resumable, and ready only when complete.

`pull.request` calls it. Decides in which order things happen, and whether the files belong
together; leaves what to expect to `expected_files` and how each file comes to `arriving`. Of a
model it knows the catalogue entry; it prints nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gemma_mtp.api import PairFiles
from gemma_mtp.errors import BadPair
from gemma_mtp.files import disk
from gemma_mtp.files.folder_lock import LOCK, locked
from gemma_mtp.models import foreign_drafter, gguf, pair_check, pair_record
from gemma_mtp.models.catalogue import Entry, RemoteFile
from gemma_mtp.models.encoder_check import check_encoder
from gemma_mtp.models.pair_record import FileRecord, PairRecord, read_record
from gemma_mtp.models.preset_data import data_of
from gemma_mtp.models.pull import beginnings, verify
from gemma_mtp.models.pull.arriving import Arriving
from gemma_mtp.models.pull.events import OnEvent, PullNote
from gemma_mtp.models.pull.expected_files import WantedFile, blob_of, expect
from gemma_mtp.models.pull.official_drafter import beginning
from gemma_mtp.models.pull.options import PullOptions
from gemma_mtp.models.pull.other_drafters import UnusableDrafter, UnusableEncoder
from gemma_mtp.text import byte_size

AS_PUBLISHED = "It is as it was published: another quantization or repository may do."
NOT_COMPARED = "It is published so or was damaged on its way: pull again, or choose another one."


def pull(
    entry: Entry, folder: Path, on_event: OnEvent, options: PullOptions | None = None
) -> PairFiles:
    """Fetch and verify all files; returns at once when they are already there, as they were
    verified. What was damaged since is fetched again.

    Raises HubError for what the hub or the network refuse, BadPair for files that do not belong
    together, and GemmaMtpError for what the disk refuses.
    """
    options = options or PullOptions()
    stated = options.stated.revision if options.stated else entry.revision
    revision = options.revision or stated
    if ready := verify.ready_as_verified(entry, folder, revision):
        return ready
    try:
        folder.mkdir(parents=True, exist_ok=True)
        waiting = PullNote(f"Another pull of {entry.name} is running; waiting for it.")
        with locked(folder, lambda: on_event(waiting)):
            ready = verify.ready_as_verified(entry, folder, revision)
            return ready or _run(entry, folder, revision, on_event, options)
    except OSError as error:
        raise disk.disk_error(error, folder) from error


def _run(
    entry: Entry, folder: Path, revision: str, on_event: OnEvent, options: PullOptions
) -> PairFiles:
    """Leaves no folder behind if nothing at all was fetched."""
    try:
        try:
            return _with_some_drafter(_Pull(entry, folder, revision, on_event, options))
        except UnusableEncoder as fault:
            why = str(fault.error).rstrip(".")
            on_event(PullNote(f"{why}. It is left out, so that no pictures can be read."))
            entry = replace(entry, encoder=None)
            return _with_some_drafter(_Pull(entry, folder, revision, on_event, options))
    except BaseException:
        with contextlib.suppress(OSError):
            _remove_empty(folder)
        raise


def _with_some_drafter(first: _Pull) -> PairFiles:
    """Try other drafters where one cannot be had or does not fit, if there are others."""
    try:
        return first.run()
    except UnusableDrafter as fault:
        error = reason = fault.error
    tried, others = {_place(first.entry, first.entry.drafter)}, first.options.others
    names = (first.entry.repo, first.entry.target.path)
    for file, why in others(first.metadata(), names, first.on_event) if others else ():
        if _place(first.entry, file) in tried:
            continue
        tried.add(_place(first.entry, file))
        first.on_event(PullNote(f"{str(reason).rstrip('.')}. {file.path} instead: {why}."))
        entry = replace(first.entry, drafter=file)
        try:
            return _Pull(entry, first.folder, first.revision, first.on_event, first.options).run()
        except UnusableDrafter as fault:
            reason = fault.error
    raise error


def _place(entry: Entry, file: RemoteFile) -> tuple[str, str]:
    return file.repo or entry.repo, file.path


def _remove_empty(folder: Path) -> None:
    below = sorted(folder.rglob("*"), reverse=True)
    if any(p.name not in (LOCK, pair_record.UNFINISHED) for p in below if not p.is_dir()):
        return
    for path in (*below, folder):
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()


@dataclass
class _Pull:
    """One pull, while its folder is held."""

    entry: Entry
    folder: Path
    revision: str
    on_event: OnEvent
    options: PullOptions
    wanted: list[WantedFile] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.files = Arriving(self.entry, self.folder, self.on_event, self.options, self.wanted)

    def run(self) -> PairFiles:
        entry, folder, record = self.entry, self.folder, read_record(self.folder)
        claimed = record and record.is_whole(entry) and record.revision in ("", self.revision)
        if record and claimed and verify.verify_again(entry, folder, record, self.on_event):
            self._check_pair()
            return self._pair()
        self.wanted += expect(entry, self.revision, self.options, self.on_event)
        self.revision = self.wanted[-1].commit or self.revision
        pair_record.write_unfinished(folder, self._record(w.record(entry) for w in self.wanted))
        for wanted in self.wanted:
            wanted.staged = self.files.already_here(wanted) or self.files.reused(wanted)
        missing = [wanted for wanted in self.wanted if wanted.staged is None]
        here = sum(disk.bytes_taken(self.files.path(wanted, ".partial")) for wanted in missing)
        room = sum(wanted.bytes or 0 for wanted in missing) - here
        self._tell_of_encoder(missing, room)
        disk.require_room(folder, max(room, 0), entry.name)
        if missing and all(wanted.blob and wanted.bytes for wanted in missing):
            self._check_headers()
        for wanted in missing:
            if wanted.unreachable is not None and wanted.file == entry.encoder:
                raise UnusableEncoder(wanted.unreachable)
            wanted.staged = wanted.staged or self.files.fetched(wanted)
        return self._commit()

    def _tell_of_encoder(self, missing: list[WantedFile], room: int) -> None:
        """How much of what is fetched is for pictures, which not everybody needs."""
        for wanted in missing:
            if wanted.file == self.entry.encoder and wanted.bytes and wanted.blob:
                size, all = byte_size(wanted.bytes), byte_size(max(room, 0))
                self.on_event(PullNote(f"To download: {all}; {size} of it are the image encoder, "
                                       "which --no-images leaves out."))  # fmt: skip

    # --- before the weights ------------------------------------------------------------------

    def _check_headers(self) -> None:
        """That both can be loaded and belong together, by their headers alone; the bytes of one
        that is refused are forgotten, since nobody has compared them with anything yet."""
        with self._forgetting(self.entry.target):
            target = self._early_target()
            pair_check.check_target(target)
        try:
            with self._forgetting(self.entry.drafter):
                foreign_drafter.check(target, self._early_header(self.entry.drafter, "drafter"))
        except BadPair as error:
            raise UnusableDrafter(error) from error
        if self.entry.encoder is not None:
            with self._encoder_only(), self._forgetting(self.entry.encoder):
                check_encoder(target, self._early_header(self.entry.encoder, ""))

    @staticmethod
    @contextlib.contextmanager
    def _encoder_only() -> Iterator[None]:
        """What is wrong with the image encoder is no reason to go without the pair."""
        try:
            yield
        except BadPair as error:
            raise UnusableEncoder(error) from error

    def metadata(self) -> Mapping[str, Any]:
        """What the target says of itself, whether its header was read already or not."""
        if self.wanted or self.options.fits:
            return self._early_target().metadata
        target = self.entry.target
        blob = blob_of(target, self.entry, self.revision)
        return beginning(blob, target.path, target.bytes, self.on_event)

    def _early_target(self) -> gguf.Header:
        if self.entry.drafter_alone and self.options.fits:
            return gguf.read_header(self.options.fits)
        return self._early_header(self.entry.target, "target")

    def _early_header(self, file: RemoteFile, role: str) -> gguf.Header:
        wanted = {w.file.path: w for w in self.wanted}
        parts = (wanted[part.path] for part in file.parts)
        roles = (role, *[""] * len(file.rest))  # the first part says what the model is
        headers = [self._early_part(*each) for each in zip(parts, roles, strict=True)]
        return replace(gguf.joined(headers), path=self.folder / file.path)

    def _early_part(self, wanted: WantedFile, role: str) -> gguf.Header:
        named, blob = self.folder / wanted.file.path, wanted.blob
        if wanted.staged is not None or blob is None:
            return gguf.read_file(wanted.staged or named, named)
        partial = self.files.path(wanted, ".partial")

        def fetch(end: int) -> Path:
            if end == wanted.bytes:  # and that is all of it
                wanted.staged = self.files.fetched(wanted)
            else:
                self.files.transferred(wanted, blob, partial, end)
            return partial

        return beginnings.read_header(fetch, named, wanted.bytes or 0, role)

    @contextlib.contextmanager
    def _forgetting(self, file: RemoteFile) -> Iterator[None]:
        """Forget what has come of a file that is refused, unless it is as the hub says."""
        try:
            yield
        except BadPair as error:
            parts = [wanted for wanted in self.wanted if wanted.file in file.parts]
            for wanted in parts:
                if wanted.staged is None:
                    self.files.forget_partial(wanted)
            if error.hint == gguf.PULL_AGAIN:
                error.hint = AS_PUBLISHED if all(w.staged for w in parts) else NOT_COMPARED
            raise

    # --- the end -----------------------------------------------------------------------------

    def _commit(self) -> PairFiles:
        """All are verified: give them their names, and say so last."""
        self._check_pair()
        (self.folder / pair_record.RECORD).unlink(missing_ok=True)
        files = []
        for wanted in self.wanted:
            final = self.folder / wanted.file.path
            if wanted.staged is not None and wanted.staged != final:
                wanted.staged.replace(final)
            self.files.forget_partial(wanted)
            size, time = final.stat().st_size, pair_record.modified_at(final)
            files.append(replace(wanted.record(self.entry), bytes=size, time=time))
        pair_record.write_record(self.folder, self._record(files))
        (self.folder / pair_record.UNFINISHED).unlink(missing_ok=True)
        return self._pair()

    def _check_pair(self) -> None:
        """That both can be loaded and belong together; a good hash says neither."""
        with gguf.advising(AS_PUBLISHED):
            ours = self._early_target() if self.entry.drafter_alone else None
            ours = ours or self._header(self.entry.target)
            foreign_drafter.check(ours, self._header(self.entry.drafter))
            if self.entry.encoder is not None:
                with self._encoder_only():
                    check_encoder(ours, self._header(self.entry.encoder))

    def _header(self, file: RemoteFile) -> gguf.Header:
        staged = {w.file.path: w.staged for w in self.wanted}
        now = [staged.get(part.path) or self.folder / part.path for part in file.parts]
        return replace(gguf.read_parts(now), path=self.folder / file.path)

    def _pair(self) -> PairFiles:
        target, drafter = (self.folder / f.path for f in (self.entry.target, self.entry.drafter))
        encoder = self.folder / self.entry.encoder.path if self.entry.encoder else None
        return PairFiles(self.entry.name, target, drafter, encoder=encoder)

    def _record(self, files: Iterable[FileRecord]) -> PairRecord:
        entry, published = self.entry, data_of(self.entry.published)
        return PairRecord(
            entry.name, entry.repo, self.revision, tuple(files), published, entry.asked_encoder
        )
