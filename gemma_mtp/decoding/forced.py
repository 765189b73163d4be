"""Drafts that a grammar forces: the text that has to come, split as it usually is.

A model may split the same text into other tokens, so these are drafts like others, and verified.
They cost no drafting. Listed by `engine.drafting` where a reply has a constraint.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gemma_mtp.decoding.acceptance import Prior
from gemma_mtp.decoding.constraint import Constraint
from gemma_mtp.decoding.rows import Row
from gemma_mtp.decoding.transcript import Transcript

CONFIDENCE = 0.97  # that the target splits a forced text in the usual way


class Forced:
    """A drafter that asks the grammar."""

    name = "forced"
    free = True
    prior = Prior((CONFIDENCE,), by_position=CONFIDENCE, memory=0.97, bounds=())

    def __init__(self, constraint: Constraint) -> None:
        self._constraint = constraint

    def propose(
        self, transcript: Transcript, hidden: Row | None, limit: int
    ) -> Iterator[tuple[int, float]]:
        for token in self._constraint.forced(transcript.ids)[:limit]:
            yield token, CONFIDENCE

    def judge(self, tokens: Sequence[int]) -> None:
        """The controller learns all that there is to learn."""
