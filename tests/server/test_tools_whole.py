"""Calls of tools by the built-in pair, from the request to the answer that follows their results,
by Anthropic's and Ollama's clients."""

from __future__ import annotations

from typing import Any

import httpx
import jsonschema
import pytest
from anthropic import Anthropic
from ollama import Client

SCHEMA = {
    "type": "object",
    "properties": {
        "place": {
            "type": "object",
            "properties": {"name": {"type": "string", "maxLength": 6}, "near": {"type": "boolean"}},
            "required": ["name", "near"],
            "additionalProperties": False,
        },
        "days": {"type": "array", "items": {"enum": [0, 1, 2]}, "minItems": 1, "maxItems": 3},
        "unit": {"enum": ["°C", '"F"']},
    },
    "required": ["place", "days", "unit"],
    "additionalProperties": False,
}
TOOL: Any = {"name": "weather", "description": "The weather at a place.", "input_schema": SCHEMA}
ASK: list[Any] = [{"role": "user", "content": "What is the weather in Oslo?"}]
COMMON: dict[str, Any] = {"model": "tiny", "max_tokens": 400, "tools": [TOOL]}
MUST: Any = {"type": "tool", "name": "weather"}


def read(usage: Any) -> int:
    """Tokens of the prompt."""
    return int(usage.input_tokens) + int(usage.cache_read_input_tokens)


@pytest.mark.parametrize("stream", [False, True])
def test_anthropics_client_gets_a_call_that_fits_and_goes_on_from_the_cache(
    served: str, stream: bool
) -> None:
    with Anthropic(base_url=served, api_key="any", max_retries=0) as client:

        def ask(messages: list[Any], **more: Any) -> Any:
            asked = {**COMMON, "messages": messages, "extra_body": {"seed": 3}, **more}
            if not stream:
                return client.messages.create(**asked)
            with client.messages.stream(**asked) as found:
                return found.get_final_message()

        first = ask(ASK, tool_choice=MUST)
        assert first.stop_reason == "tool_use"
        calls = [block for block in first.content if block.type == "tool_use"]
        for call in calls:
            jsonschema.validate(call.input, SCHEMA)
        counted = client.messages.count_tokens(model="tiny", messages=ASK, tools=[TOOL])
        assert read(first.usage) == counted.input_tokens
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": "Rain."} for call in calls
        ]
        said = [block.model_dump(exclude_none=True) for block in first.content]
        messages = [*ASK, {"role": "assistant", "content": said},
                    {"role": "user", "content": results}]  # fmt: skip
        second = ask(messages, tool_choice={"type": "none"})
        assert second.stop_reason == "end_turn"
        assert {block.type for block in second.content} == {"text"}
        # Clients send back the text of a call; a name that is no word may be other tokens then.
        most_of_it = first.usage.output_tokens // 2
        assert second.usage.cache_read_input_tokens > read(first.usage) + most_of_it


def test_declarations_are_counted(served: str) -> None:
    with Anthropic(base_url=served, api_key="any", max_retries=0) as client:
        without = client.messages.count_tokens(model="tiny", messages=ASK).input_tokens
        tools = client.messages.count_tokens(model="tiny", messages=ASK, tools=[TOOL]).input_tokens
    assert tools > without + 50


def test_ollamas_client_goes_on_after_results_from_the_cache(served: str) -> None:
    """Whether or not the prompt of a question was prepared in the background meanwhile."""
    client = Client(served)
    tool = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
    call = {"function": {"name": "weather", "arguments": {"unit": "°C", "days": [0]}}}

    def result(text: str) -> dict[str, Any]:
        return {"role": "tool", "content": text, "tool_name": "weather"}

    def ask(messages: list[Any]) -> Any:
        body = {"model": "tiny", "messages": messages, "tools": [tool], "stream": False}
        return httpx.post(f"{served}/api/chat", json=body, timeout=60).json()

    messages: list[Any] = [*ASK, {"role": "assistant", "content": "", "tool_calls": [call, call]}]
    messages += [result("1"), result("2")]
    first = ask(messages)
    messages += [{"role": "assistant", "content": "", "tool_calls": [call]}, result("3")]
    found = ask(messages)
    assert found["timings"]["cache_n"] >= first["prompt_eval_count"] > 150

    # A template writes a turn with calls anew once the user speaks; from then on it stays.
    messages += [found["message"], {"role": "user", "content": "And in Bergen?"}]
    found = ask(messages)
    opening = 8  # tokens that only the prompt of a new reply ends in
    for question in ("And in Rome?", "And here?"):
        before = found["prompt_eval_count"] - opening
        messages += [found["message"], {"role": "user", "content": question}]
        found = ask(messages)
        assert found["timings"]["cache_n"] >= before > 150
    last = client.chat("tiny", messages, tools=[tool])
    assert last.message.content


def test_a_call_that_a_limit_cuts_stays_in_a_stream_as_far_as_it_was_written(served: str) -> None:
    text = {"type": "string", "minLength": 60}
    schema = {"type": "object", "properties": {"place": text}, "required": ["place"]}
    asked: dict[str, Any] = {
        **COMMON, "messages": ASK, "max_tokens": 20, "tool_choice": MUST,
        "tools": [{"name": "weather", "input_schema": schema}],
    }  # fmt: skip
    with Anthropic(base_url=served, api_key="any", max_retries=0) as client:
        with client.messages.stream(**asked) as stream:
            written = "".join(e.partial_json for e in stream if e.type == "input_json")
            streamed = stream.get_final_message()
        whole = client.messages.create(**asked)
    assert written.startswith('{"place": "')
    assert not written.endswith("}")
    assert [block.type for block in streamed.content] == ["tool_use"]
    assert whole.content == []
    assert (streamed.stop_reason, whole.stop_reason) == ("max_tokens", "max_tokens")
