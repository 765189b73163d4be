"""Which width to time next, so that the cost curve gets known without anybody waiting for it.

Any round can be padded to any width and still writes valid text, so a width is timed by using it
for a few rounds. What those lose against the rounds they stand in for is kept to a small share of
the text: a width about as good as the one in use is timed often, a hopeless one never. Knows only
numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gemma_mtp.decoding.costs import ANCHOR_ROUNDS, CostCurve

# Likely winners first: llama.cpp has kernels for groups of four rows; 1 is plain decoding.
PROBE_ORDER = (4, 1, 8, 2, 3, 6, 5, 7)
FIRST_WIDTHS = 2  # timed one after the other: without them nothing can be compared
PROBE_ROUNDS = ANCHOR_ROUNDS  # at one width; the first only rebuilds llama.cpp's graph
PROBE_INTERVAL = 16  # rounds between two widths
BUDGET_PER_ROUND = 0.0025  # tokens that each round grants for timing known widths again
# Tokens granted at the start, since remembered costs may have changed, and at the most.
FIRST_BUDGET, LARGEST_BUDGET = 1.0, 4.0
OPTIMISM = 0.85  # of its known cost is what a width timed again is hoped to take
NARROWER_SAVES = 0.8  # of the cost of a wider width is what a width never timed is hoped to take
SMALLEST_LOSS = 0.01  # of a token; without it a timing that costs nothing would come every time


@dataclass(frozen=True)
class Outlook:
    """What is to be expected of the coming rounds. `rate` is in tokens per second, as reached
    lately. `chances` are those that the first 1, 2, ... drafts are all accepted; `at_best` are the
    same for drafts or for what is found in the text, whichever is likelier."""

    curve: CostCurve
    rate: float
    chances: Sequence[float]
    at_best: Sequence[float]

    def useful(self, width: int, seconds: float) -> bool:
        """Whether a round of this width could pay, if all went well, with verifying taking
        `seconds`."""
        drafts = width - 1
        return 1 + sum(self.at_best[:drafts]) > self.rate * (
            seconds + drafts * self.curve.draft_step
        )

    def loss(self, width: int) -> float:
        """Tokens that timing a known width may cost against the rate; less than 0 is a gain."""
        drafts = width - 1
        round_seconds = self.curve.verify(width) + drafts * self.curve.draft_step
        changes = 2 * self.rate * self.curve.rebuild
        return PROBE_ROUNDS * (self.rate * round_seconds - 1 - sum(self.chances[:drafts])) + changes


class WidthProbes:
    """`next` says which width the coming round should have, None if any."""

    def __init__(self) -> None:
        self._width: int | None = None
        self._left = 0
        self._since_probe = 0
        self._budget = FIRST_BUDGET

    def next(self, outlook: Outlook, narrowest: int, widest: int) -> int | None:
        """A width between these two, or None."""
        self._since_probe += 1
        self._budget = min(self._budget + BUDGET_PER_ROUND, LARGEST_BUDGET)
        if self._width is None:
            if self._since_probe % PROBE_INTERVAL and len(outlook.curve) >= FIRST_WIDTHS:
                return None
            self._width = self._choose(
                outlook, [w for w in PROBE_ORDER if narrowest <= w <= widest]
            )
            self._left = PROBE_ROUNDS
            self._since_probe = 0 if self._width is not None else self._since_probe
        elif not narrowest <= self._width <= widest:
            self._width = None  # another time
        if self._width is None:
            return None
        width, self._left = self._width, self._left - 1
        if self._left == 0:
            self._width = None
        return width

    def _choose(self, outlook: Outlook, possible: list[int]) -> int | None:
        curve = outlook.curve
        unknown = [w for w in possible if w not in curve]
        if unknown and len(possible) - len(unknown) < FIRST_WIDTHS:
            return unknown[0]
        if self._since_probe < PROBE_INTERVAL:
            return None
        for width in unknown:
            if outlook.useful(width, _least(curve, width)):
                return width
        return self._again(outlook, [w for w in possible if w in curve])

    def _again(self, outlook: Outlook, known: list[int]) -> int | None:
        """The known width to be timed again, if one can be afforded."""
        curve = outlook.curve
        worthwhile = [
            w
            for w in known
            if curve.rounds_since(w) > PROBE_INTERVAL
            and outlook.useful(w, OPTIMISM * curve.verify(w))
        ]
        for width in worthwhile:
            if width in curve.doubted:
                return width
        losses = {w: max(outlook.loss(w), SMALLEST_LOSS) for w in worthwhile}
        next_one = min(losses, key=lambda w: losses[w] / curve.rounds_since(w), default=None)
        if next_one is None or losses[next_one] > self._budget:
            return None
        self._budget -= losses[next_one]
        return next_one


def _least(curve: CostCurve, width: int) -> float:
    """What a width never timed can be hoped to cost."""
    wider = [NARROWER_SAVES * curve.verify(w) for w in curve.widths if w > width]
    return max(min(wider, default=0.0), min(curve.verify(w) for w in curve.widths))
