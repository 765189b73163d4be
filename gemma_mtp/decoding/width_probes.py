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
ORDER = (4, 1, 8, 2, 3, 6, 5, 7)
AT_ONCE = 2  # widths timed without a pause: without them nothing can be compared
ROUNDS = ANCHOR_ROUNDS  # at one width; the first only rebuilds llama.cpp's graph
PAUSE = 16  # rounds between two widths
SHARE = 0.0025  # tokens that each round grants for timing known widths again
# Tokens granted at the start, and at most at any time; kept costs may be outdated.
FIRST_CREDIT, MOST_CREDIT = 1.0, 4.0
# Share of its known cost that a width is hoped to take when it is timed again.
BENEFIT_OF_DOUBT = 0.85
# Share of a wider width's cost: a width that was never timed is taken to cost no less.
NARROWER = 0.8
# Tokens; otherwise a width that costs nothing to time would come first every time.
LEAST_LOSS = 0.01


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
        return ROUNDS * (self.rate * round_seconds - 1 - sum(self.chances[:drafts])) + changes


class WidthProbes:
    """`next` says which width the coming round should have, None if any."""

    def __init__(self) -> None:
        self._width: int | None = None
        self._left = 0
        self._rest = 0
        self._credit = FIRST_CREDIT

    def next(self, outlook: Outlook, narrowest: int, widest: int) -> int | None:
        """A width between these two, or None."""
        self._rest += 1
        self._credit = min(self._credit + SHARE, MOST_CREDIT)
        if self._width is None:
            if self._rest % PAUSE and len(outlook.curve) >= AT_ONCE:
                return None
            self._width = self._choose(outlook, [w for w in ORDER if narrowest <= w <= widest])
            self._left = ROUNDS
            self._rest = 0 if self._width is not None else self._rest
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
        if unknown and len(possible) - len(unknown) < AT_ONCE:
            return unknown[0]
        if self._rest < PAUSE:
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
            if curve.rounds_since(w) > PAUSE
            and outlook.useful(w, BENEFIT_OF_DOUBT * curve.verify(w))
        ]
        for width in worthwhile:
            if width in curve.doubted:
                return width
        losses = {w: max(outlook.loss(w), LEAST_LOSS) for w in worthwhile}
        next_one = min(losses, key=lambda w: losses[w] / curve.rounds_since(w), default=None)
        if next_one is None or losses[next_one] > self._credit:
            return None
        self._credit -= losses[next_one]
        return next_one


def _least(curve: CostCurve, width: int) -> float:
    """What a width never timed can be hoped to cost."""
    wider = [NARROWER * curve.verify(w) for w in curve.widths if w > width]
    return max(min(wider, default=0.0), min(curve.verify(w) for w in curve.widths))
