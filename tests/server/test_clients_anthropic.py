"""Anthropic's own Python package against `serve`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

anthropic = pytest.importorskip("anthropic")
from support.server_process import (  # noqa: E402
    ENDLESS,
    SEED,
    SOME,
    STORY,
    Server,
    assert_stops,
)

SAID: Any = [{"role": "user", "content": STORY}]
OPTIONS = {"seed": SEED, "exact": False, **ENDLESS}
LONG: dict[str, Any] = {"model": "tiny", "messages": SAID, "extra_body": OPTIONS}


@pytest.fixture
def client(server: Server) -> Iterator[Any]:
    with anthropic.Anthropic(base_url=server.url, api_key="any", max_retries=0) as client:
        yield client


def test_address_and_token_may_come_from_the_variables_of_agents(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "any")
    with anthropic.Anthropic() as client:
        assert client.messages.count_tokens(model="tiny", messages=SAID).input_tokens > 5


def test_a_reply_in_one_piece(client: Any) -> None:
    said = client.messages.create(model="tiny", messages=SAID, max_tokens=20)
    assert said.content[0].text
    assert (said.role, said.stop_reason) == ("assistant", "max_tokens")
    assert said.usage.output_tokens == 20
    counted = client.messages.count_tokens(model="tiny", messages=SAID).input_tokens
    assert said.usage.input_tokens + said.usage.cache_read_input_tokens == counted


def test_a_stream_is_the_same_reply_in_pieces(client: Any) -> None:
    asked = {"model": "tiny", "messages": SAID, "max_tokens": 40}
    asked |= {"extra_body": {"temperature": 0}}
    whole = client.messages.create(**asked)
    with client.messages.stream(**asked) as stream:
        pieces = list(stream.text_stream)
        last = stream.get_final_message()
    assert "".join(pieces) == whole.content[0].text == last.content[0].text
    assert len(pieces) > 20
    assert last.stop_reason == "max_tokens"
    assert last.usage.output_tokens == 40


def test_a_text_that_ends_the_reply_and_a_system_prompt(client: Any) -> None:
    asked = {"model": "tiny", "max_tokens": 40, "messages": SAID, "system": "You tell stories."}
    asked |= {"extra_body": {"temperature": 0}}
    word = client.messages.create(**asked).content[0].text.split()[5]
    cut = client.messages.create(**asked, stop_sequences=[word])
    assert word not in cut.content[0].text
    assert (cut.stop_reason, cut.stop_sequence) == ("stop_sequence", word)


def test_a_stream_that_is_left_stops_the_engine(client: Any, server: Server) -> None:
    def leave() -> None:
        with client.messages.stream(**LONG, max_tokens=7000) as stream:
            next(iter(stream.text_stream))

    assert_stops(server, lambda: client.messages.create(**LONG, max_tokens=SOME), leave)


@pytest.mark.parametrize(
    ("asked", "error", "named"),
    [
        ({"model": "nope"}, "NotFoundError", "nope"),
        ({"extra_body": {"temperature": -1}}, "BadRequestError", "temperature"),
        ({"max_tokens": 0}, "BadRequestError", "max_tokens"),
        (
            {"tools": [{"name": "x y", "input_schema": {"type": "object"}}]},
            "BadRequestError",
            "name of a tool",
        ),
        ({"messages": [{"role": "user", "content": "fox " * 9000}]}, "BadRequestError", "context"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_wrong_is_raised_as_the_package_names_it(
    client: Any, asked: dict[str, Any], error: str, named: str, stream: bool
) -> None:
    request = {"model": "tiny", "messages": SAID, "max_tokens": 5, "stream": stream, **asked}
    with pytest.raises(getattr(anthropic, error), match=named):
        client.messages.create(**request)


def test_a_long_conversation_is_not_read_anew_though_a_line_for_billing_changes(
    client: Any,
) -> None:
    said: list[Any] = [{"role": "user", "content": "Tell me a long story about two owls."}]
    before = 0
    for turn in range(6):
        system = [
            {"type": "text", "text": f"x-anthropic-billing-header: turn={turn};"},
            {"type": "text", "text": "You tell stories to children before they go to sleep."},
        ]
        asked = {"model": "tiny", "system": system, "messages": said}
        reply = client.messages.create(**asked, max_tokens=60)
        assert reply.usage.cache_read_input_tokens >= before - 2
        before = reply.usage.cache_read_input_tokens + reply.usage.input_tokens
        said += [
            {"role": "assistant", "content": reply.content[0].text},
            {"role": "user", "content": "What happened then?"},
        ]
    assert before > 150
