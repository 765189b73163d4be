"""Messages as Ollama's clients send them: calls of tools often without ids, and their results with
the name of the tool, the id of the call, or neither."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from gemma_mtp.api import Message, Text, Thought, ToolCall, ToolResult
from gemma_mtp.files.media import placed
from gemma_mtp.server.errors import Unsupported
from gemma_mtp.server.media import of_base64
from gemma_mtp.server.tools import call


class Said(BaseModel):
    """A message of a chat. `name` is what `tool_name` was called once."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    thinking: str | None = None
    images: list[Any] | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    tool_name: str | None = None
    name: str | None = None


def read(said: Sequence[Said]) -> list[Message]:
    """Our messages. Raises Unsupported for what is neither text nor a picture, a call or its
    result."""
    reader = _Reader()
    return [reader.message(each, f"messages.{number}") for number, each in enumerate(said)]


def shown(text: str, images: Sequence[Any] | None, field: str) -> Message:
    """What the user says, with the pictures and the recordings that go along, each in base64: as in
    Ollama, `images` holds both. Raises Refused."""
    found = [of_base64(data, f"{field}.{number}") for number, data in enumerate(images or ())]
    return Message("user", placed(found, [Text(text)] if text or not found else []))


class _Reader:
    """Reads the messages of a chat in their order, and so finds the call of each result."""

    def __init__(self) -> None:
        self._numbers = count()
        self._waiting: list[ToolCall] = []  # calls whose results have not come

    def message(self, said: Said, field: str) -> Message:
        if said.images and said.role != "user":
            raise Unsupported(f"{field}.images", "belong to what the user says")
        text = said.content or ""
        if said.role == "tool":
            return Message("tool", (ToolResult(self._called(said, field).id, text),))
        if said.role == "user":
            return shown(text, said.images, f"{field}.images")
        if said.role != "assistant":
            return Message.text(said.role, text)
        calls = [
            self._call(found, f"{field}.tool_calls.{number}")
            for number, found in enumerate(said.tool_calls or ())
        ]
        self._waiting += calls
        thoughts = [Thought(said.thinking)] if said.thinking else []
        texts = [Text(text)] if text or not calls else []
        return Message("assistant", (*thoughts, *texts, *calls))

    def _call(self, found: dict[str, Any], field: str) -> ToolCall:
        inner = found.get("function")
        if not isinstance(inner, dict):
            raise Unsupported(f"{field}.function", "must be an object with the name of a tool")
        name = found.get("id") or f"unnamed_{next(self._numbers)}"
        return call(name, inner.get("name"), inner.get("arguments"), f"{field}.function")

    def _called(self, said: Said, field: str) -> ToolCall:
        """What a result belongs to: the call with its id, else the first that waits for a result
        and has its name, else the first."""
        name = said.tool_name or said.name
        found = [each for each in self._waiting if each.id == said.tool_call_id]
        found += [each for each in self._waiting if each.name == name] if not found else []
        found += self._waiting if not found else []
        if not found:
            raise Unsupported(f"{field}.role", "is tool, and no call before it waits for a result")
        self._waiting.remove(found[0])
        return found[0]
