"""How a message is typed and shown again: the words that keyboards and screens share. Pure."""

from __future__ import annotations

import re

from gemma_mtp.text import harmless

QUOTES, CONTINUED = '"""', "... "
LEAVING = "Ctrl-D or /bye leaves."
_TEXT = re.compile(rf"\s*(?:/(?:set\s+)?system\s+)?{QUOTES}(.*)", re.DOTALL | re.IGNORECASE)


def is_open(text: str) -> bool:
    """A message, or a system prompt, of several lines has begun and not ended."""
    quoted = _TEXT.fullmatch(text)
    return quoted is not None and not quoted[1].rstrip().endswith(QUOTES)


def unquoted(text: str) -> str:
    """A text without the quotes around it, or with those of several lines that begin it."""
    if text.startswith(QUOTES):
        return text.removeprefix(QUOTES).removesuffix(QUOTES).strip("\n")
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if quoted else text


def shown(prompt: str, text: str) -> str:
    """A message as it stays on the screen; control characters in it do nothing."""
    return prompt + harmless(text).replace("\n", f"\n{CONTINUED}") + "\n"
