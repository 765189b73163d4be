"""What the target's cache holds, and how a new prompt reuses it.

Only what is new is evaluated: the longest common prefix of the cached tokens and the prompt stays.
Where the cache cannot go back that far, the newest snapshot within the prefix is restored. Knows
tokens and positions, no texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from gemma_mtp.api import SNAPSHOT_BYTES, SNAPSHOT_SHARE, Prefill
from gemma_mtp.decoding.lookup import common_prefix
from gemma_mtp.decoding.sampler import Row
from gemma_mtp.engine.snapshots import Saved, Snapshots

# Pieces of a long prompt between two snapshots.
PIECES_APART = 8
# Tokens that are left to the next prompt: the end of a turn and the opening of another.
FEW = 16


class CachedTarget(Protocol):
    """The part of a target a session needs."""

    piece_size: int
    model_bytes: int

    @property
    def in_order(self) -> bool: ...

    def decode(self, tokens: Sequence[int], position: int, outputs: int) -> Row: ...
    def can_rewind(self, length: int) -> bool: ...
    def rewind(self, length: int) -> None: ...
    def saved_bytes(self) -> int: ...
    def save(self, complete: bool) -> Saved | None: ...
    def restore(self, saved: Any, length: int) -> bool: ...


class Session:
    """The one sequence in the cache: `tokens[i]` is evaluated at position i."""

    def __init__(self, target: CachedTarget) -> None:
        self.target = target
        self.tokens: list[int] = []
        self.last_row: Row | None = None
        self.expected: list[int] = []  # what a later prompt will begin with
        self.snapshots = Snapshots(max(SNAPSHOT_BYTES, target.model_bytes // SNAPSHOT_SHARE))

    def prefill(
        self, prompt: Sequence[int], exact: bool = False, lasting: int | None = None
    ) -> Iterator[Prefill]:
        """Evaluate what is new of `prompt` piece by piece; then `last_row` holds its last logits.

        `exact`: a cache whose cells are out of order is not reused, since the text would show it.
        `lasting`: how much of it a later prompt begins with as well; there a snapshot is taken (at
        its end by default). The same prompt again starts from it, so that the same seed gives the
        same text: evaluated in other pieces, the rows would have other last bits.
        May be abandoned between pieces: `tokens` always says what the cache holds.
        """
        total = len(prompt)
        lasting = total if lasting is None else lasting
        cached = self._reuse(prompt, exact, lasting)
        expected = len(self.expected) if _begins(prompt, self.expected) else 0
        yield Prefill(cached, total, cached)
        while (done := len(self.tokens)) < total:
            self._remember(done == max(cached, expected), done == lasting)
            ends = (end for end in (expected, lasting, total) if end > done)
            end = min(done + self.target.piece_size, *ends)
            rows = self.target.decode(prompt[done:end], done, 1 if end == total else 0)
            self.tokens += prompt[done:end]
            if end == total:
                self.last_row = rows[0]
                if end == lasting:
                    self._snapshot(complete=True)
            yield Prefill(end, total, cached)

    def prepare(self, expected: Sequence[int], exact: bool = False) -> Iterator[Prefill]:
        """Evaluate what a later prompt will begin with, unless that is cached but for a few tokens.

        May be abandoned like `prefill`, which then evaluates the rest in the pieces that were left:
        how far this came must not show in the last bits.
        """
        common = common_prefix(self.tokens, expected)
        if common == len(expected) or (
            common == len(self.tokens) and common >= len(expected) - FEW
        ):
            return
        self.expected = list(expected)
        yield from self.prefill(expected, exact, lasting=0)

    def rewind(self, length: int) -> int:
        """Forget tokens from `length` on; returns how many are left.

        They are fewer where the cache has lost what it needs to go on from there.
        """
        if length < len(self.tokens):
            if self.target.can_rewind(length):
                self.target.rewind(length)
                self._forget(length)
            else:
                self._restore(length)
        return len(self.tokens)

    def _reuse(self, prompt: Sequence[int], exact: bool, lasting: int) -> int:
        """Keep what is cached of `prompt`; returns how many tokens that is."""
        common, total = common_prefix(self.tokens, prompt), len(prompt)
        newest = self.snapshots.cut(common)
        again = newest is not None and newest.length == lasting <= common
        if newest and again and (lasting < total or newest.saved.row is not None):
            self._restore(lasting)
            self.last_row = newest.saved.row
            return len(self.tokens)
        # Without a snapshot the last token is evaluated again: its row chooses the first token.
        self.rewind(min(common, total - 1))
        if exact and not self.target.in_order:
            self._restore(len(self.tokens))
        return len(self.tokens)

    def _remember(self, first: bool, lasting: bool) -> None:
        """Take a snapshot before a piece where people are likely to come back to.

        That is the end of the reply before, the lasting part of a prompt, and in a long prompt one
        place now and then, if it need not make room for the next one.
        """
        pieces = (len(self.tokens) - self.snapshots.newest) / self.target.piece_size
        room = 2 * self.target.saved_bytes() <= self.snapshots.limit
        if (lasting and pieces > 0) or (room and pieces >= (1 if first else PIECES_APART)):
            self._snapshot(complete=False)

    def _snapshot(self, complete: bool) -> None:
        """`complete`: with the last row, so that nothing is left to evaluate."""
        size = self.target.saved_bytes()
        self.snapshots.add(len(self.tokens), size, lambda: self.target.save(complete))

    def _restore(self, length: int) -> None:
        """Go back to the newest snapshot of at most `length` tokens, or else to nothing."""
        newest = self.snapshots.cut(length)
        if newest and self.target.restore(newest.saved, newest.length):
            self._forget(newest.length)
        else:
            self.target.rewind(0)
            self._forget(0)

    def _forget(self, length: int) -> None:
        del self.tokens[length:]
        self.snapshots.cut(length)


def _begins(prompt: Sequence[int], tokens: Sequence[int]) -> bool:
    return common_prefix(prompt, tokens) == len(tokens)
