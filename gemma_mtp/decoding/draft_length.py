"""How many tokens to draft, and how many of them to verify: the controller.

What a choice is worth, `draft_value` says. While drafting, every new confidence makes the chances
sharper; another token is drafted as long as some longer draft has more value than to stop here,
and in the end as many drafts are verified as have the most value, which may be none. Drafting
costs little, verifying much: where drafts have not paid of late, only now and then one is made,
the target's next token judges it for free, and it grows longer only where that might pay. What
sources offer that cost no drafting (see `drafters`) is judged in every round, and verified instead
of a draft where it has more value.

A round drives it. Knows no engine and no clock: invented curves and recorded traces drive it just
as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, zip_longest
from math import inf
from operator import mul

from gemma_mtp.decoding.acceptance import Acceptance
from gemma_mtp.decoding.allowance import Allowance
from gemma_mtp.decoding.costs import FROM_MEMORY, CostBook, CostCurve, Guess
from gemma_mtp.decoding.draft_policy import Choice, DraftPolicy, drafter_of
from gemma_mtp.decoding.draft_value import DraftValue, change_costs, cheapest_widths
from gemma_mtp.decoding.drafters import Source
from gemma_mtp.decoding.outcome import Proposal, Round
from gemma_mtp.decoding.rest import Rest
from gemma_mtp.decoding.transcript import Position
from gemma_mtp.decoding.width_probes import FIRST_WIDTHS, Outlook, WidthProbes

LONGEST = 7  # drafts; hardly any text accepts more often enough
# Rounds between single drafts that find out whether drafting pays again: at first, and at the most,
# after the interval was doubled with each draft.
PROBE_INTERVAL, LONGEST_PROBE_INTERVAL = 8, 32
FIRST_DRAFTS = 2  # single ones before any width but that of plain decoding is tried
EASIEST = 0.95  # chance of each draft in a text that is as easy as any
OPTIMISM = 2.0  # drafts that are counted as accepted in addition when drafting is tried again
OPTIMISTIC_ROUNDS = 10  # rounds in which they are counted so
RATE_MEMORY = 0.95  # weight of the rounds before in the tokens per second reached lately
GAIN_MEMORY = 0.9  # weight of the drafts before in what drafting brought lately


class AutoDraft(DraftPolicy):
    """The choice of most value in each round; learns costs and acceptance from all of them."""

    def __init__(self, book: CostBook | None = None, guess: Guess = FROM_MEMORY) -> None:
        """`guess` is believed until the costs in `book` say more."""
        self.book = book or CostBook()
        self.curve: CostCurve = self.book.at(0)
        self.acceptance: dict[str, Acceptance] = {}  # by source
        self.width_probes = WidthProbes()
        self.allowance = Allowance()
        self.rest = Rest()
        self._guess = guess
        self._drafter = ""  # the source that drafts token by token
        self._offered: dict[str, list[float]] = {}  # P1, P2, ... of what was offered last
        self._tokens = self._seconds = 0.0
        self._gain = 0.0
        self._since_draft, self._probe_interval = 0, PROBE_INTERVAL
        self._first_drafts = FIRST_DRAFTS
        self._last_width = 0
        self._limit, self._min_width = LONGEST, 1
        self._optimism, self._optimistic_rounds = 0.0, 0
        self._value = DraftValue((), 0.0, 0.0)  # in this round
        self._probed: int | None = None  # the width that this round times

    def new_reply(self) -> None:
        """Something else was evaluated meanwhile, so that the next round has a graph to build."""
        self._last_width = 0
        self.rest.end()

    def decides(self) -> bool:
        return not self.rest.is_on()

    def begin(
        self, sources: Sequence[Source], limit: int, min_width: int = 1, position: Position = 0
    ) -> int:
        for source in sources:
            if source.name not in self.acceptance:
                self.acceptance[source.name] = Acceptance(LONGEST, source.prior)
        self._drafter = drafter_of(sources)
        self._use_curve(self.book.at(position))
        self._optimistic_rounds -= 1
        self._optimism, self._probed = 0.0, None
        self._limit, self._min_width = min(limit, LONGEST), min_width
        rate = self._rate_lately(self.curve.verify(min_width))
        changes = change_costs(self.curve, self._at_best, rate, self._last_width)
        widths = cheapest_widths(self.curve, self._limit, min_width, changes)
        self._value = DraftValue(widths, self.curve.draft_step, self._rate_lately(widths[0][0]))
        if limit < 1 or not self._comparable:
            return 0
        self._probed = self._width_to_probe()
        if self._probed is not None:
            self._limit = self._probed - 1
            return self._limit
        return self._limit if self._drafting_may_pay() else 0

    def _drafting_may_pay(self) -> bool:
        """Whether it is known to, or is to be tried again."""
        if not self._drafter:
            return False
        self._since_draft += 1
        step = self._value.rate * self._draft_step
        if self._first_drafts_due:
            return self.allowance.affords(step)
        if not self._value.draft_step:
            return False
        if not self.curve.draft_step_sure and not self._might_pay:
            # A drafter is rarely that slow. Single drafts, judged for nothing, tell.
            guessed = self._guess.draft_step
            return self._since_draft >= self._probe_interval and self.allowance.affords(guessed)
        chances = self._chances([])
        if self._gain > 0 or self._value.longer_pays(chances, 0):
            self._probe_interval = PROBE_INTERVAL
            return True
        if not self.allowance.affords(step):
            return False
        if self._optimistic_rounds > 0:
            self._optimism = OPTIMISM
            return self._value.longer_pays(self._chances([]), 0)
        if self._since_draft < self._probe_interval or not self._might_pay:
            return False
        self._optimism, self._optimistic_rounds = OPTIMISM, OPTIMISTIC_ROUNDS
        return True

    def take(self, offers: Sequence[Proposal]) -> Choice | None:
        self._offered = {offer.source: self._chances_of(offer) for offer in offers}
        if not self._comparable:
            return None
        if self._probed is not None:
            return self._take_to_time(self._probed)
        drafting = self._value.drafting(self._chances([]))
        choice, most = None, max(drafting) - drafting[0]
        for source, chances in self._offered.items():
            kept, width, gain = self._value.best(chances)
            if kept > 0 and gain > most:
                choice, most = Choice(source, kept, width), gain
        if choice is not None:
            expected = 1 + sum(self._offered[choice.source][: choice.kept])
            self._reached(expected, choice.width, 0)
        return choice

    def _take_to_time(self, width: int) -> Choice | None:
        """What is offered for a round that times this width, where it is worth more than drafts."""
        choice, most = None, sum(self._chances([])[: width - 1])
        for source, chances in self._offered.items():
            if (tokens := sum(chances[: width - 1])) > most:
                choice, most = Choice(source, min(len(chances), width - 1), width), tokens
        return choice

    def go_on(self, confidences: Sequence[float]) -> bool:
        if self._probed is not None:
            return True
        return self._value.longer_pays(self._chances(confidences), len(confidences))

    def verify(self, confidences: Sequence[float]) -> tuple[int, int]:
        if self._probed is not None:
            return len(confidences), max(self._probed, self._min_width)
        chances = self._chances(confidences)[: len(confidences)]
        kept, width, gain = self._value.best(chances)
        self._reached(1 + sum(chances[:kept]), width, len(confidences))
        if confidences:
            self._since_draft = 0
            self._probe_interval = min(2 * self._probe_interval, LONGEST_PROBE_INTERVAL)
            gain -= self._value.rate * len(confidences) * self._value.draft_step
            self._gain = GAIN_MEMORY * self._gain + (1 - GAIN_MEMORY) * gain
        return kept, width

    def record(self, done: Round) -> None:
        plain_step = self.curve.verify(self._min_width)
        decided = self.rest.is_over_after(done, plain_step)
        if done.drafted or done.width != self._min_width:
            # More than a plain step for each row and draft is a stall, for which nobody can help.
            most = 1.0 if self.curve.draft_step_sure else self._guess.draft_step
            steps = min(done.seconds / plain_step, done.width + most * done.drafted)
        else:
            steps = 1 + decided * min(self.rest.seconds / plain_step, 1.0)
        self.allowance.settle(done.judged, steps)
        if decided:
            self._learn(done)
        self._last_width = done.width

    def _learn(self, done: Round) -> None:
        judged = min(done.judged, LONGEST)
        for proposal in done.proposals:
            acceptance = self.acceptance[proposal.source]
            acceptance.record(proposal.confidences[:judged], proposal.matched)
        if done.drafted:
            self.curve.drafted(done.drafted, done.draft_seconds)
            self._first_drafts = max(self._first_drafts - 1, 0)
        seconds = done.seconds - done.draft_seconds
        self.curve.verified(done.width, seconds, done.width != self._last_width)

    def plain_step(self, seconds: float, width: int) -> None:
        self.curve.verified(width, seconds, changed=False)
        self._last_width = width

    @property
    def trying(self) -> bool:
        known = self._comparable and len(self.curve) >= FIRST_WIDTHS
        return self._probed is not None or bool(self._drafter and not known)

    @property
    def _comparable(self) -> bool:
        """Whether it is known what a round without drafts costs."""
        return self.curve.timings(self._min_width) > 0

    @property
    def _draft_step(self) -> float:
        """Seconds of one, guessed before the first, which may have been a stall."""
        plain = self.curve.verify(self._min_width)
        return min(self.curve.draft_step or self._guess.draft_step * plain, plain)

    @property
    def _first_drafts_due(self) -> bool:
        """Whether a few drafts are judged for nothing before any width is tried for them."""
        return bool(self._first_drafts and self._drafter) and len(self.curve) < FIRST_WIDTHS

    @property
    def _might_pay(self) -> bool:
        """Whether drafting would pay on a text that is as easy as any."""
        chances = [EASIEST**i for i in range(1, self._limit + 1)]
        return self._value.longer_pays(chances, 0)

    def _width_to_probe(self) -> int | None:
        """The width of this round, if it is to be one that times a width."""
        if self._first_drafts_due and not any(self._offered.values()):
            return None
        outlook = Outlook(
            *(self.curve, self._value.rate, self._chances([]), self._at_best),
            *(self._draft_step, self._min_width, self._guess),
        )
        return self.width_probes.next(outlook, self._min_width, self._limit + 1, self.allowance)

    def _use_curve(self, curve: CostCurve) -> None:
        """With another number of threads the same rounds would have taken another time."""
        if curve is not self.curve and self._last_width in curve:
            before = self.curve.verify(self._last_width)
            self._seconds *= curve.verify(self._last_width) / before
        self.curve = curve

    def _reached(self, tokens: float, width: int, drafted: int) -> None:
        """Keep the rate; of a width never timed it is not known what it takes."""
        seconds = drafted * self._value.draft_step + self.curve.verify(width)
        if seconds < inf:
            self._tokens = RATE_MEMORY * self._tokens + tokens
            self._seconds = RATE_MEMORY * self._seconds + seconds

    def _rate_lately(self, plain: float) -> float:
        """Tokens per second reached lately, and at least those of plain rounds."""
        lately = self._tokens / self._seconds if self._seconds else 0.0
        return max(1 / plain, lately)

    @property
    def _at_best(self) -> list[float]:
        """P1, P2, ... of drafts or of what was offered last, whichever is likelier."""
        each = zip_longest(self._chances([]), *self._offered.values(), fillvalue=0.0)
        return [max(position) for position in each]

    def _chances(self, confidences: Sequence[float]) -> list[float]:
        """P1, P2, ... of a draft: by confidence for what is drafted, by position for the rest;
        none without a drafter."""
        if not self._drafter:
            return []
        acceptance = self.acceptance[self._drafter]
        each = acceptance.by_position(self._limit, self._optimism)
        for i, confidence in enumerate(confidences):
            each[i] = acceptance.of(i, confidence, self._optimism)
        return list(accumulate(each, mul))

    def _chances_of(self, offer: Proposal) -> list[float]:
        """P1, P2, ... of what a free source offers."""
        acceptance = self.acceptance[offer.source]
        each = (acceptance.of(i, c) for i, c in enumerate(offer.confidences[: self._limit]))
        return list(accumulate(each, mul))
