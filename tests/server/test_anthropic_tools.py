"""Tools in Anthropic's dialect, by Anthropic's own client and as agents send them, over a scripted
engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from anthropic import Anthropic, beta_tool
from server.test_anthropic import body, events, refusal
from support.fakes import Script
from support.serving import FakeEngines

from gemma_mtp.api import Message, Text, Thought, ToolCall, ToolChoice, ToolResult

ASK: list[Any] = [{"role": "user", "content": "What is the weather in Oslo and in Bergen?"}]
SCHEMA = {
    "type": "object",
    "properties": {
        "place": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "near": {"type": "array"}},
        },
        "unit": {"enum": ["°C", "°F"]},
    },
    "required": ["place"],
}
WEATHER: Any = {"name": "weather", "description": "The weather at a place.", "input_schema": SCHEMA}
OSLO = {"place": {"name": 'Øs"lo"', "near": [1, 2.5, None]}, "unit": "°C"}
BERGEN = {"place": {"name": "Bergen \\ {}\n", "near": []}}
CALLS = tuple(("weather", json.dumps(each, ensure_ascii=False)) for each in (OSLO, BERGEN))
BOTH = Script("I look.", thought="Two places.", calls=CALLS)
COMMON: dict[str, Any] = {"model": "tiny", "max_tokens": 100, "tools": [WEATHER]}


@pytest.fixture
def client(url: str) -> Iterator[Anthropic]:
    with Anthropic(base_url=url, api_key="any", max_retries=0) as client:
        yield client


def used(name: str, number: int = 0, **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": arguments}


def result(content: Any, number: int = 0, **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": content, **more}


def test_calls_are_blocks_behind_thought_and_text(client: Anthropic, engines: FakeEngines) -> None:
    engines.say(BOTH)
    message = client.messages.create(messages=ASK, **COMMON)
    assert [block.type for block in message.content] == ["thinking", "text", *["tool_use"] * 2]
    one, two = (block for block in message.content if block.type == "tool_use")
    assert (one.name, one.input, two.input) == ("weather", OSLO, BERGEN)
    assert one.id.startswith("toolu_")
    assert one.id != two.id
    assert message.stop_reason == "tool_use"
    (tool,) = engines.asked.tools
    assert (tool.name, tool.description) == ("weather", "The weather at a place.")
    assert json.loads(tool.parameters) == SCHEMA
    assert engines.asked.tool_choice == ToolChoice()


def test_a_stream_of_calls_says_the_same(client: Anthropic, engines: FakeEngines) -> None:
    engines.say(BOTH)
    pieces: list[str] = []
    with client.messages.stream(messages=ASK, **COMMON) as stream:
        pieces += [event.partial_json for event in stream if event.type == "input_json"]
        message = stream.get_final_message()
    one, two = (block for block in message.content if block.type == "tool_use")
    assert (one.input, two.input) == (OSLO, BERGEN)
    assert len(pieces) > 4
    assert message.stop_reason == "tool_use"


def test_the_events_of_a_call_come_in_their_order(engines: FakeEngines, url: str) -> None:
    engines.say(Script("", calls=[("now", ""), ("weather", '{"place": {}}')]))
    sent = body(stream=True, tools=[WEATHER, {"name": "now"}])
    found = events(httpx.post(f"{url}/v1/messages", json=sent, timeout=30))
    assert [name for name, _ in found] == [
        *("message_start", "ping", "content_block_start", "content_block_stop"),
        *("content_block_start", "content_block_delta", "content_block_delta"),
        *("content_block_stop", "message_delta", "message_stop"),
    ]
    blocks = [data for name, data in found if name.startswith("content_block")]
    assert [data["index"] for data in blocks] == [0, 0, 1, 1, 1, 1]
    started = [data["content_block"] for data in blocks if "content_block" in data]
    assert [(block["type"], block["name"], block["input"]) for block in started] == [
        ("tool_use", "now", {}),
        ("tool_use", "weather", {}),
    ]
    deltas = [data["delta"] for data in blocks if "delta" in data]
    assert {delta["type"] for delta in deltas} == {"input_json_delta"}
    assert "".join(delta["partial_json"] for delta in deltas) == '{"place": {}}'
    assert found[-2][1]["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, ToolChoice()),
        ({"type": "any"}, ToolChoice("required")),
        ({"type": "none"}, ToolChoice("none")),
        ({"type": "tool", "name": "weather"}, ToolChoice("required", "weather")),
        ({"type": "auto", "disable_parallel_tool_use": True}, ToolChoice(parallel=False)),
    ],
)
def test_how_tools_are_called(
    client: Anthropic, engines: FakeEngines, choice: Any, expected: ToolChoice
) -> None:
    client.messages.create(messages=ASK, tool_choice=choice, **COMMON)
    assert engines.asked.tool_choice == expected


@pytest.mark.parametrize("how", [{}, {"thread": False}, {"stream": True}])
def test_a_tool_runner_runs_python_functions_until_the_answer(
    client: Anthropic, engines: FakeEngines, how: Any
) -> None:
    ran: list[tuple[str, list[int]]] = []

    @beta_tool
    def forecast(place: str, days: list[int]) -> str:
        """The weather to come.

        Args:
            place: Where.
            days: Which days, from today.
        """
        ran.append((place, days))
        return f"Rain in {place}."

    calls = [("forecast", json.dumps({"place": p, "days": [0, 1]})) for p in ("Oslo", "Bergen")]
    engines.say(Script("", thought="Two.", calls=calls), Script("Rain everywhere."))
    runner = client.beta.messages.tool_runner(
        model="tiny", max_tokens=100, tools=[forecast], messages=ASK, **how
    )
    for turn in runner:
        last = turn.get_final_message() if how.get("stream") else turn
    assert ran == [("Oslo", [0, 1]), ("Bergen", [0, 1])]
    assert last.content[0].type == "text"
    assert last.content[0].text == "Rain everywhere."
    asked, answer, results = engines.asked.messages
    assert asked.content == ASK[0]["content"]
    assert answer.parts[0] == Thought("Two.")
    assert [json.loads(call.arguments)["place"] for call in answer.calls] == ["Oslo", "Bergen"]
    assert results.role == "tool"
    assert [part.text for part in results.parts if isinstance(part, ToolResult)] == [
        "Rain in Oslo.",
        "Rain in Bergen.",
    ]
    (tool,) = engines.asked.tools
    assert tool.description.startswith("The weather to come.")


def test_a_conversation_that_the_server_would_hold_is_refused_as_the_client_expects(
    url: str,
) -> None:
    sent = body(thread={"type": "create"})
    error = httpx.post(f"{url}/v1/messages", json=sent, timeout=30).json()["error"]
    assert error["details"]["error_code"] == "thread_unsupported_request"


def test_results_come_before_what_the_user_says_beside_them(engines: FakeEngines, url: str) -> None:
    """As Claude Code sends it, reminders and all."""
    said = [
        {"role": "user", "content": [{"type": "text", "text": "Read a."}]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "A file.", "signature": "x"},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "text", "text": "I read."},
            used("Read", 0, file_path="/tmp/a"), used("Read", 1, file_path="/tmp/b"),
        ]},
        {"role": "user", "content": [
            {"type": "text", "text": "<system-reminder>Be brief.</system-reminder>"},
            result([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]),
            result("No such file.", 1, is_error=True),
            {"type": "text", "text": "And?", "cache_control": {"type": "ephemeral"}},
        ]},
    ]  # fmt: skip
    sent = body(tools=[{"name": "Read"}], messages=said)
    assert httpx.post(f"{url}/v1/messages", json=sent, timeout=30).is_success
    _, answer, results, user = engines.asked.messages
    assert answer.parts == (
        Thought("A file."),
        Text("I read."),
        ToolCall("toolu_0", "Read", '{"file_path": "/tmp/a"}'),
        ToolCall("toolu_1", "Read", '{"file_path": "/tmp/b"}'),
    )
    assert results == Message(
        "tool",
        (ToolResult("toolu_0", "one\ntwo"), ToolResult("toolu_1", "Error: No such file.")),
    )
    assert user.content == "<system-reminder>Be brief.</system-reminder>\nAnd?"


def test_a_result_that_says_that_it_is_an_error_stays_as_it_is(
    engines: FakeEngines, url: str
) -> None:
    text = "<tool_use_error>No.</tool_use_error>"
    said = [*ASK, {"role": "assistant", "content": [used("a")]},
            {"role": "user", "content": [result(text, is_error=True)]}]  # fmt: skip
    httpx.post(f"{url}/v1/messages", json=body(messages=said), timeout=30).raise_for_status()
    assert engines.asked.messages[-1].parts == (ToolResult("toolu_0", text),)


def test_tools_of_anthropics_own_types_are_skipped_and_named(
    engines: FakeEngines, url: str
) -> None:
    tools = [
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 8},
        {"type": "custom", "name": "look", "input_schema": {"type": "object"}, "strict": True,
         "eager_input_streaming": True, "cache_control": {"type": "ephemeral"},
         "defer_loading": False, "input_examples": [{}], "allowed_callers": ["direct"]},
        {"type": "bash_20250124", "name": "bash"},
    ]  # fmt: skip
    assert httpx.post(f"{url}/v1/messages", json=body(tools=tools), timeout=30).is_success
    assert [tool.name for tool in engines.asked.tools] == ["look"]
    assert engines.record().passed_over == (
        "tools.0 (web_search_20250305)",
        "tools.2 (bash_20250124)",
    )
    sent = body(tools=tools, tool_choice={"type": "tool", "name": "bash"})
    assert "names bash" in refusal(httpx.post(f"{url}/v1/messages", json=sent))


def test_clearing_old_results_is_passed_over_and_named(engines: FakeEngines, url: str) -> None:
    edits = {"edits": [{"type": "clear_thinking_20251015"}, {"type": "clear_tool_uses_20250919"}]}
    sent = body(context_management=edits)
    assert httpx.post(f"{url}/v1/messages", json=sent, timeout=30).is_success
    assert engines.record().passed_over == ("context_management.edits.1",)


def test_a_call_that_a_limit_cuts_says_so(engines: FakeEngines, url: str) -> None:
    engines.say(Script("one two three", calls=CALLS))
    sent = body(tools=[WEATHER], max_tokens=2)
    found = httpx.post(f"{url}/v1/messages", json=sent, timeout=30).json()
    assert found["stop_reason"] == "max_tokens"
