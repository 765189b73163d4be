"""Messages as OpenAI's clients send them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from gemma_mtp.api import Message, Role, Text
from gemma_mtp.server.errors import Unsupported

TEXTS = ("text", "input_text", "output_text")
"""Types of a part that is text."""


class Said(BaseModel):
    """A message; `content` is text or a list of parts."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None


def read(said: Sequence[Said], field: str = "messages") -> tuple[Message, ...]:
    """Our messages. Raises Unsupported for what is not text."""
    return tuple(_message(each, f"{field}.{number}") for number, each in enumerate(said))


def _message(said: Said, field: str) -> Message:
    if said.role == "tool":
        raise Unsupported(f"{field}.role", "is tool: tool calls are not supported yet")
    if (said.model_extra or {}).get("tool_calls"):
        raise Unsupported(f"{field}.tool_calls", "are not supported yet")
    content = said.content or ""
    if not isinstance(content, str):
        texts = [_text(part, f"{field}.content.{number}") for number, part in enumerate(content)]
        content = "".join(texts)
    role: Role = "system" if said.role == "developer" else said.role
    return Message(role, (Text(content),))


def _text(part: dict[str, Any], field: str) -> str:
    if part.get("type") in TEXTS and isinstance(part.get("text"), str):
        return str(part["text"])
    raise Unsupported(f"{field}.type", f"is {part.get('type')}: only text is supported yet")
