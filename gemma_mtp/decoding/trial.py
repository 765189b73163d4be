"""Which of two drafters fits a target better: both guess the same tokens, until one is chosen.

Where nothing says whether a model was trained for its quantization, a drafter of either kind can be
loaded, and only what it guesses shows which is the right one. In each round both guess the next
token; whoever was right more often, as `drafter_score` says, is kept. A reply drives it. Knows only
tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

from gemma_mtp.decoding.drafter_score import Score
from gemma_mtp.decoding.drafters import DraftModel, MtpDrafter
from gemma_mtp.decoding.proposer import DraftTemperature, Proposer
from gemma_mtp.decoding.rows import Row
from gemma_mtp.decoding.sampler import Sampler
from gemma_mtp.decoding.transcript import Transcript


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
