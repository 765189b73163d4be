"""Which of two drafters fits a target better: both guess the same tokens, until one is chosen.

Where nothing says whether a model was trained for its quantization, a drafter of either kind can be
loaded, and only what it guesses shows which is the right one. In each round both guess the next
token; whoever was right more often in the first `ENOUGH` is kept. A reply drives it. Knows only
tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gemma_mtp.decoding.drafters import DraftModel, MtpDrafter
from gemma_mtp.decoding.proposer import DraftTemperature, Proposer
from gemma_mtp.decoding.rows import Row
from gemma_mtp.decoding.sampler import Sampler
from gemma_mtp.decoding.transcript import Transcript

ENOUGH = 100  # tokens; a drafter for other weights is right in far fewer of them


@dataclass
class Score:
    """Of so many tokens each of the two guessed so many right; kept from one reply to the next."""

    tokens: int = 0
    first: int = 0
    second: int = 0

    @property
    def is_decided(self) -> bool:
        return self.tokens >= ENOUGH

    @property
    def second_is_better(self) -> bool:
        """Of two that are equally good the first one stays, which is loaded."""
        return self.second > self.first

    def said(self, first: str, second: str) -> str:
        """A sentence about which of the two is kept, and why; they are called so."""
        kept = second if self.second_is_better else first
        return (
            f"Of two drafters that fit, {first} guessed {self.first} of {self.tokens} tokens right "
            f"and {second} {self.second}; {kept} is kept."
        )


class Trial:
    """In one reply: `guess` before a round, `judge` after it."""

    def __init__(self, score: Score, models: Sequence[DraftModel], sampler: Sampler) -> None:
        self._score = score
        self._drafters = [MtpDrafter(m, Proposer(sampler, DraftTemperature())) for m in models]
        self._guesses: list[int] = []

    @property
    def is_on(self) -> bool:
        """Whether more is to be guessed."""
        return not self._score.is_decided

    def guess(self, transcript: Transcript, hidden: Row) -> None:
        """`hidden`: as drafters need it. Raises GemmaMtpError where one of them fails."""
        self._guesses = []
        if self.is_on:
            guesses = (next(iter(d.propose(transcript, hidden, 1))) for d in self._drafters)
            self._guesses = [token for token, _ in guesses]

    def judge(self, token: int) -> None:
        """`token` is what the target chose."""
        if not self._guesses:
            return
        right = [guess == token for guess in self._guesses]
        self._score.tokens += 1
        self._score.first += right[0]
        self._score.second += right[1]
        for drafter in self._drafters:
            drafter.judge([token])
