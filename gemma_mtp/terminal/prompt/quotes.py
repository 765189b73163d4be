"""Quotes around a text that was typed, above all the three around one of several lines."""

from __future__ import annotations

import re

QUOTES = '"""'
_QUOTED = re.compile(rf"\s*(?:/(?:set\s+)?system\s+)?{QUOTES}(.*)", re.DOTALL | re.IGNORECASE)


def is_open(text: str) -> bool:
    """A message, or a system prompt, of several lines has begun and not ended."""
    quoted = _QUOTED.fullmatch(text)
    return quoted is not None and not quoted[1].rstrip().endswith(QUOTES)


def unquoted(text: str) -> str:
    """A text without the quotes around it, or with those of several lines that begin it."""
    if text.startswith(QUOTES):
        return text.removeprefix(QUOTES).removesuffix(QUOTES).strip("\n")
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if quoted else text
