"""Drafts found in the text itself: what followed where it last read as it does here.

Copying and editing repeat long passages word for word, and finding them costs next to nothing
(prompt lookup decoding, A. Saxena, 2023). It needs no drafter. Whether such a draft is worth its
place is the controller's to say; here is only what there is. Knows only tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gemma_mtp.decoding.acceptance import Prior
from gemma_mtp.decoding.rows import Row
from gemma_mtp.decoding.transcript import Transcript

NGRAM = 3  # tokens that must agree; fewer agree by chance
MOST_PLACES = 4  # that are compared, the latest first; the one that agrees longest is taken
LONGEST_AGREEMENT = 32  # tokens before a place that are compared


class Lookup:
    """A drafter that looks things up in the transcript of one reply."""

    name = "lookup"
    free = True
    # What it finds is judged in every round, so that nothing has to be tried out and little need be
    # believed beforehand; and texts differ in how far they repeat themselves.
    prior = Prior((0.2, 0.2, 0.2, 0.3, 0.4, 0.5, 0.6), by_position=0.2, memory=0.95)

    def __init__(self) -> None:
        self._latest: dict[tuple[int, ...], int] = {}  # where an n-gram ended last
        self._earlier: list[int] = [0] * NGRAM  # by end, where the same n-gram ended before

    def propose(
        self, transcript: Transcript, hidden: Row | None, limit: int
    ) -> Iterator[tuple[int, float]]:
        """Confidence grows with the number of tokens that agree; nothing comes where no place reads
        like this."""
        ids = transcript.ids
        self._add_ngrams(ids)
        place, agreed = self._longest_agreement(ids)
        if place:
            # Where the text has begun to repeat itself, it may well go on so.
            period = len(ids) - place
            for i in range(limit):
                yield ids[place + i % period], 1 - 1 / (agreed + i)

    def judge(self, tokens: Sequence[int]) -> None:
        """The controller learns all that there is to learn."""

    def _longest_agreement(self, ids: list[int]) -> tuple[int, int]:
        """Where what may follow stands in `ids`, and how many tokens before it agree; or 0, 0."""
        end = self._latest.get(tuple(ids[-NGRAM:]), 0)
        place = agreed = 0
        for _ in range(MOST_PLACES):
            if not end:
                break
            length = NGRAM
            while (
                length < min(end, LONGEST_AGREEMENT) and ids[end - 1 - length] == ids[-1 - length]
            ):
                length += 1
            if length > agreed:
                place, agreed = end, length
            end = self._earlier[end]
        return place, agreed

    def _add_ngrams(self, ids: list[int]) -> None:
        """All that are new, but the one the text ends in."""
        for end in range(len(self._earlier), len(ids)):
            ngram = tuple(ids[end - NGRAM : end])
            self._earlier.append(self._latest.get(ngram, 0))
            self._latest[ngram] = end
