"""OpenAI's chat completions: replies whole and as they come, figures, fields, errors."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from support.fakes import Script
from support.serving import FakeEngines, body, chat, leave
from support.waiting import PATIENCE, wait_until

STORY = " ".join(f"word{n}" for n in range(400))


def ask(client: openai.OpenAI, text: str = "Hi", **more: Any) -> Any:
    return client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": text}], **more
    )


def test_a_whole_reply(engines: FakeEngines, client: openai.OpenAI) -> None:
    engines.say(Script("Four.", thought="Two and two."))
    reply = ask(client, "What is two and two?")
    choice = reply.choices[0]
    assert choice.message.content == "Four."
    assert choice.message.reasoning_content == "Two and two."
    assert choice.finish_reason == "stop"
    assert reply.model == "tiny"
    assert reply.usage.prompt_tokens == 9
    assert reply.usage.completion_tokens == 4
    assert reply.usage.total_tokens == 13
    assert reply.usage.completion_tokens_details.reasoning_tokens == 3


def test_a_reply_as_it_comes(engines: FakeEngines, client: openai.OpenAI) -> None:
    engines.say(Script("One two three.", thought="Counting."))
    chunks = list(ask(client, stream=True))
    texts = [c.choices[0].delta.content or "" for c in chunks]
    thoughts = [getattr(c.choices[0].delta, "reasoning_content", None) or "" for c in chunks]
    assert "".join(texts) == "One two three."
    assert "".join(thoughts) == "Counting."
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks][-2:] == [None, "stop"]
    assert len({c.id for c in chunks}) == 1
    assert all(c.usage is None for c in chunks)


def test_usage_comes_in_a_chunk_of_its_own_where_it_is_wanted(
    engines: FakeEngines, client: openai.OpenAI
) -> None:
    engines.say("One two.")
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 2


def test_figures_of_speculation_come_along(engines: FakeEngines, url: str) -> None:
    engines.say(STORY)
    reply = chat(url).json()
    assert reply["timings"]["draft_n"] == reply["gemma_mtp"]["drafted"] == 600
    assert reply["timings"]["draft_n_accepted"] == 200
    assert reply["timings"]["predicted_n"] == 400
    assert reply["gemma_mtp"]["speedup"] == 1.42
    assert reply["gemma_mtp"]["seed"] == 7


@pytest.mark.parametrize(("limit", "reason"), [(None, "stop"), (3, "length")])
def test_why_a_reply_ended(engines: FakeEngines, url: str, limit: int | None, reason: str) -> None:
    engines.say("One two three four.")
    assert chat(url, max_tokens=limit).json()["choices"][0]["finish_reason"] == reason


def test_settings_reach_the_engine_under_the_client_s_names(engines: FakeEngines, url: str) -> None:
    given = {
        "temperature": 0.3,
        "top_p": 0.5,
        "seed": 11,
        "max_completion_tokens": 17,
        "top_k": 5,
        "min_p": 0.1,
        "draft": 3,
        "exact": True,
    }
    assert chat(url, **given).status_code == 200
    asked = engines.asked
    assert (asked.sampling.temperature, asked.sampling.top_p, asked.seed) == (0.3, 0.5, 11)
    assert (asked.sampling.top_k, asked.sampling.min_p) == (5, 0.1)
    assert (asked.max_tokens, asked.draft, asked.exact) == (17, 3, True)


@pytest.mark.parametrize("stop", ["END", ["END"], ["END", "DONE"], [], None])
def test_stop_is_a_text_or_a_list(
    engines: FakeEngines, url: str, stop: str | list[str] | None
) -> None:
    assert chat(url, stop=stop).status_code == 200
    wanted = (stop,) if isinstance(stop, str) else tuple(stop or ())
    assert engines.asked.stop == wanted


@pytest.mark.parametrize(("effort", "thinks"), [("none", False), ("low", True), ("high", True)])
def test_reasoning_effort_lets_the_model_think(
    engines: FakeEngines, url: str, effort: str, thinks: bool
) -> None:
    assert chat(url, reasoning_effort=effort).status_code == 200
    assert engines.asked.think is thinks


def test_messages_of_all_forms(engines: FakeEngines, url: str) -> None:
    parts = [{"type": "text", "text": "What is"}, {"type": "text", "text": "this?"}]
    said = [
        {"role": "developer", "content": "Be short."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": parts},
    ]
    assert chat(url, messages=said).status_code == 200
    roles = [(m.role, m.content) for m in engines.asked.messages]
    assert roles[0] == ("system", "Be short.")
    assert roles[-1] == ("user", "What is\nthis?")


def test_messages_are_read_as_those_of_a_chat_are(engines: FakeEngines, url: str) -> None:
    """So that the same words and seed get the same reply from `run` and from here."""
    said = [{"role": "user", "content": "\ufeffone\r\ntwo\x00\ud800"}]
    body = json.dumps({"model": "tiny", "messages": said})
    assert httpx.post(f"{url}/v1/chat/completions", content=body).status_code == 200
    assert engines.asked.messages[-1].content == "one\ntwo\ufffd\ufffd"


NEUTRAL = {
    "n": 1,
    "frequency_penalty": 0,
    "presence_penalty": 0.0,
    "logit_bias": {},
    "logprobs": False,
    "tools": [],
    "tool_choice": "auto",
    "response_format": {"type": "text"},
    "user": "me",
    "metadata": {"a": "b"},
    "store": False,
    "seed": None,
}


@pytest.mark.parametrize(("field", "value"), NEUTRAL.items())
def test_what_clients_always_send_is_accepted(url: str, field: str, value: Any) -> None:
    assert chat(url, **{field: value}).status_code == 200


UNSUPPORTED = {
    "n": 2,
    "frequency_penalty": 0.5,
    "presence_penalty": 1,
    "logit_bias": {"50256": -100},
    "logprobs": True,
    "tool_choice": "required",
    "response_format": {"type": "json_schema"},
    "functions": [{"name": "look", "parameters": {}}],
    "function_call": {"name": "look"},
    "temperature": "hot",
    "top_p": 7,
    "max_tokens": 0,
    "max_completion_tokens": 2**63,
    "stop": 3,
    "messages": [],
}


@pytest.mark.parametrize(("field", "value"), UNSUPPORTED.items())
def test_what_cannot_be_had_is_refused_by_name(
    engines: FakeEngines, url: str, field: str, value: Any
) -> None:
    refused = chat(url, **{field: value})
    assert refused.status_code == 400
    assert field in refused.json()["error"]["message"]
    assert refused.json()["error"]["type"] == "invalid_request_error"
    assert engines.engine.requests == []


def test_what_nobody_knows_is_passed_over_and_noted(engines: FakeEngines, url: str) -> None:
    assert chat(url, colour="blue", user="me").status_code == 200
    assert engines.record().passed_over == ("colour",)


@pytest.mark.parametrize(
    ("part", "said"), [({"type": "image_url", "image_url": {"url": "data:,"}}, "image_url")]
)
def test_parts_that_are_not_text_are_refused(url: str, part: dict[str, Any], said: str) -> None:
    refused = chat(url, messages=[{"role": "user", "content": [part]}])
    assert refused.status_code == 400
    assert said in refused.json()["error"]["message"]


def test_a_body_that_is_no_json(url: str) -> None:
    refused = httpx.post(f"{url}/v1/chat/completions", content=b"{")
    assert refused.status_code == 400
    assert "JSON" in refused.json()["error"]["message"]


def test_a_body_without_messages_names_them(url: str) -> None:
    refused = httpx.post(f"{url}/v1/chat/completions", json={"model": "tiny"})
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "messages"


def test_curl_calls_json_a_form_and_is_served(url: str) -> None:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    data = json.dumps(body())
    assert httpx.post(f"{url}/v1/chat/completions", content=data, headers=kind).is_success


@pytest.mark.parametrize(("model", "hint"), [("nosuch", "Known models"), ("31b", "pull 31b")])
def test_a_model_that_is_not_here(client: openai.OpenAI, model: str, hint: str) -> None:
    with pytest.raises(openai.NotFoundError, match=hint) as caught:
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hi"}])
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize("name", ["tiny", "tiny:latest", None])
def test_names_of_models(engines: FakeEngines, url: str, name: str | None) -> None:
    assert chat(url, model=name).json()["model"] == "tiny"


@pytest.mark.parametrize("stream", [False, True])
def test_an_error_before_the_first_event_has_a_status(
    engines: FakeEngines, client: openai.OpenAI, stream: bool
) -> None:
    engines.say(Script(error="The pair is broken."))
    with pytest.raises(openai.InternalServerError, match=r"The pair is broken\. Try something"):
        ask(client, stream=stream)


def test_an_error_in_the_middle_of_a_stream(engines: FakeEngines, client: openai.OpenAI) -> None:
    engines.say(Script("One two three.", crash="llama.cpp is gone"))
    stream = ask(client, stream=True)
    with pytest.raises(openai.APIError, match=r"llama\.cpp is gone"):
        list(stream)
    assert "llama.cpp is gone" in str(engines.record().error)


def test_a_path_that_is_none(url: str) -> None:
    refused = httpx.get(f"{url}/v1/nothing")
    assert refused.status_code == 404
    assert refused.json()["error"]["message"].startswith("There is no GET /v1/nothing here.")


@pytest.mark.parametrize(
    ("method", "path", "said"),
    [
        ("POST", "embeddings", "makes no embeddings"),
        ("POST", "audio/speech", "makes no recordings"),
        ("POST", "audio/translations", "a chat can be asked for one"),
        ("POST", "images/generations", "makes no images"),
        ("GET", "files", "has no files"),
        ("GET", "responses/resp_1", "keeps nothing of an answer"),
    ],
)
def test_what_openai_has_and_this_server_has_not(
    url: str, method: str, path: str, said: str
) -> None:
    refused = httpx.request(method, f"{url}/v1/{path}")
    assert refused.status_code == 404
    assert said in refused.json()["error"]["message"]


def test_a_slash_too_many_still_lists_the_models(url: str) -> None:
    assert httpx.get(f"{url}/v1/models/").json() == httpx.get(f"{url}/v1/models").json()


@pytest.mark.parametrize(
    ("slow", "stream"),
    [
        (Script(STORY, delay=0.2), False),
        (Script(STORY, prefill_delay=600), False),
        (Script(STORY, prefill_delay=600), True),
    ],
    ids=["writing", "prefill", "prefill-stream"],
)
def test_a_client_that_leaves_stops_its_reply(
    engines: FakeEngines, url: str, slow: Script, stream: bool
) -> None:
    engines.say(slow)
    leave(f"{url}/v1/chat/completions", body(stream=stream), engines.has_begun)
    assert engines.pairs[0].stopped.wait(PATIENCE)
    assert engines.pairs[0].closed.wait(PATIENCE)
    assert engines.record().left
    assert engines.replies == set()


def test_leaving_in_the_middle_of_a_stream(engines: FakeEngines, client: openai.OpenAI) -> None:
    engines.say(Script(STORY, delay=0.1))
    stream = ask(client, stream=True)
    for _ in range(3):
        next(stream)
    stream.close()
    assert engines.pairs[0].stopped.wait(PATIENCE)
    assert engines.record().left
    end = engines.record().end
    assert end is None or end.stats.completion_tokens < 400


def test_eight_clients_at_once(engines: FakeEngines, url: str, tmp_path: Path) -> None:
    engines.say("One two three.")
    said: list[str] = []

    def use() -> None:
        said.append(chat(url).json()["choices"][0]["message"]["content"])

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert said == ["One two three."] * 8
    wait_until(lambda: engines.replies == set())


def test_in_a_conversation_the_engine_reads_ahead(
    engines: FakeEngines, client: openai.OpenAI
) -> None:
    """Else each turn would evaluate the whole last reply once more."""
    engines.say(Script("Fine."))
    ask(client)  # may be all that this client wants
    assert engines.engine.prepared == []
    said = [("user", "Hi"), ("assistant", "Hello"), ("user", "How are you?")]
    messages: Any = [{"role": role, "content": text} for role, text in said]
    client.chat.completions.create(model="tiny", messages=messages)
    wait_until(lambda: engines.engine.prepared)
    (request,) = engines.engine.prepared
    assert request is not None
    assert [m.content for m in request.messages] == ["Hi", "Hello", "How are you?", "Fine."]
    assert request.messages[-1].tokens == ()


def test_after_a_reply_that_was_cut_nothing_is_read_ahead(
    engines: FakeEngines, client: openai.OpenAI
) -> None:
    engines.say(Script(STORY))
    messages: Any = [{"role": role, "content": "Hi"} for role in ("user", "assistant", "user")]
    client.chat.completions.create(model="tiny", messages=messages, max_tokens=3)
    wait_until(lambda: all(pair.closed.is_set() for pair in engines.pairs))
    assert engines.engine.prepared == []
