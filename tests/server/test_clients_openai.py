"""OpenAI's own Python package against `serve`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

openai = pytest.importorskip("openai")
from support.server_process import (  # noqa: E402
    ENDLESS,
    SEED,
    SOME,
    STORY,
    Server,
    assert_stops,
)

SAID: Any = [{"role": "user", "content": STORY}]
LONG = {"model": "tiny", "messages": SAID, "seed": SEED, "extra_body": {"exact": False, **ENDLESS}}


@pytest.fixture
def client(server: Server) -> Iterator[Any]:
    with openai.OpenAI(base_url=server.openai, api_key="any", max_retries=0) as client:
        yield client


def test_the_model_is_listed_and_found(client: Any) -> None:
    assert "tiny" in [model.id for model in client.models.list()]
    assert client.models.retrieve("tiny").id == "tiny"


def test_a_reply_in_one_piece(client: Any) -> None:
    said = client.chat.completions.create(model="tiny", messages=SAID, max_tokens=20)
    assert said.choices[0].message.role == "assistant"
    assert said.choices[0].message.content
    assert said.choices[0].finish_reason == "length"
    assert said.usage.completion_tokens == 20
    assert said.usage.total_tokens == said.usage.prompt_tokens + 20


def test_a_stream_is_the_same_reply_in_pieces(client: Any) -> None:
    asked = {"model": "tiny", "messages": SAID, "max_tokens": 40, "temperature": 0}
    whole = client.chat.completions.create(**asked)
    chunks = list(
        client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    )
    pieces = [choice for chunk in chunks for choice in chunk.choices]
    text = "".join(piece.delta.content or "" for piece in pieces)
    assert text == whole.choices[0].message.content
    assert pieces[0].delta.role == "assistant"
    assert pieces[-1].finish_reason == "length"
    assert chunks[-1].usage.completion_tokens == 40
    assert len({chunk.id for chunk in chunks}) == 1
    assert len(pieces) > 20


def test_completions_go_on_with_a_text(client: Any) -> None:
    asked = {"model": "tiny", "prompt": "Once upon", "max_tokens": 8, "temperature": 0}
    whole = client.completions.create(**asked)
    pieces = [chunk.choices[0].text for chunk in client.completions.create(**asked, stream=True)]
    assert "".join(pieces) == whole.choices[0].text
    assert whole.usage.completion_tokens == 8


def test_responses_whole_and_in_pieces_are_the_same(client: Any) -> None:
    asked = {"model": "tiny", "input": STORY, "max_output_tokens": 40, "temperature": 0}
    whole = client.responses.create(**asked)
    assert whole.status == "incomplete"  # for its length
    assert whole.usage.output_tokens == 40
    events = list(client.responses.create(**asked, stream=True))
    pieces = [each.delta for each in events if each.type == "response.output_text.delta"]
    assert "".join(pieces) == whole.output_text
    assert events[0].type == "response.created"
    assert events[-1].response.output_text == whole.output_text
    assert len(pieces) > 20


def test_a_response_in_pieces_that_is_left_stops_the_engine(client: Any, server: Server) -> None:
    asked = {"model": "tiny", "input": STORY, "extra_body": LONG["extra_body"] | {"seed": SEED}}

    def leave() -> None:
        with client.responses.create(**asked, stream=True) as stream:
            for event in stream:
                if event.type == "response.output_text.delta":
                    break

    assert_stops(server, lambda: client.responses.create(**asked, max_output_tokens=SOME), leave)


def test_a_text_that_ends_the_reply_and_a_system_prompt(client: Any) -> None:
    asked = {"model": "tiny", "temperature": 0}
    story = [{"role": "system", "content": "You tell stories."}, *SAID]
    whole = client.chat.completions.create(messages=story, max_tokens=40, **asked)
    word = whole.choices[0].message.content.split()[5]
    cut = client.chat.completions.create(messages=story, max_tokens=40, stop=word, **asked)
    assert word not in cut.choices[0].message.content
    assert cut.choices[0].finish_reason == "stop"


def test_a_stream_that_is_left_stops_the_engine(client: Any, server: Server) -> None:
    def leave() -> None:
        stream = client.chat.completions.create(**LONG, stream=True)
        for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        stream.close()

    assert_stops(server, lambda: client.chat.completions.create(**LONG, max_tokens=SOME), leave)


def test_a_client_that_loses_patience_stops_the_engine(client: Any, server: Server) -> None:
    def leave() -> None:
        with pytest.raises(openai.APITimeoutError):
            client.with_options(timeout=0.1).chat.completions.create(**LONG)

    assert_stops(server, lambda: client.chat.completions.create(**LONG, max_tokens=SOME), leave)


def test_clients_at_once_all_get_their_own_replies(server: Server) -> None:
    async def ask(client: Any, name: str) -> str:
        said = await client.chat.completions.create(
            model="tiny",
            messages=[{"role": "user", "content": f"Tell me a story about {name}."}],
            max_tokens=30,
            temperature=0,
        )
        return str(said.choices[0].message.content)

    async def all_at_once(names: list[str]) -> list[str]:
        async with openai.AsyncOpenAI(base_url=server.openai, api_key="any") as client:
            return await asyncio.gather(*(ask(client, name) for name in names))

    names = ["a fox", "a bear", "a mouse", "an owl"]
    said = asyncio.run(all_at_once(names))
    assert said == [asyncio.run(all_at_once([name]))[0] for name in names]


@pytest.mark.parametrize(
    ("asked", "error", "named"),
    [
        ({"model": "nope"}, "NotFoundError", "nope"),
        ({"temperature": -1}, "BadRequestError", "temperature"),
        ({"n": 2}, "BadRequestError", "n "),
        ({"logit_bias": {"3": 1}}, "BadRequestError", "logit_bias"),
        ({"messages": []}, "BadRequestError", "messages"),
        ({"response_format": {"type": "json_schema"}}, "BadRequestError", "response_format"),
        ({"messages": [{"role": "user", "content": "fox " * 9000}]}, "BadRequestError", "context"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_wrong_is_raised_as_the_package_names_it(
    client: Any, asked: dict[str, Any], error: str, named: str, stream: bool
) -> None:
    request = {"model": "tiny", "messages": SAID, "max_tokens": 5, "stream": stream, **asked}
    with pytest.raises(getattr(openai, error), match=named):
        client.chat.completions.create(**request)


def test_a_long_conversation_is_not_read_anew_each_time(client: Any) -> None:
    said: list[Any] = [{"role": "user", "content": "Tell me a long story about two owls."}]
    before = 0
    for _ in range(6):
        reply = client.chat.completions.create(model="tiny", messages=said, max_tokens=60)
        assert reply.usage.prompt_tokens_details.cached_tokens >= before - 2
        before = reply.usage.prompt_tokens
        said += [
            {"role": "assistant", "content": reply.choices[0].message.content},
            {"role": "user", "content": "What happened then?"},
        ]
    assert before > 150
