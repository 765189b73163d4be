"""Who decides on the drafts of a round: the questions that a round asks, and a fixed answer.

The controller that measures what pays is in `draft_length`. A round drives either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gemma_mtp.decoding.drafters import Source
from gemma_mtp.decoding.outcome import Proposal, Round
from gemma_mtp.decoding.transcript import Position


class Choice(NamedTuple):
    """The first `kept` tokens that `source` offers are to be verified, `width` rows wide."""

    source: str
    kept: int
    width: int


class DraftPolicy:
    """Decides on a draft, token by token. One round is: begin, take; where that is nothing,
    go_on ..., verify; then record, and decides, which is about the next round. A policy says at
    least how long drafts are (`begin`) and what is verified (`verify`)."""

    def new_reply(self) -> None:
        """Another reply begins, before which something else was evaluated."""

    def decides(self) -> bool:
        """Whether the coming round is decided on, after `record` of the one before; if not, it is
        plain, no source is asked, and `record` is all that follows."""
        return True

    def begin(
        self, sources: Sequence[Source], limit: int, min_width: int = 1, position: Position = 0
    ) -> int:
        """The longest draft this round, at most `limit`; 0 is a plain round. `sources` are those
        there are, `position` is that of the pending token, and no evaluation may be narrower than
        `min_width`."""
        raise NotImplementedError

    def take(self, offers: Sequence[Proposal]) -> Choice | None:
        """What to verify of what the free sources offer; None to draft instead."""
        return None

    def go_on(self, confidences: Sequence[float]) -> bool:
        """Whether to draft one more, given the drafter's confidence in each so far."""
        return True

    def verify(self, confidences: Sequence[float]) -> tuple[int, int]:
        """How many of the drafts to verify, and the width to do it with (more rows are padding)."""
        raise NotImplementedError

    @property
    def trying(self) -> bool:
        """Whether this round is there to find out what drafts cost."""
        return False

    def record(self, done: Round) -> None:
        """What the round cost and brought."""

    def plain_step(self, seconds: float, width: int) -> None:
        """A plain step of `width` rows, timed on the side."""


def drafter_of(sources: Sequence[Source]) -> str:
    """The name of the source that drafts token by token, "" if there is none."""
    return next((source.name for source in sources if not source.free), "")


class FixedDraft(DraftPolicy):
    """Always the same draft length; what sources offer for nothing is not taken."""

    def __init__(self, length: int) -> None:
        self.length = length
        self._width = 1

    def begin(
        self, sources: Sequence[Source], limit: int, min_width: int = 1, position: Position = 0
    ) -> int:
        longest = min(self.length, limit) if drafter_of(sources) else 0
        self._width = max(longest + 1, min_width)
        return longest

    def verify(self, confidences: Sequence[float]) -> tuple[int, int]:
        return len(confidences), self._width
