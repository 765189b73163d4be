"""Prefix reuse and pieces, on a target that counts what it evaluates."""

import numpy as np

from gemma_mtp.session import Session


class CountingTarget:
    piece_size = 4
    in_order = True

    def __init__(self, window=1000):
        self.cache, self.evaluated, self.window = [], 0, window

    def decode(self, tokens, position, outputs):
        assert position == len(self.cache)
        self.cache += tokens
        self.evaluated += len(tokens)
        return np.zeros((outputs, 3), np.float32)

    def rewind(self, length):
        if len(self.cache) - length > self.window:
            self.cache = []
        del self.cache[length:]
        return len(self.cache)


def fill(session, prompt):
    return list(session.prefill(prompt))


def test_a_prompt_is_evaluated_in_pieces_and_reported():
    session = Session(CountingTarget())
    events = fill(session, list(range(10)))
    assert [(e.done, e.total, e.cached) for e in events] == [
        (0, 10, 0), (4, 10, 0), (8, 10, 0), (10, 10, 0),
    ]  # fmt: skip
    assert session.tokens == session.target.cache == list(range(10))


def test_a_second_turn_evaluates_only_what_is_new():
    session = Session(CountingTarget())
    fill(session, list(range(10)))
    fill(session, [*range(10), 20, 21, 22])
    assert session.target.evaluated == 13


def test_a_changed_turn_is_evaluated_from_where_it_differs():
    session = Session(CountingTarget())
    fill(session, list(range(10)))
    fill(session, [*range(6), 30, 31])
    assert session.target.evaluated == 12
    assert session.tokens == [*range(6), 30, 31] == session.target.cache


def test_the_same_prompt_again_evaluates_its_last_token():
    session = Session(CountingTarget())
    fill(session, list(range(10)))
    fill(session, list(range(10)))
    assert session.target.evaluated == 11


def test_a_lost_window_means_evaluating_again():
    session = Session(CountingTarget(window=3))
    fill(session, list(range(10)))
    fill(session, [0, 1, 2, 40])
    assert session.target.evaluated == 14
    assert session.tokens == [0, 1, 2, 40] == session.target.cache


def test_a_prefill_that_is_given_up_leaves_the_truth():
    session = Session(CountingTarget())
    events = session.prefill(list(range(10)))
    next(events), next(events)
    events.close()
    assert session.tokens == session.target.cache == [0, 1, 2, 3]
    fill(session, list(range(10)))
    assert session.target.evaluated == 10


def test_exact_mode_does_not_reuse_a_cache_whose_cells_are_out_of_order():
    session = Session(CountingTarget())
    fill(session, list(range(10)))
    session.target.in_order = False
    list(session.prefill([*range(10), 11], exact=False))
    assert session.target.evaluated == 11
    list(session.prefill([*range(10), 11, 12], exact=True))
    assert session.target.evaluated == 11 + 12
