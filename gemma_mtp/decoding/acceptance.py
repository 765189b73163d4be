"""How likely a drafted token is accepted, given that those before it were.

Two estimates: by position alone, for tokens not drafted yet, and by the drafter's own confidence
once there is one. Confidence is calibrated, not trusted: what counts is how often drafts of like
confidence were accepted, and that only as far as it has foretold better than the position alone
(dynamic model averaging: Raftery, Karny and Ettler, 2010). Old rounds fade, since texts change.
Knows only numbers.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import log, tanh

# Drafts that an estimate weighs as much as, until there are more of its own: a guess; the position
# before, for a position; all positions together, for one bucket of confidence at one of them.
GUESS_WEIGHT, NEIGHBOUR_WEIGHT, POOL_WEIGHT = 3.0, 6.0, 16.0
POSITION_MEMORY = 0.985  # weight that what is known of the positions keeps with each round
EVIDENCE_MEMORY = 0.995  # weight that the evidence for confidence keeps with each draft


@dataclass(frozen=True)
class Prior:
    """What is taken to be known of a source of drafts before any of them was judged.

    `bounds` cut confidence into buckets, one more than there are bounds. `by_confidence` is the
    acceptance in each of them, `by_position` that of any position; all lie between 0 and 1, and
    none of them is 0 or 1. `memory` is the weight that what is known of a bucket keeps with each of
    its drafts: near 1 where the source is equally good in every text.
    """

    by_confidence: tuple[float, ...] = (0.5, 0.55, 0.6, 0.7, 0.8, 0.88, 0.93)
    by_position: float = 0.9
    memory: float = 0.995
    bounds: tuple[float, ...] = (0.3, 0.5, 0.7, 0.85, 0.95, 0.99)


class _Rate:
    """A decayed share of successes."""

    def __init__(self) -> None:
        self.accepted = self.judged = 0.0

    def fade(self, memory: float) -> None:
        self.accepted *= memory
        self.judged *= memory

    def record(self, accepted: bool) -> None:
        self.accepted += accepted
        self.judged += 1

    def towards(self, guess: float, weight: float, optimism: float) -> float:
        return (self.accepted + weight * guess + optimism) / (self.judged + weight + optimism)


class Acceptance:
    """Chances of acceptance, learned from drafts that were judged."""

    def __init__(self, longest: int, prior: Prior = Prior()) -> None:
        """For drafts of at most `longest` tokens."""
        self._prior = prior
        self._evidence = 0.0  # for confidence, against position alone: a logarithm of odds
        self._positions = [_Rate() for _ in range(longest)]
        self._pooled = [_Rate() for _ in prior.by_confidence]
        self._buckets = [[_Rate() for _ in prior.by_confidence] for _ in range(longest)]
        # What was asked since the last `record`: a round asks for the same again with each draft.
        self._known: dict[tuple[int, float, float], float] = {}
        self._known_by_position: dict[float, list[float]] = {}

    def record(self, confidences: Sequence[float], matched: int) -> None:
        """Of these drafts the first `matched` agreed with the target; the one after them, if there
        is one, did not, and what lies behind it was not judged."""
        for rate in self._positions:
            rate.fade(POSITION_MEMORY)
        self._forget()
        at_position = self.by_position(len(confidences))
        for i, confidence in enumerate(confidences[: matched + 1]):
            informed = self._by_confidence(i, confidence)
            odds = (
                informed / at_position[i] if i < matched else (1 - informed) / (1 - at_position[i])
            )
            self._evidence = EVIDENCE_MEMORY * self._evidence + log(odds)
            self._positions[i].record(i < matched)
            bucket = bisect_right(self._prior.bounds, confidence)
            for rate in (self._pooled[bucket], self._buckets[i][bucket]):
                rate.fade(self._prior.memory)
                rate.record(i < matched)
        self._forget()

    def _forget(self) -> None:
        self._known.clear()
        self._known_by_position.clear()

    def by_position(self, longest: int, optimism: float = 0.0) -> list[float]:
        """Chance of each position; one without data is like the one before it.

        `optimism`: so many successes are counted in addition, which matters where little is known.
        """
        chances = self._known_by_position.get(optimism)
        if chances is None:
            chances = self._known_by_position[optimism] = []
            guess, weight = self._prior.by_position, GUESS_WEIGHT
            for rate in self._positions:
                guess, weight = rate.towards(guess, weight, optimism), NEIGHBOUR_WEIGHT
                chances.append(guess)
        return chances[:longest]

    def of(self, position: int, confidence: float, optimism: float = 0.0) -> float:
        """Chance of a draft at `position` (0 is the first) of which the drafter is this sure."""
        key = position, confidence, optimism
        chance = self._known.get(key)
        if chance is None:
            informed = self._by_confidence(position, confidence, optimism)
            at_position = self.by_position(position + 1, optimism)[-1]
            trust = (1 + tanh(self._evidence / 2)) / 2  # the logistic function, without overflow
            chance = self._known[key] = trust * informed + (1 - trust) * at_position
        return chance

    def _by_confidence(self, position: int, confidence: float, optimism: float = 0.0) -> float:
        bucket = bisect_right(self._prior.bounds, confidence)
        guess = self._prior.by_confidence[bucket]
        pooled = self._pooled[bucket].towards(guess, GUESS_WEIGHT, optimism)
        return self._buckets[position][bucket].towards(pooled, POOL_WEIGHT, optimism)
