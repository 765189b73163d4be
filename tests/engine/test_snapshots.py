"""Which snapshots are kept, and that a restored cache is the one that was saved, bit for bit."""

from __future__ import annotations

import random

import numpy as np
import pytest
from support.pairs import TINY

from gemma_mtp.api import End, LoadOptions, Message, Request
from gemma_mtp.engine.chat_template import FALLBACK
from gemma_mtp.engine.engine import Engine
from gemma_mtp.engine.snapshots import Snapshots
from gemma_mtp.llama import load_pair


class Saved:
    row = None

    def __init__(self, nbytes=10):
        self.nbytes = nbytes


def filled(lengths, limit=1000, count=8):
    snapshots = Snapshots(limit, count)
    for length in lengths:
        snapshots.add(length, 10, Saved)
    return snapshots


def lengths(snapshots):
    found = []
    while snapshot := snapshots.cut(snapshots.newest):
        found.append(snapshot.length)
        snapshots.cut(snapshot.length - 1)
    return found[::-1]


def test_the_newest_snapshot_within_a_length_is_found_and_longer_ones_are_dropped():
    snapshots = filled([10, 20, 30])
    assert snapshots.cut(29).length == 20
    assert snapshots.newest == 20
    assert snapshots.cut(9) is None
    assert snapshots.newest == 0


def test_one_at_the_same_length_is_replaced():
    snapshots = filled([10, 20, 20])
    assert snapshots.nbytes == 20
    assert lengths(snapshots) == [10, 20]


def test_bytes_and_number_are_limited():
    assert len(lengths(filled(range(1, 50), count=5))) == 5
    few = filled(range(1, 50), limit=35)
    assert few.nbytes == 30
    assert few.newest == 49


def test_one_that_is_too_large_is_not_even_taken():
    snapshots = filled([10], limit=35)
    snapshots.add(20, 36, lambda: pytest.fail("taken"))
    assert lengths(snapshots) == [10]


def test_a_state_that_cannot_be_had_is_not_kept():
    snapshots = filled([10])
    snapshots.add(20, 10, lambda: None)
    assert lengths(snapshots) == [10]


def test_those_that_are_dropped_leave_the_smallest_gaps():
    assert lengths(filled([100, 110, 300, 400, 900], count=4)) == [100, 300, 400, 900]
    assert lengths(filled([100, 110, 300], count=2)) == [110, 300]


class Probe:
    """A target evaluating the same random tokens again and again."""

    def __init__(self, **options):
        self.pair = load_pair(TINY, LoadOptions(context=1536, threads=1, **options))
        self.target = self.pair.target
        rng = random.Random(0)
        self.ids = [rng.randrange(10, self.target.vocabulary.size) for _ in range(1500)]

    def evaluate(self, start, end):
        for at in range(start, end, 64):
            self.target.decode(self.ids[at : min(end, at + 64)], at, 1)

    def rounds(self, start, orderly=True):
        """All rows of 40 rounds of up to 5 tokens, some of them rejected."""
        rng, rows, at = random.Random(start), [], start
        for _ in range(40):
            width = max(2, self.target.widest(at)) if orderly else 5
            width = min(width, 5)
            rows += [self.target.decode(self.ids[at : at + width], at, width).copy()]
            rows += [self.target.hidden(width - 1).copy()[None]]
            at += rng.randint(1, width)
            self.target.keep(at)
        return np.concatenate([row.ravel() for row in rows])


@pytest.fixture(scope="module", params=[{}, {"flash_attn": "off"}, {"kv_type": "q8_0"}])
def probe(request):
    probe = Probe(**request.param)
    yield probe
    probe.pair.close()


# The window is 128 positions, the ring 256 cells: not yet full, at its end, behind it, far behind.
@pytest.mark.parametrize("length", [5, 129, 255, 256, 300, 512, 700])
def test_a_restored_cache_gives_the_same_rows_bit_for_bit(probe, length):
    target = probe.target
    target.rewind(0)
    probe.evaluate(0, length)
    saved = target.save(complete=True)
    logits, hidden = saved.row, saved.hidden
    assert saved.nbytes <= target.saved_bytes()
    first = probe.rounds(length)
    target.keep(length)
    probe.rounds(length, orderly=False)  # whatever lies in the cells now
    assert target.restore(saved, length)
    assert target.in_order
    assert (target.hidden(0) == hidden).all()
    assert (probe.rounds(length) == first).all()
    assert (saved.row == logits).all()


def test_it_does_so_wherever_llama_cpp_would_put_the_next_token(probe):
    target = probe.target
    target.rewind(0)
    probe.evaluate(0, 400)
    saved = target.save(complete=True)
    first = probe.rounds(400)
    target.keep(400)
    at = 400
    # Found by trying: afterwards the first cell is free, and the next token goes elsewhere.
    evaluated = (64, 64, 64, 64, 64, 33, 33, 33, 64)
    taken_back = (2, 32, 25, 30, 37, 32, 18, 6, 58)
    for width, back in zip(evaluated, taken_back, strict=True):
        probe.evaluate(at, at + width)
        at += width - back
        target.keep(at)
    assert target.restore(saved, 400)
    assert (probe.rounds(400) == first).all()


def test_what_lies_before_the_window_of_a_restored_cache_is_gone(probe):
    target = probe.target
    target.rewind(0)
    probe.evaluate(0, 400)
    assert target.can_rewind(380)
    saved = target.save(complete=True)
    probe.evaluate(400, 800)
    assert not target.can_rewind(400)
    assert target.restore(saved, 400)
    assert target.can_rewind(400)
    assert not target.can_rewind(399)
    probe.evaluate(400, 460)
    assert target.can_rewind(430)


def test_after_a_state_that_llama_cpp_refuses_all_is_evaluated_again(probe):
    target = probe.target
    target.rewind(0)
    probe.evaluate(0, 300)
    saved = target.save(complete=True)
    first = probe.rounds(300)
    layers = 16 + 128 * 12  # bytes before them: a head, and the window's cells
    saved.window[layers + 8] ^= 1  # the first layer's type
    assert not target.restore(saved, 300)
    target.rewind(0)
    probe.evaluate(0, 300)
    assert (probe.rounds(300) == first).all()


@pytest.fixture(scope="module")
def engine():
    """With a template whose history is what was generated."""
    pair = load_pair(TINY, LoadOptions(context=3072, threads=1))
    pair.chat_template = FALLBACK
    engine = Engine(pair)
    yield engine
    engine.close()


def say(engine, messages, seed, draft=3, tokens=250):
    request = Request(
        tuple(messages), seed=seed, draft=draft, max_tokens=tokens, ignore_end=True, exact=True
    )
    *_, end = engine.reply(request)
    assert isinstance(end, End)
    return end


def test_in_a_long_chat_the_same_seed_writes_the_same_reply_again(engine):
    messages = []
    for turn in range(6):
        messages.append(Message.text("user", f"Tell me a story about a fox and {turn} birds."))
        original = say(engine, messages, turn)
        messages.append(original.message)
    prompt = original.stats.prompt_tokens
    assert original.stats.cached_tokens < prompt > 1200
    other = say(engine, messages[:-1], 100)
    assert other.token_ids != original.token_ids
    for draft in (0, 3, 7):
        again = say(engine, messages[:-1], turn, draft)
        assert again.token_ids == original.token_ids
        assert again.stats.cached_tokens == prompt
        if draft == 3:
            assert again.stats.accepted_histogram == original.stats.accepted_histogram


def test_a_reply_without_its_thoughts_costs_itself_and_no_more(engine):
    engine.cache.rewind(0)
    messages = [Message.text("user", "Tell me a story about a fox.")]
    first = say(engine, messages, 1, tokens=400)
    messages += [Message.text("assistant", "A fox."), Message.text("user", "Why?")]
    second = say(engine, messages, 2, tokens=5)
    assert second.stats.cached_tokens >= first.stats.prompt_tokens
    assert len(first.token_ids) > 300


def test_a_continued_reply_evaluates_one_token_and_can_be_repeated(engine):
    engine.cache.rewind(0)
    question = Message.text("user", "Tell me a story about a fox.")
    whole = say(engine, [question], 1, tokens=60)
    engine.cache.rewind(0)
    begun = say(engine, [question], 1, tokens=30)
    assert begun.message.tokens == begun.token_ids == whole.token_ids[:30]
    continued = say(engine, [question, begun.message], 1, tokens=30)
    assert continued.stats.cached_tokens == continued.stats.prompt_tokens - 1
    assert continued.token_ids == say(engine, [question, begun.message], 1, tokens=30).token_ids
    text = begun.message.content + continued.message.content
    both = Message.text("assistant", text, begun.message.tokens + continued.message.tokens)
    later = say(engine, [question, both, Message.text("user", "And then?")], 1, tokens=5)
    assert later.stats.cached_tokens == continued.stats.prompt_tokens + 30 - 1
