"""Files in a message: texts inside its text, pictures beside it; put in, named, and taken out
again. Pure.

Used by the chat, and by what names, lists and exports conversations.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gemma_mtp.api import Media, Message, Text
from gemma_mtp.files.media import described, placed
from gemma_mtp.text import counted

_BLOCK = re.compile(r'<file name="([^"\n]*)">\n(.*?)\n</file>\n*', re.DOTALL)


@dataclass(frozen=True)
class Attachment:
    """A text and the name it is sent under."""

    name: str
    text: str


Attached = Attachment | Media
"""What goes along with a message."""


def message_of(attached: Sequence[Attached], text: str) -> Message:
    """The message that is sent."""
    media = [one for one in attached if isinstance(one, Media)]
    whole = compose(attached, text)
    return Message("user", placed(media, [Text(whole)] if whole or not media else []))


def compose(attached: Sequence[Attached], text: str) -> str:
    """The text of the message: files first, then what was typed."""
    blocks = [
        f'<file name="{a.name}">\n{a.text}\n</file>' for a in attached if isinstance(a, Attachment)
    ]
    return "\n\n".join([*blocks, text] if text.strip() else blocks)


def shown(message: Message) -> str:
    """A message as it is shown again: pictures and files are only named."""
    names = " ".join(map(described, message.media))
    return "\n".join(filter(None, (names, shortened(message.content))))


def named(attachments: Sequence[Attached], limit: int = 3) -> str:
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
