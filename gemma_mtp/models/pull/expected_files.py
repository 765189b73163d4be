"""What each file of a pair must be: its size and sha256, from the hub, a folder or the catalogue.

`pull.pair` asks when a pull starts. A sha256 that differs from the one in the catalogue stops the
pull, unless the user allowed that: then the hub's, or the folder's, counts and is recorded. Knows
nothing of what is on the disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gemma_mtp.errors import HubError
from gemma_mtp.models import kaggle_names, ollama_names
from gemma_mtp.models.catalogue import Entry, RemoteFile
from gemma_mtp.models.pair_record import RECORD, FileRecord, pair_files
from gemma_mtp.models.pull import hub, retry
from gemma_mtp.models.pull.events import OnEvent, PullNote
from gemma_mtp.models.pull.hub_errors import TransientError
from gemma_mtp.models.pull.kaggle_library import KaggleBlob
from gemma_mtp.models.pull.ollama_registry import LayerBlob
from gemma_mtp.models.pull.options import PullOptions
from gemma_mtp.models.pull.other_drafters import UnusableDrafter, UnusableEncoder


@dataclass
class WantedFile:
    """One file of the pair on its way: what it must be, and where it is once verified.

    `kept`: where Kaggle's library has it, if that has. `md5`: of what was fetched, if one is stated
    for it. `bytes` None and `sha256` "": nobody says. `blob` None: it cannot be downloaded, for the
    reason in `unreachable`.
    """

    file: RemoteFile
    bytes: int | None
    sha256: str
    blob: hub.Blob | None = None
    unreachable: HubError | None = None
    commit: str = ""
    staged: Path | None = None
    origin: str = "hub"
    kept: Path | None = None
    md5: str = ""

    def record(self, entry: Entry) -> FileRecord:
        """What is said of the file, as far as it is known before it is here."""
        file = self.file
        pinned = file.sha256 if file.sha256 != self.sha256 else ""
        role = "target" if file in entry.target.parts else "drafter"
        role = "encoder" if file == entry.encoder else role
        return FileRecord(
            role, file.path, self.bytes or 0, self.sha256, file.quantization, pinned, self.origin,
            repo=file.repo, revision=file.revision,
        )  # fmt: skip


def expect(
    entry: Entry, revision: str, options: PullOptions, on_event: OnEvent
) -> list[WantedFile]:
    """All files of the pair: as a folder states them, else the hub, else the catalogue.

    Raises HubError when a sha256 is not the pinned one, or when the hub refuses; UnusableDrafter
    or UnusableEncoder where that is about one of them.
    """
    found = []
    unreachable: HubError | None = None
    for file in pair_files(entry):
        wanted = WantedFile(file, file.bytes, file.sha256)
        wanted.kept = _kept(file.repo or entry.repo, file.revision or revision, file.path)
        if options.stated:
            _take_stated(wanted, options, on_event)
        elif options.offline or hub.is_offline():
            wanted.unreachable = _offline(file, options.offline)
        elif unreachable is not None:  # the next question would wait just as long in vain
            wanted.unreachable = unreachable
        else:
            try:
                _ask_hub(wanted, entry, revision, options, on_event)
            except HubError as error:
                if not isinstance(error.__cause__, TransientError):
                    raise _about(file, entry, error) from error
                # The file may be on this machine nevertheless.
                unreachable = wanted.unreachable = error
        if not file.repo:
            revision = wanted.commit or revision  # all from one commit
        found.append(wanted)
    return found


def _about(file: RemoteFile, entry: Entry, error: HubError) -> Exception:
    """The error about this file, as what can be done without it."""
    if file in entry.drafter.parts:
        return UnusableDrafter(error)
    return UnusableEncoder(error) if file == entry.encoder else error


def _take_stated(wanted: WantedFile, options: PullOptions, on_event: OnEvent) -> None:
    file, stated = wanted.file, options.stated
    for record in stated.files if stated else ():
        if record.path == file.path:
            wanted.bytes, wanted.sha256 = record.bytes, record.sha256
            _compare(options, file, record.sha256, f"its {RECORD}", on_event)
    wanted.unreachable = HubError(
        f"{file.path} is not there with the sha256 that its {RECORD} states.", "Carry it again."
    )


def _ask_hub(
    wanted: WantedFile, entry: Entry, revision: str, options: PullOptions, on_event: OnEvent
) -> None:
    file = wanted.file
    blob = blob_of(file, entry, revision)
    facts = retry.ask(blob.where, blob.facts, hub.longest_answer(), on_event)
    if file.repo or revision == entry.revision:
        where = f"{blob.where} at revision {facts.commit[:12]}"
        _compare(options, file, facts.sha256, where, on_event)
        if None not in (facts.bytes, file.bytes) and facts.bytes != file.bytes:
            sizes = f"{facts.bytes} bytes, in the catalogue {file.bytes}"
            on_event(PullNote(f"{file.path} has on {where} {sizes}."))
    wanted.bytes = file.bytes if facts.bytes is None else facts.bytes
    wanted.sha256 = facts.sha256 or file.sha256
    wanted.blob, wanted.commit = blob, facts.commit


def blob_of(file: RemoteFile, entry: Entry, revision: str) -> hub.Blob:
    """Who sends a file, by the prefix of where it comes from."""
    repo, at = file.repo or entry.repo, file.revision or revision
    if ollama_names.is_ollama_name(repo):
        return LayerBlob(repo, at, file)
    if kaggle_names.is_kaggle_name(repo):
        return KaggleBlob(kaggle_names.read(repo), at, file.path)
    return hub.Blob(repo, at, file.path)


def _kept(repo: str, revision: str, path: str) -> Path | None:
    if not (kaggle_names.is_kaggle_name(repo) and revision.isdecimal()):
        return None
    return kaggle_names.file_here(kaggle_names.read(repo), int(revision), path)


def _compare(
    options: PullOptions, file: RemoteFile, sha256: str, where: str, on_event: OnEvent
) -> None:
    """Hold what a hub or a folder states against the pin, which is what a pin is for."""
    if "" in (file.sha256, sha256) or sha256 == file.sha256:
        return
    differs = f"{file.path} is not the pinned file: {where} states sha256 {sha256}"
    if not options.allow_changed:
        raise HubError(
            f"{differs}, pinned is {file.sha256}. Nothing was fetched.",
            "It was changed, or whoever sends it is not to be trusted. To use it nevertheless, add "
            "--allow-changed.",
        )
    on_event(PullNote(f"{differs}, which is used and recorded; pinned is {file.sha256}."))


def _offline(file: RemoteFile, asked: bool) -> HubError:
    word = "--offline was given" if asked else "HF_HUB_OFFLINE is set"
    return HubError(
        f"{file.path} is not on this machine, and {word}.",
        "On a machine with a network: gemma-mtp pull MODEL --to FOLDER; then here --from FOLDER.",
    )
