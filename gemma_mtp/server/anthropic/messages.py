"""Messages as Anthropic's clients send them: text or blocks, among them pictures, thoughts, calls
of tools, and results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from gemma_mtp.api import Media, Message, Part, Thought, ToolResult
from gemma_mtp.server.errors import Unsupported
from gemma_mtp.server.media import PICTURES, media_of
from gemma_mtp.server.messages import Content, beside, part_of, text_of
from gemma_mtp.server.tools import call

FAILED = "Error: "
"""What the model reads before a result that is an error and does not say so itself."""

SOUNDS = ("input_audio", "audio")  # what clients call recordings
SILENT = "is {}, which Anthropic's messages do not have: POST /v1/chat/completions takes recordings"
BELOW = "(The result is the picture below.)"


class Said(BaseModel):
    """A message; `content` is text or a list of blocks."""

    model_config = ConfigDict(extra="allow")

    role: Literal["user", "assistant", "system"]
    content: Content


def read(said: Sequence[Said]) -> list[Message]:
    """Our messages: the results in one of the user's are a message of their own, before the rest.

    Raises Unsupported for what is neither text nor a picture, a call or its result.
    """
    return [
        message
        for number, each in enumerate(said)
        for message in _messages(each, f"messages.{number}.content")
    ]


def _messages(said: Said, field: str) -> list[Message]:
    if said.content is None or isinstance(said.content, str):
        return [Message.text(said.role, said.content or "")]
    blocks = [
        (block, f"{field}.{number}")
        for number, block in enumerate(said.content)
        if not _says_nothing(block)
    ]
    found = [_part(block, at, said.role) for block, at in blocks]
    results = tuple(part for part in found if isinstance(part, ToolResult))
    shown = [part for block, at in blocks for part in _shown(block, at)]
    rest = (*shown, *beside(part for part in found if not isinstance(part, ToolResult)))
    messages = [Message("tool", results)] if results else []
    return [*messages, Message(said.role, rest)] if rest or not results else messages


def _says_nothing(block: dict[str, Any]) -> bool:
    """Whether it is a thought that only Anthropic could read, or one that a client did not get."""
    kind = block.get("type")
    return kind == "redacted_thinking" or (kind == "thinking" and not block.get("thinking"))


def _part(block: dict[str, Any], field: str, role: str) -> Part:
    kind = block.get("type")
    if kind == "thinking" and role == "assistant":
        return Thought(str(block["thinking"]))
    if kind == "tool_use" and role == "assistant":
        return call(block.get("id"), block.get("name"), block.get("input"), field)
    if kind == "tool_result" and role == "user":
        return _result(block, field)
    if kind in ("thinking", "tool_use", "tool_result"):
        raise Unsupported(f"{field}.type", f"is {kind}, which is nothing that the {role} says")
    if kind in SOUNDS:
        raise Unsupported(f"{field}.type", SILENT.format(kind))
    return part_of(block, field, role)


def _shown(block: dict[str, Any], field: str) -> list[Media]:
    """The pictures in a result of a tool, which the model is shown as if the user did: its template
    has no place for them in a result."""
    content = block.get("content")
    if block.get("type") != "tool_result" or not isinstance(content, list):
        return []
    return [
        media_of(part, f"{field}.content.{number}")
        for number, part in enumerate(content)
        if isinstance(part, dict) and part.get("type") in PICTURES
    ]


def _result(block: dict[str, Any], field: str) -> ToolResult:
    name, content = block.get("tool_use_id"), block.get("content")
    if not isinstance(name, str) or not name:
        raise Unsupported(f"{field}.tool_use_id", "must say which call this is the result of")
    if not isinstance(content, str | list | None):
        raise Unsupported(f"{field}.content", "must be a text or a list of blocks")
    text = text_of(content, f"{field}.content", PICTURES) or BELOW * bool(content)
    says_so = not block.get("is_error") or "error" in text.lower()
    return ToolResult(name, text if says_so else FAILED + text)
