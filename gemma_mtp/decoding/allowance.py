"""How much may be lost to find out whether drafting pays: a small share of the text.

Each round is set against plain decoding. What it gained or lost is kept as an account in tokens, to
which each token written adds a little; what only finds things out has to be paid from it. So
`auto` falls behind plain decoding by no more than that share, whatever it tries (conservative
exploration: Wu et al., arXiv 1602.04282, with plain decoding as the baseline). The controller
keeps one for the session. Knows only numbers.
"""

from __future__ import annotations

SHARE = 0.015  # of the tokens written, for deciding and for trying out together
FIRST = 0.25  # tokens at the start: enough for two single drafts of a real model, 0.12 each
MOST_SAVED, MOST_OWED = 16.0, 4.0  # tokens


class Allowance:
    """An account in tokens: ahead of plain decoding, or behind it where it is negative."""

    def __init__(self) -> None:
        self.tokens = FIRST

    def affords(self, loss: float) -> bool:
        """Whether something that is expected to lose so many tokens may be tried; what is expected
        to gain always may."""
        return loss <= max(self.tokens, 0.0)

    def settle(self, tokens: int, plain_steps: float) -> None:
        """A round brought so many tokens and took so many plain steps."""
        balance = self.tokens + tokens * (1 + SHARE) - plain_steps
        self.tokens = max(-MOST_OWED, min(MOST_SAVED, balance))
