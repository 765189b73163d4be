"""Which width to time next, so that the cost curve gets known without anybody waiting for it.

Any round can be padded to any width and still writes valid text, so a width is timed by using it
for a few rounds. Knows only numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

from gemma_mtp.costs import ANCHOR_ROUNDS, CostCurve

# Likely winners first: llama.cpp has kernels for groups of four rows; 1 is plain decoding.
ORDER = (4, 1, 8, 2, 3, 6, 5, 7)
AT_ONCE = 2  # widths timed without a pause: without them nothing can be compared
ROUNDS = ANCHOR_ROUNDS  # at one width; the first only rebuilds llama.cpp's graph
PAUSE = 16  # rounds between two widths
REVISIT = 1024  # rounds, after which the width timed longest ago gets another chance
BENEFIT_OF_DOUBT = 0.75  # of its known cost, when a width is timed again
NARROWER = 0.8  # of the cost of a wider width that a width never timed may take at the least


class Survey:
    """`next` says which width the coming round should have, None if any."""

    def __init__(self) -> None:
        self._width: int | None = None
        self._left = 0
        self._rest = 0

    def next(
        self,
        curve: CostCurve,
        narrowest: int,
        widest: int,
        rate: float,
        chances: Sequence[float],
    ) -> int | None:
        """`rate` in tokens per second, `chances` that the first 1, 2, ... drafts are accepted:
        a width is timed only if it could be of use at the very best."""
        self._rest += 1
        if self._width is None:
            if self._rest % PAUSE and len(curve) >= AT_ONCE:
                return None
            self._width = self._choose(curve, narrowest, widest, rate, chances)
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

    def _choose(
        self,
        curve: CostCurve,
        narrowest: int,
        widest: int,
        rate: float,
        chances: Sequence[float],
    ) -> int | None:
        possible = [w for w in ORDER if narrowest <= w <= widest]
        unknown = [w for w in possible if w not in curve]
        first = len([w for w in possible if w in curve]) < AT_ONCE
        if unknown and first:
            return unknown[0]
        if self._rest < PAUSE:
            return None

        def useful(width: int, cost: float) -> bool:
            drafts = width - 1
            seconds = cost + drafts * curve.draft_step
            return 1 + sum(chances[:drafts]) > rate * seconds

        for width in unknown:
            if useful(width, _least(curve, width)):
                return width
        doubted = [w for w in possible if w in curve.doubted]
        old = [w for w in possible if w in curve and curve.rounds_since(w) > REVISIT]
        for width in doubted or (old if self._rest > REVISIT else []):
            if useful(width, BENEFIT_OF_DOUBT * curve.verify(width)):
                return width
        return None


def _least(curve: CostCurve, width: int) -> float:
    """What a width never timed can be hoped to cost."""
    wider = [NARROWER * curve.verify(w) for w in curve.widths if w > width]
    return max(min(wider, default=0.0), min(curve.verify(w) for w in curve.widths))
