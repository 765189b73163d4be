"""Prompts that come as they are, without messages and a chat template."""

from __future__ import annotations

import random
import threading
import time

import pytest
from support.replies import end_of

from gemma_mtp.api import Message, Request
from gemma_mtp.engine.engine import Engine
from gemma_mtp.engine.prompt_tokens import PART, Piece, encode_prompt
from gemma_mtp.errors import DoesNotFit

MESSAGES = (
    Message.text("system", "Be brief."),
    Message.text("user", "What is 2 + 3?"),
    Message.text("assistant", "2 + 3 is 5."),
    Message.text("user", "Count from 1 to 20."),
)


def rendered(engine: Engine, messages: tuple[Message, ...] = MESSAGES) -> str:
    return "".join(piece.text for piece in engine.prompts.pieces(Request(messages)))


@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_text_of_the_template_is_the_same_prompt_as_the_messages(
    engine: Engine, count: int
) -> None:
    messages = MESSAGES[:count] if count != 1 else MESSAGES[1:2]
    text = rendered(engine, messages)
    assert "<|turn>" in text
    assert engine.prompt(Request(prompt=text)) == engine.prompt(Request(messages))
    assert engine.count(Request(prompt=text)) == engine.count(Request(messages))


def test_there_is_exactly_one_bos_in_front(engine: Engine) -> None:
    bos = engine.pair.target.vocabulary.bos
    ids = engine.prompt(Request(prompt="Once"))
    assert ids[0] == bos
    assert engine.prompt(Request(prompt="<bos>Once")) == ids
    assert engine.prompt(Request(prompt="<bos><bos>Once")) == ids
    assert engine.prompt(Request(prompt="")) == [bos]


def test_it_is_answered_like_the_messages(engine: Engine) -> None:
    asked = end_of(engine, Request(MESSAGES, seed=3))
    engine.cache.rewind(0)
    raw = end_of(engine, Request(prompt=rendered(engine), seed=3))
    assert raw.message.content == asked.message.content
    assert "19" in raw.message.content


def test_stop_texts_limits_and_the_cache_are_as_with_messages(engine: Engine) -> None:
    text = rendered(engine)
    whole = end_of(engine, Request(prompt=text, seed=3))
    again = end_of(engine, Request(prompt=text, seed=3))
    assert again.message == whole.message
    assert again.stats.cached_tokens >= again.stats.prompt_tokens - 1
    assert end_of(engine, Request(prompt=text, max_tokens=3)).stats.completion_tokens == 3
    stopped = end_of(engine, Request(prompt=text, seed=3, stop=("7",)))
    assert stopped.stopped_at == "7"
    goes_on = end_of(engine, Request(prompt=text + whole.message.content + " 21", max_tokens=2))
    assert goes_on.stats.cached_tokens > again.stats.prompt_tokens


def test_a_thought_that_the_prompt_opens_is_a_thought(engine: Engine) -> None:
    end = end_of(engine, Request(prompt=rendered(engine) + "<|channel>thought\n", max_tokens=5))
    assert end.message.content == ""
    assert end.thought


def test_one_that_is_far_too_long_is_refused(engine: Engine) -> None:
    for words in (3000, 300_000):
        with pytest.raises(DoesNotFit) as error:
            list(engine.reply(Request(prompt="word " * words), threading.Event()))
        assert error.value.tokens is not None
        assert error.value.tokens > 2048


def test_what_only_a_larger_context_would_hold_is_counted(engine: Engine) -> None:
    text = "word " * 14_000
    with pytest.raises(DoesNotFit, match="the context holds"):
        engine.prompt(Request(prompt=text))
    assert 14_000 < engine.count(Request(prompt=text)) < 16_000


def test_nothing_is_prepared_after_one(engine: Engine) -> None:
    before = list(engine.cache.tokens)
    engine.prepare(Request(prompt="Once upon a time"))
    engine.background.wait()
    assert engine.cache.tokens == before


def test_a_long_text_in_parts_is_the_same_as_in_one(engine: Engine) -> None:
    tokenize = engine.pair.target.vocabulary.tokenize
    rng = random.Random(1)
    words = ("<|turn>", "<turn|>", "<bos>", "<p>", "a fox", "\n", " ", "<|no mark>", "<", "is")
    text = "".join(rng.choice(words) for _ in range(4 * PART))
    assert encode_prompt([Piece(text)], tokenize, -1) == tokenize(text, True)


def test_control_tokens_by_the_thousand_take_no_more_time_each(engine: Engine) -> None:
    tokenize = engine.pair.target.vocabulary.tokenize

    def seconds(count: int) -> float:
        started = time.process_time()
        encode_prompt([Piece("<|turn>" * count)], tokenize, -1)
        return time.process_time() - started

    assert seconds(16_000) < 3 * 16 * min(seconds(1000) for _ in range(3))
