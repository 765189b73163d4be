"""With candidates chosen by the device, here the CPU, replies are those of whole rows."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from threading import Event

import llama_cpp
import pytest
from support.pairs import TINY

from gemma_mtp.api import Grammar, LoadOptions, Message, Request, Sampling
from gemma_mtp.engine import states
from gemma_mtp.engine.loading import load
from gemma_mtp.llama import shortlist
from gemma_mtp.llama.shortlist import Shortlist
from gemma_mtp.measure.replies import reply_from_empty_cache

ASKED = Request(
    (Message.text("user", "Tell me about rivers, lakes and the sea."),),
    seed=3,
    draft=3,
    exact=True,
    max_tokens=60,
    ignore_end=True,
)
WHOLE = [
    replace(ASKED, sampling=Sampling(1.0, top_k=0)),
    replace(ASKED, sampling=Sampling(0.7, top_k=120)),
    replace(ASKED, sampling=Sampling(0.0, repeat_penalty=1.3)),
    replace(ASKED, grammar=Grammar("lark", "start: /([a-z ]{3,20}, )+/")),
]


def opened(short):
    engine = load(TINY, LoadOptions(context=1024, threads=1))
    engine.pair.use(replace(engine.pair.device, shortlist=short))
    return engine


@pytest.fixture(scope="module")
def whole():
    with closing(opened(False)) as engine:
        yield engine


@pytest.fixture
def short():
    with closing(opened(True)) as engine:
        yield engine


def written(engine, asked):
    engine._begin_learning()  # what was drafted before decides how drafts are chosen
    return reply_from_empty_cache(engine, asked, Event())


def same(one, other):
    """The same tokens, and the same drafts."""
    return one.token_ids == other.token_ids and all(
        getattr(one.stats, name) == getattr(other.stats, name)
        for name in ("drafted", "accepted", "rounds")
    )


@pytest.fixture
def no_whole_rows(short, monkeypatch):
    def at(pointer, rows):
        assert not rows, "a whole row was copied"

    for part in (short.pair.target, short.pair.drafter):
        monkeypatch.setattr(part._logits, "at", at)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("exact", [False, True])
def test_text_and_drafts_are_the_same(whole, short, no_whole_rows, temperature, exact):
    asked = [
        replace(ASKED, sampling=Sampling(temperature), exact=exact, draft=draft)
        for draft in (0, 1, 3, 8)
    ]
    assert all(same(written(short, each), written(whole, each)) for each in asked)


@pytest.mark.parametrize("other", WHOLE, ids=["all", "many", "penalty", "grammar"])
def test_what_needs_whole_rows_gets_them_in_turn_with_others(whole, short, other):
    for asked in (ASKED, other, ASKED, other):
        assert same(written(short, asked), written(whole, asked))


def continued(engine, **other):
    """A reply to a prompt that is all evaluated again, or taken from a snapshot."""
    text = "Tell me about rivers, lakes and the sea. Rivers"
    *_, end = engine.reply(replace(ASKED, messages=(), prompt=text, **other))
    return end


def test_the_same_prompt_again_starts_from_the_snapshot(whole, short, no_whole_rows):
    first, again = continued(short), continued(short)
    assert first.token_ids == again.token_ids
    assert again.stats.cached_tokens == again.stats.prompt_tokens


def test_one_that_needs_a_whole_row_evaluates_the_last_token_again(whole, short):
    other = Sampling(1.0, top_k=0)
    continued(short)
    end = continued(short, sampling=other)
    assert end.stats.cached_tokens == end.stats.prompt_tokens - 1
    assert end.token_ids == continued(whole, sampling=other).token_ids
    # What is whole tells all that a shortlist does.
    for sampling in (other, ASKED.sampling):
        assert continued(short, sampling=sampling).stats.cached_tokens == end.stats.prompt_tokens


def test_a_snapshot_with_a_shortlist_outlives_the_engine(short):
    continued(short)
    kept = short.cache._copied()
    about, parts = states._packed(kept)
    found = states._unpacked(about, parts)
    (before,), (after,) = kept.snapshots.all, found.snapshots.all
    assert isinstance(after.saved.row, Shortlist)
    for name in ("ids", "logits"):
        assert (getattr(after.saved.row, name) == getattr(before.saved.row, name)).all()
    assert (after.saved.hidden == before.saved.hidden).all()
    assert after.saved.row.sure == before.saved.row.sure


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_shortlist_that_does_not_tell_is_followed_by_whole_rows(
    whole, short, temperature, monkeypatch
):
    asked = replace(ASKED, sampling=Sampling(temperature))
    expected = written(whole, asked)
    sure, given = Shortlist.sure.fget, []

    def seldom(found):
        given.append(found)
        return 0 if len(given) % 20 == 7 else sure(found)

    monkeypatch.setattr(shortlist, "REST", 3)
    monkeypatch.setattr(Shortlist, "sure", property(seldom))
    assert same(written(short, asked), expected)
    assert len(given) > 20


def test_what_is_evaluated_again_leaves_the_cells_in_order(whole, short, monkeypatch):
    """Around the end of the sliding window's ring, too; a prompt may end there, and a round."""
    monkeypatch.setattr(shortlist, "REST", 1)
    monkeypatch.setattr(Shortlist, "sure", 0)
    size = whole.cache.target.ring_size
    for length in range(size - 8, size + 24, 4):
        prompt = "<bos>" + " the" * (length - 1)
        asked = replace(ASKED, messages=(), prompt=prompt, max_tokens=30)
        assert same(written(short, asked), written(whole, asked))
        assert short.cache.target.in_order


def test_with_a_device_that_cannot_choose_rows_are_whole(whole, short, monkeypatch):
    def other():
        """A chain of a sampler that no device has."""
        chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
        llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_typical(0.5, 1))
        return chain

    monkeypatch.setattr(shortlist, "_sampler", other)
    assert same(written(short, ASKED), written(whole, ASKED))
    monkeypatch.setattr(shortlist, "_sampler", lambda: pytest.fail("tried again"))
    assert same(written(short, ASKED), written(whole, ASKED))
