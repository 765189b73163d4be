"""OpenAI's completions of a text: a prompt as it stands."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest
from support.fakes import Script
from support.serving import FakeEngines


def post(url: str, **more: Any) -> httpx.Response:
    body = {"model": "tiny", "prompt": "Once upon", **more}
    return httpx.post(f"{url}/v1/completions", json=body, timeout=30)


@pytest.mark.parametrize("prompt", ["Once upon", ["Once upon"]])
def test_what_follows_a_prompt(
    engines: FakeEngines, client: openai.OpenAI, prompt: str | list[str]
) -> None:
    engines.say(" a time.")
    reply = client.completions.create(model="tiny", prompt=prompt, max_tokens=9, stop="END")
    assert reply.choices[0].text == " a time."
    assert reply.choices[0].finish_reason == "stop"
    assert reply.object == "text_completion"
    assert reply.usage is not None
    assert reply.usage.completion_tokens == 2
    asked = engines.asked
    assert (asked.prompt, asked.messages) == ("Once upon", ())
    assert (asked.max_tokens, asked.stop) == (9, ("END",))


@pytest.mark.parametrize(("echo", "text"), [(True, "Once upon a time."), (False, " a time.")])
@pytest.mark.parametrize("stream", [True, False])
def test_with_echo_the_prompt_comes_first(
    engines: FakeEngines, client: openai.OpenAI, echo: bool, text: str, stream: bool
) -> None:
    engines.say(" a time.")
    reply: Any = client.completions.create(
        model="tiny",
        prompt="Once upon",
        echo=echo,
        stream=stream,
        stream_options={"include_usage": True} if stream else None,
    )
    chunks = list(reply) if stream else [reply]
    said = "".join(choice.text for chunk in chunks for choice in chunk.choices)
    assert said == text
    assert chunks[-1].usage.completion_tokens == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", [1, 2]),
        ("prompt", [[1, 2]]),
        ("prompt", ["a", "b"]),
        ("prompt", []),
        ("suffix", "the end"),
        ("best_of", 2),
        ("n", 2),
        ("logprobs", 5),
        ("logit_bias", {"1": 5}),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(
    engines: FakeEngines, url: str, field: str, value: Any
) -> None:
    refused = post(url, **{field: value})
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == field
    assert engines.engine.requests == []


@pytest.mark.parametrize("field", ["suffix", "best_of", "logprobs", "user", "stop"])
def test_null_is_as_if_it_were_not_there(url: str, field: str) -> None:
    assert post(url, **{field: None}).is_success


def test_an_error_in_the_middle_of_a_stream(engines: FakeEngines, client: openai.OpenAI) -> None:
    engines.say(Script("One two three.", crash="llama.cpp is gone"))
    stream = client.completions.create(model="tiny", prompt="Hi", stream=True)
    with pytest.raises(openai.APIError, match=r"llama\.cpp is gone"):
        list(stream)


def test_what_is_said_back_may_be_no_text(engines: FakeEngines, url: str) -> None:
    """A lone surrogate, as a client sends that cuts a text in the middle of a character."""
    for path, asked in (
        ("completions", {"prompt": "cut \ud800", "echo": True}),
        ("responses", {"input": "Hi", "instructions": "cut \ud800"}),
    ):
        for stream in (False, True):
            body = json.dumps({"model": "tiny", "stream": stream, **asked})
            answer = httpx.post(f"{url}/v1/{path}", content=body)
            assert answer.status_code == 200
            assert "cut \\ud800" in answer.text
