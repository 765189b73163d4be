"""Whether a pair that was pulled has been published in other contents since.

`list --check` asks. Of a pair of the catalogue nothing is asked, since its files are pinned.
"""

from __future__ import annotations

from gemma_mtp.models import kaggle_names, ollama_names
from gemma_mtp.models.catalogue import Entry, RemoteFile
from gemma_mtp.models.pull import hub, kaggle, ollama_registry, retry
from gemma_mtp.models.pull.events import OnEvent


def changed(entry: Entry, on_event: OnEvent) -> tuple[str, ...]:
    """Which of "target", "drafter" and "encoder" the place that they came from has in other
    contents now, or no longer. Raises HubError."""
    if kaggle_names.is_kaggle_name(entry.name):
        return _of_other_version(entry, on_event)
    published = _published(entry, on_event)
    return tuple(
        role
        for role, file in _files(entry)
        if any(_is_other(part, published) for part in file.parts)
    )


def _of_other_version(entry: Entry, on_event: OnEvent) -> tuple[str, ...]:
    """All that comes from Kaggle, which states no sums, if there is a newer version."""
    about = kaggle_names.read(entry.name)
    if about.version is not None or kaggle.newest(about, on_event) <= int(entry.revision):
        return ()
    return tuple(role for role, file in _files(entry) if not file.repo)


def _files(entry: Entry) -> list[tuple[str, RemoteFile]]:
    named = (("target", entry.target), ("drafter", entry.drafter), ("encoder", entry.encoder))
    return [(role, file) for role, file in named if file is not None]


def _published(entry: Entry, on_event: OnEvent) -> dict[str, str]:
    """The sha256 of each file, under its name; a layer's name is its sha256."""
    if ollama_names.is_ollama_name(entry.name):
        layers = ollama_registry.ask(ollama_names.read(entry.name), on_event).layers
        return {layer.sha256: layer.sha256 for layer in layers}
    where = f"{hub.endpoint()}/{entry.repo}"
    listing = retry.ask(
        where, lambda: hub.list_files(entry.repo, None), hub.longest_answer(), on_event
    )
    return {file.path: file.sha256 for file in listing}


def _is_other(part: RemoteFile, published: dict[str, str]) -> bool:
    if part.repo:  # the catalogue's, and pinned
        return False
    if part.sha256 in published:
        return False
    return published.get(part.path, "gone") not in ("", part.sha256)
