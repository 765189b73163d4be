"""OpenAI's responses, asked for by OpenAI's own Python client and by requests as agents send
them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openai import APIStatusError, BadRequestError, NotFoundError, OpenAI
from support.fakes import Script
from support.serving import FakeEngines

THOUGHTFUL = Script("It is four.", thought="Two and two.")


@pytest.fixture
def client(url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
def real(served: str) -> Iterator[OpenAI]:
    """Of the built-in pair."""
    with OpenAI(base_url=f"{served}/v1", api_key="any", max_retries=0) as client:
        yield client


def post(url: str, **more: Any) -> httpx.Response:
    asked = {"model": "tiny", "input": "Hi", **more}
    return httpx.post(f"{url}/v1/responses", json=asked, timeout=30)


def events(response: httpx.Response) -> list[dict[str, Any]]:
    """Data of each event, whose names say the same."""
    assert response.headers["content-type"].startswith("text/event-stream")
    found = []
    for block in response.text.removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    assert [data["sequence_number"] for data in found] == list(range(len(found)))
    return found


def refusal(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 400, response.text
    error: dict[str, Any] = response.json()["error"]
    return error


# --- answers ---------------------------------------------------------------------------------


def test_a_whole_answer(engines: FakeEngines, client: OpenAI) -> None:
    engines.say("One two three.")
    answer = client.responses.create(model="tiny", input="Count.", instructions="Be brief.")
    assert (answer._request_id or "").startswith("req_")
    assert (answer.object, answer.status, answer.model) == ("response", "completed", "tiny")
    assert answer.output_text == "One two three."
    assert [item.type for item in answer.output] == ["message"]
    assert (answer.error, answer.incomplete_details) == (None, None)
    assert [(m.role, m.content) for m in engines.asked.messages] == [
        ("system", "Be brief."),
        ("user", "Count."),
    ]
    assert answer.usage
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (11, 3)
    assert answer.usage.total_tokens == 14
    assert answer.model_extra
    assert answer.model_extra["gemma_mtp"]["seed"] == 7
    assert answer.model_extra["timings"]["predicted_n"] == 3


def test_thoughts_are_an_item_before_the_message(engines: FakeEngines, client: OpenAI) -> None:
    engines.say(THOUGHTFUL)
    answer = client.responses.create(model="tiny", input="Hi", reasoning={"effort": "low"})
    assert engines.asked.think
    thought, message = answer.output
    assert thought.type == "reasoning"
    assert thought.content
    assert (thought.content[0].text, thought.summary) == ("Two and two.", [])
    assert message.type == "message"
    assert answer.output_text == "It is four."
    assert answer.usage
    assert answer.usage.output_tokens_details.reasoning_tokens == 3


def test_they_stand_in_the_summary_where_one_is_asked_for(
    engines: FakeEngines, client: OpenAI
) -> None:
    engines.say(THOUGHTFUL)
    wanted: Any = {"effort": "high", "summary": "auto"}
    answer = client.responses.create(model="tiny", input="Hi", reasoning=wanted)
    thought = answer.output[0]
    assert thought.type == "reasoning"
    assert thought.summary[0].text == "Two and two."
    assert not thought.content


def test_a_streamed_answer_says_the_same(engines: FakeEngines, client: OpenAI) -> None:
    engines.say(THOUGHTFUL)
    whole = client.responses.create(model="tiny", input="Hi")
    with client.responses.stream(model="tiny", input="Hi") as stream:
        texts = [event.delta for event in stream if event.type == "response.output_text.delta"]
        answer = stream.get_final_response()
    assert texts == ["It", " is", " four."]
    assert answer.output_text == whole.output_text
    assert answer.usage == whole.usage
    assert [item.type for item in answer.output] == ["reasoning", "message"]


@pytest.mark.parametrize(
    ("summary", "part", "text"),
    [
        (None, "response.content_part", "response.reasoning_text"),
        ("auto", "response.reasoning_summary_part", "response.reasoning_summary_text"),
    ],
)
def test_events_come_in_their_order(
    engines: FakeEngines, url: str, summary: str | None, part: str, text: str
) -> None:
    engines.say(THOUGHTFUL)
    found = events(post(url, stream=True, reasoning={"summary": summary}))

    def item(part: str, text: str) -> list[str]:
        return [
            *("response.output_item.added", f"{part}.added", *[f"{text}.delta"] * 3),
            *(f"{text}.done", f"{part}.done", "response.output_item.done"),
        ]

    assert [data["type"] for data in found] == [
        *("response.created", "response.in_progress", *item(part, text)),
        *(*item("response.content_part", "response.output_text"), "response.completed"),
    ]
    *_, last = found
    answer = last["response"]
    done = [data for data in found if data["type"] == "response.output_item.done"]
    assert [data["item"] for data in done] == answer["output"]
    assert [data["output_index"] for data in done] == [0, 1]
    ids = [each["id"] for each in answer["output"]]
    said = [(data["item_id"], data["output_index"]) for data in found if "item_id" in data]
    assert set(said) == {(ids[0], 0), (ids[1], 1)}
    assert {data["response"]["id"] for data in found if "response" in data} == {answer["id"]}
    assert [data["response"]["status"] for data in (found[0], last)] == ["in_progress", "completed"]


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_reached_its_limit_is_incomplete(
    engines: FakeEngines, url: str, stream: bool
) -> None:
    engines.say("One two three four.")
    response = post(url, max_output_tokens=2, stream=stream)
    answer = response.json() if not stream else events(response)[-1]["response"]
    assert answer["status"] == "incomplete"
    assert answer["incomplete_details"] == {"reason": "max_output_tokens"}
    assert answer["output"][0]["status"] == "incomplete"
    assert answer["output"][0]["content"][0]["text"] == "One two"
    if stream:
        assert events(response)[-1]["type"] == "response.incomplete"


def test_an_engine_that_dies_is_a_failed_answer(engines: FakeEngines, url: str) -> None:
    engines.say(Script("One two three.", crash="llama.cpp is gone"))
    found = events(post(url, stream=True))
    assert found[-1]["type"] == "response.failed"
    failed = found[-1]["response"]
    assert failed["status"] == "failed"
    assert failed["error"]["code"] == "server_error"
    assert "llama.cpp is gone" in failed["error"]["message"]
    assert failed["output"][0]["content"][0]["text"] == "One"


# --- what is asked for -------------------------------------------------------------------------


def test_items_become_a_conversation(engines: FakeEngines, client: OpenAI) -> None:
    said: Any = [
        {"role": "developer", "content": "Be kind."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"role": "user", "content": "there"},
    ]
    first = client.responses.create(model="tiny", input=said, instructions="Be brief.")
    said += [item.to_dict() for item in first.output]
    said += [{"type": "reasoning", "id": "rs_1", "summary": [], "content": []}]
    said += [{"role": "user", "content": "More."}]
    client.responses.create(model="tiny", input=said, instructions="Be brief.")
    assert [(m.role, m.content) for m in engines.asked.messages] == [
        ("system", "Be brief.\n\nBe kind."),
        ("user", "Hi\n\nthere"),
        ("assistant", "Hello there."),
        ("user", "More."),
    ]


def test_settings_are_those_asked_for(engines: FakeEngines, client: OpenAI) -> None:
    more = {"seed": 3, "top_k": 5, "draft": 2}
    answer = client.responses.create(
        model="tiny", input="Hi", temperature=0.5, top_p=0.7, max_output_tokens=9, extra_body=more
    )
    sampling = engines.asked.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (0.5, 0.7, 5)
    assert (engines.asked.max_tokens, engines.asked.seed, engines.asked.draft) == (9, 3, 2)
    assert (answer.temperature, answer.top_p, answer.max_output_tokens) == (0.5, 0.7, 9)
    client.responses.create(model="tiny", input="Hi", reasoning={"effort": "none"})
    assert not engines.asked.think


IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,AA=="}
CALL = {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"truncation": "auto"}, "truncation"),
        ({"tools": [{"type": "function", "parameters": {}}]}, "tools.0.name"),
        ({"tools": [{"type": "function", "name": "look", "parameters": 3}]}, "tools.0.parameters"),
        ({"tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"input": [{"role": "user", "content": [IMAGE]}]}, "input.0.content.0.image_url"),
        ({"input": [{**CALL, "call_id": None}]}, "input.0.call_id"),
        ({"input": [{**CALL, "name": 1}]}, "input.0.name"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input.0.call_id"),
        ({"input": [{"type": "computer_call"}]}, "input.0.type"),
        ({"input": [{"role": "user", "content": ["x"]}]}, "input.0.content.0"),
        ({"input": [{"role": "user", "content": 7}]}, "input.0.content"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input.0.type"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input.0.role"),
        ({"input": [{"role": "user"}]}, "input.0.content"),
        ({"input": ["Hi"]}, "input.0"),
        ({"input": 7}, "input"),
        ({"reasoning": "low"}, "reasoning"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(url: str, more: dict[str, Any], named: str) -> None:
    for stream in (False, True):
        error = refusal(post(url, stream=stream, **more))
        assert error["param"] == named
        assert error["message"].startswith(named)


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True},
        {"tools": [{"type": "web_search"}, {"type": "local_shell"}]},
        {"store": False, "include": ["reasoning.encrypted_content"], "prompt_cache_key": "k"},
        {"text": {"format": {"type": "text"}, "verbosity": "low"}},
        {"user": "u", "metadata": {"a": "b"}, "truncation": "disabled", "background": False},
        {"reasoning": {}, "previous_response_id": None, "a_field_of_tomorrow": 1},
    ],
)
def test_what_changes_nothing_is_accepted(
    engines: FakeEngines, url: str, more: dict[str, Any]
) -> None:
    assert post(url, **more).json()["status"] == "completed"


def test_errors_are_those_of_the_client(engines: FakeEngines, client: OpenAI) -> None:
    with pytest.raises(NotFoundError, match="nosuch"):
        client.responses.create(model="nosuch", input="Hi")
    with pytest.raises(BadRequestError, match="max_output_tokens must be") as wrong:
        client.responses.create(model="tiny", input="Hi", max_output_tokens=0)
    assert isinstance(wrong.value, APIStatusError)
    engines.say("Never said.", context=4, limit=4)
    with pytest.raises(BadRequestError, match="the context holds 4") as long:
        client.responses.create(model="tiny", input="Hi", stream=True)
    assert long.value.code == "context_length_exceeded"


# --- with the built-in pair ----------------------------------------------------------------------


def test_a_conversation_evaluates_only_what_is_new(real: OpenAI) -> None:
    said: Any = [{"role": "user", "content": "Tell me about rivers. " * 40}]
    ask: dict[str, Any] = {"model": "tiny", "max_output_tokens": 20, "instructions": "Be brief."}
    first = real.responses.create(input=said, **ask)
    said += [item.to_dict() for item in first.output]
    said += [{"role": "user", "content": "And lakes?"}]
    second = real.responses.create(input=said, **ask)
    assert first.usage
    assert second.usage
    assert second.usage.input_tokens_details.cached_tokens >= first.usage.input_tokens - 1 > 100
    assert second.usage.input_tokens - second.usage.input_tokens_details.cached_tokens < 60


def test_the_tokens_of_thoughts_are_counted(real: OpenAI) -> None:
    ask: dict[str, Any] = {"model": "tiny", "input": "What is 17 plus 25?"}
    seed = {"seed": 1}
    answer = real.responses.create(**ask, reasoning={"effort": "low"}, extra_body=seed)
    assert [item.type for item in answer.output] == ["reasoning", "message"]
    assert answer.usage
    used = answer.usage.output_tokens_details.reasoning_tokens
    assert 4 < used < answer.usage.output_tokens
    plain = real.responses.create(**ask, reasoning={"effort": "none"}, extra_body=seed)
    assert plain.usage
    assert plain.usage.output_tokens_details.reasoning_tokens == 0
    with real.responses.stream(**ask, reasoning={"effort": "low"}, extra_body=seed) as stream:
        streamed = stream.get_final_response()
    assert streamed.output_text == answer.output_text
    assert streamed.usage
    assert streamed.usage.output_tokens_details.reasoning_tokens == used
