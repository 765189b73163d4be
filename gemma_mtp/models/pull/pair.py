"""Gets a pair, both files as one unit: verified, resumable, and ready only when complete.

Decides what is expected, what is here already and in which order things happen; leaves bytes to
`transfer`, the hub to `hub` and other programs' files to `reuse`. Knows nothing of models beyond
their catalogue entry, and prints nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from gemma_mtp import paths
from gemma_mtp.api import PairFiles
from gemma_mtp.errors import HubError
from gemma_mtp.files.checksum import sha256_of
from gemma_mtp.files.disk import disk_error, require_room, taken
from gemma_mtp.files.folder_lock import LOCK, locked
from gemma_mtp.models import gguf, pair_check
from gemma_mtp.models.catalogue import Entry, RemoteFile
from gemma_mtp.models.pair_record import (
    RECORD,
    UNFINISHED,
    FileRecord,
    PairRecord,
    is_unchanged,
    pair_files,
    read_record,
    ready_files,
    write_record,
    write_unfinished,
)
from gemma_mtp.models.pull import hub
from gemma_mtp.models.pull.events import OnEvent, PullNote, PullProgress, PullSilence, PullWait
from gemma_mtp.models.pull.expected_files import Question, Wanted, expect
from gemma_mtp.models.pull.hub_errors import TransientError
from gemma_mtp.models.pull.reuse import Places, links_to, place
from gemma_mtp.models.pull.transfer import Transfer, journal_of
from gemma_mtp.models.pull.verify import (
    is_about,
    modified_at,
    ready_as_verified,
    set_aside,
    verify_again,
)

AS_PUBLISHED = "It is as it was published: another quantization or repository may do."

__all__ = ["RECORD", "PullNote", "PullOptions", "PullProgress", "pull", "ready_files"]


@dataclass(frozen=True)
class PullOptions:
    """`stated`: the folder's own facts, which stand in for the hub's. Nothing else is asked then.

    `symlinks` off: what is reused must stay where this folder goes. `allow_changed`: files with
    another sha256 than the pinned one will do.
    """

    revision: str | None = None
    offline: bool = False
    reuse: tuple[Path, ...] = ()
    symlinks: bool = True
    stated: PairRecord | None = None
    allow_changed: bool = False


def pull(
    entry: Entry, folder: Path, on_event: OnEvent, options: PullOptions | None = None
) -> PairFiles:
    """Fetch and verify both files; returns at once when they are already there, as they were
    verified. What was damaged since is fetched again."""
    options = options or PullOptions()
    revision = options.revision or entry.revision
    if options.stated and options.revision is None:
        revision = options.stated.revision
    ready = ready_as_verified(entry, folder, revision)
    if ready:
        return ready
    try:
        folder.mkdir(parents=True, exist_ok=True)
        waiting = PullNote(f"Another pull of {entry.name} is running; waiting for it.")
        with locked(folder, lambda: on_event(waiting)):
            ready = ready_as_verified(entry, folder, revision)
            return ready or _run(_Pull(entry, folder, revision, on_event, options))
    except OSError as error:
        raise disk_error(error, folder) from error


def _run(pull: _Pull) -> PairFiles:
    """Leaves no folder behind if nothing at all was fetched."""
    try:
        return pull.run()
    except BaseException:
        with contextlib.suppress(OSError):
            _remove_empty(pull.folder)
        raise


def _remove_empty(folder: Path) -> None:
    below = sorted(folder.rglob("*"), reverse=True)
    if any(path.name not in (LOCK, UNFINISHED) for path in below if not path.is_dir()):
        return
    for path in below:
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()
    folder.rmdir()


@dataclass
class _Pull:
    """One pull, while its folder is held."""

    entry: Entry
    folder: Path
    revision: str
    on_event: OnEvent
    options: PullOptions
    wanted: list[Wanted] = field(default_factory=list)

    def run(self) -> PairFiles:
        marker = read_record(self.folder)
        claimed = marker is not None and is_about(marker, self.entry, self.revision)
        if marker and claimed and verify_again(self.entry, self.folder, marker, self.on_event):
            self._check_pair()
            return self._files()
        offline, stated = self.options.offline, self.options.stated
        dead: HubError | None = None
        for file in pair_files(self.entry):
            allowed = self.options.allow_changed
            ask = Question(self.entry, self.revision, offline, stated, dead, allowed)
            self.wanted.append(expect(ask, file, self.on_event))
            self.revision = self.wanted[-1].commit or self.revision  # both from one commit
            failed = self.wanted[-1].unreachable
            if failed is not None and isinstance(failed.__cause__, TransientError):
                dead = failed  # asking for the other file would only take as long again
        write_unfinished(self.folder, self._marker([_held(self.entry, w) for w in self.wanted]))
        for wanted in self.wanted:
            wanted.staged = self._already_here(wanted) or self._reused(wanted)
        missing = [wanted for wanted in self.wanted if wanted.staged is None]
        room = sum((w.bytes or 0) - taken(self._path(w, ".partial")) for w in missing)
        require_room(self.folder, max(room, 0), self.entry.name)
        for wanted in missing:
            wanted.staged = self._fetched(wanted)
        return self._commit()

    # --- where each file comes from ----------------------------------------------------------

    def _already_here(self, wanted: Wanted) -> Path | None:
        """The file under its own name, from a pull that ended before both were there."""
        path = self.folder / wanted.file.path
        if not path.is_file():
            return None
        size = path.stat().st_size
        if size == wanted.bytes and self._is_known(wanted):
            return path
        if size == wanted.bytes and self._hash(wanted, path, size) == wanted.sha256:
            return path
        if read_record(self.folder) is None:  # else it is a good file of another revision
            aside = set_aside(path)
            self._say(f"{path.name} was here with other contents; it was set aside as {aside}.")
        return None

    def _is_known(self, wanted: Wanted) -> bool:
        """Whether the file has been verified and not changed since."""
        marker = read_record(self.folder)
        return any(
            held.path == wanted.file.path
            and held.sha256 == wanted.sha256
            and held.time
            and is_unchanged(self.folder, held)
            for held in (marker.files if marker else ())
        )

    def _reused(self, wanted: Wanted) -> Path | None:
        places = Places(paths.models_dir(), hub.cache_folder(), self.options.reuse)
        for found in places.candidates(wanted.sha256, wanted.bytes):
            if found.path == (self.folder / wanted.file.path).resolve():
                continue
            try:
                size = found.path.stat().st_size
                if self._hash(wanted, found.path, size) != wanted.sha256:
                    continue
            except OSError:  # unreadable, or gone meanwhile
                continue
            staged = self._path(wanted, ".linked")
            if not self.options.symlinks and not links_to(self.folder, found.path):
                require_room(self.folder, size, self.entry.name)
            how = place(found.path, staged, self.options.symlinks)
            self._say(f"{wanted.file.path}: {how} from {found.owner}, nothing to download.")
            wanted.bytes, wanted.origin = size, found.owner
            self._forget_partial(wanted)
            return staged
        return None

    def _fetched(self, wanted: Wanted) -> Path:
        if wanted.blob is None:
            raise wanted.unreachable or HubError(f"{wanted.file.path} cannot be downloaded.")
        if wanted.bytes is None:
            raise HubError(f"{wanted.blob.where} does not state the size of {wanted.file.path}.")
        blob, partial = wanted.blob, self._path(wanted, ".partial")
        transfer = Transfer(blob, partial, wanted.bytes, wanted.sha256)
        if transfer.changed:
            self._say(f"{wanted.file.path} changed on the hub since; it is fetched anew.")
        try:
            digest = transfer.run(
                lambda done, verifying: self._progress(wanted, done, verifying),
                lambda reason, seconds: self.on_event(PullWait(reason, seconds)),
                lambda seconds: self.on_event(PullSilence(blob.host, seconds)),
            )
        except BaseException:
            if not transfer.done:
                with contextlib.suppress(OSError):
                    self._forget_partial(wanted)
            raise
        if not wanted.sha256:
            self._say(f"The hub states no sha256 for {wanted.file.path}; its size was checked.")
            wanted.sha256 = digest
        if digest != wanted.sha256:
            journal_of(partial).unlink(missing_ok=True)
            raise HubError(
                f"{wanted.file.path} arrived with other contents than expected; it was set aside "
                f"as {set_aside(partial, wanted.file.path)}.",
                "Pull again; if it happens again, the file on the hub was changed.",
            )
        return partial

    # --- the end -----------------------------------------------------------------------------

    def _commit(self) -> PairFiles:
        """Both are verified: give them their names, and say so last."""
        self._check_pair()
        (self.folder / RECORD).unlink(missing_ok=True)
        held = []
        for wanted in self.wanted:
            final = self.folder / wanted.file.path
            if wanted.staged is not None and wanted.staged != final:
                wanted.staged.replace(final)
            self._forget_partial(wanted)
            size = final.stat().st_size
            held.append(replace(_held(self.entry, wanted), bytes=size, time=modified_at(final)))
        write_record(self.folder, self._marker(held))
        (self.folder / UNFINISHED).unlink(missing_ok=True)
        return self._files()

    def _check_pair(self) -> None:
        """That both can be loaded and belong together; a good hash says neither."""
        with gguf.advising(AS_PUBLISHED):
            pair_check.check_pair(self._header(self.entry.target), self._header(self.entry.drafter))

    def _header(self, file: RemoteFile) -> gguf.Header:
        staged = {w.file.path: w.staged for w in self.wanted}
        final = [self.folder / part.path for part in file.parts]
        now = [staged.get(part.path) or path for part, path in zip(file.parts, final, strict=True)]
        return replace(gguf.read_parts(now), path=final[0])

    def _files(self) -> PairFiles:
        entry = self.entry
        target, drafter = (self.folder / file.path for file in (entry.target, entry.drafter))
        return PairFiles(entry.name, target, drafter)

    def _marker(self, held: Sequence[FileRecord]) -> PairRecord:
        return PairRecord(self.entry.name, self.entry.repo, self.revision, tuple(held))

    # --- small things ------------------------------------------------------------------------

    def _path(self, wanted: Wanted, suffix: str) -> Path:
        path = self.folder / (wanted.file.path + suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _forget_partial(self, wanted: Wanted) -> None:
        partial = self._path(wanted, ".partial")
        partial.unlink(missing_ok=True)
        journal_of(partial).unlink(missing_ok=True)

    def _hash(self, wanted: Wanted, path: Path, size: int) -> str:
        return sha256_of(path, lambda done: self._progress(wanted, done, True, size))

    def _progress(
        self, wanted: Wanted, done: int, verifying: bool, size: int | None = None
    ) -> None:
        total = size or wanted.bytes or 0
        others = [w for w in self.wanted if w is not wanted]
        here = sum(w.bytes or 0 for w in others if w.staged) + (total if verifying else done)
        both = total + sum(w.bytes or 0 for w in others)
        self.on_event(PullProgress(wanted.file.path, done, total, verifying, here, both))

    def _say(self, text: str) -> None:
        self.on_event(PullNote(text))


def _held(entry: Entry, wanted: Wanted) -> FileRecord:
    """What is said of a file, as far as it is known before it is here."""
    file = wanted.file
    pinned = file.sha256 if file.sha256 != wanted.sha256 else ""
    role = "target" if file in entry.target.parts else "drafter"
    size = wanted.bytes or 0
    return FileRecord(
        role, file.path, size, wanted.sha256, file.quantization, pinned, wanted.origin
    )
