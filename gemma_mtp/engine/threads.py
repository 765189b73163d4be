"""With how many threads each evaluation runs, and whether that shows in the rows of logits.

The engine has one `Threads`: prompts and replies ask it before they evaluate, and say afterwards
what it took.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import perf_counter, process_time
from typing import TYPE_CHECKING

import numpy as np

from gemma_mtp.api import MAX_WIDTH, PairInfo, Prefill
from gemma_mtp.decoding.costs import CostBook
from gemma_mtp.decoding.rows import Row
from gemma_mtp.decoding.thread_count import ThreadController
from gemma_mtp.decoding.transcript import Position, Tokens, Transcript
from gemma_mtp.llama.threads import FreeProcessors

if TYPE_CHECKING:
    from gemma_mtp.llama import LoadedPair

NARROWEST = 2  # rows; exact mode evaluates no lone row


class Threads:
    """A controller for reading prompts and one for writing replies, of which costs differ."""

    def __init__(self, pair: LoadedPair, info: PairInfo, book: CostBook) -> None:
        """`book` is told how many threads evaluate: rounds are valued at their costs."""
        self._pair, self._book, self._equal_rows = pair, book, EqualRows(pair)
        self.reading, self.writing = (
            ThreadController(info.threads, FreeProcessors(), info.adaptive_threads)
            for _ in range(2)
        )
        book.threads = info.threads

    @property
    def count(self) -> int:
        """How many evaluate now."""
        return self._book.threads

    def use(self, count: int) -> None:
        """Evaluate with so many from now on."""
        self._pair.use_threads(count)
        self._book.threads = count

    def choose(
        self, policy: ThreadController, tokens: Sequence[int], position: Position, exact: bool
    ) -> None:
        """Evaluate with as many threads as `policy` says; if `exact`, only where the text is the
        same as with all of them, for which `tokens` may be evaluated at `position`."""
        count, most = policy.count, policy.most
        if exact and count != most:
            equal = self._equal_rows.between(most, count, tokens, position)
            count = count if equal else most
        self.use(count)

    def in_pieces(
        self, pieces: Iterator[Prefill], prompt: Transcript, exact: bool
    ) -> Iterator[Prefill]:
        """Prefill of `prompt`, each piece with as many threads as are best now."""
        self.reading.begin()
        event = next(pieces, None)  # nothing is evaluated yet
        while event is not None:
            yield event
            if (done := event.done) == event.total:
                return
            self.choose(self.reading, prompt.tokens(done, done + MAX_WIDTH), done, exact)
            started, given = perf_counter(), process_time()
            event = next(pieces)
            seconds = perf_counter() - started
            if not isinstance(prompt.piece(done, event.done), Tokens):
                continue  # what is no token tells nothing of what tokens cost
            self.reading.record(event.done - done, seconds, process_time() - given)


class EqualRows:
    """Remembers for which numbers of threads the rows were found equal."""

    def __init__(self, pair: LoadedPair) -> None:
        self._pair = pair
        self._found: dict[frozenset[int], bool] = {}

    def between(self, a: int, b: int, tokens: Sequence[int], position: Position) -> bool | None:
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

    def _rows(self, threads: int, tokens: Sequence[int], position: Position) -> Row:
        self._pair.use_threads(threads)
        rows = self._pair.target.decode(tokens, position, len(tokens))[: len(tokens)].copy()
        self._pair.target.keep(position)
        return rows
