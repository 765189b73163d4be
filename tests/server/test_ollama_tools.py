"""Tools in Ollama's dialect, by Ollama's own client and as Home Assistant and Zed send them, over a
scripted engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from ollama import Client, ResponseError
from server.test_ollama import lines, refusal
from support.fakes import Script
from support.serving import FakeEngines

from gemma_mtp.api import Grammar, Message, Text, Thought, ToolCall, ToolChoice, ToolResult
from gemma_mtp.models.gguf import Header
from gemma_mtp.server.ollama import about

ASK = [{"role": "user", "content": "What is the weather in Oslo and in Bergen?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather at a place.",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string"}, "unit": {"enum": ["°C", "°F"]}},
            "required": ["place"],
        },
    },
}
OSLO = {"place": 'Øs"lo"', "near": [{"x": 1, "y": None}], "unit": "°C"}
BERGEN = {"place": "Bergen \\ {}\n"}
CALLS = tuple(("weather", json.dumps(each, ensure_ascii=False)) for each in (OSLO, BERGEN))


@pytest.fixture
def client(url: str) -> Client:
    return Client(url)


def weather(place: str, days: list[int], unit: str = "C") -> str:
    """The weather at a place.

    Args:
        place: Where.
        days: Which days, from today.
        unit: Of the temperature.

    Returns:
        str: Words.
    """
    return f"Rain in {place}, {len(days)} days, 7 {unit}."


def called(*names: str, ids: bool = False) -> dict[str, Any]:
    calls = [
        {"function": {"name": name, "arguments": {"n": n}}} | ({"id": f"c{n}"} if ids else {})
        for n, name in enumerate(names)
    ]
    return {"role": "assistant", "content": "", "tool_calls": calls}


def results(engines: FakeEngines) -> list[tuple[str, str]]:
    """The arguments of each call, and its result."""
    said = engines.asked.messages
    calls = {call.id: call for message in said for call in message.calls}
    parts = [part for message in said for part in message.parts if isinstance(part, ToolResult)]
    return [(calls[part.id].arguments, part.text) for part in parts]


@pytest.mark.parametrize("stream", [False, True])
def test_python_functions_are_called_until_the_answer(
    client: Client, engines: FakeEngines, stream: bool
) -> None:
    arguments = [json.dumps({"place": p, "days": [0, 1], "unit": "F"}) for p in ("Oslo", "Bergen")]
    calls = [("weather", each) for each in arguments]
    engines.say(Script("I look.", thought="Two.", calls=calls), Script("Rain everywhere."))
    messages: list[Any] = [*ASK]
    for _ in range(2):
        found = client.chat("tiny", messages, tools=[weather], stream=stream)
        replies = list(found) if stream else [found]
        made = [call for reply in replies for call in reply.message.tool_calls or ()]
        assert (replies[-1].done, replies[-1].done_reason) == (True, "stop")
        messages += [reply.message for reply in replies if reply.message.tool_calls]
        for call in made:
            text = weather(**call.function.arguments)
            messages.append({"role": "tool", "content": text, "tool_name": call.function.name})
    assert "".join(reply.message.content for reply in replies) == "Rain everywhere."
    assert results(engines) == [
        (arguments[0], "Rain in Oslo, 2 days, 7 F."),
        (arguments[1], "Rain in Bergen, 2 days, 7 F."),
    ]
    (tool,) = engines.asked.tools
    assert (tool.name, tool.description) == ("weather", "The weather at a place.")
    days = json.loads(tool.parameters)["properties"]["days"]
    assert days["type"] == "array"  # all that the client says of it


def test_a_reply_has_its_calls_whole(engines: FakeEngines, url: str) -> None:
    engines.say(Script("", calls=CALLS))
    body = {"model": "tiny", "messages": ASK, "tools": [WEATHER], "stream": False}
    found = httpx.post(f"{url}/api/chat", json=body, timeout=30).json()
    calls = found["message"]["tool_calls"]
    assert [call["function"] for call in calls] == [
        {"index": 0, "name": "weather", "arguments": OSLO},
        {"index": 1, "name": "weather", "arguments": BERGEN},
    ]
    assert len({call["id"] for call in calls}) == 2
    assert found["message"]["content"] == ""
    assert found["done_reason"] == "stop"


def test_a_stream_has_each_call_in_a_line(engines: FakeEngines, url: str) -> None:
    engines.say(Script("I look.", calls=(*CALLS, ("now", ""))))
    body = {"model": "tiny", "messages": ASK, "tools": [WEATHER]}
    found = lines(httpx.post(f"{url}/api/chat", json=body, timeout=30))
    functions = [
        [call["function"] for call in line["message"].get("tool_calls", ())] for line in found
    ]
    assert [calls for calls in functions if calls] == [
        [{"index": 0, "name": "weather", "arguments": OSLO}],
        [{"index": 1, "name": "weather", "arguments": BERGEN}],
        [{"index": 2, "name": "now", "arguments": {}}],
    ]
    assert functions[-1] == []
    assert (found[-1]["done"], found[-1]["done_reason"]) == (True, "stop")
    assert not any(line["done"] for line in found[:-1])


@pytest.mark.parametrize(
    ("answer", "said", "expected"),
    [
        (called("a", "b"), [{}, {}], ["0", "1"]),  # Home Assistant
        (called("a", "b"), [{"tool_name": "b"}, {"tool_name": "a"}], ["1", "0"]),  # Zed
        (called("a", "a"), [{"tool_name": "a"}, {"tool_name": "a"}], ["0", "1"]),
        (called("a", "b"), [{"name": "b"}, {"name": "a"}], ["1", "0"]),  # as it was called once
        (called("a", "a", ids=True), [{"tool_call_id": "c1"}, {"tool_call_id": "c0"}], ["1", "0"]),
        (called("a"), [{"tool_name": "renamed", "tool_call_id": "lost"}], ["0"]),
    ],
)
def test_a_result_finds_its_call(
    engines: FakeEngines,
    url: str,
    answer: dict[str, Any],
    said: list[dict[str, Any]],
    expected: list[str],
) -> None:
    tools = [
        {"role": "tool", "content": number, **more}
        for number, more in zip(expected, said, strict=True)
    ]
    body = {"model": "tiny", "messages": [*ASK, answer, *tools], "tools": [WEATHER]}
    assert httpx.post(f"{url}/api/chat", json=body, timeout=30).is_success
    assert results(engines) == [(f'{{"n": {number}}}', number) for number in expected]


def test_thoughts_stay_before_the_calls_that_they_led_to(engines: FakeEngines, url: str) -> None:
    answer = {**called("a"), "thinking": "Hm.", "content": "I look."}
    over = [{**answer, "tool_calls": None}, {"role": "user", "content": "And now?"}]
    said = [*ASK, *over, answer, {"role": "tool", "content": "7", "tool_name": "a"}]
    body = {"model": "tiny", "messages": said, "tools": [WEATHER]}
    assert httpx.post(f"{url}/api/chat", json=body, timeout=30).is_success
    assert engines.asked.messages[1] == Message.text("assistant", "I look.")
    thought, text, call = engines.asked.messages[3].parts
    assert (thought, text) == (Thought("Hm."), Text("I look."))
    assert isinstance(call, ToolCall)
    assert call.name == "a"


def test_home_assistant_asks_with_tools_and_a_form(engines: FakeEngines, url: str) -> None:
    turn_on = {"type": "function", "function": {
        "name": "HassTurnOn", "description": "Turns on a device",
        "parameters": {"type": "object", "properties": {
            "name": {"type": "string"}, "domain": {"type": "array", "items": {"type": "string"}},
        }, "required": []},
    }}  # fmt: skip
    body = {"model": "tiny:latest", "messages": [{"role": "system", "content": "A house."}, *ASK],
            "tools": [turn_on], "stream": True, "keep_alive": -1, "options": {"num_ctx": 8192},
            "think": False, "format": {"type": "object"}}  # fmt: skip
    engines.say(Script("", calls=[("HassTurnOn", '{"name": "Küche", "domain": ["light"]}')]))
    found = lines(httpx.post(f"{url}/api/chat", json=body, timeout=30))
    (call,) = next(
        line["message"]["tool_calls"] for line in found if "tool_calls" in line["message"]
    )
    assert call["function"]["arguments"] == {"name": "Küche", "domain": ["light"]}
    assert engines.asked.grammar == Grammar("json_schema", '{"type": "object"}')
    assert [tool.name for tool in engines.asked.tools] == ["HassTurnOn"]
    assert engines.asked.tool_choice == ToolChoice()


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ([{"role": "tool", "content": "7"}], "messages.1.role is tool, and no call before it"),
        ([called("a"), *[{"role": "tool", "content": "7"}] * 2], "messages.3.role is tool"),
        ([{"role": "assistant", "tool_calls": [{}]}], "messages.1.tool_calls.0.function must be"),
        ([{"role": "assistant", "tool_calls": [{"function": {}}]}], "function.name must be a text"),
    ],
)
def test_what_makes_no_sense_is_refused(url: str, said: list[Any], named: str) -> None:
    body = {"model": "tiny", "messages": [*ASK, *said]}
    assert named in refusal(httpx.post(f"{url}/api/chat", json=body, timeout=30))


def test_a_prompt_takes_no_tools(url: str) -> None:
    body = {"model": "tiny", "prompt": "Hi", "tools": [WEATHER]}
    found = refusal(httpx.post(f"{url}/api/generate", json=body, timeout=30))
    assert found == "tools cannot be used with a prompt: a chat takes them."


def test_a_declaration_without_a_name_is_refused_by_the_client_too(client: Client) -> None:
    with pytest.raises(ResponseError, match=r"tools\.0\.function\.name must be a text"):
        client.chat("tiny", ASK, tools=[{"type": "function", "function": {}}])


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{% if tools %}{{ tools }}{% endif %}{{ messages }}", True),
        ("{{ messages }}{# no tool #}", False),
        ("", False),
    ],
)
def test_a_model_can_call_tools_whose_template_declares_them(template: str, expected: bool) -> None:
    path = Path("model.gguf")
    header = Header(path, 3, {about.TEMPLATE: template}, {}, {}, 0, 0)
    assert ("tools" in about.capabilities(header, encoder=None)) is expected
