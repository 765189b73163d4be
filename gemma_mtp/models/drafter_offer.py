"""The drafters that could be fetched for a target that has none of its own.

Where nothing says whether the target is QAT, that is one of each kind: the better one is kept.

`find_pair` offers it, and `pull.request` fetches it into a folder of its own among the models; the
folder of the target stays as it is. `drafter_search` finds it there from then on. Knows no network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from gemma_mtp import paths
from gemma_mtp.api import PairFiles
from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.files import json_file
from gemma_mtp.files.checksum import state_of
from gemma_mtp.models import gguf, size_of_file
from gemma_mtp.models.catalogue import Catalogue, Entry
from gemma_mtp.models.drafter_search import ALONE, SEVERAL, UNCONVERTED, is_known, is_qat


@dataclass(frozen=True)
class Offer:
    """A drafter alone: `entry` says where it comes from, `whose` is the pair it belongs to, and
    `why` it is offered, as the rest of a sentence. `second` is one of the other kind, where that
    may be the right one as well."""

    entry: Entry
    whose: str
    why: str
    second: Offer | None = None

    @property
    def bytes(self) -> int:
        """What would be fetched, as far as that is known."""
        return (self.entry.drafter.total or 0) + (self.second.bytes if self.second else 0)


def offer(files: PairFiles, catalogue: Catalogue) -> Offer | None:
    """What could be fetched for this target; None where it has a drafter, if only one that cannot
    be converted now, where the user has to choose one, and where its shape is that of no size."""
    if files.drafter is not None or files.no_drafter.startswith((SEVERAL, UNCONVERTED)):
        return None
    header = _header(files.target)
    if header is None:
        return None
    qat = is_qat(header, catalogue)
    found = size_of_file.drafter_of_size(header.metadata, qat, catalogue)
    if found is None:
        return None
    second = _second(found[0], files, header, catalogue)
    return replace(_alone(*found), second=second)


def second_offer(files: PairFiles, catalogue: Catalogue) -> Offer | None:
    """A drafter of the other kind than the one that this target has from another model; None where
    one is here, and where something says of which kind the target is."""
    if files.drafter is None or not files.drafter_of or files.rival is not None:
        return None
    header = _header(files.target)
    first = next((e for e in catalogue.entries if e.name == files.drafter_of), None)
    if header is None or first is None:
        return None
    return _second(first, files, header, catalogue)


def _header(path: Path) -> gguf.Header | None:
    try:
        return gguf.read_header(path)
    except GemmaMtpError:  # whoever loads it says so
        return None


def _second(
    first: Entry, files: PairFiles, target: gguf.Header, catalogue: Catalogue
) -> Offer | None:
    """The drafter of the other kind than that of `first`, unless it is known of which the target
    is."""
    silent = not size_of_file.says_qat(target.metadata, files.name, target.path.name)
    if not silent or is_known(target, catalogue):
        return None
    found = size_of_file.drafter_of_size(target.metadata, not first.qat, catalogue)
    if found is None or found[0].qat == first.qat:
        return None
    same = found[0].drafter.sha256 == first.drafter.sha256
    return None if same else _alone(*found)


def _alone(known: Entry, why: str) -> Offer:
    name = f"{ALONE}{known.name}"
    alone = replace(known, name=name, spellings=(name,), encoder=None, drafter_alone=True)
    return Offer(alone, known.name, why)


def is_declined(target: Path) -> bool:
    """Whether the user did not want a drafter for this file, as it is now."""
    return json_file.read(_place()).get(str(target)) == state_of(target)


def decline(target: Path) -> None:
    """Do not offer one for this file again."""
    json_file.keep(_place(), {**json_file.read(_place()), str(target): state_of(target)})


def _place() -> Path:
    return paths.cache_dir() / "no-drafter.json"
