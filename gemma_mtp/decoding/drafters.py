"""What every source of drafts has in common, and the drafter that comes with the model.

The controller compares the sources of a reply by the same value, a round asks each of them, and
statistics count by source. A new kind is a class like `MtpDrafter` or `lookup.Lookup` and an entry
in `engine.drafting`, which lists those of a reply.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from gemma_mtp.decoding.acceptance import Prior
from gemma_mtp.decoding.proposer import Proposer
from gemma_mtp.decoding.rows import Row, Shortlist
from gemma_mtp.decoding.transcript import Position, Transcript


class Source(Protocol):
    """What the controller knows of a source of drafts.

    `name` is what it is counted by. A `free` one proposes at no cost to speak of, so that it is
    asked in every round; of the others a reply has one at most, which drafts token by token while
    that pays.
    """

    @property
    def name(self) -> str: ...
    @property
    def free(self) -> bool: ...
    @property
    def prior(self) -> Prior: ...


class Drafter(Source, Protocol):
    """A source of drafts at work on one reply."""

    def propose(
        self, transcript: Transcript, hidden: Row | None, limit: int
    ) -> Iterable[tuple[int, float]]:
        """Up to `limit` tokens that may follow the transcript, and from 0 to 1 how sure it is of
        each; `hidden` is the target's hidden state before the last token of the transcript. Raises
        GemmaMtpError where it fails, after which it is not asked again."""
        ...

    def judge(self, tokens: Sequence[int]) -> None:
        """`tokens` are what the target chose where the drafts of this round stood."""
        ...


class DraftModel(Protocol):
    """A model that continues from the target's hidden state and cache. `short`: a shortlist of the
    row is enough."""

    def begin(self, hidden: Row, position: Position) -> None: ...
    def step(self, token: int, short: bool = False) -> Row | Shortlist: ...


class MtpDrafter:
    """The drafter of the pair (multi-token prediction): a step of a small model for each token."""

    name = "mtp"
    free = False
    prior = Prior()

    def __init__(self, model: DraftModel, proposer: Proposer) -> None:
        self._model, self._proposer = model, proposer

    def propose(
        self, transcript: Transcript, hidden: Row | None, limit: int
    ) -> Iterator[tuple[int, float]]:
        assert hidden is not None
        token, position = transcript.ids[-1], transcript.end - 1
        self._model.begin(hidden, position)
        sampler, short = self._proposer.sampler, self._proposer.takes_shortlists
        # Where in a grammar it is, is told by all of the reply.
        recent = transcript.ids[-sampler.sampling.repeat_last_n if not sampler.constraint else 0 :]
        for at in range(position + 1, position + 1 + limit):
            row = self._model.step(token, short)
            token, confidence = self._proposer.propose(row, at, recent)
            recent.append(token)
            yield token, confidence

    def judge(self, tokens: Sequence[int]) -> None:
        self._proposer.judge(tokens)
