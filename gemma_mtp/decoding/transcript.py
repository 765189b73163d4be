"""What has been committed, and how much of it the cache holds: the one record of the sequence.

A prompt is a list of segments. Tokens are one kind; another, such as a picture, takes positions in
the context and has no token ids. So a position is no index into a list of ids, and only the
transcript translates one into the other. The prompt cache fills it, a round appends what the target
chose, and whoever needs the history, the cached tokens or the ids of a reply looks at it here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple, Protocol

Position = int
"""A place in the context, from 0 on."""


class Segment(Protocol):
    """A stretch of a prompt. Two are the same input if they are equal."""

    @property
    def positions(self) -> int:
        """How many places of the context it takes."""
        ...


@dataclass(frozen=True)
class Tokens:
    """Token ids, one position each."""

    ids: tuple[int, ...]

    @property
    def positions(self) -> int:
        return len(self.ids)


class _Placed(NamedTuple):
    """A segment without tokens, at `start`; `before` token ids stand in front of it."""

    start: Position
    before: int
    segment: Segment

    @property
    def end(self) -> Position:
        return self.start + self.segment.positions


class Transcript:
    """A sequence of positions that grows at its end. The cache holds those before `cached`.

    `ids` are the token ids in order: read them, and change them only by the methods.
    """

    def __init__(self, segments: Iterable[Segment] = ()) -> None:
        self.ids: list[int] = []
        self.end: Position = 0
        self.cached: Position = 0
        self._others: list[_Placed] = []
        for segment in segments:
            self.extend(segment)

    def extend(self, segment: Segment) -> None:
        """Commit a segment."""
        if isinstance(segment, Tokens):
            self.ids += segment.ids
        else:
            self._others.append(_Placed(self.end, len(self.ids), segment))
        self.end += segment.positions

    def append(self, token: int) -> None:
        """Commit one token."""
        self.ids.append(token)
        self.end += 1

    def truncate(self, end: Position) -> None:
        """Forget positions from `end` on; a segment without tokens is forgotten as a whole."""
        while self._others and self._others[-1].end > end:
            end = min(end, self._others.pop().start)
        if end < self.end:
            del self.ids[self._index(end) :]
            self.end, self.cached = end, min(self.cached, end)

    def copy(self) -> Transcript:
        """The same positions, of which none is cached."""
        copy = Transcript()
        copy.ids, copy._others, copy.end = [*self.ids], [*self._others], self.end
        return copy

    def become(self, other: Transcript) -> None:
        """Hold what `other` does, all of it cached."""
        self.ids, self._others = [*other.ids], [*other._others]
        self.end = self.cached = other.end

    @property
    def has_others(self) -> bool:
        """Whether some segments have no tokens."""
        return bool(self._others)

    def segments(self, start: Position = 0) -> Iterator[Segment]:
        """What stands at the positions from `start` on, which is within no other segment."""
        while start < self.end:
            segment = self.piece(start, self.end)
            yield segment
            start += segment.positions

    def tokens(self, start: Position, end: Position | None = None) -> list[int]:
        """The token ids at the positions from `start` to before `end`."""
        return self.ids[self._index(start) : None if end is None else self._index(end)]

    def piece(self, start: Position, end: Position) -> Segment:
        """What stands at `start`: tokens up to `end` at the most, or a whole other segment."""
        for other in self._others:
            if other.start == start:
                return other.segment
            if other.start > start:
                end = min(end, other.start)
        return Tokens(tuple(self.tokens(start, end)))

    def shared(self, other: Transcript) -> Position:
        """How many positions at their beginning the two have in common."""
        index = common_prefix(self.ids, other.ids)
        shared = index + sum(o.segment.positions for o in self._others if o.before <= index)
        for mine, theirs in zip_longest(self._others, other._others):
            if mine != theirs:
                return min([shared, *(o.start for o in (mine, theirs) if o is not None)])
        return shared

    def _index(self, position: Position) -> int:
        """Of the first token id at `position` or behind it."""
        index = position
        for other in self._others:
            if other.start < position:
                index -= min(other.end, position) - other.start
        return index


def of_tokens(ids: Iterable[int]) -> Transcript:
    """A transcript of nothing but tokens."""
    return Transcript([Tokens(tuple(ids))])


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the longest common prefix."""
    n = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        n += 1
    return n
