"""Which of several drafters belongs to a target: one rule for files here and for those of a hub.

Training comes first, since a drafter that was trained on other weights fits as well and guesses
worse; then the name, without role and quantization; then how near it lies; then how quick it is.
`drafter_search` and `choose_pair` ask. Pure: knows names, and what it is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gemma_mtp.models import gguf_names


@dataclass(frozen=True)
class Candidate:
    """A drafter by its `path`. `qat`: it was made for QAT weights. `distance`: 0 for the place
    where one is looked for first. `cost`: the lower, the quicker."""

    path: str
    qat: bool
    distance: int
    cost: int


def best(
    target: str, qat: bool, candidates: Sequence[Candidate]
) -> tuple[Candidate | None, list[Candidate]]:
    """The one for the target at this path, trained so; or None and those of several models between
    which only the user can decide, nearest first, if there are any."""
    name = gguf_names.model(target)
    left = [c for c in candidates if c.qat == qat] or list(candidates)
    left = [c for c in left if gguf_names.model(c.path) == name] or left
    nearest = min((c.distance for c in left), default=0)
    left = sorted((c for c in left if c.distance == nearest), key=lambda c: (c.cost, c.path))
    if len({gguf_names.model(c.path) for c in left}) > 1:
        return None, left
    return (left[0], []) if left else (None, [])
