"""Tools as all dialects have them: what becomes of messages with calls, results and thoughts."""

from __future__ import annotations

import pytest

from gemma_mtp.api import Message, Text, Thought, Tool, ToolCall, ToolChoice, ToolResult
from gemma_mtp.errors import UsageError
from gemma_mtp.options import Options
from gemma_mtp.server.asked import Asked
from gemma_mtp.server.errors import Unsupported
from gemma_mtp.server.messages import in_turns
from gemma_mtp.server.tools import as_object, declared

ASKED = Message.text("user", "What is the weather?")
CALL = ToolCall("call_1", "weather", '{"city": "Oslo"}')
RESULT = Message("tool", (ToolResult("call_1", "rain"),))
WEATHER = Tool("weather", "Looks outside.", '{"type": "object"}')


def test_tools_calls_results_and_the_thought_before_them_reach_the_engine() -> None:
    said = Message("assistant", (Thought("Hm."), Text("Let me see."), CALL))
    chosen = ToolChoice("required", "weather", parallel=False)
    asked = Asked("tiny", (ASKED, said, RESULT), tools=(WEATHER,), tool_choice=chosen)
    request = asked.request(Options())
    assert request.messages == (ASKED, said, RESULT)
    assert (request.tools, request.tool_choice) == ((WEATHER,), chosen)


def test_messages_of_one_role_become_one_with_all_their_parts() -> None:
    other = ToolCall("call_2", "time", "{}")
    second = Message("tool", (ToolResult("call_2", "noon"),))
    apart = [
        Message("assistant", (Thought("Hm."),)),
        Message.text("assistant", "Let me see."),
        Message("assistant", (CALL,)),
        Message("assistant", (other,)),
        RESULT,
        second,
    ]
    said, results = in_turns(apart)
    assert said.parts == (Thought("Hm."), Text("Let me see."), CALL, other)
    assert results.parts == (*RESULT.parts, *second.parts)


def test_a_thought_that_led_to_no_call_is_left_out() -> None:
    answered = Message("assistant", (Thought("Hm."), Text("Rain.")))
    alone = Message("assistant", (Thought("Hm."),))
    again = Message.text("user", "And now?")
    assert in_turns([ASKED, answered]) == (ASKED, Message.text("assistant", "Rain."))
    (both,) = in_turns([ASKED, alone, again])
    assert both.content == "What is the weather?\n\nAnd now?"


def test_results_are_read_as_messages_are() -> None:
    result = Message("tool", (ToolResult("call_1", "\ufeffone\r\ntwo\x00"),))
    asked = Asked("tiny", (ASKED, Message("assistant", (CALL,)), result), tools=(WEATHER,))
    assert asked.request(Options()).messages[-1].parts == (ToolResult("call_1", "one\ntwo\ufffd"),)


def test_a_result_that_belongs_to_no_call_is_an_error() -> None:
    early = Asked("tiny", (ASKED, RESULT, Message("assistant", (CALL,))))
    for asked in (Asked("tiny", (ASKED, RESULT)), early):
        with pytest.raises(UsageError, match='for the call "call_1", and no call before it'):
            asked.request(Options())


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ('{"city":  "Oslo"}', '{"city":  "Oslo"}'),
        ({"city": "Oslo"}, '{"city": "Oslo"}'),
        ("", "{}"),
        (None, "{}"),
        ('{"city": "Os', '{"arguments": "{\\"city\\": \\"Os"}'),
        ("[1]", '{"arguments": [1]}'),
    ],
)
def test_arguments_are_the_text_of_an_object(given: object, wanted: str) -> None:
    assert as_object(given) == wanted


@pytest.mark.parametrize(
    ("found", "named"),
    [
        ({}, "tools.0.name must be a text"),
        ({"name": "look", "description": 3}, "tools.0.description must be a text"),
        ({"name": "look", "parameters": "x"}, "tools.0.parameters must be a JSON Schema"),
    ],
)
def test_what_is_no_declaration_is_refused_by_name(found: dict[str, object], named: str) -> None:
    with pytest.raises(Unsupported, match=named):
        declared(found, "parameters", "tools.0")
