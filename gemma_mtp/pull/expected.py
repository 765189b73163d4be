"""What each file of a pair must be: its size and sha256, from the hub, a folder or the catalogue.

The hub is asked when a pull starts and its answer decides; a difference from the catalogue at the
pinned commit is said aloud. Knows nothing of what is on the disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gemma_mtp.catalogue import Entry, RemoteFile
from gemma_mtp.errors import HubError
from gemma_mtp.pull import hub
from gemma_mtp.pull.events import OnEvent, PullNote, PullWait
from gemma_mtp.pull.marker import MARKER, Held, Marker
from gemma_mtp.pull.retry import Hiccup, patiently


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
    """Which pair at which revision; `stated`: a folder's own facts, so nobody else is asked."""

    entry: Entry
    revision: str
    offline: bool = False
    stated: Marker | None = None
    unreachable: HubError | None = None  # the hub, as another file has shown


def expect(ask: Question, file: RemoteFile, on_event: OnEvent) -> Wanted:
    """The hub decides; where it may not or cannot be asked, the catalogue does."""
    pin = Wanted(file, file.bytes, file.sha256)
    if ask.stated:
        held = next((held for held in ask.stated.files if held.path == file.path), None)
        if held:
            pin = Wanted(file, held.bytes, held.sha256)
            _compare_carried(file, held, on_event)
        pin.unreachable = HubError(
            f"{file.path} is not there with the sha256 that its {MARKER} states.", "Carry it again."
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
        facts = patiently(
            f"{blob.where} cannot be asked",
            blob.facts,
            lambda reason, seconds: on_event(PullWait(reason, seconds)),
        )
    except HubError as error:
        if not isinstance(error.__cause__, Hiccup):
            raise
        pin.unreachable = error  # the file may be on this machine nevertheless
        return pin
    if ask.revision == ask.entry.revision:
        _compare(file, facts, on_event)
    size = file.bytes if facts.bytes is None else facts.bytes
    return Wanted(file, size, facts.sha256 or file.sha256, blob, commit=facts.commit)


def _compare(file: RemoteFile, facts: hub.HubFile, on_event: OnEvent) -> None:
    """Say how the hub differs from the catalogue at the commit that the catalogue names."""
    where = f"{file.path} at {facts.commit[:12]}"
    if file.sha256 and facts.sha256 and facts.sha256 != file.sha256:
        on_event(
            PullNote(
                f"{where} has sha256 {facts.sha256} on the hub and {file.sha256} in the "
                f"catalogue; the hub's is used and recorded."
            )
        )
    elif None not in (facts.bytes, file.bytes) and facts.bytes != file.bytes:
        on_event(
            PullNote(f"{where} has {facts.bytes} bytes on the hub, {file.bytes} in the catalogue.")
        )


def _compare_carried(file: RemoteFile, held: Held, on_event: OnEvent) -> None:
    if file.sha256 not in ("", held.sha256):
        on_event(
            PullNote(
                f"{file.path} has sha256 {held.sha256}, as it was pulled, and {file.sha256} in the "
                f"catalogue; the former is used and recorded."
            )
        )


def _offline(file: RemoteFile, asked: bool) -> HubError:
    word = "--offline was given" if asked else "HF_HUB_OFFLINE is set"
    return HubError(
        f"{file.path} is not on this machine, and {word}.",
        "On a machine with a network: gemma-mtp pull MODEL --to FOLDER; then here --from FOLDER.",
    )
