"""A larger context for a pair that is loaded: the weights stay, and so do the conversations."""

from __future__ import annotations

from collections.abc import Iterator

import llama_cpp
import pytest
from support.pairs import TINY
from support.replies import Conversation, evaluated

from gemma_mtp.api import End, LoadOptions, Message, Request
from gemma_mtp.engine.engine import Engine
from gemma_mtp.engine.loading import load
from gemma_mtp.errors import BadPair, DoesNotFit, UsageError
from gemma_mtp.llama import context as contexts

SMALL, LARGE = 1024, 4096
LONG = "Tell me a long story about a dog and a cat who went to the sea. " * 12


def new_engine(context: int = SMALL, **options: object) -> Engine:
    return load(TINY, LoadOptions(context=context, threads=1, **options))  # type: ignore[arg-type]


@pytest.fixture
def engine() -> Iterator[Engine]:
    loaded = new_engine()
    yield loaded
    loaded.close()


@pytest.fixture
def fresh() -> Iterator[Engine]:
    """A pair that was loaded with the larger context."""
    loaded = new_engine(LARGE)
    yield loaded
    loaded.close()


class Talk(Conversation):
    """The same conversation with any engine."""

    def __init__(self, engine: Engine, begins: str = "A dog.", tokens: int = 150) -> None:
        super().__init__(engine, begins, tokens)


def test_the_weights_are_not_read_again(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = engine.pair
    assert pair.drafter is not None
    models = pair.target.model, pair.drafter.model
    monkeypatch.setattr(llama_cpp, "llama_model_load_from_file", lambda *args: 1 / 0)
    before = engine.info
    engine.enlarge(LARGE)
    assert (pair.target.model, pair.drafter.model) == models
    assert before.context_size == SMALL
    for info in (engine.info, pair.info):
        assert info.context_size == pair.target.context_size == LARGE
        assert info.target_kv_bytes > before.target_kv_bytes
        assert info.drafter_kv_bytes == 0


def test_the_text_under_a_seed_is_that_of_a_fresh_load(fresh: Engine) -> None:
    engine = new_engine(256)
    engine.enlarge(LARGE)
    texts = [Talk(each, tokens=400).ask("Tell me a story.") for each in (engine, fresh)]
    engine.close()
    assert texts[0].token_ids == texts[1].token_ids
    assert texts[0].stats.completion_tokens == 400
    assert texts[0].stats.accepted == texts[1].stats.accepted > 0
    assert texts[0].stats.context_size == LARGE


@pytest.mark.parametrize("small", [256, SMALL])
def test_the_conversation_in_the_cache_is_kept_bit_for_bit(fresh: Engine, small: int) -> None:
    engine = new_engine(small)
    grown, alone = (Talk(each, tokens=40) for each in (engine, fresh))
    assert grown.ask("Tell me a story.").token_ids == alone.ask("Tell me a story.").token_ids
    engine.enlarge(LARGE)
    for text in ("And then?", "How does it end?", "Tell another one."):
        one, other = grown.ask(text), alone.ask(text)
        assert one.token_ids == other.token_ids
        assert evaluated(one) == evaluated(other) < one.stats.prompt_tokens / 1.1
    engine.close()


def test_a_long_conversation_is_kept_behind_the_end_of_the_ring(fresh: Engine) -> None:
    engine = new_engine(2048)
    grown, alone = (Talk(each, LONG * 2, tokens=300) for each in (engine, fresh))
    assert grown.ask("Tell me a story.").token_ids == alone.ask("Tell me a story.").token_ids
    assert len(engine.cache.tokens) > engine.pair.target.ring_size
    engine.enlarge(LARGE)
    one, other = grown.ask("And then?"), alone.ask("And then?")
    assert one.token_ids == other.token_ids
    assert evaluated(one) == evaluated(other) < one.stats.prompt_tokens / 2
    engine.close()


def test_conversations_that_were_set_aside_are_kept_as_well(engine: Engine, fresh: Engine) -> None:
    counts, texts = [], []
    for each in (engine, fresh):
        one, other = (Talk(each, f"{name} {LONG[:500]}") for name in ("A.", "B."))
        one.ask("Tell me a story.")
        other.ask("Tell me a story.")
        assert len(each.cache.shelf) == 1
        each.enlarge(LARGE)  # of which the other one takes no notice
        ends = [one.ask("And then?"), other.ask("And then?")]
        assert all(evaluated(end) < end.stats.prompt_tokens / 1.5 for end in ends)
        counts.append([evaluated(end) for end in ends])
        texts.append([end.token_ids for end in ends])
    assert texts[0] == texts[1]
    assert counts[0] == counts[1]


def test_what_is_not_larger_changes_nothing(engine: Engine) -> None:
    talk = Talk(engine)
    talk.ask("Tell me a story.")
    context = engine.pair.target.context
    engine.enlarge(SMALL)
    engine.enlarge(256)
    assert engine.pair.target.context is context
    assert engine.info.context_size == SMALL


def refuse_contexts(
    monkeypatch: pytest.MonkeyPatch, refused: tuple[int, ...], drafter: bool = False
) -> None:
    make = contexts.llama_cpp.llama_init_from_model

    def some(model: object, params: object) -> object:
        is_drafter = params.ctx_type == llama_cpp.LLAMA_CONTEXT_TYPE_MTP  # type: ignore[attr-defined]
        wrong = params.n_ctx in refused and is_drafter == drafter  # type: ignore[attr-defined]
        return None if wrong else make(model, params)

    monkeypatch.setattr(contexts.llama_cpp, "llama_init_from_model", some)


@pytest.mark.parametrize("drafter", [False, True])
def test_where_it_cannot_be_made_all_is_as_before(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, drafter: bool
) -> None:
    alone = new_engine()
    talk, other = Talk(engine), Talk(alone)
    assert talk.ask("Tell me a story.").token_ids == other.ask("Tell me a story.").token_ids
    refuse_contexts(monkeypatch, (LARGE,), drafter)
    info = engine.info
    with pytest.raises(DoesNotFit, match=str(LARGE)):
        engine.enlarge(LARGE)
    assert engine.info == info
    one, two = talk.ask("And then?"), other.ask("And then?")
    assert one.token_ids == two.token_ids
    assert evaluated(one) == evaluated(two)
    alone.close()


def test_more_than_the_model_was_trained_for_is_refused_and_changes_nothing(
    engine: Engine,
) -> None:
    Talk(engine).ask("Tell me a story.")
    tokens = list(engine.cache.tokens)
    with pytest.raises(UsageError, match=f"more than this model's {engine.info.context_limit}"):
        engine.enlarge(engine.info.context_limit + 1)
    assert engine.info.context_size == SMALL
    assert engine.cache.tokens == tokens


def test_a_pair_that_lost_its_context_can_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = new_engine()
    refuse_contexts(monkeypatch, (SMALL, LARGE))
    with pytest.raises(BadPair, match="cannot be made again"):
        engine.enlarge(LARGE)
    engine.close()


def test_where_a_longer_context_computes_otherwise_conversations_are_read_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contexts, "LARGE_CONTEXT", 2048)
    fresh = new_engine(LARGE)
    talk = Talk(engine)
    talk.ask("Tell me a story.")
    engine.enlarge(LARGE)
    assert engine.cache.tokens == []
    *_, end = engine.reply(Request(talk.messages[:2], seed=3, max_tokens=50))
    *_, fresh_end = fresh.reply(Request(talk.messages[:2], seed=3, max_tokens=50))
    assert isinstance(end, End)
    assert isinstance(fresh_end, End)
    assert end.token_ids == fresh_end.token_ids
    fresh.close()


def test_a_reply_that_was_abandoned_does_not_disturb_it(engine: Engine) -> None:
    events = engine.reply(Request((Message.text("user", "Tell me a story."),), seed=3))
    for _ in range(10):
        next(events)
    engine.enlarge(LARGE)
    del events
    *_, end = engine.reply(Request((Message.text("user", "Tell me a story."),), max_tokens=5))
    assert isinstance(end, End)
    assert end.stats.completion_tokens == 5


def test_it_keeps_the_threads_that_evaluate() -> None:
    engine = load(TINY, LoadOptions(context=SMALL, threads=2))
    engine.threads.use(1)
    engine.enlarge(LARGE)
    assert llama_cpp.llama_n_threads(engine.pair.target.context) == engine.threads.count == 1
    engine.threads.use(2)
    assert llama_cpp.llama_n_threads(engine.pair.target.context) == 2
    engine.close()
