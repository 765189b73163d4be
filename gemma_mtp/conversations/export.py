"""A saved conversation as Markdown to read or as JSON to process. Pure.
Used by the command `chats` and by `/export`.

The JSON is one object, and keys are only ever added:
  title, model, system   texts; `system` is the system prompt, "" without one
  created, updated       ISO 8601, UTC
  turns                  what was said, in order; each has `role` ("user" or "assistant") and
                         `content`, and one of the assistant also
    thought              what was thought before it, "" if nothing
    seed, exact          to get the same text again; seed null: unknown
    reason               stop, length, context, cancelled; null: the program ended meanwhile
    stats                the figures of `run --json`, or null
    messages             only where the reply is more than one text: all that the assistant and its
                         tools said, in order; each has `role` and `parts`
  and one of the user that is more than text has
    parts                in order; each has `type`: text, image (with data in base64, media_type
                         and name), audio, thought, tool_call (with id, name, and arguments as the
                         text of a JSON object) or tool_result (with the id of its call, and text)
"""

from __future__ import annotations

import re
from typing import Any

from gemma_mtp.api import Media, Message, Part, Text, Thought, ToolCall, ToolResult, Turn, to_json
from gemma_mtp.conversations.calls import arguments_of
from gemma_mtp.conversations.tables import Saved
from gemma_mtp.files.media import described
from gemma_mtp.text import json_text

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_FILE = re.compile(r'^<file name="([^"\n]*)">\n(.*?)\n</file>$', re.DOTALL | re.MULTILINE)
_ENDS = {
    None: "the program ended here",
    "cancelled": "stopped here",
    "length": "the token limit was reached here",
    "context": "the context was full here",
}


def as_json(saved: Saved) -> str:
    """One JSON object as described above."""
    found = {
        "title": saved.title,
        "model": saved.model,
        "system": saved.system,
        "created": saved.created,
        "updated": saved.updated,
        "turns": [said for turn in saved.turns for said in _said(turn)],
    }
    return json_text(found, indent=2) + "\n"


def _said(turn: Turn) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = [{"role": "user", "content": turn.user.content}]
    if not _is_text(turn.user):
        said[0]["parts"] = to_json(turn.user.parts)
    if turn.replies or turn.thought:
        reply: dict[str, Any] = {
            "role": "assistant",
            "content": turn.answer,
            "thought": turn.thought,
            "seed": turn.seed,
            "exact": turn.exact,
            "reason": turn.reason,
            "stats": turn.stats.as_json() if turn.stats else None,
        }
        if len(turn.replies) > 1 or not all(map(_is_text, turn.replies)):
            reply["messages"] = [
                {"role": each.role, "parts": to_json(each.parts)} for each in turn.replies
            ]
        said.append(reply)
    return said


def _is_text(message: Message) -> bool:
    return message.parts == (Text(message.content),)


def as_markdown(saved: Saved) -> str:
    """Replies as they are; what else was said as quotes, which no text inside can leave."""
    when = saved.created[:16].replace("T", " ")
    parts = [f"# {_plain(saved.title)}", f"{_plain(saved.model)}, {when} UTC"]
    if saved.system:
        parts += ["## System prompt", _quote(saved.system)]
    for turn in saved.turns:
        parts += ["## You", _quote(_fenced_files(_readable(turn.user)))]
        parts += _answer(turn)
    return "\n\n".join(parts) + "\n"


def _answer(turn: Turn) -> list[str]:
    if not turn.replies and not turn.thought:
        return []
    parts = ["## Gemma"]
    last = len(turn.replies) - (turn.reply is not None)  # what was thought led to that
    for message in turn.replies[:last]:
        parts += map(_readable_part, message.parts)
    if turn.thought:
        parts.append(_thought(turn.thought))
    for message in turn.replies[last:]:
        parts += map(_readable_part, message.parts)
    parts = [part for part in parts if part]
    if turn.reason in _ENDS:
        parts.append(f"*({_ENDS[turn.reason]})*")
    return parts


def _readable(message: Message) -> str:
    """Its text; what else it holds is only named."""
    parts = (
        part.text if isinstance(part, Text) else f"*{_plain(_named(part))}*"
        for part in message.parts
    )
    return "\n\n".join(text for text in parts if text)


def _readable_part(part: Part) -> str:
    """A part of what the assistant or its tools said."""
    if isinstance(part, Text):
        return _closed(part.text)
    if isinstance(part, Thought):
        return _thought(part.text)
    if isinstance(part, ToolCall):
        arguments = arguments_of(part)
        given = part.arguments if arguments is None else json_text(arguments, indent=2)
        ended = " (broken off)" if arguments is None else ""
        return f"*Calls {_plain(part.name)}{ended}:*\n\n{_fenced(given, 'json')}"
    if isinstance(part, ToolResult):
        return _quote(f"*Result:*\n\n{_fenced(part.text)}")
    return f"*{_plain(_named(part))}*"


def _named(part: Part) -> str:
    """What is not text, in words."""
    return described(part) if isinstance(part, Media) else f"({part.type.replace('_', ' ')})"


def _thought(text: str) -> str:
    return _quote(f"*Thought:*\n\n{_closed(text)}")


def _fenced(text: str, language: str = "") -> str:
    """As code, which no fence inside of it ends."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    marks = "`" * max(longest + 1, 3)
    return f"{marks}{language}\n{text}\n{marks}"


def _closed(text: str) -> str:
    """Markdown whose last fence does not swallow what comes after it."""
    text = text.strip("\n")
    fence = ""
    for line in text.split("\n"):
        found = _FENCE.fullmatch(line)
        if found is None:
            continue
        marks, rest = found[1], found[2]
        if not fence:
            # A backtick after the marks makes it code within a line.
            fence = marks if marks[0] == "~" or "`" not in rest else ""
        elif marks.startswith(fence) and not rest.strip():
            fence = ""
    return f"{text}\n{fence}" if fence else text


def _quote(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.strip("\n").split("\n"))


def _fenced_files(message: str) -> str:
    """Files that went along with a message, as code under their names."""

    def fenced(file: re.Match[str]) -> str:
        return f"{_plain(file[1])}:\n\n{_fenced(file[2])}"

    return _FILE.sub(fenced, message)


def _plain(text: str) -> str:
    """A line in which no character means anything to Markdown."""
    return re.sub(r"([\\`*_\[\]<>#])", r"\\\1", text)
