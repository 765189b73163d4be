"""How a message is typed and shown again: the words that keyboards and screens share. Pure."""

from __future__ import annotations

QUOTES, CONTINUED = '"""', "... "
LEAVING = "Ctrl-D or /bye leaves."
_CONTROLS = {c: "\ufffd" for c in (*range(0x20), 0x7F, *range(0x80, 0xA0)) if chr(c) not in "\n\t"}


def is_open(text: str) -> bool:
    """A message of several lines has begun and not ended."""
    text = text.strip()
    closed = len(text) >= 2 * len(QUOTES) and text.endswith(QUOTES)
    return text.startswith(QUOTES) and not closed


def shown(prompt: str, text: str) -> str:
    """A message as it stays on the screen; control characters in it do nothing."""
    return prompt + text.translate(_CONTROLS).replace("\n", f"\n{CONTINUED}") + "\n"
