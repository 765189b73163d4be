"""Tools in a prompt: the model's turn with calls and their results in it.

A chat template is given a turn of the model's as one message, from the first call to the last
answer, and a mark in place of all that is in it. What stands there is written here, as Gemma 4 was
trained to write it and as its templates do, with one difference: in the order in which it was
generated. So the prompt after a call begins with all that the cache holds. `chat_template` calls
it. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from gemma_mtp.api import Audio, Image, Media, Message, Text, Thought, ToolCall, ToolResult
from gemma_mtp.engine.tool_notation import MARK, QUOTE, members, read_json

THOUGHT_OPENS, THOUGHT_CLOSES = "<|channel>", "<channel|>"
THOUGHT_BEGINS = f"{THOUGHT_OPENS}thought\n"
CALL_OPENS, CALL_CLOSES = "<|tool_call>", "<tool_call|>"
RESULT_OPENS, RESULT_CLOSES = "<|tool_response>", "<tool_response|>"
TOOL_MARKS = (CALL_OPENS, CALL_CLOSES, RESULT_OPENS, RESULT_CLOSES, MARK)
MARKS_AROUND = {Image: ("<|image>", "<image|>"), Audio: ("<|audio>", "<audio|>")}
UNKNOWN = "unknown"  # as the templates call a tool of which a result has no call

# Between the first two characters of anything shaped like <|turn> or <turn|>.
INSIDE_MARKER = re.compile(r"(?<=<)(?=\|[^\s<>]{1,40}>|[^\s<>]{1,40}\|>)")

# The characters of the marks of `chat_template`, and what stands for them elsewhere.
NOT_OF_MARKS = {0x2003: " ", 0xE000: "\ufffd", 0xE001: "\ufffd"}


@dataclass(frozen=True)
class Piece:
    """A stretch of the prompt: words with control tokens, or (part of) what `message` says.

    `ids` are the tokens it was generated as, where these are known. A `medium` has no text.
    """

    text: str
    message: Message | None = None
    ids: tuple[int, ...] = ()
    medium: Media | None = None


Group = list[Message]
"""Messages that are one turn: one of anybody's, or the model's with results of tools in it."""


def grouped(messages: Sequence[Message]) -> list[Group]:
    """The messages as turns. A tool's result belongs to the turn of the model that called it."""
    groups: list[Group] = []
    for message in messages:
        before = groups[-1][-1].role if groups else ""
        goes_on = message.role == "assistant" and before == "tool"
        if goes_on or (message.role == "tool" and before in ("assistant", "tool")):
            groups[-1].append(message)
        else:
            groups.append([message])
    return groups


def is_models(group: Group) -> bool:
    """Whether it is a turn of the model's."""
    return group[0].role in ("assistant", "tool")


def names_of_calls(messages: Sequence[Message]) -> dict[str, str]:
    """The names of the tools that were called, by the ids of the calls."""
    return {call.id: call.name for message in messages for call in message.calls}


def said(
    group: Group, names: dict[str, str], over: bool, left: bool = True, right: bool = True
) -> list[Piece]:
    """All that is in a turn. `over`: the user has spoken since, so it has no thoughts any more.
    `left` and `right`: white space at its beginning and end stays."""
    found: list[Piece] = []
    for number, message in enumerate(group):
        parts = list(_parts(message, names, over))
        first, last = number == 0, number == len(group) - 1
        kept = _trimmed(parts, left or not first, right or not last)
        thinks = any(isinstance(part, Thought) for part in message.parts)
        if message.tokens and kept == parts and not (thinks and over):
            kept = [Piece("".join(piece.text for piece in parts), message, message.tokens)]
        found += kept
    return joined(found)


def _trimmed(pieces: list[Piece], left: bool, right: bool) -> list[Piece]:
    pieces = list(pieces)
    if pieces and not left and pieces[0].message:
        pieces[0] = replace(pieces[0], text=pieces[0].text.lstrip())
    if pieces and not right and pieces[-1].message:
        pieces[-1] = replace(pieces[-1], text=pieces[-1].text.rstrip())
    return pieces


def harmless(text: str) -> str:
    """Text in which nothing can become a control token."""
    return INSIDE_MARKER.sub(" ", text)


def harmless_text(pieces: Sequence[Piece]) -> str:
    """The pieces as one text in which what was said holds no control tokens."""
    stretches = groupby(pieces, lambda piece: piece.message is None)
    texts = ((words, "".join(piece.text for piece in found)) for words, found in stretches)
    return "".join(text if words else harmless(text) for words, text in texts)


def joined(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces without empty ones, and words with control tokens as one where they meet."""
    found: list[Piece] = []
    for piece in pieces:
        if found and piece.message is None and found[-1].message is None:
            found[-1] = Piece(found[-1].text + piece.text)
        elif piece.text or piece.medium:
            found.append(piece)
    return found


def _parts(message: Message, names: dict[str, str], over: bool) -> Iterator[Piece]:
    for part in message.parts:
        if isinstance(part, Text):
            yield Piece(part.text, message)
        elif isinstance(part, Media):
            opens, closes = MARKS_AROUND[type(part)]
            yield from (Piece(opens), Piece("", message, medium=part), Piece(closes))
        elif isinstance(part, Thought) and not over:
            yield from (Piece(THOUGHT_BEGINS), Piece(part.text, message))
            yield Piece(f"\n{THOUGHT_CLOSES}")
        elif isinstance(part, ToolCall):
            yield Piece(f"{CALL_OPENS}call:{harmless(part.name)}{{")
            yield from _arguments(part.arguments, message)
            yield Piece(f"}}{CALL_CLOSES}")
        elif isinstance(part, ToolResult):
            name = harmless(names.get(part.id, UNKNOWN))
            yield Piece(f"{RESULT_OPENS}response:{name}{{value:{MARK}")
            yield Piece(part.text, message)
            yield Piece(f"{MARK}}}{RESULT_CLOSES}")


def _arguments(text: str, message: Message) -> Iterator[Piece]:
    """The arguments in the notation; what is no JSON object, as others may send it, as it is."""
    try:
        found = read_json(text or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        yield Piece(text, message)
        return
    for number, part in enumerate("".join(members(found)).split(QUOTE)):
        # Every other part is a text, and stands between two marks.
        yield from (
            (Piece(MARK), Piece(part, message), Piece(MARK)) if number % 2 else (Piece(part),)
        )
