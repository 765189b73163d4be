"""What a grammar leaves, found by the tokens before; the same text whatever is drafted."""

from __future__ import annotations

import numpy as np
import pytest

from gemma_mtp.api import Sampling
from gemma_mtp.decoding.constraint import Calls, Constraint, Fixed, Thinking, restricted
from gemma_mtp.decoding.sampler import Sampler

VOCABULARY, OPENS, CLOSES, END = 64, 60, 61, 62


class Ascending:
    """Allows tokens greater than the last one, and the end; remembers where it was."""

    def __init__(self) -> None:
        self.consumed: list[int] = []
        self.steps = 0

    def allowed(self):
        least = max(self.consumed, default=-1) + 1
        return np.packbits(np.arange(VOCABULARY) >= least, bitorder="little")

    def forced(self):
        return [self.consumed[-1] + 1] if self.consumed else []

    def consume(self, token):
        assert token > max(self.consumed, default=-1), "what is not allowed came in"
        self.consumed.append(token)
        self.steps += 1

    def rollback(self, count):
        del self.consumed[len(self.consumed) - count :]


def ids_of(bits) -> list[int]:
    return np.flatnonzero(np.unpackbits(bits, bitorder="little")).tolist()


def test_the_place_in_the_grammar_follows_from_the_tokens_before() -> None:
    matcher = Ascending()
    constraint = Constraint(matcher, first=2)
    prompt = [63, 1]
    assert ids_of(constraint.allowed([*prompt, 5]))[0] == 6
    assert ids_of(constraint.allowed([*prompt, 5, 9, 20]))[0] == 21
    assert ids_of(constraint.allowed([*prompt, 5, 7]))[0] == 8  # two drafts were rejected
    assert matcher.consumed == [5, 7]
    assert ids_of(constraint.allowed(prompt))[0] == 0


def test_a_token_that_stays_is_consumed_once() -> None:
    matcher = Ascending()
    constraint = Constraint(matcher, first=0)
    for length in range(1, 40):
        constraint.allowed(list(range(length)))
    assert matcher.steps == 39


def test_thoughts_are_free_and_the_answer_is_not() -> None:
    matcher = Ascending()
    constraint = Constraint(matcher, 0, Thinking(OPENS, CLOSES, may_think=True))
    assert OPENS in ids_of(constraint.allowed([]))
    assert constraint.allowed([OPENS]) is None
    assert constraint.allowed([OPENS, 9, 3, 3]) is None
    assert ids_of(constraint.allowed([OPENS, 9, 3, 3, CLOSES]))[0] == 0
    assert ids_of(constraint.allowed([OPENS, 9, 3, 3, CLOSES, 4]))[0] == 5
    assert constraint.allowed([OPENS, 9, 3]) is None  # back again
    assert matcher.consumed == []
    assert constraint.forced([OPENS, 9]) == []
    assert constraint.forced([OPENS, CLOSES, 4]) == [5]


def test_no_thought_is_opened_in_the_middle_of_an_answer() -> None:
    constraint = Constraint(Descending(), 0, Thinking(OPENS, CLOSES, may_think=True))
    assert OPENS not in ids_of(constraint.allowed([30]))


class Descending(Ascending):
    def allowed(self):
        most = min(self.consumed, default=VOCABULARY)
        return np.packbits(np.arange(VOCABULARY) < most, bitorder="little")

    def consume(self, token):
        self.consumed.append(token)


def test_a_prompt_may_end_in_a_thought() -> None:
    constraint = Constraint(Ascending(), 1, Thinking(OPENS, CLOSES, in_thought=True))
    assert constraint.allowed([7]) is None
    assert constraint.allowed([7, 3, 3]) is None
    assert ids_of(constraint.allowed([7, 3, 3, CLOSES]))[0] == 0


CALL = 59
THINKS = Thinking(OPENS, CLOSES, may_think=True)


def test_text_is_free_until_a_call_begins() -> None:
    matcher = Ascending()
    constraint = Constraint(None, 1, THINKS, calls=Calls(CALL, matcher))
    assert constraint.allowed([7]) is None
    assert constraint.allowed([7, 3, 2]) is None
    assert constraint.forced([7, 3, 2]) == []
    assert ids_of(constraint.allowed([7, 3, 2, CALL]))[0] == 0
    assert ids_of(constraint.allowed([7, 3, 2, CALL, 8]))[0] == 9
    assert constraint.forced([7, 3, 2, CALL, 8]) == [9]
    assert constraint.allowed([7, 3, 2, 2]) is None  # the call was a draft, and rejected
    assert ids_of(constraint.allowed([7, 3, 2, 2, CALL, 4, CALL]))[0] == CALL + 1
    assert matcher.consumed == [4, CALL]


def test_a_call_may_come_out_of_a_thought() -> None:
    constraint = Constraint(None, 0, THINKS, calls=Calls(CALL, Ascending()))
    assert constraint.allowed([OPENS, 4, 4]) is None
    assert ids_of(constraint.allowed([OPENS, 4, 4, CALL, 5]))[0] == 6


def test_calls_take_the_place_of_an_answer_that_is_held() -> None:
    text, calls = Descending(), Ascending()
    constraint = Constraint(text, 0, THINKS, calls=Calls(CALL, calls))
    assert {OPENS, CALL} <= {*ids_of(constraint.allowed([]))}
    assert CALL not in ids_of(constraint.allowed([30]))
    assert ids_of(constraint.allowed([CALL, 30]))[0] == 31
    assert CALL in ids_of(constraint.allowed([OPENS, 1, CLOSES]))
    assert (text.consumed, calls.consumed) == ([], [])


def test_nothing_but_a_call_and_no_call_at_all() -> None:
    nothing = Fixed(np.zeros(8, np.uint8))
    must = Constraint(nothing, 0, THINKS, calls=Calls(CALL, Ascending()))
    assert ids_of(must.allowed([])) == [CALL, OPENS]
    assert ids_of(must.allowed([OPENS, 3, CLOSES])) == [CALL]  # no second thought
    assert ids_of(must.allowed([CALL, 5]))[0] == 6
    free = Constraint(nothing, 0, calls=Calls(CALL))
    assert free.allowed([CALL, 5]) is None
    assert ids_of(Constraint(Fixed(~must.allowed([])), 0).allowed([9])) == [*range(59), 61, 62, 63]


@pytest.mark.parametrize("size", [64, 4096, 262_144])
@pytest.mark.parametrize("share", [0.001, 0.2, 0.999])
@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(), Sampling(top_k=0), Sampling(1.3)])
@pytest.mark.parametrize("softcap", [0.0, 30.0])
def test_what_is_not_allowed_is_as_if_it_did_not_exist(size, share, sampling, softcap) -> None:
    """The choice is that of a row in which all others are impossible."""
    rng = np.random.default_rng(size)
    row = (rng.standard_normal(size) * 8).astype(np.float32)
    allowed = rng.random(size) < share
    allowed[size // 2] = True
    bits = np.packbits(allowed, bitorder="little")

    class Fixed(Ascending):
        def allowed(self):
            return bits

    sampler = Sampler(sampling, 5, softcap, Constraint(Fixed(), 0))
    chosen = [sampler.sample(row.copy(), position) for position in range(20)]
    assert all(allowed[token] for token in chosen)
    few = np.flatnonzero(allowed)
    plain = Sampler(sampling, 5, softcap)
    for token in chosen:
        if sampling.temperature == 0:
            assert token == few[row[few].argmax()]
        elif len(few) == 1:
            assert token == few[0]
    if share > 0.99:  # nearly nothing is lost, so nearly all choices are those of the whole row
        whole = [plain.sample(row.copy(), position) for position in range(20)]
        same = sum(a == b for a, b in zip(chosen, whole, strict=True) if allowed[b])
        assert same == sum(bool(allowed[b]) for b in whole)


def test_few_and_many_give_the_same_choice() -> None:
    """Copying what is allowed and striking out the rest are two ways to one result."""
    rng = np.random.default_rng(1)
    row = (rng.standard_normal(4096) * 4).astype(np.float32)
    allowed = np.zeros(4096, bool)
    allowed[rng.choice(4096, 700, replace=False)] = True
    bits = np.packbits(allowed, bitorder="little")
    kept, ids = restricted(row.copy(), bits, True)
    struck, none = restricted(row.copy(), bits, False)
    assert none is None
    assert ids is not None
    assert ids.tolist() == np.flatnonzero(allowed).tolist()
    assert kept.tolist() == row[allowed].tolist()
    assert struck[allowed].tolist() == row[allowed].tolist()
    assert np.isneginf(struck[~allowed]).all()
