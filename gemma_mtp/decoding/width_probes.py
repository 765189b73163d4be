"""Which width to time next, so that the cost curve gets known without anybody waiting for it.

Any round can be padded to any width and still writes valid text, so a width is timed by using it
for a few rounds. A width never used is tried when the allowance covers what that is expected to
lose, and given up after one round if that says enough. What timing known widths again loses is kept
to a small share of the text: one about as good as the one in use is timed often, a hopeless one
never. Knows only numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gemma_mtp.decoding.allowance import Allowance
from gemma_mtp.decoding.costs import ANCHOR_ROUNDS, FROM_MEMORY, CostCurve, Guess

# Likely winners first: llama.cpp has kernels for groups of four rows.
PROBE_ORDER = (4, 8, 2, 1, 3, 6, 5, 7)
FIRST_WIDTHS = 2  # used before the interval counts: without a second one nothing can be compared
PLAIN_TIMINGS = 2  # of plain rounds before any width is set against them: one may be a stall
PROBE_ROUNDS = ANCHOR_ROUNDS  # at one width; the first only rebuilds llama.cpp's graph
PROBE_INTERVAL = 16  # rounds between two widths
BUDGET_PER_ROUND = 0.0025  # tokens that each round grants for timing known widths again
# Tokens granted at the start, since remembered costs may have changed, and at the most.
FIRST_BUDGET, LARGEST_BUDGET = 1.0, 4.0
OPTIMISM = 0.85  # of its known cost is what a width timed again is hoped to take
WHOLE_GROUPS = (1, 4)  # no wider width is hoped to cost less than these
NARROWER_SAVES = 0.8  # of the cost of a wider width is what a width never timed is hoped to take
SMALLEST_LOSS = 0.01  # of a token; without it a timing that costs nothing would come every time


@dataclass(frozen=True)
class Outlook:
    """What is to be expected of the coming rounds. `rate` is in tokens per second, as reached
    lately. `chances` are those that the first 1, 2, ... drafts are all accepted; `at_best` are the
    same for drafts or for what is found in the text, whichever is likelier. `draft_step` seconds
    make one draft; rounds without any are `plain` wide."""

    curve: CostCurve
    rate: float
    chances: Sequence[float]
    at_best: Sequence[float]
    draft_step: float
    plain: int = 1
    guess: Guess = FROM_MEMORY

    def useful(self, width: int, seconds: float) -> bool:
        """Whether a round of this width could pay, if all went well, with verifying taking
        `seconds`."""
        drafts = width - 1
        return 1 + sum(self.at_best[:drafts]) > self.rate * (seconds + drafts * self.draft_step)

    def round_loss(self, width: int, seconds: float) -> float:
        """Tokens that one round of this width, with verifying taking `seconds`, is expected to
        lose against the rate; less than 0 is a gain."""
        drafts = min(width - 1, len(self.chances))
        taken = self.rate * (seconds + drafts * self.draft_step)
        return taken - 1 - sum(self.chances[:drafts])

    def first_loss(self, width: int) -> float:
        """The same where this width was never used and the round may take what is found instead."""
        seconds = self.guessed(width)
        found = self.rate * seconds - 1 - sum(self.at_best[: width - 1])
        return found if self.at_best != self.chances else self.round_loss(width, seconds)

    def loss(self, width: int) -> float:
        """The same for timing a known width, with the changes of width there and back."""
        changes = 2 * self.rate * self.curve.rebuild
        return PROBE_ROUNDS * self.round_loss(width, self.curve.verify(width)) + changes

    def guessed(self, width: int) -> float:
        """Seconds that a width never used is taken to cost: on the line between its neighbours,
        or as far from the nearest narrower one as rows cost so far."""
        curve, plain = self.curve, self.curve.verify(self.plain)
        narrower = max((w for w in curve.widths if w < width), default=self.plain)
        wider = min((w for w in curve.widths if w > width), default=None)
        start, row = curve.verify(narrower), self.guess.row * plain
        if wider is not None:
            row = (curve.verify(wider) - start) / (wider - narrower)
        elif narrower > self.plain:
            row = (start - plain) / (narrower - self.plain)
        return start + row * (width - narrower)


class WidthProbes:
    """`next` says which width the coming round should have, None if any."""

    def __init__(self) -> None:
        self._width: int | None = None
        self._left = 0
        self._since_probe = 0
        self._budget = FIRST_BUDGET

    def next(
        self, outlook: Outlook, narrowest: int, widest: int, allowance: Allowance
    ) -> int | None:
        """A width between these two, or None."""
        self._since_probe += 1
        self._budget = min(self._budget + BUDGET_PER_ROUND, LARGEST_BUDGET)
        if self._width is not None and not self._goes_on(outlook, narrowest, widest, allowance):
            self._width = None
        elif self._width is None:
            self._begin(outlook, [w for w in PROBE_ORDER if narrowest <= w <= widest], allowance)
        if self._width is None:
            return None
        width, self._left = self._width, self._left - 1
        if self._left == 0:
            self._width = None
        return width

    def _begin(self, outlook: Outlook, possible: list[int], allowance: Allowance) -> None:
        curve = outlook.curve
        if curve.timings(outlook.plain) < PLAIN_TIMINGS:
            return
        if self._since_probe < PROBE_INTERVAL and len(curve) >= FIRST_WIDTHS:
            return
        self._width = self._unknown(outlook, possible, allowance)
        if self._width is None and self._since_probe % PROBE_INTERVAL == 0:
            self._width = self._again(outlook, [w for w in possible if w in curve])
        if self._width is not None:
            self._left, self._since_probe = PROBE_ROUNDS, 0

    def _goes_on(self, outlook: Outlook, narrowest: int, widest: int, allowance: Allowance) -> bool:
        """Whether the width that is being timed is timed once more."""
        width, curve = self._width, outlook.curve
        assert width is not None
        if not narrowest <= width <= widest:
            return False  # another time
        if width not in curve or curve.timings(width) == ANCHOR_ROUNDS:
            return True
        cost = curve.verify(width)
        return outlook.useful(width, OPTIMISM * cost) and allowance.affords(
            outlook.round_loss(width, cost)
        )

    def _unknown(self, outlook: Outlook, possible: list[int], allowance: Allowance) -> int | None:
        """The next width hardly ever used that may pay, if trying it can be afforded."""
        curve = outlook.curve
        for width in possible:
            if curve.is_open(width) and outlook.useful(width, _least(curve, width)):
                return width if allowance.affords(outlook.first_loss(width)) else None
        return None

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
    """What a width never used can be hoped to cost."""
    wider = [NARROWER_SAVES * curve.verify(w) for w in curve.widths if w > width]
    narrower = [curve.verify(w) for w in curve.widths if w < width and w in WHOLE_GROUPS]
    return max(min(wider, default=0.0), max(narrower, default=0.0))
