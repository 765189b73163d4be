"""How many tokens to draft: a controller that knows only what rounds cost and what they brought.

Expected tokens of a round are 1 + a1 + a1 a2 + ..., with a_i the chance that draft i is accepted
when those before it were (Leviathan et al., arXiv 2211.17192, with one a for each position); the
best draft length has the most of them per second. Costs are measured, since they differ by
machine, quantization and model, and need not even grow with the length. Knows no engine.
"""

from __future__ import annotations

from collections import deque
from statistics import median

# With few CPU cores llama.cpp is fast at widths 4 and 8 (k + 1), elsewhere at small k.
LENGTHS = (0, 1, 2, 3, 5, 7)
START = 3
TRIAL_ROUNDS = 5  # rounds a length is kept for before it is judged; the first only rebuilds a graph
FIRST_TRIAL_ROUNDS = 9  # the first rounds of all are slow: caches are cold, clocks are low
SETTLED_ROUNDS = 16
TRIAL_EVERY = 64  # rounds between trials of other lengths: a short reply should not pay for them
RIVAL = 0.85  # how good a known length must be to be tried again, at twice the distance each time
MARGIN = 1.04  # a change must promise this much, or noise would make it go to and fro
MEMORY = 0.98  # weight of what was known of acceptance when one more draft is judged
FIRST_GUESS = 0.7  # acceptance before anything is known
GUESS_WEIGHT = 4.0  # drafts it takes to overrule a guess
CHEAPEST_STEP = 0.1  # plain steps that a further drafted token costs at the least


class FixedDraft:
    """Always the same draft length."""

    def __init__(self, length: int) -> None:
        self.length = length

    def choose(self) -> int:
        """The draft length of the next round."""
        return self.length

    def record(self, drafted: int, accepted: int, seconds: float) -> None:
        """Nothing to learn."""

    def plain_step(self, seconds: float) -> None:
        """Nothing to learn."""


class Acceptance:
    """Chance of each draft position to be accepted when all before it were."""

    def __init__(self) -> None:
        self._accepted = [0.0] * max(LENGTHS)
        self._judged = [0.0] * max(LENGTHS)

    def record(self, drafted: int, accepted: int) -> None:
        """`accepted` of `drafted` were right; the first wrong one was judged too."""
        for i in range(min(accepted + 1, drafted, len(self._judged))):
            self._accepted[i] = MEMORY * self._accepted[i] + (i < accepted)
            self._judged[i] = MEMORY * self._judged[i] + 1

    def expected_tokens(self, k: int) -> float:
        """Tokens a round of draft length k commits; a position without data is like the last."""
        tokens = chance = 1.0
        rate = FIRST_GUESS
        for accepted, judged in zip(self._accepted[:k], self._judged[:k], strict=True):
            rate = (accepted + GUESS_WEIGHT * rate) / (judged + GUESS_WEIGHT)
            chance *= rate
            tokens += chance
        return tokens


class AutoDraft:
    """The length with the most expected tokens per second, judged every few rounds.

    Costs grow with the context, but much alike: when the cost of the length in use drifts, the
    others are taken to drift with it, so that old measurements stay comparable.
    """

    def __init__(self) -> None:
        self.length = START
        self.acceptance = Acceptance()
        self._costs: dict[int, float] = {}
        self._recent: deque[float] = deque(maxlen=5)
        self._rounds_here = 0
        self._judge_at = FIRST_TRIAL_ROUNDS
        self._since_trial = 0
        self._trial_at = TRIAL_EVERY

    def choose(self) -> int:
        """The draft length of the next round."""
        if self._rounds_here >= self._judge_at:
            self._judge()
        return self.length

    def record(self, drafted: int, accepted: int, seconds: float) -> None:
        """A round at the chosen length took `seconds`, and `accepted` of `drafted` were right."""
        self.acceptance.record(drafted, accepted)
        self._rounds_here += 1
        self._since_trial += 1
        if self._rounds_here > 1:
            self._recent.append(seconds)

    def plain_step(self, seconds: float) -> None:
        """A plain step took `seconds`."""
        if self.length == 0:
            self._recent.append(seconds)
        else:
            self._costs[0] = seconds

    def _judge(self) -> None:
        self._update_cost()
        best = max(self._costs, key=self._rate)
        if self._rate(best) < self._rate(self.length) * MARGIN:
            best = self.length
        if best == self.length and self._since_trial >= self._trial_at:
            self._since_trial = 0
            best = self._worth_a_trial()
        if best == self.length:
            self._judge_at = self._rounds_here + SETTLED_ROUNDS
        else:
            self.length, self._rounds_here = best, 0
            self._judge_at = TRIAL_ROUNDS
            self._recent.clear()

    def _update_cost(self) -> None:
        """Take over the recent cost of this length; what it drifted by, the others did as well."""
        cost = median(self._recent)
        if self.length in self._costs and self._rounds_here > TRIAL_ROUNDS:
            drift = cost / self._costs[self.length]
            self._costs = {k: c * drift for k, c in self._costs.items()}
        self._costs[self.length] = cost

    def _worth_a_trial(self) -> int:
        """A length never tried that may be better; else the second best: it may have had a bad
        moment or, where drafting did not pay, another text."""
        here = self._rate(self.length)
        unknown = [k for k in LENGTHS if k not in self._costs]
        if unknown and self._rate(best := max(unknown, key=self._rate)) > here * MARGIN:
            return best
        self._trial_at *= 2
        rival = max((k for k in LENGTHS if k != self.length), key=self._rate)
        return rival if self.length == 0 or self._rate(rival) > RIVAL * here else self.length

    def _rate(self, k: int) -> float:
        """Expected tokens per second; a length never tried gets the benefit of the doubt."""
        tokens = self.acceptance.expected_tokens(k)
        if k in self._costs:
            return tokens / self._costs[k]
        shorter = max((j for j in self._costs if j < k), default=None)
        if shorter is None:
            return 0.0  # plain steps have not been timed yet
        step = CHEAPEST_STEP * self._costs.get(0, 0.0)
        return tokens / (self._costs[shorter] + step * (k - shorter))
