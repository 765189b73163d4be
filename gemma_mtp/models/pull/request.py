"""From what a person asks for to pairs on disk: a name of the catalogue, `hf:OWNER/REPO`, or a
folder that was carried from another machine.

The command `pull`, and whoever offers to pull, call it. Knows where each kind of name is looked up
and where its files belong; leaves the work to `pull.pair`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from gemma_mtp import paths
from gemma_mtp.api import PairFiles
from gemma_mtp.errors import (
    BadPair,
    Cancelled,
    GemmaMtpError,
    HubError,
    ModelNotAvailable,
    UsageError,
)
from gemma_mtp.models import drafter_offer, hub_names, kaggle_names, local_names, ollama_names
from gemma_mtp.models.catalogue import Catalogue, Entry
from gemma_mtp.models.pair_record import PairRecord, pair_files, read_record, ready_files
from gemma_mtp.models.pull import hub, kaggle, ollama_registry
from gemma_mtp.models.pull.choose_pair import look_up, with_encoder
from gemma_mtp.models.pull.events import OnEvent, PullNote, PullReady
from gemma_mtp.models.pull.hub_errors import TransientError
from gemma_mtp.models.pull.official_drafter import OWN_DRAFTER
from gemma_mtp.models.pull.options import PullOptions
from gemma_mtp.models.pull.other_drafters import others_in
from gemma_mtp.models.pull.pair import pull
from gemma_mtp.models.store import Store, looks_like_path
from gemma_mtp.models.typed_names import nearest_of_ours, refuse_other_family


@dataclass(frozen=True)
class PullRequest(PullOptions):
    """`to`: make a folder to carry away; `source`: take from such a folder; `update`: what was
    pulled from a repository or a registry is taken as it is published now; not `images`: the image
    encoder is left out."""

    to: Path | None = None
    source: Path | None = None
    update: bool = False
    images: bool = True


def fulfil(name: str | None, request: PullRequest, store: Store, on_event: OnEvent) -> str:
    """Pull what is asked for, with a PullReady for each pair; returns the name of the last.

    `name` None: whatever the carried folder holds. Raises what `pull` does, and ModelNotAvailable
    or UsageError for a name that means nothing.
    """
    if request.update and (request.offline or request.source):
        other = "--offline" if request.offline else "--from"
        raise UsageError(f"--update asks for what is published now, which {other} does not allow.",
                         "Leave one of the two out.")  # fmt: skip
    if request.source is not None:
        for entry, record, folder in _carried(name, request.source, store):
            name = _ready(
                entry, _take_from_folder(entry, record, folder, request, store, on_event), on_event
            )
        return name or ""
    assert name is not None
    meant = store.meant(name)
    if meant.note:
        on_event(PullNote(meant.note))
    if looks_like_path(meant.name) and paths.expanded(meant.name).is_file():
        return _drafter_for(meant.name, request, store, on_event)
    entry = _find(meant.name, request, store, on_event)
    if not request.images:
        entry = replace(entry, encoder=None, asked_encoder=False)
    if hub_names.names_source(entry.name):  # the catalogue's are pinned, both
        request = replace(request, others=others_in(store.catalogue))
    if entry.builtin:
        if request.to is not None:
            raise UsageError(f"{entry.name} is part of gemma-mtp and need not be carried.")
        return _ready(entry, store.resolve(entry.name), on_event)
    if request.to is not None:
        return _ready(entry, _fill_folder(entry, request, request.to, store, on_event), on_event)
    files = pull(entry, store.folder(entry), on_event, request)
    if hub_names.names_source(entry.name):
        _fetch_second(entry.name, request, store, on_event)
    return _ready(entry, files, on_event)


def _ready(entry: Entry, files: PairFiles, on_event: OnEvent) -> str:
    encoder = str(files.encoder or "")
    on_event(PullReady(entry.name, str(files.target), str(files.drafter), entry.builtin, encoder))
    return entry.name


def _find(name: str, request: PullRequest, store: Store, on_event: OnEvent) -> Entry:
    """The entry of the catalogue, a pair pulled before, or what the hub lists."""
    if not hub_names.names_source(name):
        if looks_like_path(name):
            raise _is_file(name)
        entry = store.require(name)
        if request.update:
            on_event(PullNote(f"{entry.name} is pinned; a newer gemma-mtp may bring newer files."))
        return entry
    if local_names.is_local(name):
        bare = name.removeprefix(local_names.PREFIX)
        raise UsageError(f"{name} is made on this machine and not pulled.",
                         f"gemma-mtp convert FOLDER_OR_REPO --name {bare}")  # fmt: skip
    here = hub_names.find_pulled(name, paths.models_dir())
    if here is not None and not request.update and request.revision in (None, here.revision):
        return _with_encoder(here, request, on_event)
    refuse_other_family(name, store.catalogue)
    try:
        return _looked_up(name, request, store.catalogue, on_event)
    except BadPair as error:
        near = nearest_of_ours(name, store.catalogue)
        helps = ("gemma-mtp pull", "gemma-mtp convert FOLDER")
        if near and not any(command in error.hint for command in helps):
            error.hint = f"The same model with its drafter: gemma-mtp pull {near.name}"
        raise


def _with_encoder(here: Entry, request: PullRequest, on_event: OnEvent) -> Entry:
    """A pair that was pulled without an image encoder, with the one that was published with it; as
    it is where that cannot be asked."""
    asks = request.images and not request.offline and request.source is None
    if here.encoder is not None or here.asked_encoder or not asks or hub.is_offline():
        return here
    try:
        if ollama_names.is_ollama_name(here.name):
            manifest = ollama_registry.ask(ollama_names.read(here.name), on_event)
            same = manifest.digest == here.revision
            return ollama_registry.with_encoder(here, manifest, on_event) if same else here
        if kaggle_names.is_kaggle_name(here.name):
            return here
        files = hub.list_files(here.repo, here.revision)
        return with_encoder(here, files, on_event)
    except (GemmaMtpError, TransientError):
        return here


def _looked_up(name: str, request: PullRequest, catalogue: Catalogue, on_event: OnEvent) -> Entry:
    """What the place of a name has, or another program has of it on this machine."""
    anew = request.update
    if kaggle_names.is_kaggle_name(name):
        if request.revision is not None:
            name = kaggle_names.at_version(name, request.revision)
        return kaggle.look_up(name, catalogue, on_event, anew, request.offline)
    if ollama_names.is_ollama_name(name):
        if request.revision is not None:
            raise UsageError("A model of Ollama's registry has no revisions; its tag is one.")
        return ollama_registry.look_up(name, catalogue, on_event, anew, request.offline)
    if request.offline:
        raise HubError(f"{name} is not on this machine, and --offline was given.")
    return look_up(name, request.revision, catalogue, on_event)


def _drafter_for(path: str, request: PullRequest, store: Store, on_event: OnEvent) -> str:
    """Fetch the drafter alone for a target that is a file here; returns the target's name."""
    if request.to is not None or request.revision is not None:
        raise UsageError(
            f"{path} is a file: only its drafter is pulled, without --to or --revision."
        )
    files = store.resolve(path)
    if files.drafter is not None:
        on_event(PullNote(f"There is a drafter for it already: {files.drafter}."))
    else:
        offer = drafter_offer.offer(files, store.catalogue)
        if offer is None:
            raise BadPair(f"No drafter is known for {path}: {files.no_drafter}.", OWN_DRAFTER)
        on_event(PullNote(f"{offer.entry.drafter.path}: {offer.why}."))
        options = replace(request, fits=files.target, others=others_in(store.catalogue))
        pull(offer.entry, store.folder(offer.entry), on_event, options)
    _fetch_second(path, request, store, on_event)
    files = store.resolve(path)
    on_event(PullReady(files.name, str(files.target), str(files.drafter)))
    return files.name


def _fetch_second(name: str, request: PullRequest, store: Store, on_event: OnEvent) -> None:
    """Where the drafter of a target is that of another model, and nothing says whether the target
    is QAT, a drafter of the other kind, too. What cannot be fetched of that is no failure."""
    files = store.resolve(name)
    second = None if request.offline else drafter_offer.second_offer(files, store.catalogue)
    if second is None:
        return
    file = second.entry.drafter.path
    on_event(PullNote(f"{file}: nothing says whether {files.target.name} is QAT, so the drafter of "
                      f"{second.whose} comes along; the better of the two is kept."))  # fmt: skip
    try:
        options = replace(request, revision=None, fits=files.target, others=None)
        pull(second.entry, store.folder(second.entry), on_event, options)
    except Cancelled:
        raise
    except GemmaMtpError as error:
        on_event(PullNote(f"It cannot be fetched: {error}"))


def _is_file(name: str) -> UsageError:
    """The error about the name of a file that is not there."""
    return UsageError(
        f"{name} would be a file, and there is none; a pull takes the name of a model.",
        "What there is: gemma-mtp list --all",
    )


def _fill_folder(
    entry: Entry, request: PullRequest, to: Path, store: Store, on_event: OnEvent
) -> PairFiles:
    """Fill a folder to be carried: from the pair that is here, else from the hub."""
    own, options = store.folder(entry), replace(request, symlinks=False)
    record = read_record(own)
    whole = record is not None and record.is_whole(entry)
    if whole and ready_files(entry, own) is not None and request.revision is None:
        # Its files were checked, or allowed to differ, when the pair was pulled.
        options = replace(options, reuse=(*request.reuse, own), stated=record, allow_changed=True)
    return pull(entry, paths.expanded(to).absolute() / own.name, on_event, options)


def _take_from_folder(
    entry: Entry, record: PairRecord, folder: Path, request: PullRequest, store: Store,
    on_event: OnEvent,
) -> PairFiles:  # fmt: skip
    """Bring one carried pair into the store."""
    asked = {(file.path, file.sha256) for file in pair_files(entry)}
    other = {(file.path, file.asked) for file in record.files} != asked
    if other and request.revision != record.revision:
        raise ModelNotAvailable(
            f"{folder} holds {entry.name} at revision {record.revision[:12]}; this gemma-mtp "
            f"expects {entry.revision[:12]}.",
            f"To use it nevertheless, add --revision {record.revision}.",
        )
    options = replace(
        request, revision=record.revision, offline=True, reuse=(folder,), symlinks=False,
        stated=record,
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
        record = read_record(folder)
        if record is None:
            continue
        entry = hub_names.entry_of(record) or store.catalogue.find(record.name)
        if entry is not None and _is_named(entry, name, store):
            found = True
            carries_encoder = entry.encoder is not None and record.names(entry.encoder)
            yield entry if carries_encoder else replace(entry, encoder=None), record, folder
    if not found:
        raise ModelNotAvailable(
            f"{source} does not hold {name or 'a pair'} that was pulled with --to.",
            f"On a machine with a network: gemma-mtp pull {name or 'MODEL'} --to FOLDER",
        )


def _is_named(entry: Entry, name: str | None, store: Store) -> bool:
    if name is None:
        return True
    name = store.meant(name).name
    if hub_names.names_source(name):
        return name.lower() in entry.spellings
    return store.require(name).name == entry.name
