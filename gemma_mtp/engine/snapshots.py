"""Which states of the cache are kept to come back to, and which are dropped for want of room.

A snapshot belongs to the first `length` tokens of the sequence and is worth something only while
they stay, so snapshots form a stack. Knows lengths and bytes, not what a saved state is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gemma_mtp.llama.target import SavedTarget

MOST_SNAPSHOTS = 8


@dataclass(frozen=True)
class Snapshot:
    """The cache as it was after `length` tokens."""

    length: int
    saved: SavedTarget


class Snapshots:
    """At most `count` snapshots that take no more than `limit` bytes together."""

    def __init__(self, limit: int, count: int = MOST_SNAPSHOTS) -> None:
        self.limit, self.count = limit, count
        self._kept: list[Snapshot] = []

    def copy(self) -> Snapshots:
        """The same snapshots, of which either may drop some."""
        copy = Snapshots(self.limit, self.count)
        copy._kept = [*self._kept]
        return copy

    @property
    def all(self) -> tuple[Snapshot, ...]:
        """The shortest first."""
        return tuple(self._kept)

    @property
    def newest(self) -> int:
        """The length of the newest snapshot, 0 when there is none."""
        return self._kept[-1].length if self._kept else 0

    @property
    def nbytes(self) -> int:
        return sum(snapshot.saved.nbytes for snapshot in self._kept)

    def add(self, length: int, size: int, save: Callable[[], SavedTarget | None]) -> None:
        """Keep what `save` returns, unless its `size` in bytes is more than there is room for."""
        self.cut(length - 1)
        if size > self.limit:
            return
        while self._kept and (self.nbytes + size > self.limit or len(self._kept) >= self.count):
            del self._kept[self._least_missed()]
        if saved := save():
            self._kept.append(Snapshot(length, saved))

    def extend(self, snapshots: Iterable[Snapshot]) -> None:
        """Take over some that were kept, the shortest first, as far as there is room."""
        for each in snapshots:
            self.add(each.length, each.saved.nbytes, lambda each=each: each.saved)  # type: ignore[misc]

    def cut(self, length: int) -> Snapshot | None:
        """Tokens from `length` on are gone, and their snapshots; the newest one that is left."""
        while self._kept and self._kept[-1].length > length:
            self._kept.pop()
        return self._kept[-1] if self._kept else None

    def _least_missed(self) -> int:
        """The one nearest to its predecessor, not the newest: that is where people go back to."""
        lengths = [0, *(snapshot.length for snapshot in self._kept)]
        gaps = [after - before for before, after in pairwise(lengths)]
        older = gaps[:-1] or gaps
        return older.index(min(older))
