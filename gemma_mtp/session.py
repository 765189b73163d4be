"""What the target's cache holds, and how a new prompt reuses it.

Only what is new is evaluated: the longest common prefix of the cached tokens and the prompt stays.
Knows tokens and positions, no texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from gemma_mtp.events import Prefill
from gemma_mtp.sampling import Row


class CachedTarget(Protocol):
    """The part of a target a session needs."""

    piece_size: int

    @property
    def in_order(self) -> bool: ...

    def decode(self, tokens: Sequence[int], position: int, outputs: int) -> Row: ...
    def rewind(self, length: int) -> int: ...


class Session:
    """The one sequence in the cache: `tokens[i]` is evaluated at position i."""

    def __init__(self, target: CachedTarget) -> None:
        self.target = target
        self.tokens: list[int] = []
        self.last_row: Row | None = None

    def prefill(self, prompt: Sequence[int], exact: bool = False) -> Iterator[Prefill]:
        """Evaluate what is new of `prompt` piece by piece; then `last_row` holds its last logits.

        `exact`: a cache whose cells are out of order is not reused, since the text would show it.
        May be abandoned between pieces: `tokens` always says what the cache holds.
        """
        total = len(prompt)
        # The last token is evaluated in any case: its row chooses the first token of the reply.
        cached = self.rewind(min(common_prefix(self.tokens, prompt), total - 1))
        if exact and not self.target.in_order:
            cached = self.rewind(0)
        yield Prefill(cached, total, cached)
        while (done := len(self.tokens)) < total:
            piece = list(prompt[done : done + self.target.piece_size])
            last = done + len(piece) == total
            rows = self.target.decode(piece, done, 1 if last else 0)
            self.tokens += piece
            if last:
                self.last_row = rows[0]
            yield Prefill(len(self.tokens), total, cached)

    def rewind(self, length: int) -> int:
        """Forget tokens from `length` on; returns how many are left (0 if the window is lost)."""
        left = self.target.rewind(length) if length < len(self.tokens) else length
        del self.tokens[left:]
        return left


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the longest common prefix."""
    n = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        n += 1
    return n
