"""Rules by which other programs choose a draft length, written anew from their descriptions.

Each is a `DraftPolicy` and sees exactly what ours sees. Where a rule has no limit of its own, the
longest draft is ours, so that no rule wins or loses by its limit.

LlamaCpp: llama.cpp, common/speculative.cpp (a fixed number; a draft ends before the first token the
drafter is less sure of than p_min).
Climb: Ollama, x/mlxrunner/speculate_depth.go (tokens over cost by length, lengths learned one
deeper at a time).
Heuristic: Hugging Face transformers, generation/candidate_generator.py (two more after a draft
that was right to its end, else one less).
"""

from __future__ import annotations

from collections.abc import Sequence

from gemma_mtp.decoding.draft_length import LONGEST
from gemma_mtp.decoding.draft_policy import DraftPolicy
from gemma_mtp.decoding.drafters import Source
from gemma_mtp.decoding.outcome import Round


class _Rival(DraftPolicy):
    """Drafts `length()` tokens and verifies all of them."""

    _min_width = 1

    def length(self) -> int:
        raise NotImplementedError

    def begin(
        self, sources: Sequence[Source], limit: int, min_width: int = 1, position: int = 0
    ) -> int:
        self._min_width = min_width
        return min(self.length(), limit, LONGEST)

    def verify(self, confidences: Sequence[float]) -> tuple[int, int]:
        return len(confidences), max(len(confidences) + 1, self._min_width)


class LlamaCpp(_Rival):
    """Three tokens, fewer if the drafter gets unsure; p_min 0 is its default."""

    def __init__(self, p_min: float = 0.0) -> None:
        self.p_min = p_min

    def length(self) -> int:
        return 3

    def go_on(self, confidences: Sequence[float]) -> bool:
        return confidences[-1] >= self.p_min

    def verify(self, confidences: Sequence[float]) -> tuple[int, int]:
        sure = [c for c in confidences if c >= self.p_min]
        return super().verify(sure)


class Heuristic(_Rival):
    """Starts at 5 as transformers long did, and never drafts nothing."""

    def __init__(self) -> None:
        self._length = 5

    def length(self) -> int:
        return self._length

    def record(self, done: Round) -> None:
        if done.drafted and _matched(done) >= done.drafted:
            self._length = min(self._length + 2, LONGEST)
        else:
            self._length = max(self._length - 1, 1)


class Climb(_Rival):
    """The length with the most expected tokens per cost, up to one beyond the deepest known."""

    COST_WEIGHT, COST_CLAMP = 0.3, 0.25
    RATE_WEIGHT, TRUSTED = 0.1, 10
    PROBE_EVERY, PROBE_SELDOM = 4, 512

    def __init__(self) -> None:
        self._costs: dict[int, float] = {}
        self._rates: list[float] = []
        self._seen: list[int] = []
        self._last_length: int | None = None
        self._last_choice, self._probed = 0, False
        self._interval, self._since = self.PROBE_EVERY, 0

    def length(self) -> int:
        choice, ceiling = self._best(), self._ceiling()
        if choice != self._last_choice:
            self._last_choice, self._interval, self._since = choice, self.PROBE_EVERY, 0
        elif self._probed:
            self._interval = min(2 * self._interval, self.PROBE_SELDOM)
        self._probed = False
        self._since += 1
        if self._since >= self._interval:
            self._since = 0
            if choice < ceiling:
                self._probed = True
                return choice + 1
        unknown = [n for n in range(ceiling + 1) if n not in self._costs]
        return unknown[0] if unknown else choice

    def record(self, done: Round) -> None:
        """A cost counts only if the round before was as long: the first one rebuilds a graph."""
        n = done.drafted
        if n == self._last_length:
            old = self._costs.setdefault(n, done.seconds)
            bound = self.COST_CLAMP * old
            step = max(-bound, min(bound, done.seconds - old))
            self._costs[n] = old + self.COST_WEIGHT * step
        self._last_length = n
        for i in range(min(_matched(done) + 1, n)):
            self._learn(i, i < _matched(done))

    def _learn(self, i: int, right: bool) -> None:
        if i == len(self._rates):
            self._rates.append(float(right))
            self._seen.append(0)
        self._rates[i] += self.RATE_WEIGHT * (right - self._rates[i])
        self._seen[i] += 1

    def _ceiling(self) -> int:
        """One beyond the lengths all of whose positions were seen often enough."""
        known = 0
        while known < len(self._seen) and self._seen[known] >= self.TRUSTED:
            known += 1
        return min(known + 1, LONGEST)

    def _best(self) -> int:
        if len(self._costs) < 2:
            return 0
        best, value = 0, 1 / self._cost(0)
        tokens, chance, rate = 1.0, 1.0, 1.0
        for n in range(1, self._ceiling() + 1):
            if n <= len(self._rates) and self._seen[n - 1] >= self.TRUSTED:
                rate = self._rates[n - 1]
            chance *= rate
            tokens += chance
            if tokens / self._cost(n) > value:
                best, value = n, tokens / self._cost(n)
        return best

    def _cost(self, n: int) -> float:
        """Between known lengths on the line that joins them, beyond them as the nearest one."""
        below = max((m for m in self._costs if m <= n), default=None)
        above = min((m for m in self._costs if m >= n), default=None)
        if below is None or above is None:
            nearest = above if below is None else below
            assert nearest is not None
            return self._costs[nearest]
        if below == above:
            return self._costs[below]
        share = (n - below) / (above - below)
        return (1 - share) * self._costs[below] + share * self._costs[above]


def _matched(done: Round) -> int:
    """Of the tokens that took steps of a drafter, those that were what the target chose."""
    return sum(proposal.matched for proposal in done.proposals if not proposal.free)
