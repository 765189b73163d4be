"""How many columns characters take on a terminal. Knows Unicode, no terminal in particular."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

JOINER, EMOJI_STYLE = "\u200d", "\ufe0f"


@lru_cache(maxsize=4096)
def char_width(char: str) -> int | None:
    """Columns `char` takes; None where terminals disagree (joined emoji, flags, marks)."""
    if " " <= char <= "~":
        return 1
    if unicodedata.category(char) in ("Mn", "Me", "Mc", "Cf", "Cn", "Co", "Cs"):
        return None
    if is_flag(char) or "\U0001f3fb" <= char <= "\U0001f3ff":
        return None
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


@lru_cache(maxsize=4096)
def most(char: str) -> int:
    """The columns `char` takes at the most, also where terminals disagree."""
    known = char_width(char)
    if known is not None:
        return known
    if char == EMOJI_STYLE:  # makes a narrow sign before it wide
        return 1
    category = unicodedata.category(char)
    return 0 if category in ("Mn", "Me", "Cf") else 1 if category == "Mc" else 2


def columns(text: str) -> int:
    """The columns one line takes at the most."""
    return len(text) if text.isascii() else sum(map(most, text))


def text_width(text: str) -> int:
    """Columns of one line, for texts of our own making."""
    return sum(char_width(c) or 0 for c in text)


def is_flag(char: str) -> bool:
    """One of the letters that make a flag in pairs."""
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def cut(text: str, width: int) -> str:
    """As much of one line as `width` columns hold."""
    if columns(text) <= width:
        return text
    room = width
    for at, char in enumerate(text):
        room -= most(char)
        if room < 0:
            return text[:at]
    return text
