"""What a grammar leaves of the vocabulary, after whatever has been written.

The sampler asks before it filters, for every row of the target and of the drafter alike, so that
drafts are as good as without. A place in the grammar is found by the tokens before it: rejected
drafts are gone back over by themselves. Thoughts are free, the grammar holds for the answer. Knows
tokens and bits, no grammar; a `Matcher` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gemma_mtp.decoding.rows import Ids, Row

Bits = NDArray[np.uint8]
"""[vocabulary / 8] a bit for each id, the lowest bit first."""

# Up to this share of the vocabulary the logits of what is allowed are copied; of more, those of
# what is not are struck out.
FEW = 1 / 32


class Matcher(Protocol):
    """A place in a grammar."""

    def allowed(self) -> Bits:
        """The tokens that may come here, those that end the text among them where it may end."""
        ...

    def forced(self) -> list[int]:
        """Tokens that are likely to be all that may come here, in order."""
        ...

    def consume(self, token: int) -> None:
        """Go on by a token that is allowed."""
        ...

    def rollback(self, count: int) -> None:
        """Go back by so many tokens."""
        ...


class Constraint:
    """A grammar for the answer of one reply, whose first token is `ids[first]` of the transcript.

    Between the ids `opens` and `closes` lies a thought; `in_thought`: the prompt ends in one.
    `may_think`: one may come before the answer.
    """

    def __init__(
        self,
        matcher: Matcher,
        first: int,
        opens: int | None = None,
        closes: int | None = None,
        in_thought: bool = False,
        may_think: bool = False,
    ) -> None:
        self._matcher, self._first = matcher, first
        self._opens, self._closes = opens, closes
        self._in_thought, self._may_think = in_thought, may_think
        self._tokens: list[int] = []  # those of the reply up to where the matcher is
        self._in_answer: list[bool] = []  # which of them the matcher has consumed

    def allowed(self, ids: Sequence[int]) -> Bits | None:
        """What may follow the transcript's `ids`; None for anything, as in a thought."""
        if self._go_to(ids):
            return None
        bits = self._matcher.allowed()
        if self._may_think and self._opens is not None and not any(self._in_answer):
            bits = bits.copy()
            bits[self._opens >> 3] |= 1 << (self._opens & 7)
        return bits

    def forced(self, ids: Sequence[int]) -> list[int]:
        """What is likely to be all that may follow the transcript's `ids`."""
        return [] if self._go_to(ids) else self._matcher.forced()

    def _go_to(self, ids: Sequence[int]) -> bool:
        """Bring the matcher to where the transcript is; whether that is in a thought."""
        wanted = list(ids[self._first :])
        shared = min(len(wanted), len(self._tokens))
        while self._tokens[:shared] != wanted[:shared]:
            shared -= 1
        self._matcher.rollback(sum(self._in_answer[shared:]))
        del self._tokens[shared:], self._in_answer[shared:]
        thinking = self._thinking()
        for token in wanted[shared:]:
            answer = not thinking and token != self._opens
            if answer:
                self._matcher.consume(token)
            self._tokens.append(token)
            self._in_answer.append(answer)
            thinking = token != self._closes if thinking else token == self._opens
        return thinking

    def _thinking(self) -> bool:
        for token in reversed(self._tokens):
            if token in (self._opens, self._closes):
                return token == self._opens
        return self._in_thought


def restricted(row: Row, bits: Bits, all_sorted: bool) -> tuple[Row, Ids | None]:
    """The logits of what is allowed, and the ids that they belong to; or the row itself with all
    others at minus infinity, and None. `all_sorted`: the whole row would be sorted otherwise."""
    words = np.flatnonzero(bits)
    if len(words) <= FEW * len(bits) or all_sorted:
        set_bits = np.unpackbits(bits[words], bitorder="little").reshape(-1, 8)
        places = np.nonzero(set_bits)
        ids: Ids = words[places[0]] * 8 + places[1]
        return row[ids], ids
    row[~np.unpackbits(bits, count=len(row), bitorder="little").view(bool)] = -np.inf
    return row, None
