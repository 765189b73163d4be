"""What all dialects do alike with tools: declarations and calls as clients send them.

Each dialect wraps them in its own way; what is inside is the same everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from gemma_mtp.api import Message, Tool, ToolCall, ToolChoice, ToolResult
from gemma_mtp.errors import UsageError
from gemma_mtp.server.errors import Unsupported
from gemma_mtp.server.messages import text_of
from gemma_mtp.text import json_text

AUTO = ToolChoice()
"""What holds where a client says nothing of how tools are called."""


def declared(found: dict[str, Any], schema: str, field: str) -> Tool:
    """The tool that an object declares; its key `schema` holds the JSON Schema of the arguments.

    Raises Unsupported for what is no declaration; `field` is what the client calls the object.
    """
    name, about, parameters = found.get("name"), found.get("description"), found.get(schema)
    if not isinstance(name, str):
        raise Unsupported(f"{field}.name", "must be a text")
    if not isinstance(about, str | None):
        raise Unsupported(f"{field}.description", "must be a text")
    if not isinstance(parameters, dict | None):
        raise Unsupported(f"{field}.{schema}", "must be a JSON Schema")
    return Tool(name, about or "", json_text(parameters) if parameters else "")


def call(id: Any, name: Any, arguments: Any, field: str, key: str = "id") -> ToolCall:
    """A call of an earlier reply, as a client sends it back; `key` is what the client calls the id.

    Raises Unsupported.
    """
    if not isinstance(id, str) or not id:
        raise Unsupported(f"{field}.{key}", "must be a text")
    if not isinstance(name, str) or not name:
        raise Unsupported(f"{field}.name", "must be a text")
    return ToolCall(id, name, as_object(arguments))


def result(id: Any, said: Any, field: str, key: str, holder: str) -> Message:
    """What a tool said, as a client sends it under `holder`: text, or a list of texts. `key` is
    what the client calls the id of the call.

    Raises Unsupported.
    """
    if not isinstance(id, str) or not id:
        raise Unsupported(f"{field}.{key}", "must say which call this is the result of")
    return Message("tool", (ToolResult(id, text_of(said, f"{field}.{holder}")),))


def as_object(arguments: Any) -> str:
    """Arguments of an earlier call, which are an object or its text, as the text of an object.

    A call that a token limit has cut may hold half of one. The model is shown that as it is, under
    a name, so that a conversation with such a call can go on.
    """
    found = arguments
    if isinstance(arguments, str):
        try:
            found = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            found = arguments
    if isinstance(found, dict):
        return arguments if isinstance(arguments, str) and arguments else json_text(found)
    return json_text({"arguments": found} if found is not None else {})


def check_results(messages: Iterable[Message]) -> None:
    """Raise UsageError for a result that belongs to no call before it."""
    known: set[str] = set()
    for message in messages:
        for part in message.parts:
            if isinstance(part, ToolCall):
                known.add(part.id)
            elif isinstance(part, ToolResult) and part.id not in known:
                raise UsageError(
                    f'A result of a tool is for the call "{part.id}", and no call before it'
                    " has this id."
                )
