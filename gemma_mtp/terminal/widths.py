"""How many columns characters take on a terminal: rich's table, but for those about which terminals
disagree. What is drawn must come out right on all of them, so for these only a bound is known."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

JOINER, EMOJI_STYLE = "\u200d", "\ufe0f"
SOFT_HYPHEN = "\xad"
_AT_MOST = {"Mn": 0, "Me": 0, "Cf": 0, "Mc": 1, "Zl": 1, "Zp": 1, "Cn": 2, "Co": 2, "Cs": 2}
"""Columns that disputed characters take at the most, by their Unicode category."""


def _disputed(char: str) -> int | None:
    """The columns `char` takes at the most where terminals disagree (joined emoji, flags, marks,
    what is newer than the terminal); None where they do not."""
    if char == EMOJI_STYLE:  # makes a narrow sign before it wide
        return 1
    if char == SOFT_HYPHEN:  # which some terminals show
        return 1
    if is_flag(char) or is_skin_tone(char):
        return 2
    return _AT_MOST.get(unicodedata.category(char))


@lru_cache(maxsize=4096)
def char_width(char: str) -> int | None:
    """Columns `char` takes; None where terminals disagree."""
    if " " <= char <= "~" or "\xae" <= char < "\u0300":  # without rich
        return 1
    if _disputed(char) is not None:
        return None
    from rich.cells import get_character_cell_size

    return get_character_cell_size(char)


@lru_cache(maxsize=4096)
def most(char: str) -> int:
    """The columns `char` takes at the most, also where terminals disagree."""
    known = char_width(char)
    return (_disputed(char) or 0) if known is None else known


def columns(text: str) -> int:
    """The columns one line takes at the most."""
    return len(text) if text.isascii() else sum(map(most, text))


def is_flag(char: str) -> bool:
    """One of the letters that make a flag in pairs."""
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def is_skin_tone(char: str) -> bool:
    """What changes the colour of the emoji before it."""
    return "\U0001f3fb" <= char <= "\U0001f3ff"


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


def cut_start(text: str, width: int) -> str:
    """As much of the end of one line as `width` columns hold, with a sign where something is
    missing."""
    if columns(text) <= width:
        return text
    return "…" + cut(text[::-1], width - 1)[::-1]


def clipped(text: str, width: int) -> str:
    """As much of a text as fits into one row, with a sign where something is missing."""
    text = " ".join(text.split("\n"))
    if columns(text) <= width:
        return text
    return cut(text, width - 1) + "…" if width > 0 else ""
