"""Which drafters a reply has, and who decides on their drafts.

The engine keeps one `Drafting`, since the controller learns from one reply to the next. A new kind
of drafter is listed in `drafters`.
"""

from __future__ import annotations

from gemma_mtp.api import DraftSetting, Request
from gemma_mtp.decoding.costs import FROM_MEMORY, IN_CACHE, CostBook
from gemma_mtp.decoding.draft_length import AutoDraft
from gemma_mtp.decoding.draft_policy import DraftPolicy, FixedDraft
from gemma_mtp.decoding.drafters import Drafter, DraftModel, MtpDrafter
from gemma_mtp.decoding.forced import Forced
from gemma_mtp.decoding.lookup import Lookup
from gemma_mtp.decoding.proposer import DraftTemperature, Proposer
from gemma_mtp.decoding.sampler import Sampler

SMALL = 100_000_000  # parameters; so few lie in a processor's cache, as no real model does


class Drafting:
    """The drafters of each reply, and what is learned of them."""

    def __init__(self, book: CostBook, parameters: int) -> None:
        """`parameters`: how many the target has."""
        self.auto = AutoDraft(book, IN_CACHE if parameters < SMALL else FROM_MEMORY)
        self._temperature = DraftTemperature()

    def drafters(
        self, request: Request, model: DraftModel | None, sampler: Sampler
    ) -> list[Drafter]:
        """Those of a reply. With a fixed draft length that is the drafter of the pair alone; where
        acceptance is synthetic, what the text says does not matter."""
        found: list[Drafter] = []
        if model is not None and request.draft != 0:
            found.append(MtpDrafter(model, Proposer(sampler, self._temperature)))
        if request.draft == "auto" and request.synthetic_acceptance is None:
            found.append(Lookup())
            if sampler.constraint is not None:
                found.append(Forced(sampler.constraint))
        return found

    def policy(self, setting: DraftSetting) -> DraftPolicy:
        """The controller for a request; "auto" goes on from what it has learned."""
        policy = self.auto if setting == "auto" else FixedDraft(setting)
        policy.new_reply()
        return policy
