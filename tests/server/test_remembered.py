"""Calls that a client sends back are the message that the engine wrote, thought and tokens
included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from support.fakes import Script
from support.serving import FakeEngines, body

from gemma_mtp.api import Message, Text, Thought, ToolCall
from gemma_mtp.server import remembered
from gemma_mtp.server.remembered import Remembered

MODEL = Path("model.gguf")
CALL = ToolCall("c1", "weather", '{"city": "Oslo", "days": [1]}')
WRITTEN = Message("assistant", (Thought("Hm."), Text("Let me see. "), CALL), (1, 2, 3))


def sent(*parts: Any) -> Message:
    return Message("assistant", parts)


SAME = [
    sent(Text("Let me see."), CALL),
    sent(Thought("Hm."), Text("Let me see. "), CALL),
    sent(Text("Let me see."), ToolCall("c1", "weather", '{"days":[1],"city":"Oslo"}')),
]
OTHERS = [
    sent(CALL),
    sent(Thought("Ah."), Text("Let me see."), CALL),
    sent(Text("Let me see."), ToolCall("c1", "weather", '{"city": "Rome"}')),
    sent(Text("Let me see."), CALL, ToolCall("c2", "clock", "{}")),
    sent(Text("Let me see."), ToolCall("c9", "weather", CALL.arguments)),
    sent(Text("Let me see.")),
]


@pytest.mark.parametrize("message", SAME)
def test_the_same_said_again_is_what_was_written(message: Message) -> None:
    known = Remembered()
    known.keep(MODEL, WRITTEN)
    assert known.restored(MODEL, message) == WRITTEN
    assert known.restored(Path("another.gguf"), message) == message


@pytest.mark.parametrize("message", OTHERS)
def test_what_says_anything_else_stays_as_it_is(message: Message) -> None:
    known = Remembered()
    known.keep(MODEL, WRITTEN)
    assert known.restored(MODEL, message) == message


def test_the_one_used_least_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "MOST", 2)
    known = Remembered()
    written = [Message("assistant", (ToolCall(f"c{n}", "clock", "{}"),), (n,)) for n in range(3)]
    for number, message in enumerate(written):
        known.keep(MODEL, message)
        if number == 1:
            known.restored(MODEL, written[0].without_tokens())
    back = [known.restored(MODEL, each.without_tokens()).tokens for each in written]
    assert back == [(0,), (), (2,)]


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_out_the_thought_goes_on_with_it(
    engines: FakeEngines, url: str, stream: bool
) -> None:
    engines.say(Script("Let me see.", thought="Hm.", calls=[("clock", "{}")]), "Noon.")
    tools = [{"type": "function", "function": {"name": "clock"}}]
    asked: Any = body(tools=tools, stream=stream)
    assert httpx.post(f"{url}/v1/chat/completions", json=asked).is_success
    call = {"id": "call_00", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
    asked["messages"] += [
        {"role": "assistant", "content": "Let me see.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_00", "content": "noon"},
    ]
    assert httpx.post(f"{url}/v1/chat/completions", json=asked).is_success
    said = engines.asked.messages[1]
    assert said.parts == (Thought("Hm."), Text("Let me see."), ToolCall("call_00", "clock", "{}"))
    assert said.tokens
