"""Which drafter to try next where the first one cannot be had or does not fit.

`request` hands this to `pull.pair`, which asks while its folder is held. After the catalogue's
drafters of the target's size come repositories that are known for one (`[[drafter]]` of
models.toml). Asks the hub for listings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from gemma_mtp.errors import BadPair, GemmaMtpError, HubError
from gemma_mtp.models import gguf_names, size_of_file
from gemma_mtp.models.catalogue import Catalogue, DrafterRepo, RemoteFile
from gemma_mtp.models.pull import choose_pair, hub, retry
from gemma_mtp.models.pull.events import OnEvent
from gemma_mtp.models.pull.official_drafter import drafter_file

Others = Callable[[Mapping[str, Any], tuple[str, ...], OnEvent], Iterator[tuple[RemoteFile, str]]]
"""What to try for a target with this metadata and these names, and why each may be taken."""


class Unusable(Exception):
    """Only one file of a pair cannot be had or used, as `error` says."""

    def __init__(self, error: GemmaMtpError) -> None:
        super().__init__(str(error))
        self.error = error


class UnusableDrafter(Unusable):
    """The drafter; another one may do."""


class UnusableEncoder(Unusable):
    """The image encoder; a pair can do without."""


def others_in(catalogue: Catalogue) -> Others:
    """The drafters that this catalogue knows of."""
    return partial(_others, catalogue)


def _others(
    catalogue: Catalogue, metadata: Mapping[str, Any], names: tuple[str, ...], on_event: OnEvent
) -> Iterator[tuple[RemoteFile, str]]:
    """Those that were trained alike first, in the catalogue and elsewhere."""
    qat = size_of_file.says_qat(metadata, *names)
    for kind in (qat, not qat):
        for entry, why in size_of_file.drafters_of_size(metadata, qat, catalogue):
            if entry.qat == kind:
                yield drafter_file(entry), why
        for known, why in size_of_file.known_repositories(metadata, qat, catalogue):
            if known.qat == kind and (file := _published(known, on_event)):
                yield file, why


def _published(known: DrafterRepo, on_event: OnEvent) -> RemoteFile | None:
    """The drafter that a repository holds now; None where it has none any more."""
    where = f"{hub.endpoint()}/{known.repo}"
    try:
        listing = retry.ask(
            where, lambda: hub.list_files(known.repo, None), hub.longest_answer(), on_event
        )
        found = choose_pair.drafter_in(known.repo, listing, known.qat)
    except (HubError, BadPair):
        return None
    if found is None:
        return None
    quantization = gguf_names.quantization(found.path)
    return RemoteFile(
        found.path, quantization, found.sha256, found.bytes, (), known.repo, found.commit
    )
