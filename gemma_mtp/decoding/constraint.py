"""What may be written next in a reply: by a grammar, and by a budget for thoughts.

The sampler asks before it filters, for every row of the target and of the drafter alike, so that
drafts are as good as without. Where in the reply it is follows from the tokens before: rejected
drafts are gone back over by themselves. Thoughts are free, the grammar holds for the answer. Knows
tokens and bits, no grammar; a `Matcher` does.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gemma_mtp.decoding.rows import Ids, Row
from gemma_mtp.settings import SHORTEST_THOUGHT

Bits = NDArray[np.uint8]
"""[vocabulary / 8] a bit for each id, the lowest bit first."""

# Up to this share of the vocabulary the logits of what is allowed are copied; of more, those of
# what is not are struck out.
FEW = 1 / 32

CLOSING = 2  # tokens that a thought ends with: that of a line, and its mark


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


@dataclass(frozen=True)
class Thinking:
    """How a reply thinks. Between the ids `opens` and `closes` lies a thought, None where the model
    has no such tokens; before `closes` stands a `newline`. `in_thought`: the prompt ends in one.
    `may_think`: one may come before the answer of a grammar. `budget`: tokens that all thoughts of
    the reply may take, their marks included. `ends`: tokens that end a reply.
    """

    opens: int | None = None
    closes: int | None = None
    newline: int | None = None
    in_thought: bool = False
    may_think: bool = False
    budget: int | None = None
    ends: Collection[int] = ()


class Constraint:
    """What may follow in one reply, whose first token is `ids[first]` of the transcript.

    The answer is held to the grammar of `matcher`, where there is one, and thoughts to their
    budget. A reply does not end in a thought: that is closed first.
    """

    def __init__(
        self, matcher: Matcher | None, first: int, thinking: Thinking | None = None
    ) -> None:
        self._matcher, self._first = matcher, first
        self._thinking = thinking or Thinking()
        self._ends = sorted(self._thinking.ends) if self._thinking.closes is not None else []
        self._tokens: list[int] = []  # those of the reply up to where the matcher is
        self._in_answer: list[bool] = []  # which of them belong to the answer
        self._thought = 0  # how many do not

    def restrict(self, row: Row, ids: Sequence[int], all_sorted: bool) -> tuple[Row, Ids | None]:
        """What is left of a row after the transcript's `ids`: logits and the ids they belong to,
        or the row itself, changed in place, and None; `all_sorted` as for `restricted`."""
        if self._go_to(ids):
            if closing := self._closing(ids):
                only: Ids = np.array(closing[:1])
                return row[only], only
            row[self._ends] = -np.inf
            return row, None
        bits = self._answer()
        if bits is not None:
            return restricted(row, bits, all_sorted)
        if self._thinking.opens is not None and not self._may_open:
            row[self._thinking.opens] = -np.inf
        return row, None

    def allowed(self, ids: Sequence[int]) -> Bits | None:
        """What the grammar leaves after the transcript's `ids`; None for anything, as in a
        thought."""
        return None if self._go_to(ids) else self._answer()

    def _answer(self) -> Bits | None:
        if self._matcher is None:
            return None
        bits, opens = self._matcher.allowed(), self._thinking.opens
        begins = self._thinking.may_think and self._thought == len(self._tokens)
        if opens is not None and begins and self._may_open:
            bits = bits.copy()
            bits[opens >> 3] |= 1 << (opens & 7)
        return bits

    def forced(self, ids: Sequence[int]) -> list[int]:
        """What is likely to be all that may follow the transcript's `ids`."""
        if self._go_to(ids):
            return self._closing(ids)
        return [] if self._matcher is None else self._matcher.forced()

    def cut_thought(self, ids: Sequence[int]) -> bool:
        """Whether a thought ended because its budget was used up."""
        budget = self._thinking.budget or 0
        return budget > 0 and not self._go_to(ids) and self._thought >= max(budget - 1, 1)

    @property
    def _may_open(self) -> bool:
        """Whether enough is left of the budget for a thought."""
        budget = self._thinking.budget
        return budget is None or budget - self._thought >= SHORTEST_THOUGHT

    def _closing(self, ids: Sequence[int]) -> list[int]:
        """In a thought, what has to come now if it is not to go beyond its budget."""
        thinking = self._thinking
        if thinking.budget is None or thinking.closes is None:
            return []
        left, closing = thinking.budget - self._thought, [thinking.closes]
        if thinking.newline is not None and ids[-1] != thinking.newline:
            closing.insert(0, thinking.newline)
        return closing[-max(left, 1) :] if left <= CLOSING else []

    def _go_to(self, ids: Sequence[int]) -> bool:
        """Bring the matcher to where the transcript is; whether that is in a thought."""
        wanted = list(ids[self._first :])
        shared = min(len(wanted), len(self._tokens))
        while self._tokens[:shared] != wanted[:shared]:
            shared -= 1
        self._go_back(shared)
        opens, closes = self._thinking.opens, self._thinking.closes
        inside = self._inside()
        for token in wanted[shared:]:
            answer = not inside and token != opens
            if answer and self._matcher is not None:
                self._matcher.consume(token)
            self._tokens.append(token)
            self._in_answer.append(answer)
            self._thought += not answer
            inside = token != closes if inside else token == opens
        return inside

    def _go_back(self, length: int) -> None:
        left_out = self._in_answer[length:]
        if self._matcher is not None:
            self._matcher.rollback(sum(left_out))
        self._thought -= len(left_out) - sum(left_out)
        del self._tokens[length:], self._in_answer[length:]

    def _inside(self) -> bool:
        """Whether the last token leaves the reply in a thought."""
        if not self._tokens:
            return self._thinking.in_thought
        return not self._in_answer[-1] and self._tokens[-1] != self._thinking.closes


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
