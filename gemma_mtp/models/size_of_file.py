"""Which size of Gemma 4 a file is, and the catalogue's drafters for it. Pure; reads no file.

A fine-tune has the shape of what it was tuned from, so that the official drafter of that size fits.
How often its guesses are accepted there, only use can show.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gemma_mtp.models import gguf_names
from gemma_mtp.models.catalogue import Catalogue, Entry
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


def drafter_of_size(
    metadata: Mapping[str, Any], qat: bool, catalogue: Catalogue
) -> tuple[Entry, str] | None:
    """The pair of the catalogue whose drafter fits such a target, preferably one that was trained
    alike, and why it is taken; None where no size is like it."""
    alike = same_size(metadata, catalogue)
    if not alike:
        return None
    entry = next((entry for entry in alike if entry.qat == qat), alike[0])
    why = f"the drafter of {entry.name}, which has the same shape"
    if entry.qat != qat:
        made = "for QAT weights" if entry.qat else "for other weights than QAT's"
        why += f"; it was made {made}, so fewer of its guesses may be accepted"
    return entry, why
