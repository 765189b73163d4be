"""Drafts found in the text itself: what followed where it last read as it does here.

Copying and editing repeat long passages word for word, and finding them costs next to nothing
(prompt lookup decoding, A. Saxena, 2023). Whether such a draft is worth its place is the
controller's to say; here is only what there is. Knows only tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

NGRAM = 3  # tokens that must agree; fewer agree by chance
PLACES = 4  # looked at, the latest first; the one that agrees longest is taken
FURTHEST = 32  # tokens that agreement is followed back


class Lookup:
    """Looks things up in a growing list of tokens, which it reads and never changes."""

    def __init__(self, history: list[int]) -> None:
        self._history = history
        self._latest: dict[tuple[int, ...], int] = {}  # where an n-gram ended last
        self._earlier: list[int] = [0] * NGRAM  # by end, where the same n-gram ended before

    def find(self, limit: int) -> tuple[list[int], list[float]]:
        """Up to `limit` tokens that may come next, and a figure from 0 to 1 for each that grows
        with the number of tokens that agree before it; nothing where no place reads like this."""
        self._index()
        history = self._history
        end = self._latest.get(tuple(history[-NGRAM:]), 0)
        place, agreed = 0, 0
        for _ in range(PLACES):
            if not end:
                break
            length = self._agreement(end)
            if length > agreed:
                place, agreed = end, length
            end = self._earlier[end]
        if not place:
            return [], []
        # Where the text has begun to repeat itself, it may well go on so.
        period = len(history) - place
        found = [history[place + i % period] for i in range(limit)]
        return found, [1 - 1 / (agreed + i) for i in range(limit)]

    def _index(self) -> None:
        """All n-grams but the one the text ends in."""
        history = self._history
        for end in range(len(self._earlier), len(history)):
            ngram = tuple(history[end - NGRAM : end])
            self._earlier.append(self._latest.get(ngram, 0))
            self._latest[ngram] = end

    def _agreement(self, end: int) -> int:
        """How many tokens before `end` are those at the end of the text."""
        history, length = self._history, NGRAM
        while length < min(end, FURTHEST) and history[end - 1 - length] == history[-1 - length]:
            length += 1
        return length


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the longest common prefix."""
    n = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        n += 1
    return n
