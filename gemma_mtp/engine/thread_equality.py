"""Whether the rows of logits depend on how many threads computed them.

Exact mode asks before it changes their number in the middle of a text. Knows a pair by its
protocol; no llama.cpp, no texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from gemma_mtp.decoding.sampler import Row

NARROWEST = 2  # rows; exact mode evaluates no lone row


class Target(Protocol):
    """The part of a target that evaluates and forgets."""

    def decode(self, tokens: Sequence[int], position: int, outputs: int) -> Row: ...
    def keep(self, length: int) -> None: ...
    def widest(self, position: int, kept: int = 1) -> int: ...


class Pair(Protocol):
    """Whatever evaluates with a given number of threads."""

    @property
    def target(self) -> Target: ...

    def use_threads(self, count: int) -> None: ...


class EqualRows:
    """Remembers for which numbers of threads the rows were found equal."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._found: dict[frozenset[int], bool] = {}

    def between(self, a: int, b: int, tokens: Sequence[int], position: int) -> bool | None:
        """Whether `a` and `b` threads give the same bits; None where it cannot be tried here.

        The first time `tokens` are evaluated behind the `position` tokens that the target holds,
        in a narrow and a wide batch; it holds the same afterwards. The answer holds for the whole
        session: which thread computes a number depends on the kernel, and kernels are chosen by
        the number of rows, not by the length of the context.
        """
        key = frozenset((a, b))
        if key not in self._found:
            widest = min(self._pair.target.widest(position, kept=0), len(tokens))
            if widest < NARROWEST:
                return None
            batches = (tokens[:NARROWEST], tokens[:widest])
            self._found[key] = all(
                np.array_equal(self._rows(a, batch, position), self._rows(b, batch, position))
                for batch in batches
            )
        return self._found[key]

    def _rows(self, threads: int, tokens: Sequence[int], position: int) -> Row:
        self._pair.use_threads(threads)
        rows = self._pair.target.decode(tokens, position, len(tokens))[: len(tokens)].copy()
        self._pair.target.keep(position)
        return rows
