"""Which size of Gemma 4 a file is, and the catalogue's drafters for it. Pure; reads no file.

A fine-tune has the shape of what it was tuned from, so that the official drafter of that size fits.
How often its guesses are accepted there, only use can show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gemma_mtp.models import gguf_names
from gemma_mtp.models.catalogue import Catalogue, DrafterRepo, Entry
from gemma_mtp.models.pair_check import TARGET_ARCH

_KEYS = {"layers": "block_count", "width": "embedding_length", "experts": "expert_count"}
"""What tells the sizes apart: attributes of a `Shape`, and keys of a header."""


def same_size(metadata: Mapping[str, Any], catalogue: Catalogue) -> list[Entry]:
    """The pairs of the catalogue whose target has the shape that this header states."""
    if metadata.get("general.architecture") != TARGET_ARCH:
        return []
    stated = {name: metadata.get(f"{TARGET_ARCH}.{key}", 0) for name, key in _KEYS.items()}
    return [
        entry
        for entry in catalogue.entries
        if entry.shape is not None and not entry.builtin
        and all(getattr(entry.shape, name) == value for name, value in stated.items())
    ]  # fmt: skip


def says_qat(metadata: Mapping[str, Any], *names: str) -> bool:
    """Whether a model was trained for its quantization, going by its names and what its header
    says of its origin."""
    words = (str(value) for key, value in metadata.items() if key.startswith("general."))
    return any(map(gguf_names.says_qat, (*names, *words)))


def drafters_of_size(
    metadata: Mapping[str, Any], qat: bool, catalogue: Catalogue
) -> Iterator[tuple[Entry, str]]:
    """The pairs of the catalogue whose drafters fit such a target, those that were trained alike
    first, and why each may be taken. Of pairs with the same drafter, the first."""
    seen: set[tuple[str, str]] = set()
    for entry in sorted(same_size(metadata, catalogue), key=lambda entry: entry.qat != qat):
        place = entry.repo, entry.drafter.path
        if place not in seen:
            seen.add(place)
            why = f"the drafter of {entry.name}, which has the same shape"
            yield entry, why + _other_training(entry.qat, qat)


def drafter_of_size(
    metadata: Mapping[str, Any], qat: bool, catalogue: Catalogue
) -> tuple[Entry, str] | None:
    """The first of these; None where no size is like it."""
    return next(drafters_of_size(metadata, qat, catalogue), None)


def known_repositories(
    metadata: Mapping[str, Any], qat: bool, catalogue: Catalogue
) -> Iterator[tuple[DrafterRepo, str]]:
    """Where else a drafter of this size is published, for targets trained alike first, and why it
    may be taken."""
    sizes = {entry.size for entry in same_size(metadata, catalogue)}
    known = [each for each in catalogue.drafters if each.model in sizes]
    for each in sorted(known, key=lambda each: each.qat != qat):
        yield each, f"a drafter for {each.model}, from {each.repo}" + _other_training(each.qat, qat)


def _other_training(drafter_is_qat: bool, qat: bool) -> str:
    if drafter_is_qat == qat:
        return ""
    made = "for QAT weights" if drafter_is_qat else "for other weights than QAT's"
    return f"; it was made {made}, so fewer of its guesses may be accepted"
