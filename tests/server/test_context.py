"""Prompts that do not fit the context: it is made larger, or both sizes are said."""

from __future__ import annotations

import dataclasses
from typing import Any

import httpx
import pytest
from support.serving import FakeEngines, chat
from support.waiting import wait_until

from gemma_mtp.errors import DoesNotFit

LONG = {"messages": [{"role": "user", "content": "word " * 300}]}


def test_the_context_is_made_larger_for_a_prompt_that_does_not_fit(
    engines: FakeEngines, url: str
) -> None:
    engines.say("Yes.", context=256)
    assert chat(url, **LONG).is_success
    assert engines.record().note == "context made larger: 1024 tokens"
    assert [pair.options.context for pair in engines.pairs] == [None, 1024]
    assert all(pair.closed.wait(60) for pair in engines.pairs)


@pytest.mark.parametrize("stream", [False, True])
def test_it_stays_as_large_for_the_requests_to_come(
    engines: FakeEngines, url: str, stream: bool
) -> None:
    engines.say("Yes.", context=256)
    assert chat(url, stream=stream, **LONG).is_success
    assert chat(url, stream=stream).is_success
    assert engines.pairs[-1].options.context == 1024
    wait_until(lambda: len(engines.records) == 2)
    assert engines.records[-1].note == ""


def test_where_the_model_holds_no_more_both_sizes_are_said(engines: FakeEngines, url: str) -> None:
    engines.say("Yes.", context=256, limit=256)
    refused = chat(url, stream=True, **LONG)
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert error["code"] == "context_length_exceeded"
    assert "304" in error["message"]
    assert "256" in error["message"]
    assert error["message"].endswith("this model holds 256 tokens at the most.")
    assert engines.engine.requests[1:] == []


def test_a_context_that_serve_was_given_stays_as_it_is(engines: FakeEngines, url: str) -> None:
    engines.say("Yes.", context=256)
    served, engines.served = engines.served, dataclasses.replace(engines.served, context=256)
    try:
        assert chat(url, **LONG).json()["error"]["code"] == "context_length_exceeded"
    finally:
        engines.served = served
    assert len(engines.pairs) == 1


def test_a_context_that_the_client_gave_stays_as_it_is(engines: FakeEngines, url: str) -> None:
    engines.say("Yes.", context=256)
    refused = httpx.post(
        f"{url}/api/chat", json={"model": "tiny", "options": {"num_ctx": 256}, **LONG}
    )
    assert refused.status_code == 400
    assert "304" in refused.json()["error"]


def test_where_the_memory_does_not_hold_it_the_next_prompt_finds_the_context_as_it_was(
    engines: FakeEngines, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines.say("Yes.", context=256)
    connect = engines.connect

    def short_of_memory(files: Any, loading: Any, keep: float) -> Any:
        pair = connect(files, loading, keep)
        if loading.context:

            def fail(*_: object) -> Any:
                raise DoesNotFit("The model needs more memory than there is.")

            monkeypatch.setattr(pair, "reply", fail)
        return pair

    monkeypatch.setattr(engines, "connect", short_of_memory)
    refused = chat(url, **LONG)
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert error["code"] == "context_length_exceeded"
    assert "more memory" in error["message"]
    assert chat(url).is_success
