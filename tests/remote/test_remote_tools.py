"""Tools of a model that a server elsewhere has: what is sent, and the calls that come back."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from support.drawn import address, base64_of, gif
from support.openai_server import OpenAIServer, piece, running
from support.sounds import mp3

from gemma_mtp.api import (
    Audio,
    End,
    Event,
    Image,
    Message,
    Request,
    Text,
    Thought,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolChoice,
    ToolResult,
)
from gemma_mtp.errors import UsageError
from gemma_mtp.remote.client import RemotePair
from gemma_mtp.remote.server import Server

ASKED = Message.text("user", "What is the weather?")
TOOLS = (Tool("weather", "Looks outside.", '{"type": "object"}'), Tool("clock"))
CALL = ToolCall("c1", "weather", '{"city": "Ål"}')
RESULTS = Message("tool", (ToolResult("c1", "rain"), ToolResult("c2", "noon")))
CALLED = Message(
    "assistant", (Thought("Hm."), Text("Let me see."), CALL, ToolCall("c2", "clock", "{}"))
)


def reply(server: OpenAIServer, *messages: Message, **more: Any) -> list[Event]:
    found = Server(server.address)
    request = Request((ASKED, *messages), tools=TOOLS, **more)
    return [*RemotePair(found, found.models()[0]).reply(request, threading.Event())]


def called(*pieces: dict[str, Any]) -> dict[str, Any]:
    return piece(tool_calls=list(pieces))


def begun(place: int | None, id: str, name: str, arguments: Any = "") -> dict[str, Any]:
    index = {} if place is None else {"index": place}
    return {
        **index,
        "id": id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def more(place: int | None, arguments: str) -> dict[str, Any]:
    index = {} if place is None else {"index": place}
    return {**index, "function": {"arguments": arguments}}


def test_tools_calls_and_results_are_sent_in_openai_s_form() -> None:
    server = OpenAIServer("gemma-mtp")
    server.stream = [piece("Rain.", finish="stop")]
    choice = ToolChoice("required", "clock", parallel=False)
    with running(server):
        reply(server, CALLED, RESULTS, tool_choice=choice)
    sent = server.last
    assert sent["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "weather",
                "description": "Looks outside.",
                "parameters": {"type": "object"},
            },
        },
        {
            "type": "function",
            "function": {
                "name": "clock",
                "description": "",
                "parameters": {"type": "object", "properties": {}},
            },
        },
    ]
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "clock"}}
    assert sent["parallel_tool_calls"] is False
    assert sent["messages"][1:] == [
        {
            "role": "assistant",
            "content": "Let me see.",
            "reasoning_content": "Hm.",
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city": "Ål"}'},
                },
                {"id": "c2", "type": "function", "function": {"name": "clock", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        {"role": "tool", "tool_call_id": "c2", "content": "noon"},
    ]


def test_thoughts_are_not_sent_where_openai_itself_may_listen() -> None:
    server = OpenAIServer("somebody")
    server.stream = [piece("Rain.", finish="stop")]
    with running(server):
        reply(server, CALLED, RESULTS)
    assert set(server.last["messages"][1]) == {"role", "content", "tool_calls"}
    assert "tool_choice" not in server.last


FORMS = {
    "OpenAI's": [
        called(begun(0, "c1", "weather")),
        called(more(0, '{"city":')),
        called(more(0, ' "Ål"}')),
        called(begun(1, "c2", "clock")),
        called(more(1, "{}")),
    ],
    "in one piece": [called(begun(0, "c1", "weather", CALL.arguments), begun(1, "c2", "clock"))],
    "all under index 0": [
        called(begun(0, "c1", "weather", CALL.arguments)),
        called(begun(0, "c2", "clock", "{}")),
    ],
    "without index": [
        called(begun(None, "c1", "weather")),
        called(more(None, CALL.arguments)),
        called(begun(None, "c2", "clock", {})),
    ],
    "id and name in each piece": [
        called(begun(0, "c1", "weather", '{"city":')),
        called(begun(0, "c1", "weather", ' "Ål"}')),
        called(begun(1, "c2", "clock", "{}")),
    ],
    "arguments as an object": [
        called(begun(0, "c1", "weather", {"city": "Ål"}), begun(1, "c2", "clock", None))
    ],
}


@pytest.mark.parametrize("form", FORMS)
def test_calls_of_all_forms(form: str) -> None:
    server = OpenAIServer()
    server.stream = [piece(reasoning="Hm."), *FORMS[form], piece(finish="tool_calls")]
    with running(server):
        *_, end = events = reply(server)
    assert isinstance(end, End)
    assert end.reason == "stop"
    assert end.message.parts == (Thought("Hm."), CALL, ToolCall("c2", "clock", "{}"))
    deltas = [event for event in events if isinstance(event, ToolCallDelta)]
    assert [(d.index, d.id, d.name) for d in deltas if d.id] == [
        (0, "c1", "weather"),
        (1, "c2", "clock"),
    ]
    assert "".join(d.arguments for d in deltas if d.index == 0) == CALL.arguments


def test_a_call_without_an_id_gets_one() -> None:
    server = OpenAIServer()
    server.stream = [called(begun(0, "", "clock", "{}")), piece(finish="stop")]
    with running(server):
        *_, end = events = reply(server)
    assert isinstance(end, End)
    (call,) = end.message.calls
    assert call.id.startswith("call_")
    (first,) = [event for event in events if isinstance(event, ToolCallDelta) and event.id]
    assert first.id == call.id


@pytest.mark.parametrize("finish", ["length", "tool_calls"])
def test_arguments_that_are_no_object(finish: str) -> None:
    """A call that a limit has cut is none; others are passed on as they are."""
    server = OpenAIServer()
    half = '{"city": "'
    server.stream = [called(begun(0, "c1", "weather", half)), piece(finish=finish)]
    with running(server):
        *_, end = reply(server)
    assert isinstance(end, End)
    if finish == "length":
        assert end.message.calls == ()
        assert end.warning == ""
    else:
        assert json.loads(end.message.calls[0].arguments) == {"text": half}
        assert "called weather with arguments that are no JSON object" in end.warning


def test_pictures_and_recordings_are_sent_in_openai_s_form() -> None:
    server = OpenAIServer()
    server.stream = [piece("A cat.", finish="stop")]
    with running(server):
        heard = Audio(mp3(0.5), "audio/mpeg")
        parts = (Image(gif(1, 1), "image/gif"), Text("What?"), heard)
        request = Request((Message("user", parts),))
        found = Server(server.address)
        [*RemotePair(found, found.models()[0]).reply(request, threading.Event())]
    image = {"type": "image_url", "image_url": {"url": address(gif(1, 1), "image/gif")}}
    text = {"type": "text", "text": "What?"}
    audio = {"type": "input_audio"}
    audio |= {"input_audio": {"data": base64_of(mp3(0.5)), "format": "mp3"}}
    assert server.last["messages"] == [{"role": "user", "content": [image, text, audio]}]


def test_a_server_without_tools_says_so() -> None:
    server = OpenAIServer()
    said = '"auto" tool choice requires --enable-auto-tool-choice to be set'
    server.refusal = (400, {"error": {"message": said}}, {})
    with running(server), pytest.raises(UsageError, match=f"refuses the request: {said}"):
        reply(server)


def test_a_choice_that_ollama_would_not_heed_is_an_error() -> None:
    server = OpenAIServer("library")
    with running(server), pytest.raises(UsageError, match="Ollama lets the model decide"):
        reply(server, tool_choice=ToolChoice("required"))
