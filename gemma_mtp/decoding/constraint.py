"""What may be written next in a reply: by a grammar, and by a budget for thoughts.

The sampler asks before it filters, for every row of the target and of the drafter alike, so that
drafts are as good as without. Where in the reply it is follows from the tokens before: rejected
drafts are gone back over by themselves. Thoughts are free, the grammar holds for the answer; calls
of tools have one of their own. Knows tokens and bits, no grammar; a `Matcher` does.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

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

    @property
    def may_end(self) -> bool:
        """Whether the text is all of one that fits."""
        ...

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


class Fixed:
    """The same tokens at every place: keeps the promises of `Matcher`."""

    def __init__(self, bits: Bits) -> None:
        self._bits = bits

    @property
    def may_end(self) -> bool:
        """Nothing is missing."""
        return True

    def allowed(self) -> Bits:
        return self._bits

    def forced(self) -> list[int]:
        return []

    def consume(self, token: int) -> None:
        """Nothing changes."""

    def rollback(self, count: int) -> None:
        """Nothing changes."""


@dataclass(frozen=True)
class Calls:
    """The calls of tools in a reply: the token `opens` begins the first one, and from there on the
    `matcher` says what may come, up to the end of the reply. Without one anything may."""

    opens: int
    matcher: Matcher | None = None


Place = Literal["thought", "text", "calls"]


class Constraint:
    """What may follow in one reply, whose first token is `ids[first]` of the transcript.

    The answer is held to the grammar of `matcher`, where there is one, and thoughts to their
    budget. A reply does not end in a thought: that is closed first. `calls` of tools may take the
    place of an answer that is held to a grammar; else they may come behind any text.
    """

    def __init__(
        self,
        matcher: Matcher | None,
        first: int,
        thinking: Thinking | None = None,
        calls: Calls | None = None,
    ) -> None:
        self._first, self._calls = first, calls
        self._matchers: dict[Place, Matcher] = {}
        if matcher is not None:
            self._matchers["text"] = matcher
        if calls is not None and calls.matcher is not None:
            self._matchers["calls"] = calls.matcher
        self._thinking = thinking or Thinking()
        self._ends = sorted(self._thinking.ends) if self._thinking.closes is not None else []
        self._tokens: list[int] = []  # those of the reply up to where the matchers are
        self._parts: list[Place | None] = []  # where each of them belongs; None opens the calls

    def restrict(self, row: Row, ids: Sequence[int], all_sorted: bool) -> tuple[Row, Ids | None]:
        """What is left of a row after the transcript's `ids`: logits and the ids they belong to,
        or the row itself, changed in place, and None; `all_sorted` as for `restricted`."""
        place = self._go_to(ids)
        if place == "thought":
            if closing := self._closing(ids):
                only: Ids = np.array(closing[:1])
                return row[only], only
            row[self._ends] = -np.inf
            return row, None
        bits = self._left(place)
        if bits is not None:
            return restricted(row, bits, all_sorted)
        if self._thinking.opens is not None and not self._may_open:
            row[self._thinking.opens] = -np.inf
        return row, None

    def allowed(self, ids: Sequence[int]) -> Bits | None:
        """What the grammar leaves after the transcript's `ids`; None for anything, as in a
        thought."""
        return self._left(self._go_to(ids))

    def _left(self, place: Place) -> Bits | None:
        if place not in self._matchers:
            return None
        bits = self._matchers[place].allowed()
        if place == "calls" or "text" in self._parts:
            return bits
        begins = [self._calls.opens] if self._calls else []
        # One thought: a model that would rather write what is not allowed may think without end.
        thought = "thought" in self._parts or self._thinking.in_thought
        if self._thinking.opens is not None and self._thinking.may_think and not thought:
            begins += [self._thinking.opens] if self._may_open else []
        return _with(bits, begins)

    def forced(self, ids: Sequence[int]) -> list[int]:
        """What is likely to be all that may follow the transcript's `ids`."""
        place = self._go_to(ids)
        if place == "thought":
            return self._closing(ids)
        return self._matchers[place].forced() if place in self._matchers else []

    def may_end(self, ids: Sequence[int]) -> bool:
        """Whether what was written up to the transcript's `ids` fits the grammar as it is. It does
        not where a grammar came to a place at which nothing may follow."""
        place = self._go_to(ids)
        return place not in self._matchers or self._matchers[place].may_end

    def cut_thought(self, ids: Sequence[int]) -> bool:
        """Whether a thought ended because its budget was used up."""
        budget = self._thinking.budget or 0
        return budget > 0 and self._go_to(ids) != "thought" and self._thought >= max(budget - 1, 1)

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

    def _go_to(self, ids: Sequence[int]) -> Place:
        """Bring the matchers to where the transcript is; what that place is."""
        wanted = list(ids[self._first :])
        shared = min(len(wanted), len(self._tokens))
        while self._tokens[:shared] != wanted[:shared]:
            shared -= 1
        for held, matcher in self._matchers.items():
            matcher.rollback(self._parts[shared:].count(held))
        del self._tokens[shared:], self._parts[shared:]
        place = self._place()
        for token in wanted[shared:]:
            part = self._part(token, place)
            if part is not None and part in self._matchers:
                self._matchers[part].consume(token)
            self._tokens.append(token)
            self._parts.append(part)
            place = self._place()
        return place

    def _part(self, token: int, place: Place) -> Place | None:
        """Where a token belongs that comes at `place`; None for the mark that opens the calls."""
        if place == "calls":
            return "calls"
        if self._calls and token == self._calls.opens:
            return None
        return "thought" if token == self._thinking.opens else place

    def _place(self) -> Place:
        """Where the last token leaves the reply."""
        if not self._tokens:
            return "thought" if self._thinking.in_thought else "text"
        part = self._parts[-1]
        if part == "thought" and self._tokens[-1] == self._thinking.closes:
            return "text"
        return part or "calls"

    @property
    def _thought(self) -> int:
        """How many tokens belong to thoughts."""
        return self._parts.count("thought")


def _with(bits: Bits, tokens: Sequence[int]) -> Bits:
    """These tokens as well."""
    bits = bits.copy() if tokens else bits
    for token in tokens:
        bits[token >> 3] |= 1 << (token & 7)
    return bits


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
