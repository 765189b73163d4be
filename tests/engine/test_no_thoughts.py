"""Thoughts asked of a model whose chat template has no place for them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from support.pairs import TINY, with_template

from gemma_mtp.api import End, LoadOptions, Message, Request
from gemma_mtp.engine.engine import Engine
from gemma_mtp.engine.loading import load
from gemma_mtp.engine.reply import NO_THOUGHTS

PLAIN = (
    "{{ bos_token }}{% for message in messages %}<|turn>"
    "{{ 'model' if message.role == 'assistant' else message.role }}\n"
    "{{ message.content | trim }}<turn|>\n{% endfor %}<|turn>model\n"
)
HELLO = (Message.text("user", "Hello"),)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    files = with_template(tmp_path_factory.mktemp("pair"), PLAIN)
    engine = load(files, LoadOptions(context=512, threads=1))
    yield engine
    engine.close()


def warning(engine: Engine, request: Request) -> str:
    *_, end = engine.reply(request, threading.Event())
    assert isinstance(end, End)
    assert end.message.content
    return end.warning


@pytest.mark.parametrize("asked", [{"think": True}, {"think_budget": 20}])
def test_the_reply_says_so(plain: Engine, asked: dict[str, int]) -> None:
    assert warning(plain, Request(HELLO, max_tokens=8, **asked)) == NO_THOUGHTS


@pytest.mark.parametrize(
    "request_of",
    [
        Request(HELLO, max_tokens=8),
        Request(HELLO, max_tokens=8, think=True, think_budget=0),
        Request(prompt="Hello", max_tokens=8, think=True),
    ],
)
def test_nothing_is_said_where_none_were_asked_for(plain: Engine, request_of: Request) -> None:
    assert warning(plain, request_of) == ""


def test_a_model_that_can_think_says_nothing() -> None:
    engine = load(TINY, LoadOptions(context=512, threads=1))
    try:
        assert warning(engine, Request(HELLO, think=True)) == ""
    finally:
        engine.close()
