"""A message: checked, sent with all that is attached, or put back on the line.

The loop and `/read` send with it, the verbs hand back; the reply is written by `reply`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemma_mtp.chat.attachments import (
    NOT_HERE,
    ONLY_NAMED,
    media_in,
    media_missing,
    only_media,
    read_media,
)
from gemma_mtp.chat.media import attach_media
from gemma_mtp.chat.reply import write_turn
from gemma_mtp.conversations.attachments import message_of
from gemma_mtp.errors import UsageError
from gemma_mtp.text import clean

if TYPE_CHECKING:
    from gemma_mtp.chat.chat import Chat


def send(chat: Chat, text: str) -> None:
    """Send a message with all that is attached; without a word in reply it is handed back. The
    pictures that it names go along."""
    text = clean(text)
    if not text.strip() and not chat.attached:
        return
    before = chat.attached[:]
    try:
        said = _with_named_files(chat, text)
    except UsageError as error:
        chat.failed(error, "")
        hand_back(chat, text)
        return
    if write_turn(chat, chat.conversation.asking(message_of(chat.attached, said))):
        chat.attached.clear()
    else:
        chat.attached[:] = before
        hand_back(chat, text)


def _with_named_files(chat: Chat, text: str) -> str:
    """Attach the pictures that a message names; returns what is left to say, nothing of one that
    is only paths. Raises UsageError where those cannot be shown."""
    if paths := only_media(text):
        attach_media(chat, read_media(paths, chat.note))
        return ""
    for path in media_in(text):
        try:
            attach_media(chat, read_media([path], chat.note))
        except UsageError as error:
            chat.note(f"{ONLY_NAMED.format(path, error)} {error.hint}".rstrip())
    if missing := media_missing(text):
        chat.note(ONLY_NAMED.format(" and ".join(missing), NOT_HERE))
    return text


def hand_back(chat: Chat, text: str) -> None:
    """Put a message back on the line, to be corrected or sent again."""
    chat.unsent = text
    if text:
        chat.note("The message is back on the line; Ctrl-C empties it.")
