"""Conversations that are not in the cache just now: each with a copy of what the cache held.

The prompt cache puts one here when a prompt of another one comes, and takes it back when it goes
on, so that conversations that take turns evaluate only what is new. The one that was used longest
ago goes first. Knows transcripts and bytes, not what a copy is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gemma_mtp.decoding.transcript import Transcript
from gemma_mtp.engine.snapshots import Snapshots

if TYPE_CHECKING:
    from gemma_mtp.llama.target import SavedCache

MOST = 64  # conversations; whoever has more open will hardly notice


@dataclass(frozen=True)
class Shelved:
    """A conversation, what the cache held of it, where it may go back to, and what was expected of
    its next prompt. It was evaluated where the sliding window had a ring of `ring` cells."""

    transcript: Transcript
    saved: SavedCache
    snapshots: Snapshots
    expected: Transcript = field(default_factory=Transcript)
    ring: int = 0

    @property
    def nbytes(self) -> int:
        return self.saved.nbytes + self.snapshots.nbytes


class Shelf:
    """Conversations that take no more than `limit` bytes together, the latest one last."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._kept: list[Shelved] = []

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def nbytes(self) -> int:
        return sum(shelved.nbytes for shelved in self._kept)

    def best(self, prompt: Transcript) -> tuple[int, Shelved | None]:
        """The conversation that has most of a prompt, and how many positions that is."""
        shares = [(shelved.transcript.shared(prompt), shelved) for shelved in self._kept]
        return max(shares, key=lambda share: share[0], default=(0, None))

    def put(self, shelved: Shelved) -> None:
        """Keep one, in place of those that it goes on from and of the oldest."""
        whole = shelved.transcript
        self._kept = [k for k in self._kept if k.transcript.shared(whole) < k.transcript.end]
        self._kept.append(shelved)
        while self.nbytes > self.limit or len(self) > MOST:
            del self._kept[0]

    def take(self, shelved: Shelved) -> None:
        """Give it up: it is in the cache again."""
        self._kept.remove(shelved)
