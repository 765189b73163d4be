"""Calls that the built-in pair really writes, by OpenAI's own Python package.

The pair is a toy and has never seen a tool: what it writes into the arguments is nonsense, and yet
it fits their schemas.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import openai
import pytest
from jsonschema import validate
from pydantic import BaseModel, Field

ASKED: list[Any] = [{"role": "user", "content": "What is the weather in Oslo? " * 8}]


class Unit(StrEnum):
    """With letters that are not ASCII, and a quote."""

    CELSIUS = "°C"
    OLD = 'Réaumur "alt"'


class City(BaseModel):
    """A place."""

    name: str = Field(max_length=12)
    unit: Unit


class Forecast(BaseModel):
    """Looks outside."""

    cities: list[City] = Field(min_length=1, max_length=2)
    days: int = Field(ge=1, le=9)
    exact: bool


TOOL: Any = openai.pydantic_function_tool(Forecast)
CLOCK: Any = {
    "type": "function",
    "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}},
}
SETTLED: dict[str, Any] = {"model": "tiny", "max_tokens": 300, "seed": 3}


@pytest.fixture
def client(served: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served}/v1", api_key="any", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("seed", range(3))
def test_arguments_fit_the_schema_whole_and_streamed(client: openai.OpenAI, seed: int) -> None:
    asked = {**SETTLED, "messages": ASKED, "tools": [TOOL], "tool_choice": "required", "seed": seed}
    asked["parallel_tool_calls"] = False
    whole = client.chat.completions.parse(**asked)
    assert whole.choices[0].finish_reason == "tool_calls"
    (call,) = whole.choices[0].message.tool_calls or ()
    validate(json.loads(call.function.arguments), TOOL["function"]["parameters"])
    assert isinstance(call.function.parsed_arguments, Forecast)
    with client.chat.completions.stream(**asked) as events:
        pieces = [e for e in events if e.type == "tool_calls.function.arguments.delta"]
        streamed = events.get_final_completion()
    (same,) = streamed.choices[0].message.tool_calls or ()
    assert (same.id, same.function) == (call.id, call.function)
    assert len(pieces) > 5


def test_several_calls_and_one_by_name(client: openai.OpenAI) -> None:
    choice: Any = {"type": "function", "function": {"name": "clock"}}
    asked = {**SETTLED, "messages": ASKED, "tools": [TOOL, CLOCK]}
    said = client.chat.completions.create(**asked, tool_choice=choice, parallel_tool_calls=False)
    (call,) = said.choices[0].message.tool_calls or ()
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == ("clock", {})
    none = client.chat.completions.create(**asked, tool_choice="none")
    assert none.choices[0].message.tool_calls is None
    assert none.choices[0].finish_reason in ("stop", "length")


@pytest.mark.parametrize("thought", [0, 12])
def test_the_prompt_after_a_call_begins_with_all_that_is_cached(
    client: openai.OpenAI, thought: int
) -> None:
    """Thoughts are not sent back; the server knows them."""
    said = list(ASKED)
    asked: dict[str, Any] = {**SETTLED, "tools": [TOOL], "extra_body": {"think_budget": thought}}
    first = client.chat.completions.create(
        messages=said, **asked, tool_choice="required", parallel_tool_calls=False
    )
    (call,) = first.choices[0].message.tool_calls or ()
    said.append({"role": "assistant", "tool_calls": [call.to_dict()]})
    said.append({"role": "tool", "tool_call_id": call.id, "content": "Rain, 4 degrees."})
    second = client.chat.completions.create(messages=said, **asked, tool_choice="none")
    assert first.usage
    assert first.usage.completion_tokens_details
    assert bool(first.usage.completion_tokens_details.reasoning_tokens) == bool(thought)
    assert second.usage
    assert second.usage.prompt_tokens_details
    cached = second.usage.prompt_tokens_details.cached_tokens or 0
    written = first.usage.prompt_tokens + first.usage.completion_tokens
    assert written - 2 <= cached < second.usage.prompt_tokens
    assert second.choices[0].message.content


def test_responses_hold_the_same_call(client: openai.OpenAI) -> None:
    tool: Any = {"type": "function", **TOOL["function"]}
    asked: dict[str, Any] = {
        "model": "tiny",
        "input": ASKED,
        "tools": [tool, {"type": "web_search"}],
        "tool_choice": {"type": "function", "name": "Forecast"},
        "parallel_tool_calls": False,
        "max_output_tokens": 300,
        "extra_body": {"seed": 3},
    }
    whole = client.responses.create(**asked)
    (call,) = (item for item in whole.output if item.type == "function_call")
    validate(json.loads(call.arguments), tool["parameters"])
    events = list(client.responses.create(**asked, stream=True))
    pieces = [e.delta for e in events if e.type == "response.function_call_arguments.delta"]
    assert "".join(pieces) == call.arguments
    said = [*ASKED, *(item.to_dict() for item in whole.output)]
    said.append({"type": "function_call_output", "call_id": call.call_id, "output": "Rain."})
    answer = client.responses.create(**{**asked, "input": said, "tool_choice": "none"})
    assert answer.output_text
    assert answer.usage
    assert whole.usage
    written = whole.usage.input_tokens + whole.usage.output_tokens
    assert answer.usage.input_tokens_details.cached_tokens >= written - 2
