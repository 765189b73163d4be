"""Messages as OpenAI's clients send them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from gemma_mtp.api import Message, Role
from gemma_mtp.server.errors import Unsupported
from gemma_mtp.server.messages import Content, text_of


class Said(BaseModel):
    """A message; `content` is text or a list of parts."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content = None


def thinks(effort: str | None) -> bool | None:
    """Whether the model is to think with this effort; None leaves that to `serve`."""
    return None if effort is None else effort != "none"


def read(said: Sequence[Said], field: str = "messages") -> tuple[Message, ...]:
    """Our messages. Raises Unsupported for what is not text."""
    return tuple(_message(each, f"{field}.{number}") for number, each in enumerate(said))


def _message(said: Said, field: str) -> Message:
    if said.role == "tool":
        raise Unsupported(f"{field}.role", "is tool: tool calls are not supported yet")
    if (said.model_extra or {}).get("tool_calls"):
        raise Unsupported(f"{field}.tool_calls", "are not supported yet")
    role: Role = "system" if said.role == "developer" else said.role
    return Message.text(role, text_of(said.content, f"{field}.content"))
