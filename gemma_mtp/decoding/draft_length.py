"""How many tokens to draft, and how many of them to verify: the controller.

What a choice is worth, `worth` says. While drafting, every new confidence makes the chances
sharper; another token is drafted as long as some longer draft has more value than to stop here,
and in the end as many drafts are verified as have the most value, which may be none. Drafting
costs little, verifying much: where drafts have not paid of late, only now and then one is made,
the target's next token judges it for free, and it grows longer only where that might pay. What the
text itself offers (see `lookup`) costs no drafting and is judged for free in every round; it is
verified instead of a draft where it has more value.

Knows no engine and no clock: invented curves and recorded traces drive it as rounds do.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, zip_longest
from math import inf
from operator import mul
from typing import Protocol

from gemma_mtp.decoding.acceptance import Acceptance, Prior
from gemma_mtp.decoding.costs import CostBook, CostCurve
from gemma_mtp.decoding.draft_value import Worth, cheapest_widths
from gemma_mtp.decoding.width_probes import Outlook, Survey

LONGEST = 7  # drafts; hardly any text accepts more often enough
# Rounds between single drafts where drafting does not pay: at first, and in the end.
PEEK_EVERY, PEEK_SELDOM = 8, 32
BENEFIT_OF_DOUBT = 2.0  # drafts granted as accepted when one is made to look again
TRIAL_ROUNDS = 10  # for which that lasts
RATE_MEMORY = 0.95  # weight of the rounds before in the tokens per second reached lately
GAIN_MEMORY = 0.9  # and in what drafting brought lately
# What is found in the text is judged in every round for free, so that nothing has to be tried out
# and little need be believed; and texts differ in this more than drafters do.
LOOKUP_PRIOR = Prior((0.2, 0.2, 0.2, 0.3, 0.4, 0.5, 0.6), by_position=0.2, memory=0.95)


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

    def plain_step(self, seconds: float, width: int) -> None:
        """A plain step of `width` rows, timed on the side."""
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

    def plain_step(self, seconds: float, width: int) -> None:
        """Nothing to learn."""


class AutoDraft:
    """The choice of most value in each round; learns costs and acceptance from all of them."""

    def __init__(self, book: CostBook | None = None) -> None:
        self.book = book or CostBook()
        self.curve: CostCurve = self.book.at(0)
        self.acceptance = Acceptance(LONGEST)
        self.found = Acceptance(LONGEST, LOOKUP_PRIOR)
        self._found_chances: list[float] = []  # of what was found last
        self.survey = Survey()
        self._tokens = self._seconds = 0.0
        self._gain = 0.0
        self._since_peek, self._peek_after = 0, PEEK_EVERY
        self._last_width = 0
        self._limit, self._min_width = LONGEST, 1
        self._doubt, self._trial = 0.0, 0
        self._worth = Worth((), 0.0, 0.0)  # in this round
        self._timing: int | None = None  # the width being surveyed

    def new_reply(self) -> None:
        """Something else was evaluated meanwhile, so that the next round has a graph to build."""
        self._last_width = 0

    def begin(self, limit: int, min_width: int = 1, position: int = 0) -> int:
        self._take_curve(self.book.at(position))
        self._trial -= 1
        self._doubt, self._timing = 0.0, None
        self._limit, self._min_width = min(limit, LONGEST), min_width
        widths = cheapest_widths(self.curve, self._limit, min_width, self._last_width)
        self._worth = Worth(widths, self.curve.draft_step, self._rate_lately(widths[0][0]))
        if limit < 1:
            return 0
        chances = self._chances([])
        self._timing = self._to_be_timed(chances)
        if self._timing is not None:
            self._limit = self._timing - 1
            return self._limit
        if not self._worth.draft_step or not self._comparable:
            return 0
        self._since_peek += 1
        if self._trial > 0:
            self._doubt = BENEFIT_OF_DOUBT
            chances = self._chances([])
        if self._gain > 0 or self._worth.longer_pays(chances, 0):
            self._peek_after = PEEK_EVERY
            return self._limit
        if self._since_peek < self._peek_after:
            return 0
        self._doubt, self._trial = BENEFIT_OF_DOUBT, TRIAL_ROUNDS
        return self._limit

    def take(self, found: Sequence[float]) -> tuple[int, int]:
        each = (self.found.of(i, agreed) for i, agreed in enumerate(found[: self._limit]))
        self._found_chances = list(accumulate(each, mul))
        if not found or self._timing is not None or not self._comparable:
            return 0, 0
        kept, width, gain = self._worth.best(self._found_chances)
        drafting = self._worth.drafting(self._chances([]))
        if kept == 0 or gain <= max(drafting) - drafting[0]:
            return 0, 0
        self._reached(1 + sum(self._found_chances[:kept]), width, 0)
        return kept, width

    def go_on(self, confidences: Sequence[float]) -> bool:
        if self._timing is not None:
            return True
        return self._worth.longer_pays(self._chances(confidences), len(confidences))

    def verify(self, confidences: Sequence[float]) -> tuple[int, int]:
        if self._timing is not None:
            return len(confidences), max(self._timing, self._min_width)
        chances = self._chances(confidences)[: len(confidences)]
        kept, width, gain = self._worth.best(chances)
        self._reached(1 + sum(chances[:kept]), width, len(confidences))
        if confidences:
            self._since_peek = 0
            self._peek_after = min(2 * self._peek_after, PEEK_SELDOM)
            gain -= self._worth.rate * len(confidences) * self._worth.draft_step
            self._gain = GAIN_MEMORY * self._gain + (1 - GAIN_MEMORY) * gain
        return kept, width

    def record(self, outcome: Outcome) -> None:
        if outcome.drafted:
            self.curve.drafted(outcome.drafted, outcome.draft_seconds)
            self.acceptance.record(outcome.confidences[: outcome.judged], outcome.matched)
        judged = min(outcome.judged, LONGEST)
        self.found.record(outcome.found[:judged], outcome.found_matched)
        seconds = outcome.seconds - outcome.draft_seconds
        self.curve.verified(outcome.width, seconds, outcome.width != self._last_width)
        self._last_width = outcome.width

    def plain_step(self, seconds: float, width: int) -> None:
        self.curve.verified(width, seconds, changed=False)
        self._last_width = width

    @property
    def _comparable(self) -> bool:
        """Whether it is known what a round without drafts costs."""
        return self._worth.widths[0][0] < inf

    def _to_be_timed(self, chances: list[float]) -> int | None:
        """The width of this round, if it is to be one of the survey's."""
        pairs = zip_longest(chances, self._found_chances, fillvalue=0.0)
        at_best = [max(pair) for pair in pairs]
        outlook = Outlook(self.curve, self._worth.rate, chances, at_best)
        return self.survey.next(outlook, self._min_width, self._limit + 1)

    def _take_curve(self, curve: CostCurve) -> None:
        """With another number of threads the same rounds would have taken another time."""
        if curve is not self.curve and self._last_width in curve:
            before = self.curve.verify(self._last_width)
            self._seconds *= curve.verify(self._last_width) / before
        self.curve = curve

    def _reached(self, tokens: float, width: int, drafted: int) -> None:
        """Keep the rate; of a width never timed it is not known what it takes."""
        seconds = drafted * self._worth.draft_step + self.curve.verify(width)
        if seconds < inf:
            self._tokens = RATE_MEMORY * self._tokens + tokens
            self._seconds = RATE_MEMORY * self._seconds + seconds

    def _rate_lately(self, plain: float) -> float:
        """Tokens per second reached lately, and at least those of plain rounds."""
        lately = self._tokens / self._seconds if self._seconds else 0.0
        return max(1 / plain, lately)

    def _chances(self, confidences: Sequence[float]) -> list[float]:
        """P1, P2, ...: by confidence for what is drafted, by position for what is not yet."""
        each = self.acceptance.by_position(self._limit, self._doubt)
        for i, confidence in enumerate(confidences):
            each[i] = self.acceptance.of(i, confidence, self._doubt)
        return list(accumulate(each, mul))
