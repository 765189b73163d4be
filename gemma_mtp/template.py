"""Turns to prompt text to token ids: the chat template of a model file, and what it must not do.

Knows neither llama.cpp nor the engine: a tokenizer is a function handed in. What a person or a
model wrote never becomes a control token, and each prompt starts with exactly one <bos>.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

# jinja2 comes with llama-cpp-python, which requires it for the same purpose.
from jinja2 import Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.events import Message

Tokenize = Callable[[str, bool], list[int]]
"""(text, special) -> ids, never adding <bos> or <eos>; `special`: control tokens are parsed."""

# Gemma 4's turns for a file that has no template of its own.
FALLBACK = """\
{{- bos_token -}}
{%- if enable_thinking and messages[0].role != 'system' %}{{ '<|turn>system\n<|think|>\n<turn|>\n' }}{% endif -%}
{%- for message in messages -%}
{{- '<|turn>' + ('model' if message.role == 'assistant' else message.role) + '\n' -}}
{%- if enable_thinking and loop.first and message.role == 'system' %}{{ '<|think|>\n' }}{% endif -%}
{{- message.content | trim }}{{ '<turn|>\n' -}}
{%- endfor -%}
{{- '<|turn>model\n' -}}
"""  # noqa: E501

# A mark stands in for a message's text while the template runs, so that the template's own words
# and the message's are told apart by position, not by searching. The outer characters count as
# white space: if they are gone afterwards, the template trims.
_MARK = re.compile("(\u2003?)\ue000([0-9]+)\ue001(\u2003?)")
_MARK_PARTS = re.compile("[\u2003\ue000\ue001]")

# Between the first two characters of anything shaped like <|turn> or <turn|>.
_INSIDE_MARKER = re.compile(r"(?<=<)(?=\|[^\s<>]{1,40}>|[^\s<>]{1,40}\|>)")


@dataclass(frozen=True)
class Piece:
    """A stretch of the prompt: the template's own words, or (part of) one message's content."""

    text: str
    message: Message | None = None


class ChatTemplate:
    """A compiled chat template; `is_fallback` says that the file had none."""

    def __init__(self, source: str, bos: str, eos: str) -> None:
        self.is_fallback = not source.strip()
        self._globals = {"bos_token": bos, "eos_token": eos}
        self._template = _compile(FALLBACK if self.is_fallback else source)

    def render(self, messages: Sequence[Message], think: bool) -> str:
        """The prompt as text, up to where the model's next turn begins."""
        return "".join(piece.text for piece in self.pieces(messages, think))

    def pieces(self, messages: Sequence[Message], think: bool) -> list[Piece]:
        """The prompt in order. System text the template refuses or drops joins the first user's.

        A last message of the assistant's stays open: what the model writes continues it. Whatever
        a template appends for a new turn, it was written after that; and nothing is trimmed.
        """
        turns = list(messages)
        if len(turns) > 1 and turns[-1].role == "assistant":
            begun = turns.pop()
            opened = self.pieces(turns, think)
            return [*opened, Piece(begun.content, begun)] if begun.content else opened
        system = {id(turn) for turn in turns if turn.role == "system"}
        try:
            pieces = self._pieces(turns, think)
        except GemmaMtpError:
            if not system:
                raise
            return self._pieces(_without_system(turns), think)
        shown = {id(piece.message) for piece in pieces}
        blank = {id(turn) for turn in turns if not turn.content.strip()}
        if len(pieces) > 1 and not system <= shown | blank:
            return self._pieces(_without_system(turns), think)
        return pieces

    def _pieces(self, turns: list[Message], think: bool) -> list[Piece]:
        marked = [
            f"\u2003\ue000{number}\ue001\u2003" if turn.content.strip() else ""
            for number, turn in enumerate(turns)
        ]
        pieces: list[Piece] = []
        # re.split with three groups: words, left, number, right, words, ...
        parts = _MARK.split(self._run(turns, marked, think))
        for at in range(0, len(parts), 4):
            if _MARK_PARTS.search(parts[at]):  # it takes messages apart: let it have real ones
                contents = [_INSIDE_MARKER.sub(" ", turn.content) for turn in turns]
                return [Piece(self._run(turns, contents, think))]
            pieces.append(Piece(parts[at]))
            if at + 3 < len(parts):
                left, number, right = parts[at + 1 : at + 4]
                turn = turns[int(number)]
                text = turn.content if left else turn.content.lstrip()
                pieces.append(Piece(text if right else text.rstrip(), turn))
        return [piece for piece in pieces if piece.text]

    def _run(self, turns: list[Message], contents: list[str], think: bool) -> str:
        messages = [
            {"role": turn.role, "content": content}
            for turn, content in zip(turns, contents, strict=True)
        ]
        try:
            return self._template.render(
                **self._globals,
                messages=messages,
                add_generation_prompt=True,
                enable_thinking=think,
                tools=None,
            )
        except Exception as error:  # a template is somebody else's program: anything can be raised
            reason = str(error).rstrip(".") or type(error).__name__
            raise GemmaMtpError(
                f"The chat template of this model failed: {reason}.",
                "Start again with /clear, or use another pair.",
            ) from error


def turn_after(messages: Sequence[Message]) -> list[Message]:
    """How the conversation will go on: what its prompt shares with that of `messages` will stay.

    Some templates append words to the prompt of a new turn that its history does not have.
    """
    return [*messages, Message("assistant", "."), Message("user", ".")]


def encode_prompt(pieces: Sequence[Piece], tokenize: Tokenize, bos_id: int) -> list[int]:
    """Token ids of a prompt, with exactly one `bos_id` in front (none if it is negative).

    A message whose `tokens` are known keeps them, so that a cache filled while they were generated
    fits. All other content is tokenized as plain text and cannot end its turn or open another.
    """
    ids: list[int] = [bos_id] if bos_id >= 0 else []
    for piece in pieces:
        if piece.message is None:
            found = tokenize(piece.text, True)
        elif piece.message.tokens and piece.text == piece.message.content:
            found = list(piece.message.tokens)
        else:
            found = _plain_ids(piece.text, tokenize)
        start = 0
        while start < len(found) and found[start] == bos_id:
            start += 1
        ids += found[start:]
    return ids


def _plain_ids(text: str, tokenize: Tokenize) -> list[int]:
    """`special` off is not enough: llama.cpp still finds user-defined tokens such as <|channel>."""
    return [i for part in _INSIDE_MARKER.split(text) if part for i in tokenize(part, False)]


def _without_system(turns: list[Message]) -> list[Message]:
    """System text put before the first user turn's own, for templates without that role."""
    system = "\n\n".join(t.content.strip() for t in turns if t.role == "system")
    rest = [turn for turn in turns if turn.role != "system"]
    for number, turn in enumerate(rest):
        if turn.role == "user":
            content = f"{system}\n\n{turn.content}" if system else turn.content
            rest[number] = replace(turn, content=content, tokens=())
            return rest
    return [Message("user", system), *rest]


def _compile(source: str) -> Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    try:
        return environment.from_string(source)
    except TemplateError as error:
        raise GemmaMtpError(
            f"The chat template of this model cannot be read: {error}.",
            "The model file is damaged or newer than this program; get it again.",
        ) from error


def _to_json(value: Any, indent: int | None = None, ensure_ascii: bool = False) -> str:
    """Jinja's own filter escapes for HTML, which no model was trained on."""
    return json.dumps(value, indent=indent, ensure_ascii=ensure_ascii)


def _raise_exception(message: str) -> None:
    raise TemplateError(message)
