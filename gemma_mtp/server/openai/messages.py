"""Messages as OpenAI's clients send them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from gemma_mtp.api import Message, Text, Thought, ToolCall
from gemma_mtp.server.errors import Unsupported
from gemma_mtp.server.messages import Content, parts_of, text_of
from gemma_mtp.server.tools import call, result


class Said(BaseModel):
    """A message; `content` is text or a list of parts. Thoughts have one of two names."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    function_call: dict[str, Any] | None = None
    reasoning_content: Any = None
    reasoning: Any = None


def read(said: Sequence[Said], field: str = "messages") -> tuple[Message, ...]:
    """Our messages. Raises Unsupported for what is neither text nor a picture, a call or its
    result."""
    return tuple(_message(each, f"{field}.{number}") for number, each in enumerate(said))


def _message(said: Said, field: str) -> Message:
    if said.role == "tool":
        return result(said.tool_call_id, said.content, field, "tool_call_id", "content")
    if said.role == "user":
        return Message("user", parts_of(said.content, f"{field}.content"))
    text = text_of(said.content, f"{field}.content")
    if said.role == "assistant":
        return _answer(said, text, field)
    return Message.text("system" if said.role == "developer" else said.role, text)


def _answer(said: Said, text: str, field: str) -> Message:
    if said.function_call is not None:
        raise Unsupported(f"{field}.function_call", "cannot be used: tool_calls take its place")
    calls = [
        _call(each, f"{field}.tool_calls.{number}")
        for number, each in enumerate(said.tool_calls or ())
    ]
    thought = said.reasoning_content or said.reasoning
    thoughts = [Thought(thought)] if isinstance(thought, str) and thought else []
    texts = [Text(text)] if text or not calls else []
    return Message("assistant", (*thoughts, *texts, *calls))


def _call(found: dict[str, Any], field: str) -> ToolCall:
    inner = found.get("function")
    if not isinstance(inner, dict):
        raise Unsupported(f"{field}.type", f"is {found.get('type')}: it must be function")
    return call(found.get("id"), inner.get("name"), inner.get("arguments"), field)
