"""Prefix reuse and pieces, on a target that counts what it evaluates."""

import numpy as np

from gemma_mtp.decoding.transcript import of_tokens
from gemma_mtp.engine.prompt_cache import PromptCache


class Saved:
    def __init__(self, tokens, row):
        self.tokens, self.row, self.nbytes = tokens, row, 10


class CountingTarget:
    """Counts what it evaluates; can go back by `window` tokens, or to a saved state."""

    piece_size = 4
    ring_size = 1 << 20
    in_order = True
    model_bytes = 0
    can_restore = True

    def __init__(self, window=1000):
        self.cache, self.evaluated, self.window = [], 0, window

    def decode(self, tokens, position, outputs, short=False):
        assert position == len(self.cache)
        self.cache += tokens
        self.evaluated += len(tokens)
        return np.full((outputs, 3), len(self.cache), np.float32)

    def can_rewind(self, length):
        return length == 0 or len(self.cache) - length <= self.window

    def rewind(self, length):
        assert self.can_rewind(length)
        del self.cache[length:]

    def keep(self, length):
        del self.cache[length:]

    def saved_bytes(self):
        return 10

    def save(self, complete):
        return Saved(list(self.cache), np.full(3, len(self.cache)) if complete else None)

    def restore(self, saved, length):
        assert self.cache[:length] == saved.tokens, "the other layers still hold these"
        if self.can_restore:
            del self.cache[length:]
            self.in_order = True
        return self.can_restore


def fill(cache, prompt):
    return list(cache.prefill(of_tokens(prompt)))


def test_a_prompt_is_evaluated_in_pieces_and_reported():
    cache = PromptCache(CountingTarget())
    events = fill(cache, list(range(10)))
    assert [(e.done, e.total, e.cached) for e in events] == [
        (0, 10, 0), (4, 10, 0), (8, 10, 0), (10, 10, 0),
    ]  # fmt: skip
    assert cache.tokens == cache.target.cache == list(range(10))


def test_a_second_turn_evaluates_only_what_is_new():
    cache = PromptCache(CountingTarget())
    fill(cache, list(range(10)))
    fill(cache, [*range(10), 20, 21, 22])
    assert cache.target.evaluated == 13


def test_a_changed_turn_is_evaluated_from_where_it_differs():
    cache = PromptCache(CountingTarget())
    fill(cache, list(range(10)))
    fill(cache, [*range(6), 30, 31])
    assert cache.target.evaluated == 12
    assert cache.tokens == [*range(6), 30, 31] == cache.target.cache


def reply(cache, tokens):
    """As the engine writes one: evaluated, then put on record."""
    cache.target.decode(tokens, len(cache.tokens), 1)
    for token in tokens:
        cache.transcript.append(token)
    cache.transcript.cached = cache.transcript.end


def test_the_same_prompt_again_evaluates_nothing_and_has_the_same_last_row():
    cache = PromptCache(CountingTarget(window=3))
    fill(cache, list(range(10)))
    row = cache.last_row
    reply(cache, list(range(50, 70)))
    cache.last_row = None
    assert [(e.done, e.total, e.cached) for e in fill(cache, list(range(10)))] == [(10, 10, 10)]
    assert cache.target.evaluated == 30
    assert (cache.last_row == row).all()
    assert cache.tokens == cache.target.cache == list(range(10))


def test_without_room_for_a_snapshot_its_last_token_is_evaluated_again():
    cache = PromptCache(CountingTarget())
    cache.snapshots.limit = 9
    fill(cache, list(range(10)))
    fill(cache, list(range(10)))
    assert cache.target.evaluated == 11


def test_a_lost_window_is_restored_at_the_end_of_the_last_prompt_within_the_new_one():
    cache = PromptCache(CountingTarget(window=3))
    fill(cache, list(range(10)))
    reply(cache, list(range(50, 70)))
    fill(cache, [*range(10), *range(66, 70), 40])  # a reply without its thoughts, say
    assert cache.target.evaluated == 30 + 5
    assert cache.tokens == [*range(10), *range(66, 70), 40] == cache.target.cache


def test_an_edited_message_is_evaluated_from_where_the_reply_before_it_ends():
    cache = PromptCache(CountingTarget(window=3))
    fill(cache, list(range(10)))
    reply(cache, list(range(50, 70)))
    fill(cache, [*range(10), *range(50, 70), 71, 72])
    reply(cache, list(range(80, 99)))
    before = cache.target.evaluated
    fill(cache, [*range(10), *range(50, 70), 73])
    assert cache.target.evaluated == before + 1


def test_a_snapshot_is_taken_where_later_prompts_still_agree():
    cache = PromptCache(CountingTarget(window=3))
    events = list(cache.prefill(of_tokens(list(range(10))), lasting=7))
    assert [e.done for e in events] == [0, 4, 7, 10]
    reply(cache, list(range(50, 70)))
    list(cache.prefill(of_tokens([*range(7), *range(50, 70), 71]), lasting=28))
    assert cache.target.evaluated == 30 + 21


def test_the_same_prompt_again_is_evaluated_from_there_in_the_same_pieces():
    cache = PromptCache(CountingTarget())
    list(cache.prefill(of_tokens(list(range(10))), lasting=7))
    events = list(cache.prefill(of_tokens(list(range(10))), lasting=7))
    assert [(e.done, e.cached) for e in events] == [(7, 7), (10, 7)]
    assert cache.target.evaluated == 13


def test_a_long_prompt_can_be_changed_without_evaluating_all_of_it():
    cache = PromptCache(CountingTarget(window=3))
    fill(cache, list(range(100)))
    fill(cache, [*range(90), 200])
    assert cache.target.evaluated == 100 + (91 - 64)


def test_a_prompt_that_ends_within_another_one_gets_its_last_row():
    cache = PromptCache(CountingTarget(window=3))
    fill(cache, list(range(100)))
    fill(cache, list(range(64)))
    assert cache.last_row is not None
    assert cache.target.evaluated == 100 + 32


def test_a_snapshot_that_cannot_be_restored_means_evaluating_again():
    cache = PromptCache(CountingTarget(window=3))
    fill(cache, list(range(10)))
    reply(cache, list(range(50, 70)))
    cache.target.can_restore = False
    fill(cache, list(range(10)))
    assert cache.target.evaluated == 30 + 10
    assert cache.tokens == cache.target.cache == list(range(10))


def test_a_lost_window_without_a_snapshot_means_evaluating_again():
    cache = PromptCache(CountingTarget(window=3))
    fill(cache, list(range(10)))
    fill(cache, [0, 1, 2, 40])
    assert cache.target.evaluated == 14
    assert cache.tokens == [0, 1, 2, 40] == cache.target.cache


def test_a_snapshot_does_not_outlive_its_tokens():
    cache = PromptCache(CountingTarget())
    fill(cache, list(range(10)))
    fill(cache, [0, 1, 2])
    fill(cache, [*range(3), *range(3, 10)])
    assert cache.target.evaluated == 10 + 1 + 7
    cache.rewind(0)
    assert cache.snapshots.nbytes == 0
    fill(cache, list(range(10)))
    assert cache.target.evaluated == 18 + 10


def test_a_prefill_that_is_given_up_leaves_the_truth():
    cache = PromptCache(CountingTarget())
    events = cache.prefill(of_tokens(list(range(10))))
    next(events), next(events)
    events.close()
    assert cache.tokens == cache.target.cache == [0, 1, 2, 3]
    fill(cache, list(range(10)))
    assert cache.target.evaluated == 10


def test_exact_mode_does_not_reuse_a_cache_whose_cells_are_out_of_order():
    cache = PromptCache(CountingTarget())
    fill(cache, list(range(10)))
    reply(cache, list(range(50, 60)))
    cache.target.in_order = False
    prompt = [*range(10), *range(50, 60)]
    list(cache.prefill(of_tokens([*prompt, 11]), exact=False))
    assert cache.target.evaluated == 21
    cache.target.in_order = False
    list(cache.prefill(of_tokens([*prompt, 12]), exact=True))
    assert cache.target.evaluated == 21 + 1, "but a snapshot taken before puts them in order"
    cache.snapshots.cut(0)
    cache.target.in_order = False
    list(cache.prefill(of_tokens([*prompt, 13]), exact=True))
    assert cache.target.evaluated == 22 + 21
