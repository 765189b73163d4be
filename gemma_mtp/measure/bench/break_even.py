"""When drafting pays: what a round costs in plain steps against the tokens it brings.

A round of k drafts brings E = 1 + P1 + ... + Pk tokens, with Pi the chance that the first i are
accepted, and costs R plain steps: E / R is the speedup, and E what it would be if drafting and
verifying were free. Knows only numbers.
"""

from __future__ import annotations

from gemma_mtp.decoding.costs import Costs


def round_cost(costs: Costs, drafts: int) -> float | None:
    """A round of so many drafts in plain steps, at the cheapest measured width that holds it."""
    widths = [seconds for width, seconds in costs.verify.items() if width > drafts]
    if not widths or 1 not in costs.verify:
        return None
    plain = costs.verify[1] + costs.overhead
    return (min(widths) + drafts * costs.draft_step + costs.overhead) / plain


def expected(drafts: int, chance: float) -> float:
    """Tokens that a round of so many drafts brings, each accepted with this chance if those before
    it were."""
    return sum(chance**i for i in range(drafts + 1))


def break_even(cost: float, drafts: int) -> float | None:
    """The chance of acceptance from which a round of `cost` plain steps and `drafts` drafts pays.

    It is that of each draft, given that those before it were accepted. None where the round would
    not even pay if every draft were accepted.
    """
    if cost >= drafts + 1:
        return None
    low, high = 0.0, 1.0
    for _ in range(40):
        chance = (low + high) / 2
        if expected(drafts, chance) < cost:
            low = chance
        else:
            high = chance
    return high
