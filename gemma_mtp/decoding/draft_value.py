"""What drafts are worth: the rule by which a draft is begun, continued, and verified.

A round that verifies m drafts brings 1 + P1 + ... + Pm tokens, with Pi the chance that the first i
drafts are all accepted (Leviathan et al., arXiv 2211.17192, with a chance for each draft), and
costs its draft steps and the cheapest width that holds m + 1 rows. To have the most tokens per
second in the long run, take in each round the choice with the largest

    value = tokens - rate * seconds,

where `rate` is the tokens per second reached lately: time is worth the tokens it would have
brought otherwise (Dinkelbach, 1967, on ratios). Knows only numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import inf

from gemma_mtp.decoding.costs import CostCurve


@dataclass(frozen=True)
class DraftValue:
    """Prices of one round. `widths[m]` is what verifying m drafts takes in seconds, and the width
    to do it with; `draft_step` seconds make one draft; `rate` is in tokens per second."""

    widths: Sequence[tuple[float, int]]
    draft_step: float
    rate: float

    def verifying(self, chances: Sequence[float]) -> list[float]:
        """Value of verifying the first 0, 1, ... drafts, which are accepted with these chances;
        the one token that every round brings is left out."""
        tokens = accumulate(chances, initial=0.0)
        return [t - self.rate * cost for t, (cost, _) in zip(tokens, self.widths, strict=False)]

    def drafting(self, chances: Sequence[float], drafted: int = 0) -> list[float]:
        """Value of verifying 0, 1, ... drafts when those beyond `drafted` have yet to be made."""
        step = self.rate * self.draft_step
        values = self.verifying(chances)
        return [value - max(m - drafted, 0) * step for m, value in enumerate(values)]

    def longer_pays(self, chances: Sequence[float], drafted: int) -> bool:
        """Whether some longer draft has more value than to stop after so many."""
        values = self.drafting(chances, drafted)
        return max(values[drafted + 1 :], default=-inf) > max(values[: drafted + 1])

    def best(self, chances: Sequence[float]) -> tuple[int, int, float]:
        """How many of these drafts to verify, the width for it, and by how much that is worth more
        than a plain round."""
        values = self.verifying(chances)
        kept = max(range(len(values)), key=values.__getitem__)
        return kept, self.widths[kept][1], values[kept] - values[0]


def cheapest_widths(
    curve: CostCurve, longest: int, min_width: int, last_width: int
) -> list[tuple[float, int]]:
    """For 0 to `longest` drafts the seconds of verifying them and the width that takes the least,
    at least `min_width`: a wider one may well be cheaper. Infinite where none was timed."""
    # A change of width costs once, a width stays for a while.
    change = curve.rebuild / 2
    prices: list[tuple[float, int]] = []
    cheapest, width = inf, 0
    for wider in range(max(longest + 1, min_width), 0, -1):
        if wider >= min_width and (cost := curve.verify(wider)) <= cheapest:
            cheapest, width = cost, wider
        prices.append((cheapest + (change if width != last_width else 0.0), width))
    return prices[::-1]
