"""The round: draft, verify, accept, roll back. A draft of length 0 is plain decoding.

Knows neither llama.cpp nor texts: a target and a drafter are whatever fits the two protocols.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

from gemma_mtp.sampling import Row, Sampler


class Target(Protocol):
    """Evaluates tokens and remembers them by position."""

    def decode(self, tokens: Sequence[int], position: int, outputs: int) -> Row: ...
    def hidden(self, row: int) -> Row: ...
    def keep(self, length: int) -> None: ...


class Drafter(Protocol):
    """Proposes tokens from the target's hidden state and cache."""

    def begin(self, hidden: Row, position: int) -> None: ...
    def step(self, token: int) -> Row: ...


@dataclass
class Round:
    """What one round committed: `accepted` drafts, then the bonus token, unless the text ended."""

    tokens: list[int]
    drafted: int
    accepted: int
    width: int
    draft_seconds: float
    verify_seconds: float
    sampling_seconds: float

    @property
    def seconds(self) -> float:
        return self.draft_seconds + self.verify_seconds + self.sampling_seconds


class Speculator:
    """Runs rounds over one reply.

    `history` are all tokens so far; the last one, *pending*, is sampled but not yet evaluated. The
    target holds exactly the others before and after each round, whatever was drafted.
    """

    def __init__(
        self,
        target: Target,
        drafter: Drafter | None,
        sampler: Sampler,
        history: list[int],
        hidden: Row | None,
        end_of_generation: Collection[int],
        min_width: int = 1,
    ) -> None:
        """`hidden`: the target's hidden state of the last evaluated token, if there is a drafter.

        `min_width` 2 pads plain rounds: rows evaluated one at a time differ in the last bits from
        rows evaluated together, and exact mode must not see that.
        """
        self.target, self.drafter, self.sampler = target, drafter, sampler
        self.draft_sampler = sampler.for_drafter()
        self.history = history
        self.hidden = None if hidden is None else hidden.copy()
        self.end = end_of_generation
        self.min_width = min_width

    def round(self, k: int) -> Round:
        """Draft up to `k` tokens, verify them in one evaluation, commit what is agreed."""
        started = perf_counter()
        position = len(self.history) - 1
        pending = self.history[-1]
        drafts = self._draft(k, pending, position) if k and self.drafter else []
        drafted_at = perf_counter()

        width = max(k + 1, self.min_width)
        padding = [pending] * (width - 1 - len(drafts))
        rows = self.target.decode([pending, *drafts, *padding], position, width)
        verified_at = perf_counter()

        tokens = self._accept(rows, drafts)
        if self.hidden is not None:
            self.hidden[:] = self.target.hidden(len(tokens) - 1)
        self.target.keep(position + len(tokens))
        matched = sum(a == b for a, b in zip(tokens, drafts, strict=False))
        return Round(
            tokens,
            len(drafts),
            matched,
            width,
            drafted_at - started,
            verified_at - drafted_at,
            perf_counter() - verified_at,
        )

    def _draft(self, k: int, token: int, position: int) -> list[int]:
        assert self.drafter is not None
        assert self.hidden is not None
        self.drafter.begin(self.hidden, position)
        recent = self.history[-self.sampler.sampling.repeat_last_n :]
        for step in range(1, k + 1):
            row = self.drafter.step(token)
            token = self.draft_sampler.sample(row, position + step, recent)
            recent.append(token)
            if token in self.end:
                break
        return recent[-step:]

    def _accept(self, rows: Row, drafts: list[int]) -> list[int]:
        """Sample row after row while the samples are what was drafted; commit them as they come."""
        tokens: list[int] = []
        for i in range(len(drafts) + 1):
            token = self.sampler.sample(rows[i], len(self.history), self.history)
            tokens.append(token)
            self.history.append(token)
            if token in self.end or i == len(drafts) or token != drafts[i]:
                break
        return tokens

    def time_plain_step(self) -> float:
        """Seconds of a plain step here and now; changes neither the text nor the cache.

        Of two, since after a change of width llama.cpp first rebuilds its graph.
        """
        position = len(self.history) - 1
        for _ in range(2):
            started = perf_counter()
            rows = self.target.decode([self.history[-1]], position, 1)
            self.sampler.sample(rows[0], position + 1, self.history)
            seconds = perf_counter() - started
            self.target.keep(position)
        return seconds
