"""What each file of a pair must be: its size and sha256, from the hub, a folder or the catalogue.

The hub is asked when a pull starts. A sha256 that differs from the one in the catalogue stops the
pull, unless the user allowed that: then the hub's, or the folder's, counts and is recorded. Knows
nothing of what is on the disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gemma_mtp.errors import HubError
from gemma_mtp.models.catalogue import Entry, RemoteFile
from gemma_mtp.models.pair_record import RECORD, PairRecord
from gemma_mtp.models.pull import hub, retry
from gemma_mtp.models.pull.events import OnEvent, PullNote
from gemma_mtp.models.pull.hub_errors import TransientError


@dataclass
class Wanted:
    """One file of the pair on its way: what it must be, and where it is once verified.

    `blob` None: it cannot be downloaded, for the reason in `unreachable`.
    """

    file: RemoteFile
    bytes: int | None
    sha256: str
    blob: hub.Blob | None = None
    unreachable: HubError | None = None
    commit: str = ""
    staged: Path | None = None
    origin: str = "hub"


@dataclass(frozen=True)
class Question:
    """Which pair at which revision; `stated`: a folder's own facts, so nobody else is asked.

    `allow_changed`: a sha256 other than the pinned one will do.
    """

    entry: Entry
    revision: str
    offline: bool = False
    stated: PairRecord | None = None
    unreachable: HubError | None = None  # the hub, as another file has shown
    allow_changed: bool = False


def expect(ask: Question, file: RemoteFile, on_event: OnEvent) -> Wanted:
    """What a folder states, else what the hub does, else what the catalogue does.

    Raises HubError when that is not the pinned sha256, or when the hub refuses.
    """
    pin = Wanted(file, file.bytes, file.sha256)
    if ask.stated:
        held = next((held for held in ask.stated.files if held.path == file.path), None)
        if held:
            pin = Wanted(file, held.bytes, held.sha256)
            _compare(ask, file, held.sha256, f"its {RECORD}", on_event)
        pin.unreachable = HubError(
            f"{file.path} is not there with the sha256 that its {RECORD} states.", "Carry it again."
        )
        return pin
    if ask.offline or hub.is_offline():
        pin.unreachable = _offline(file, ask.offline)
        return pin
    if ask.unreachable:
        pin.unreachable = ask.unreachable
        return pin
    blob = hub.Blob(ask.entry.repo, ask.revision, file.path)
    try:
        facts = retry.ask(blob.where, blob.facts, hub.longest_answer(), on_event)
    except HubError as error:
        if not isinstance(error.__cause__, TransientError):
            raise
        pin.unreachable = error  # the file may be on this machine nevertheless
        return pin
    if ask.revision == ask.entry.revision:
        where = f"{blob.where} at revision {facts.commit[:12]}"
        _compare(ask, file, facts.sha256, where, on_event)
        if None not in (facts.bytes, file.bytes) and facts.bytes != file.bytes:
            sizes = f"{facts.bytes} bytes, in the catalogue {file.bytes}"
            on_event(PullNote(f"{file.path} has on {where} {sizes}."))
    size = file.bytes if facts.bytes is None else facts.bytes
    return Wanted(file, size, facts.sha256 or file.sha256, blob, commit=facts.commit)


def _compare(ask: Question, file: RemoteFile, sha256: str, where: str, on_event: OnEvent) -> None:
    """Hold what a hub or a folder states against the pin, which is what a pin is for."""
    if "" in (file.sha256, sha256) or sha256 == file.sha256:
        return
    differs = f"{file.path} is not the pinned file: {where} states sha256 {sha256}"
    if not ask.allow_changed:
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
