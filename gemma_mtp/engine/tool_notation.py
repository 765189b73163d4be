"""Gemma's own notation for the arguments of a call, and JSON: `{city:<|"|>Paris<|"|>,days:3}`.

Keys are sorted as the chat templates sort them and stand bare; texts stand between string marks;
numbers, true, false and null are as in JSON. `tool_prompt` writes it, `tool_grammar` says what of
it fits a schema, and `tool_calls` reads it as it is generated. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from gemma_mtp.text import json_text

MARK = '<|"|>'
QUOTE = "\udc22"
"""Stands for a string mark that came as a token of its own: no decoded text holds this."""

_BARE_KEY = re.compile(rf"[^\s:,{{}}\[\]\"'<>|{QUOTE}]+")


class Number(str):
    """A number as it was spelled."""


def read_json(text: str) -> Any:
    """JSON, with each number as a `Number`. Raises ValueError."""
    try:
        return json.loads(text, parse_int=Number, parse_float=Number, parse_constant=Number)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def ordered(properties: dict[str, Any]) -> list[str]:
    """The keys as the templates sort them: letters of both cases together."""
    return sorted(properties, key=str.lower)


def is_bare(key: str) -> bool:
    """Whether a key can stand without string marks."""
    return _BARE_KEY.fullmatch(key) is not None


def notation(value: Any) -> Iterator[str]:
    """A value of `read_json` in pieces that each are a `QUOTE`, or text without any."""
    if isinstance(value, dict):
        yield "{"
        yield from members(value)
        yield "}"
    elif isinstance(value, list):
        yield "["
        for number, each in enumerate(value):
            yield from (",",) * (number > 0)
            yield from notation(each)
        yield "]"
    elif isinstance(value, str) and not isinstance(value, Number):
        yield from (QUOTE, value.replace(QUOTE, "\ufffd"), QUOTE)
    else:
        yield str(value) if isinstance(value, Number) else json.dumps(value)


def members(value: dict[str, Any]) -> Iterator[str]:
    """What stands between the braces of an object."""
    for number, key in enumerate(ordered(value)):
        yield from (",",) * (number > 0)
        yield from (key,) if is_bare(key) else notation(key)
        yield ":"
        yield from notation(value[key])


def json_of(value: Any) -> str:
    """The JSON text of a value of `read_json`, in one line."""
    if isinstance(value, dict):
        inside = (f"{json_text(key)}: {json_of(each)}" for key, each in value.items())
        return "{" + ", ".join(inside) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(json_of, value)) + "]"
    return str(value) if isinstance(value, Number) else json_text(value)


class ToJson:
    """What follows the name of a call, piece by piece, as pieces of the text of a JSON object.

    Only for what a grammar holds to the notation; `tool_repair` reads the rest.
    """

    def __init__(self) -> None:
        self._open: list[str] = []  # the closing brackets of what is open
        self._in_text = False
        self._at_key = False
        self._key = ""

    @property
    def complete(self) -> bool:
        """Whether the object is closed."""
        return not self._open

    def push(self, text: str) -> str:
        """The JSON for more of the notation, string marks in it as `QUOTE`."""
        return "".join(map(self._taken, re.findall(f"{QUOTE}|[^{QUOTE}]+", text)))

    def _taken(self, text: str) -> str:
        if text == QUOTE:
            self._in_text = not self._in_text
            return "" if self._at_key else '"'
        if self._in_text and not self._at_key:
            return json_text(text)[1:-1]
        return "".join(map(self._character, text))

    def _character(self, character: str) -> str:
        if self._at_key and (self._in_text or character not in ":}"):
            self._key += character
            return ""
        if character in "{[":
            self._open.append("}" if character == "{" else "]")
            self._at_key, self._key = character == "{", ""
            return character
        if character in "}]":
            self._open.pop()
            self._at_key = False
            return character
        if character == ",":
            self._at_key, self._key = self._open[-1] == "}", ""
            return ", "
        if character == ":":
            self._at_key = False
            return json_text(self._key) + ": "
        return character
