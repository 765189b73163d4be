"""What a round proposed and committed: the controller learns from it, statistics count it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(slots=True)
class Proposal:
    """What one source proposed in a round, and how sure it was of each token.

    The first `matched` tokens are what the target chose, as far as that was seen; the round fills
    that in. Those of a `free` source cost no steps of a drafter.
    """

    source: str
    tokens: Sequence[int]
    confidences: Sequence[float]
    matched: int = 0
    free: bool = False


@dataclass(slots=True)
class Round:
    """What one round committed: `accepted` drafts, then the bonus token, unless the text ended.

    `proposals` are what each source of drafts proposed; of those of `source` ("" in a plain round)
    the first `kept` were verified. The bonus token also judges a draft that was not verified, and
    the proposals that were not taken are judged in the same way. `verify_processor_seconds` is the
    time of all processors together that verifying was given.
    """

    tokens: Sequence[int]
    proposals: Sequence[Proposal]
    source: str
    kept: int
    accepted: int
    width: int
    draft_seconds: float
    verify_seconds: float
    verify_processor_seconds: float
    sampling_seconds: float

    @property
    def judged(self) -> int:
        """Drafts that could be compared with what the target chose."""
        return len(self.tokens)

    @property
    def drafted(self) -> int:
        """Tokens that took steps of a drafter, verified or not."""
        return sum(len(p.tokens) for p in self.proposals if not p.free)

    def cut(self, count: int) -> Round:
        """As if the text had ended after `count` of its tokens: what stood behind was never a
        part of it, neither as a token nor as a draft."""
        if count >= len(self.tokens):
            return self
        return replace(self, tokens=self.tokens[:count], kept=count, accepted=count)

    @property
    def seconds(self) -> float:
        return self.draft_seconds + self.verify_seconds + self.sampling_seconds
