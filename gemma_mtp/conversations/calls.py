"""Calls of tools within a turn: which wait for a result, and what a prompt has of those that never
got one. Pure; used by `conversation` and by the chat."""

from __future__ import annotations

import json
from dataclasses import replace

from gemma_mtp.api import Message, Text, ToolCall, ToolResult, Turn

NOT_RUN = "This tool was not run."


def arguments_of(call: ToolCall) -> dict[str, object] | None:
    """The arguments of a call; None where they are no JSON object: it was broken off, say."""
    try:
        found = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def waiting(turn: Turn) -> tuple[ToolCall, ...]:
    """The whole calls of the assistant's last message that have no result yet."""
    *_, last = turn.messages
    said = turn.replies[-2:-1] if last.role == "tool" else turn.replies[-1:]
    have = {part.id for part in last.parts if isinstance(part, ToolResult)}
    calls = (call for message in said for call in message.calls)
    return tuple(c for c in calls if c.id not in have and arguments_of(c) is not None)


def with_result(turn: Turn, result: ToolResult) -> Turn:
    """With one more result of the calls of the assistant's last message."""
    *before, last = turn.messages
    if last.role == "tool":
        return replace(turn, replies=(*before[1:], replace(last, parts=(*last.parts, result))))
    return replace(turn, replies=(*turn.replies, Message("tool", (result,))))


def joined(before: Message | None, more: Message) -> Message:
    """A message of the assistant's that was broken off, with `more` of it; what was begun of a call
    is written again."""
    if before is None:
        return more
    before = _whole(before)
    *parts, last = before.parts or (Text(""),)
    first, *rest = more.parts or (Text(""),)
    if isinstance(last, Text) and isinstance(first, Text):
        parts += [Text(last.text + first.text), *rest]
    else:
        parts += [last, first, *rest]
    known = (*before.tokens, *more.tokens) if before.tokens and more.tokens else ()
    return Message(before.role, tuple(p for p in parts if p != Text("")), known)


def in_prompt(turn: Turn) -> tuple[Message, ...]:
    """The turn as a prompt has it: every call has its result, and none is left unfinished."""
    found = [turn.user]
    results = iter((*turn.replies[1:], None))
    for message in turn.replies:
        after = next(results)
        if message.role == "tool":
            continue
        message = _whole(message)
        if message.content or message.calls:
            found.append(message)
        if message.calls:
            said = after.parts if after is not None and after.role == "tool" else ()
            texts = {part.id: part for part in said if isinstance(part, ToolResult)}
            ids = [call.id for call in message.calls]
            parts = (texts.get(id, ToolResult(id, NOT_RUN)) for id in ids)
            found.append(Message("tool", tuple(parts)))
    return tuple(found)


def _whole(message: Message) -> Message:
    """Without calls that were broken off."""
    parts = tuple(
        part
        for part in message.parts
        if not isinstance(part, ToolCall) or arguments_of(part) is not None
    )
    return message if parts == message.parts else Message(message.role, parts)
