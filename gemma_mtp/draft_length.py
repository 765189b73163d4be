"""How many tokens to draft, and how many of them to verify: the controller.

The rule. A round that verifies m drafts brings 1 + P1 + ... + Pm tokens, with Pi the chance that
the first i drafts are all accepted (Leviathan et al., arXiv 2211.17192, with a chance for each
draft), and costs its draft steps and the cheapest width that holds m + 1 rows. To have the most
tokens per second in the long run, take in each round the choice with the largest

    value = tokens - rate * seconds,

where `rate` is the tokens per second reached lately: time is worth the tokens it would have
brought otherwise (Dinkelbach, 1967, on ratios). While drafting, every new confidence makes the
chances sharper; another token is drafted as long as some longer draft has more value than to stop
here, and in the end as many drafts are verified as have the most value, which may be none.
Drafting costs little, verifying much: where drafts have not paid of late, only now and then one is
made, the target's next token judges it for free, and it grows longer only where that might pay.
What the text itself offers (see `lookup`) costs no drafting and is judged for free in every round;
it is verified instead of a draft where by the same measure it has more value.

Knows no engine and no clock: invented curves and recorded traces drive it as rounds do.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, zip_longest
from math import inf
from operator import mul
from typing import Protocol

from gemma_mtp.acceptance import Acceptance
from gemma_mtp.costs import CostBook, CostCurve
from gemma_mtp.survey import Survey

LONGEST = 7  # drafts; hardly any text accepts more often enough
# Rounds between single drafts where drafting does not pay: at first, and in the end.
PEEK_EVERY, PEEK_SELDOM = 8, 32
BENEFIT_OF_DOUBT = 2.0  # drafts granted as accepted when one is made to look again
TRIAL_ROUNDS = 10  # for which that lasts
RATE_MEMORY = 0.95  # weight of the rounds before in the tokens per second reached lately
GAIN_MEMORY = 0.9  # and in what drafting brought lately
# Acceptance of what is found in the text, by how far it agrees, before anything is known. It is
# judged in every round for free, so that nothing has to be tried out and little need be believed.
FOUND_GUESSES = (0.2, 0.2, 0.2, 0.3, 0.4, 0.5, 0.6)
FOUND_MEMORY = 0.95  # texts differ in this more than drafters do


class Outcome(Protocol):
    """What a controller is told of a round; see `speculative.Round`."""

    @property
    def drafted(self) -> int: ...
    @property
    def matched(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def judged(self) -> int: ...
    @property
    def confidences(self) -> Sequence[float]: ...
    @property
    def found(self) -> Sequence[float]: ...
    @property
    def found_matched(self) -> int: ...
    @property
    def draft_seconds(self) -> float: ...
    @property
    def seconds(self) -> float: ...


class DraftPolicy(Protocol):
    """Decides on a draft, token by token. One round is: begin, take; where that is nothing,
    go_on ..., verify; record."""

    def begin(self, limit: int, min_width: int = 1, position: int = 0) -> int:
        """The longest draft this round, at most `limit`; 0 is a plain round. `position` is that
        of the pending token, and no evaluation may be narrower than `min_width`."""
        ...

    def take(self, found: Sequence[float]) -> tuple[int, int]:
        """How many tokens found in the text to verify instead of a draft, given how far the text
        agrees before each (see `lookup`), and the width to do it with; (0, 0) for a draft."""
        ...

    def go_on(self, confidences: Sequence[float]) -> bool:
        """Whether to draft one more, given the drafter's confidence in each so far."""
        ...

    def verify(self, confidences: Sequence[float]) -> tuple[int, int]:
        """How many of the drafts to verify, and the width to do it with (more rows are padding)."""
        ...

    def record(self, outcome: Outcome) -> None:
        """What the round cost and brought."""
        ...

    def plain_step(self, seconds: float) -> None:
        """A step of width 1, timed on the side."""
        ...


class FixedDraft:
    """Always the same draft length."""

    def __init__(self, length: int) -> None:
        self.length = length
        self._width = 1

    def begin(self, limit: int, min_width: int = 1, position: int = 0) -> int:
        longest = min(self.length, limit)
        self._width = max(longest + 1, min_width)
        return longest

    def take(self, found: Sequence[float]) -> tuple[int, int]:
        return 0, 0

    def go_on(self, confidences: Sequence[float]) -> bool:
        return True

    def verify(self, confidences: Sequence[float]) -> tuple[int, int]:
        return len(confidences), self._width

    def record(self, outcome: Outcome) -> None:
        """Nothing to learn."""

    def plain_step(self, seconds: float) -> None:
        """Nothing to learn."""


class AutoDraft:
    """The choice of most value in each round; learns costs and acceptance from all of them."""

    def __init__(self, book: CostBook | None = None) -> None:
        self.book = book or CostBook()
        self.curve: CostCurve = self.book.at(0)
        self.acceptance = Acceptance(LONGEST)
        self.found = Acceptance(LONGEST, FOUND_GUESSES, FOUND_MEMORY)
        self._found_chances: list[float] = []  # of what was found last
        self.survey = Survey()
        self._tokens = self._seconds = 0.0
        self._gain = 0.0
        self._since_peek, self._peek_after = 0, PEEK_EVERY
        self._last_width = 0
        self._limit, self._min_width = LONGEST, 1
        self._doubt, self._trial = 0.0, 0
        self._prices: list[tuple[float, int]] = []  # of this round, by rows
        self._rate = 0.0  # as this round begins
        self._timing: int | None = None  # the width being surveyed

    def begin(self, limit: int, min_width: int = 1, position: int = 0) -> int:
        self.curve = self.book.at(position)
        self._trial -= 1
        self._doubt, self._timing = 0.0, None
        self._limit, self._min_width = min(limit, LONGEST), min_width
        self._prices = self._price_list()
        self._rate = self._rate_lately()
        if limit < 1:
            return 0
        at_best = [
            max(pair) for pair in zip_longest(self._chances([]), self._found_chances, fillvalue=0.0)
        ]
        self._timing = self.survey.next(self.curve, min_width, self._limit + 1, self._rate, at_best)
        if self._timing is not None:
            self._limit = self._timing - 1
            return self._limit
        if not self.curve.draft_step or self._prices[0][0] == inf:
            return 0  # nothing to compare with yet
        self._since_peek += 1
        self._doubt = BENEFIT_OF_DOUBT if self._trial > 0 else 0.0
        if self._gain > 0 or self._promises([]):
            self._peek_after = PEEK_EVERY
            return self._limit
        if self._since_peek < self._peek_after:
            return 0
        self._doubt, self._trial = BENEFIT_OF_DOUBT, TRIAL_ROUNDS
        return self._limit

    def take(self, found: Sequence[float]) -> tuple[int, int]:
        each = (self.found.of(i, agreed) for i, agreed in enumerate(found[: self._limit]))
        self._found_chances = list(accumulate(each, mul))
        if not found or self._timing is not None or self._prices[0][0] == inf:
            return 0, 0
        values = self._values(self._found_chances)
        kept = max(range(len(values)), key=values.__getitem__)
        if kept == 0 or values[kept] <= self._value_of_drafting():
            return 0, 0
        width = self._prices[kept][1]
        self._judge([], 1 + sum(self._found_chances[:kept]), width, 0.0)
        return kept, width

    def _value_of_drafting(self) -> float:
        """What the best draft is expected to be worth before it is made."""
        values, step = self._values(self._chances([])), self._rate * self.curve.draft_step
        return max(value - m * step for m, value in enumerate(values))

    def go_on(self, confidences: Sequence[float]) -> bool:
        return self._timing is not None or self._promises(confidences)

    def verify(self, confidences: Sequence[float]) -> tuple[int, int]:
        if self._timing is not None:
            return len(confidences), max(self._timing, self._min_width)
        chances = self._chances(confidences)[: len(confidences)]
        values = self._values(chances)
        kept = max(range(len(values)), key=values.__getitem__)
        width = self._prices[kept][1]
        self._judge(confidences, 1 + sum(chances[:kept]), width, values[kept] - values[0])
        return kept, width

    def _judge(self, confidences: Sequence[float], tokens: float, width: int, gain: float) -> None:
        """Keep the rate, and whether drafting was worth its steps."""
        drafting = len(confidences) * self.curve.draft_step
        self._tokens = RATE_MEMORY * self._tokens + tokens
        self._seconds = RATE_MEMORY * self._seconds + drafting + self.curve.verify(width)
        if confidences:
            self._since_peek = 0
            self._peek_after = min(2 * self._peek_after, PEEK_SELDOM)
            gain -= self._rate * drafting
            self._gain = GAIN_MEMORY * self._gain + (1 - GAIN_MEMORY) * gain

    def record(self, outcome: Outcome) -> None:
        if outcome.drafted:
            self.curve.drafted(outcome.drafted, outcome.draft_seconds)
            self.acceptance.record(outcome.confidences[: outcome.judged], outcome.matched)
        judged = min(outcome.judged, LONGEST)
        self.found.record(outcome.found[:judged], outcome.found_matched)
        seconds = outcome.seconds - outcome.draft_seconds
        self.curve.verified(outcome.width, seconds, outcome.width != self._last_width)
        self._last_width = outcome.width

    def plain_step(self, seconds: float) -> None:
        self.curve.verified(1, seconds, changed=False)
        self._last_width = 1

    def _rate_lately(self) -> float:
        """Tokens per second reached lately, and at least those of plain decoding."""
        plain = 1 / self._prices[0][0]
        return max(plain, self._tokens / self._seconds) if self._seconds else plain

    def _chances(self, confidences: Sequence[float]) -> list[float]:
        """P1, P2, ...: by confidence for what is drafted, by position for what is not yet."""
        each = self.acceptance.by_position(self._limit, self._doubt)
        for i, confidence in enumerate(confidences):
            each[i] = self.acceptance.of(i, confidence, self._doubt)
        return list(accumulate(each, mul))

    def _promises(self, confidences: Sequence[float]) -> bool:
        """Whether some longer draft has more value than to stop here."""
        drafted, chances = len(confidences), self._chances(confidences)
        values = self._values(chances)
        step = self._rate * self.curve.draft_step
        longer = (values[m] - (m - drafted) * step for m in range(drafted + 1, len(values)))
        return max(longer, default=-inf) > max(values[: drafted + 1])

    def _values(self, chances: Sequence[float]) -> list[float]:
        """Value of verifying the first 0, 1, ... drafts; the one token of every round left out."""
        tokens = accumulate(chances, initial=0.0)
        return [t - self._rate * cost for t, (cost, _) in zip(tokens, self._prices, strict=False)]

    def _price_list(self) -> list[tuple[float, int]]:
        """Seconds of verifying 1, 2, ... rows, and the cheapest width that holds so many; wider
        may well be cheaper."""
        prices: list[tuple[float, int]] = []
        cheapest, width = inf, 0
        for wider in range(max(self._limit + 1, self._min_width), 0, -1):
            cost = self.curve.verify(wider) if wider >= self._min_width else inf
            if cost <= cheapest:
                cheapest, width = cost, wider
            # A change costs once, a width stays for a while.
            rebuild = self.curve.rebuild / 2 if width != self._last_width else 0.0
            prices.append((cheapest + rebuild, width))
        return prices[::-1]
