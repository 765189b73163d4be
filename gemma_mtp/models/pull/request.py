"""From what a person asks for to pairs on disk: a name of the catalogue, `hf:OWNER/REPO`, or a
folder that was carried from another machine.

Knows where each kind of name is looked up and where its files belong; leaves the work to
`download`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gemma_mtp import paths
from gemma_mtp.api import PairFiles
from gemma_mtp.errors import HubError, ModelNotAvailable, UsageError
from gemma_mtp.models import hub_names
from gemma_mtp.models.catalogue import Entry
from gemma_mtp.models.pair_record import PairRecord, pair_files, read_record
from gemma_mtp.models.pull.choose_pair import look_up
from gemma_mtp.models.pull.events import OnEvent, PullReady
from gemma_mtp.models.pull.pair import PullOptions, pull, ready_files
from gemma_mtp.models.store import Store


@dataclass(frozen=True)
class PullRequest:
    """`to`: make a folder to carry away; `source`: take from such a folder; both have the hashes.

    `reuse`: files or folders that may hold what is asked for. `allow_changed`: a sha256 other than
    the pinned one will do.
    """

    revision: str | None = None
    offline: bool = False
    reuse: tuple[Path, ...] = ()
    to: Path | None = None
    source: Path | None = None
    allow_changed: bool = False


def fulfil(name: str | None, request: PullRequest, store: Store, on_event: OnEvent) -> str:
    """Pull what is asked for, with a PullReady for each pair; returns the name of the last."""
    if request.source is not None:
        for entry, marker, folder in _carried(name, request.source, store):
            name = _ready(entry, _take(entry, marker, folder, request, store, on_event), on_event)
        return name or ""
    assert name is not None
    entry = _find(name, request, store, on_event)
    if entry.builtin:
        if request.to is not None:
            raise UsageError(f"{entry.name} is part of gemma-mtp and need not be carried.")
        files = store.resolve(entry.name)
        on_event(PullReady(entry.name, str(files.target), str(files.drafter), builtin=True))
        return entry.name
    if request.to is not None:
        return _ready(entry, _give(entry, request, store, on_event), on_event)
    options = PullOptions(
        request.revision, request.offline, request.reuse, allow_changed=request.allow_changed
    )
    return _ready(entry, pull(entry, store.folder(entry), on_event, options), on_event)


def _ready(entry: Entry, files: PairFiles, on_event: OnEvent) -> str:
    on_event(PullReady(entry.name, str(files.target), str(files.drafter)))
    return entry.name


def _find(name: str, request: PullRequest, store: Store, on_event: OnEvent) -> Entry:
    """The entry of the catalogue, a pair pulled before, or what the hub lists."""
    if not hub_names.is_hub_name(name):
        return store.known(name)
    here = hub_names.find_pulled(name, paths.models_dir())
    if here is not None and request.revision in (None, here.revision):
        return here
    if request.offline:
        raise HubError(f"{name} is not on this machine, and --offline was given.")
    return look_up(name, request.revision, on_event)


def _give(entry: Entry, request: PullRequest, store: Store, on_event: OnEvent) -> PairFiles:
    """Fill a folder to be carried: from the pair that is here, else from the hub."""
    assert request.to is not None
    own = store.folder(entry)
    here = ready_files(entry, own) is not None and request.revision is None
    options = PullOptions(
        request.revision,
        request.offline,
        (*request.reuse, own) if here else request.reuse,
        symlinks=False,
        stated=read_record(own) if here else None,
        allow_changed=request.allow_changed or here,  # it was allowed when it was pulled
    )
    return pull(entry, paths.expanded(request.to).absolute() / own.name, on_event, options)


def _take(
    entry: Entry, marker: PairRecord, folder: Path, request: PullRequest, store: Store,
    on_event: OnEvent,
) -> PairFiles:  # fmt: skip
    """Bring one carried pair into the store."""
    asked = {(file.path, file.sha256) for file in pair_files(entry)}
    if {(held.path, held.asked) for held in marker.files} != asked and (
        request.revision != marker.revision
    ):
        raise ModelNotAvailable(
            f"{folder} holds {entry.name} at revision {marker.revision[:12]}; this gemma-mtp "
            f"expects {entry.revision[:12]}.",
            f"To use it nevertheless, add --revision {marker.revision}.",
        )
    options = PullOptions(
        marker.revision, True, (folder,), symlinks=False, stated=marker,
        allow_changed=request.allow_changed,
    )  # fmt: skip
    return pull(entry, store.folder(entry), on_event, options)


def _carried(
    name: str | None, source: Path, store: Store
) -> Iterator[tuple[Entry, PairRecord, Path]]:
    """The pairs in a carried folder, or the one that was named."""
    source = paths.expanded(source).absolute()
    below = sorted(source.iterdir()) if source.is_dir() else []
    found = False
    for folder in (source, *below):
        marker = read_record(folder)
        entry = _entry_of(marker, store) if marker is not None else None
        if marker is None or entry is None or not _is_named(entry, name, store):
            continue
        found = True
        yield entry, marker, folder
    if not found:
        raise ModelNotAvailable(
            f"{source} does not hold {name or 'a pair'} that was pulled with --to.",
            f"On a machine with a network: gemma-mtp pull {name or 'MODEL'} --to FOLDER",
        )


def _entry_of(marker: PairRecord, store: Store) -> Entry | None:
    return hub_names.entry_of(marker) or store.catalogue.find(marker.name)


def _is_named(entry: Entry, name: str | None, store: Store) -> bool:
    if name is None:
        return True
    if hub_names.is_hub_name(name):
        return name.lower() in entry.spellings
    return store.known(name).name == entry.name
