"""Text files inside the text of a message: put in, named, and taken out again. Pure.

Used by the chat, and by what names, lists and exports conversations.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gemma_mtp.text import counted

_BLOCK = re.compile(r'<file name="([^"\n]*)">\n(.*?)\n</file>\n*', re.DOTALL)


@dataclass(frozen=True)
class Attachment:
    """A text and the name it is sent under."""

    name: str
    text: str


def compose(attachments: Sequence[Attachment], text: str) -> str:
    """The message that is sent: files first, then what was typed."""
    blocks = [f'<file name="{a.name}">\n{a.text}\n</file>' for a in attachments]
    return "\n\n".join([*blocks, text] if text.strip() else blocks)


def named(attachments: Sequence[Attachment], limit: int = 3) -> str:
    """Their names in a line."""
    names = [one.name for one in attachments[:limit]]
    more = len(attachments) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def shortened(message: str) -> str:
    """A message as it is shown again: a file is only named."""

    def name(block: re.Match[str]) -> str:
        return f"[{block[1]}, {counted(len(block[2].splitlines()), 'line')}]\n"

    return _BLOCK.sub(name, message).strip("\n")


def taken_apart(message: str) -> tuple[list[str], str]:
    """The names of the files in a message, and what was typed."""
    return [block[1] for block in _BLOCK.finditer(message)], _BLOCK.sub("", message).strip()
