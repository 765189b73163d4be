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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import inf

from gemma_mtp.decoding.costs import CostCurve

THERE_AND_BACK = 2  # builds of a graph
STAY = 16  # rounds of one width over which the build of its graph is spread


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
    curve: CostCurve, longest: int, min_width: int, changes: Mapping[int, float]
) -> list[tuple[float, int]]:
    """For 0 to `longest` drafts the seconds of verifying them and the width that takes the least,
    at least `min_width`: a wider one may well be cheaper, with `changes` of width reckoned in.
    Infinite where none was timed."""
    prices: list[tuple[float, int]] = []
    cheapest, width = inf, 0
    for wider in range(max(longest + 1, min_width), 0, -1):
        cost = curve.verify(wider) + changes.get(wider, 0.0)
        if wider >= min_width and cost <= cheapest:
            cheapest, width = cost, wider
        prices.append((cheapest, width))
    return prices[::-1]


def change_costs(
    curve: CostCurve, chances: Sequence[float], rate: float, last_width: int
) -> dict[int, float]:
    """Seconds that a round of each width costs because the one before was `last_width` wide.

    Where a width is worth less in the long run, as drafts are accepted with these chances in
    general, it is left again, so that the graph is built there and back. Where it is worth more it
    stays for a while.
    """
    tokens = list(accumulate(chances, initial=0.0))

    def in_the_long_run(width: int) -> float:
        drafts = min(width - 1, len(chances))
        return tokens[drafts] - rate * (curve.verify(width) + drafts * curve.draft_step)

    here = in_the_long_run(last_width) if last_width in curve else -inf
    return {
        width: curve.rebuild * (THERE_AND_BACK if in_the_long_run(width) < here else 1 / STAY)
        for width in curve.widths
        if width != last_width
    }
