"""How many tokens to draft: a controller that knows only what rounds cost and what they brought.

Expected tokens of a round at draft length k with acceptance a are 1 + a + ... + a^k (Leviathan et
al., arXiv 2211.17192, eq. 1); the best k has the most of them per second. Costs are measured, since
they differ by machine, quantization and model, and need not even grow with k: only lengths that
are worth a try are tried. Knows no engine.
"""

from __future__ import annotations

from collections import deque
from statistics import median

# With few CPU cores llama.cpp is fast at widths 4 and 8 (k + 1), elsewhere at small k.
LENGTHS = (0, 1, 2, 3, 5, 7)
START = 3
TRIAL_ROUNDS = 4  # rounds a length is kept for before it is judged; the first only rebuilds a graph
SETTLED_ROUNDS = 12
RETRY_ROUNDS = 64  # plain rounds before drafting gets another chance
MARGIN = 1.04  # a change must promise this much, or noise would make it go to and fro
SMOOTHING = 0.05


class FixedDraft:
    """Always the same draft length."""

    def __init__(self, length: int) -> None:
        self.length = length

    def choose(self) -> int:
        return self.length

    def record(self, drafted: int, accepted: int, seconds: float) -> None:
        """Nothing to learn."""

    def plain_step(self, seconds: float) -> None:
        """Nothing to learn."""


class AutoDraft:
    """The length with the most expected tokens per second, judged every few rounds."""

    def __init__(self) -> None:
        self.length = START
        self.acceptance = 0.7  # a guess that the first rounds overrule
        self._costs: dict[int, deque[float]] = {}
        self._rounds_here = 0
        self._judge_at = TRIAL_ROUNDS

    def choose(self) -> int:
        """The draft length of the next round."""
        if self._rounds_here >= self._judge_at:
            self._judge()
        return self.length

    def record(self, drafted: int, accepted: int, seconds: float) -> None:
        """A round at the chosen length took `seconds`, and `accepted` of `drafted` were right."""
        self._rounds_here += 1
        if self._rounds_here > 1:
            self._costs.setdefault(self.length, deque(maxlen=9)).append(seconds)
        for i in range(min(accepted + 1, drafted)):
            self.acceptance += SMOOTHING * ((i < accepted) - self.acceptance)

    def plain_step(self, seconds: float) -> None:
        """A plain step took `seconds`."""
        self._costs.setdefault(0, deque(maxlen=9)).append(seconds)

    def expected_tokens(self, k: int) -> float:
        """Tokens a round of draft length k is expected to commit."""
        return sum(self.acceptance**i for i in range(k + 1))

    def _judge(self) -> None:
        here = self._rate(self.length)
        best = max(LENGTHS, key=self._rate)
        if self.length == 0 and best == 0 and self._rounds_here >= RETRY_ROUNDS:
            best = START
        elif best == self.length or self._rate(best) < here * MARGIN:
            best = self.length
        if best != self.length:
            self.length, self._rounds_here = best, 0
            self._judge_at = TRIAL_ROUNDS
        else:
            self._judge_at = self._rounds_here + SETTLED_ROUNDS

    def _rate(self, k: int) -> float:
        """Expected tokens per second; a length never tried is given the benefit of the doubt.

        Its cost is guessed from the nearest measured one below: no more than that plus its share
        of a plain step, half a plain step for each further token.
        """
        if k in self._costs:
            return self.expected_tokens(k) / median(self._costs[k])
        known = [j for j in self._costs if j < k]
        if not known or 0 not in self._costs:
            return 0.0
        nearest = max(known)
        guess = median(self._costs[nearest]) + 0.5 * (k - nearest) * median(self._costs[0])
        return self.expected_tokens(k) / guess
