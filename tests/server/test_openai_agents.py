"""Requests as agents send them in OpenAI's dialect: with the tools and fields of Codex over the
responses, and of opencode and Copilot over chat completions. Answered by the built-in pair."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from jsonschema import validate
from support.serving import FakeEngines

from gemma_mtp.api import Message, Thought, ToolCall, ToolResult

EXEC: dict[str, Any] = {
    "type": "object",
    "properties": {
        "command": {"type": "array", "items": {"type": "string", "maxLength": 9}, "maxItems": 3},
        "workdir": {"type": "string", "maxLength": 9, "description": "Where it runs."},
        "timeout_ms": {"type": "number", "minimum": 1, "maximum": 99},
    },
    "required": ["command"],
    "additionalProperties": False,
}
CODEX_TOOLS: list[Any] = [
    {
        "type": "function",
        "name": "shell",
        "description": "Runs",
        "strict": False,
        "parameters": EXEC,
    },
    {"type": "local_shell"},
    {
        "type": "custom",
        "name": "apply_patch",
        "format": {"type": "grammar", "syntax": "lark", "definition": "start: /x/"},
    },
    {"type": "web_search", "external_web_access": False},
    {"type": "namespace", "name": "mcp__notes", "description": "Notes.", "tools": []},
]
SKIPPED = (
    "tools.1 (local_shell)",
    "tools.2 (custom)",
    "tools.3 (web_search)",
    "tools.4 (namespace)",
)


def said(role: str, text: str) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


CODEX: dict[str, Any] = {
    "model": "tiny",
    "instructions": "You are a coding agent.",
    "input": [said("developer", "Be careful."), said("user", "List the files.")],
    "tools": CODEX_TOOLS,
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"effort": "none", "summary": "auto"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "0199",
    "text": {"verbosity": "medium"},
    "client_metadata": {"x": "y"},
}
AFTER: list[Any] = [
    {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "Look."}],
        "encrypted_content": None,
    },
    {"type": "function_call", "call_id": "c1", "name": "shell", "arguments": '{"command":["ls"]}'},
    {"type": "custom_tool_call", "call_id": "c2", "name": "apply_patch", "input": "*** Begin"},
    {"type": "function_call_output", "call_id": "c1", "output": "a.py\nb.py"},
    {"type": "custom_tool_call_output", "call_id": "c2", "output": "Done."},
]


def completed(url: str, body: dict[str, Any]) -> dict[str, Any]:
    response = httpx.post(f"{url}/v1/responses", json=body, timeout=60)
    assert response.status_code == 200, response.text
    last = response.text.rstrip().rsplit("data: ", 1)[1]
    found: dict[str, Any] = json.loads(last)["response"]
    return found


def test_codex_is_understood(engines: FakeEngines, url: str) -> None:
    completed(url, {**CODEX, "input": [*CODEX["input"], *AFTER]})
    assert [tool.name for tool in engines.asked.tools] == ["shell"]
    assert set(engines.record().passed_over) == {*SKIPPED, "text.verbosity", "client_metadata"}
    system, user, calls, results = engines.asked.messages
    assert system == Message.text("system", "You are a coding agent.\n\nBe careful.")
    assert user == Message.text("user", "List the files.")
    assert calls.parts == (
        Thought("Look."),
        ToolCall("c1", "shell", '{"command":["ls"]}'),
        ToolCall("c2", "apply_patch", '{"input": "*** Begin"}'),
    )
    assert results.parts == (ToolResult("c1", "a.py\nb.py"), ToolResult("c2", "Done."))


def test_codex_gets_a_call_and_an_answer(served: str) -> None:
    limited = {**CODEX, "max_output_tokens": 200, "seed": 5}
    called = completed(served, {**limited, "tool_choice": "required"})
    calls = [item for item in called["output"] if item["type"] == "function_call"]
    assert calls
    for call in calls:
        validate(json.loads(call["arguments"]), EXEC)
    results = [
        {"type": "function_call_output", "call_id": call["call_id"], "output": "a.py"}
        for call in calls
    ]
    history = [*CODEX["input"], *called["output"], *results]
    answer = completed(served, {**limited, "input": history, "tool_choice": "none"})
    assert [item["type"] for item in answer["output"]] == ["message"]
    cached = answer["usage"]["input_tokens_details"]["cached_tokens"]
    if called["status"] == "completed":
        used = called["usage"]
        assert cached >= used["input_tokens"] + used["output_tokens"] - 2


READ: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {
        "filePath": {"type": "string", "maxLength": 9},
        "offset": {"type": "integer", "exclusiveMinimum": 0, "maximum": 99},
    },
    "required": ["filePath"],
    "additionalProperties": False,
}
OPENCODE: dict[str, Any] = {
    "model": "tiny",
    "max_tokens": 200,
    "messages": [
        {"role": "system", "content": "You are opencode."},
        {"role": "user", "content": "Read a.py."},
    ],
    "tools": [
        {
            "type": "function",
            "function": {"name": "read", "description": "Reads.", "parameters": READ},
        }
    ],
    "tool_choice": "auto",
    "stream": True,
    "stream_options": {"include_usage": True},
}
COPILOT: dict[str, Any] = {
    **OPENCODE,
    "n": 1,
    "temperature": 0.1,
    "top_p": 1,
    "intent": False,
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "You are Copilot."}]},
        {"role": "user", "content": [{"type": "text", "text": "Read a.py."}]},
    ],
}


@pytest.mark.parametrize("body", [OPENCODE, COPILOT], ids=["opencode", "copilot"])
def test_agents_over_chat_completions(served: str, body: dict[str, Any]) -> None:
    """One index a call, usage in the last chunk; what comes back is sent again with a result."""
    chunks = streamed(served, {**body, "tool_choice": "required", "seed": 2})
    calls: dict[int, dict[str, Any]] = {}
    for piece in (p for c in chunks for p in pieces(c)):
        call = calls.setdefault(piece["index"], {"arguments": ""})
        assert ("id" in piece) == ("id" not in call)  # once for each
        call |= {key: piece[key] for key in ("id", "type") if key in piece}
        call["name"] = piece["function"].get("name", call.get("name"))
        call["arguments"] += piece["function"]["arguments"]
    assert sorted(calls) == list(range(len(calls)))
    assert calls
    for call in calls.values():
        assert call["name"] == "read"
        validate(json.loads(call["arguments"]), READ)
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] > 5
    assert chunks[-2]["choices"][0]["finish_reason"] == "tool_calls"
    made = [
        {
            "id": c["id"],
            "type": "function",
            "function": {"name": c["name"], "arguments": c["arguments"]},
        }
        for c in calls.values()
    ]
    history = [
        *body["messages"],
        {"role": "assistant", "content": "", "tool_calls": made},
        *({"role": "tool", "tool_call_id": c["id"], "content": "x = 1"} for c in calls.values()),
    ]
    answer = streamed(served, {**body, "messages": history, "tool_choice": "none"})
    used, after = chunks[-1]["usage"], answer[-1]["usage"]
    cached = after["prompt_tokens_details"]["cached_tokens"]
    assert cached >= used["prompt_tokens"] + used["completion_tokens"] - 2


def streamed(url: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    response = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60)
    assert response.status_code == 200, response.text
    *lines, done = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
    assert done == "[DONE]"
    return [json.loads(line) for line in lines]


def pieces(chunk: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for choice in chunk["choices"]:
        found += choice["delta"].get("tool_calls", ())
    return found
