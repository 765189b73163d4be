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
RETRY_ROUNDS = 64  # plain rounds before drafting gets another chance; doubled each time in vain
MARGIN = 1.04  # a change must promise this much, or noise would make it go to and fro
MEMORY = 0.98  # weight of what was known of acceptance when one more draft is judged
PRIOR = (2.8, 4.0)  # accepted of drafted, before anything is known: overruled by a dozen drafts
CHEAPEST_STEP = 0.1  # plain steps that a further drafted token costs at the least


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
        self._accepted, self._judged = PRIOR
        self._costs: dict[int, deque[float]] = {}
        self._rounds_here = 0
        self._judge_at = TRIAL_ROUNDS
        self._retry_at = RETRY_ROUNDS

    def choose(self) -> int:
        """The draft length of the next round."""
        if self._rounds_here >= self._judge_at:
            self._judge()
        return self.length

    def record(self, drafted: int, accepted: int, seconds: float) -> None:
        """A round at the chosen length took `seconds`, and `accepted` of `drafted` were right."""
        self._rounds_here += 1
        if self._rounds_here > 1:
            self._cost(self.length).append(seconds)
        for i in range(min(accepted + 1, drafted)):
            self._accepted = MEMORY * self._accepted + (i < accepted)
            self._judged = MEMORY * self._judged + 1

    def plain_step(self, seconds: float) -> None:
        """A plain step took `seconds`."""
        self._cost(0).append(seconds)

    @property
    def acceptance(self) -> float:
        """Chance that a draft is accepted when all before it were; older drafts count less."""
        return self._accepted / self._judged

    def expected_tokens(self, k: int) -> float:
        """Tokens a round of draft length k is expected to commit."""
        return sum(self.acceptance**i for i in range(k + 1))

    def _judge(self) -> None:
        best = max(LENGTHS, key=self._rate)
        if self._rate(best) < self._rate(self.length) * MARGIN:
            best = self.length
        if best == self.length == 0 and self._rounds_here >= self._retry_at:
            best = START
            self._retry_at *= 2
        if best == self.length:
            self._judge_at = self._rounds_here + SETTLED_ROUNDS
        else:
            self.length, self._rounds_here = best, 0
            self._judge_at = TRIAL_ROUNDS

    def _rate(self, k: int) -> float:
        """Expected tokens per second. A length never tried gets the benefit of the doubt, once."""
        if k in self._costs:
            return self.expected_tokens(k) / median(self._costs[k])
        shorter = max((j for j in self._costs if j < k), default=None)
        if shorter is None:
            return 0.0  # plain steps have not been timed yet
        step = CHEAPEST_STEP * median(self._costs[0]) if 0 in self._costs else 0.0
        return self.expected_tokens(k) / (median(self._costs[shorter]) + step * (k - shorter))

    def _cost(self, k: int) -> deque[float]:
        return self._costs.setdefault(k, deque(maxlen=9))
