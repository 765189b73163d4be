"""What all dialects do alike with the messages of a conversation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from gemma_mtp.api import Media, Message, Part, Text, Thought
from gemma_mtp.server.errors import Unsupported
from gemma_mtp.server.media import PARTS, media_of

Content = str | list[dict[str, Any]] | None
"""What a message says: text, or a list of parts."""


def text_of(content: Content, field: str, dropped: Sequence[str] = ()) -> str:
    """The text of all parts, each on lines of its own; parts of a `dropped` type are left out.

    Raises Unsupported for what is not text.
    """
    return joined(texts_of(content, field, dropped))


def joined(texts: Iterable[str]) -> str:
    """Texts that a client sent as parts of one."""
    return "\n".join(texts)


def texts_of(content: Content, field: str, dropped: Sequence[str] = ()) -> list[str]:
    """The text of each part. Raises as `text_of` does."""
    if content is None or isinstance(content, str):
        return [content or ""]
    if not isinstance(content, list):
        raise Unsupported(field, "must be a text or a list of parts")
    parts = [(_object(part, f"{field}.{n}"), f"{field}.{n}") for n, part in enumerate(content)]
    return [_text(part, name) for part, name in parts if str(part.get("type")) not in dropped]


def parts_of(content: Content, field: str) -> tuple[Part, ...]:
    """What a message of the user says: texts, each on lines of its own, pictures and recordings.

    Raises Unsupported for anything else.
    """
    if not isinstance(content, list):
        return (Text(text_of(content, field)),)
    return tuple(beside(part_of(part, f"{field}.{n}") for n, part in enumerate(content)))


def part_of(part: Any, field: str, role: str = "user") -> Text | Media:
    """A part of what the user says, or of what another role does, which is text alone. Raises
    as `parts_of` does."""
    found = _object(part, field)
    if role == "user" and str(found.get("type")) in PARTS:
        return media_of(found, field)
    return Text(_text(found, field))


def beside(parts: Iterable[Part]) -> list[Part]:
    """The parts; texts beside each other are one, each on lines of its own."""
    found: list[Part] = []
    for part in parts:
        if isinstance(part, Text) and found and isinstance(before := found[-1], Text):
            found[-1] = Text(joined((before.text, part.text)))
        else:
            found.append(part)
    return found


def _object(part: Any, field: str) -> dict[str, Any]:
    """Dialects whose messages are of many types do not look into each of them before."""
    if not isinstance(part, dict):
        raise Unsupported(field, "must be an object")
    return part


def in_turns(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Messages of one role that follow each other, as one: models expect roles to take turns.

    A thought stays where it led to a call; the prompt goes without all others.
    """
    turns = [_with_thoughts_of_calls(message) for message in _merged(messages)]
    return tuple(_merged([message for message in turns if message.parts]))


def _with_thoughts_of_calls(message: Message) -> Message:
    if message.calls:
        return message
    kept = tuple(part for part in message.parts if not isinstance(part, Thought))
    return message if kept == message.parts else Message(message.role, kept)


def _merged(messages: Sequence[Message]) -> list[Message]:
    turns: list[Message] = []
    for message in messages:
        if turns and turns[-1].role == message.role:
            turns[-1] = Message(message.role, _joined_parts(turns[-1].parts, message.parts))
        else:
            turns.append(message)
    return turns


def _joined_parts(before: Sequence[Part], after: Sequence[Part]) -> tuple[Part, ...]:
    """All of them; texts that meet become one, with an empty line between them."""
    parts: list[Part] = []
    for part in (*before, *after):
        if isinstance(part, Text) and parts and isinstance(last := parts[-1], Text):
            both = [each.text for each in (last, part) if each.text]
            parts[-1] = Text("\n\n".join(both))
        else:
            parts.append(part)
    return tuple(parts)


_TEXTS = ("text", "input_text", "output_text", "reasoning_text", "summary_text")
_TOOLS = ("tool_use", "tool_result", "function_call")


def _text(part: dict[str, Any], field: str) -> str:
    kind = str(part.get("type"))
    if kind in _TEXTS and isinstance(part.get("text"), str):
        return str(part["text"])
    if any(tool in kind for tool in _TOOLS):
        raise Unsupported(f"{field}.type", f"is {kind}: tool calls are not supported yet")
    if kind in PARTS:
        what = f"is {kind}: {PARTS[kind].noun}s belong to what the user says"
        raise Unsupported(f"{field}.type", what)
    raise Unsupported(f"{field}.type", f"is {kind}: text, pictures and recordings are understood")
