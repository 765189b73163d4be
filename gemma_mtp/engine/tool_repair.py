"""Reads a call that no grammar held to the notation, and mends the usual slips.

Those are ordinary quotes, string marks that are missing or doubled, a closing brace or bracket
that is missing or doubled, a text without marks, and JSON in place of the notation.
`tool_calls` asks it where arguments are not constrained. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

from gemma_mtp.engine.tool_notation import QUOTE, Number, read_json

_HEADER = re.compile(r"\s*(?:call\s*:)?\s*([\w.-]+)\s*", re.ASCII)
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_WORDS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
_KEY = rf"(?:[^\s:,{{}}\[\]{QUOTE}\"']+|{QUOTE}[^{QUOTE}]*{QUOTE}|\"[^\"]*\"|'[^']*')"
_NEXT_KEY = re.compile(rf",\s*({_KEY})\s*:")
_THIS_KEY = re.compile(rf"\s*({_KEY}(?: [^\s:,{QUOTE}]+)*){QUOTE}?\s*:\s*")  # maybe with blanks
_ENDS_TEXT = re.compile(r"\s*([,\]}]|$)")
_QUOTES = QUOTE + "\"'"
DEEPEST = 64  # objects in each other; more is no call


class Unreadable(ValueError):
    """This is no call, or its arguments cannot be told apart."""


def split_call(text: str, names: Collection[str]) -> tuple[str, str]:
    """The name in a call, one of `names` if it can be, and the rest of it. Raises Unreadable where
    there is none."""
    found = _HEADER.match(text)
    if found is None:
        raise Unreadable(text)
    known = [name for name in names if found[1].startswith(name)]
    name = found[1] if found[1] in names or not known else max(known, key=len)
    return name, text[found.start(1) + len(name) :]


def arguments_of(text: str, types: dict[str, Any]) -> dict[str, Any]:
    """The arguments in what follows the name of a call, numbers as `Number`.

    `types` holds what the schema says of the type of each argument: what stands there without marks
    is a text where it must be one, and what stands there alone belongs to the only argument.
    Raises Unreadable.
    """
    try:
        found = read_json(text.replace(QUOTE, '"'))
        if isinstance(found, dict):
            return found
    except ValueError:
        pass
    inside = text.strip().removeprefix("{")
    reader = _Reader(inside, types)
    if not reader.begins_with_key():
        alone = inside.strip().removesuffix("}").strip(QUOTE + " \n\"'")
        if not alone:
            return {}
        if len(types) == 1:
            (name,) = types
            return {name: _bare(alone, types[name] == "string")}
        raise Unreadable(text)
    return reader.members(0)


class _Reader:
    def __init__(self, text: str, types: dict[str, Any]) -> None:
        self.text, self.at, self._types = text, 0, types

    def begins_with_key(self) -> bool:
        return re.match(rf"[\s,{QUOTE}]*{_KEY}{QUOTE}?\s*:", self.text) is not None

    def members(self, depth: int) -> dict[str, Any]:
        """Up to the closing brace, or to the end where it is missing."""
        if depth > DEEPEST:
            raise Unreadable(self.text)
        found: dict[str, Any] = {}
        while self._next() not in ("}", "]", ""):
            key = self._key()
            is_text = depth == 0 and self._types.get(key) == "string"
            found[key] = self._value(depth, is_text, in_list=False)
        self.at += 1
        return found

    def _items(self, depth: int) -> list[Any]:
        found = []
        while self._next() not in ("]", "}", ""):
            found.append(self._value(depth, False, in_list=True))
        self.at += self._next() == "]"  # a brace closes the object around it as well
        return found

    def _next(self) -> str:
        while self.at < len(self.text) and (self.text[self.at] in ", \n\t\r"):
            self.at += 1
        return self.text[self.at : self.at + 1]

    def _key(self) -> str:
        found = _THIS_KEY.match(self.text, self.at)
        if found is None:
            raise Unreadable(self.text)
        self.at = found.end()
        return _unquoted(found[1])

    def _value(self, depth: int, is_text: bool, in_list: bool) -> Any:
        if depth > DEEPEST:
            raise Unreadable(self.text)
        while self.text[self.at : self.at + 1].isspace():
            self.at += 1
        first = self.text[self.at : self.at + 1]
        if first == QUOTE:
            return self._marked(depth)
        if first in ('"', "'") and (found := self._quoted(first)) is not None:
            return found
        if first in ("{", "[") and not is_text:
            self.at += 1
            return self.members(depth + 1) if first == "{" else self._items(depth + 1)
        return _bare(self._unmarked(in_list), is_text)

    def _marked(self, depth: int) -> str:
        """A text behind a string mark, whose end may be missing or doubled."""
        while self.text.startswith(QUOTE + QUOTE, self.at):
            empty = _ENDS_TEXT.match(self.text, self.at + 2)
            self.at += 1
            if empty:
                self.at += 1
                return ""
        start = self.at + 1
        end = self.text.find(QUOTE, start)
        closed = end >= 0 and _ENDS_TEXT.match(self.text.replace(QUOTE, " "), end + 1)
        if not closed and (next_key := self._key_after(start, end, depth)) >= 0:
            self.at = next_key
            return self.text[start:next_key]
        if end < 0:
            self.at = len(self.text)
            return _without_closing(self.text[start:], depth)
        self.at = end
        while self.text.startswith(QUOTE, self.at):
            self.at += 1
        return self.text[start:end]

    def _key_after(self, start: int, end: int, depth: int) -> int:
        """Where in a text that has no end mark the next argument begins; -1 for nowhere."""
        for found in _NEXT_KEY.finditer(self.text, start):
            if 0 <= end < found.start():
                break
            if depth or not self._types or _unquoted(found[1]) in self._types:
                return found.start()
        return -1

    def _quoted(self, quote: str) -> str | None:
        """A text between ordinary quotes; the first one that something can follow ends it."""
        end = self.at
        while (end := self.text.find(quote, end + 1)) >= 0:
            if self.text[end - 1] != "\\" and _ENDS_TEXT.match(self.text, end + 1):
                raw = self.text[self.at + 1 : end]
                self.at = end + 1
                return _unescaped(raw)
        return None

    def _unmarked(self, in_list: bool) -> str:
        start, depth = self.at, 0
        while self.at < len(self.text):
            character = self.text[self.at]
            if character == QUOTE:  # only the mark at its end is there
                found = self.text[start : self.at]
                self.at += 1
                return found
            if character in "}]" and depth == 0 and (character == "}" or in_list):
                break
            if depth == 0 and (
                (in_list and character == ",") or _NEXT_KEY.match(self.text, self.at)
            ):
                break
            depth += (character in "{[") - (character in "}]" and depth > 0)
            self.at += 1
        return self.text[start : self.at]


def _bare(text: str, is_text: bool) -> Any:
    text = text.strip()
    if not is_text:
        if text in _WORDS:
            return _WORDS[text]
        if _NUMBER.fullmatch(text):
            return Number(text)
    return text.strip("\"'")


def _unquoted(key: str) -> str:
    quoted = len(key) > 1 and key[0] == key[-1] and key[0] in _QUOTES
    return key[1:-1] if quoted else key.strip(QUOTE)


def _unescaped(raw: str) -> str:
    try:
        return str(json.loads(f'"{raw}"', strict=False))
    except ValueError:
        return raw


def _without_closing(text: str, depth: int) -> str:
    """A last text whose mark is missing, without what closes the objects around it."""
    text = text.rstrip()
    for _ in range(depth + 1):
        text = text.removesuffix("}")
    return text
