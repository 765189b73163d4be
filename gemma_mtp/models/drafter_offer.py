"""The drafter that could be fetched for a target that is a file here and has none.

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
from gemma_mtp.models.drafter_search import ALONE, SEVERAL


@dataclass(frozen=True)
class Offer:
    """A drafter alone: `entry` says where it comes from, `whose` is the pair it belongs to, and
    `why` it is offered, as the rest of a sentence."""

    entry: Entry
    whose: str
    why: str


def offer(files: PairFiles, catalogue: Catalogue) -> Offer | None:
    """What could be fetched for this target; None where it has a drafter, where the user has to
    choose one, and where its shape is that of no size."""
    if files.drafter is not None or files.no_drafter.startswith(SEVERAL):
        return None
    try:
        header = gguf.read_header(files.target)
    except GemmaMtpError:  # whoever loads it says so
        return None
    qat = size_of_file.says_qat(header.metadata, header.path.name)
    found = size_of_file.drafter_of_size(header.metadata, qat, catalogue)
    if found is None:
        return None
    known, why = found
    name = f"{ALONE}{known.name}"
    alone = replace(known, name=name, spellings=(name,), drafter_alone=True)
    return Offer(alone, known.name, why)


def is_declined(target: Path) -> bool:
    """Whether the user did not want a drafter for this file, as it is now."""
    return json_file.read(_place()).get(str(target)) == state_of(target)


def decline(target: Path) -> None:
    """Do not offer one for this file again."""
    json_file.keep(_place(), {**json_file.read(_place()), str(target): state_of(target)})


def _place() -> Path:
    return paths.cache_dir() / "no-drafter.json"
