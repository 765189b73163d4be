"""A message: checked, sent with all that is attached, or put back on the line.

The loop and `/read` send with it, the verbs hand back; the reply is written by `reply`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemma_mtp.api import Message
from gemma_mtp.chat.attachments import refuse_image, tell_of_images
from gemma_mtp.chat.reply import write_turn
from gemma_mtp.conversations.attachments import compose
from gemma_mtp.errors import UsageError
from gemma_mtp.text import clean

if TYPE_CHECKING:
    from gemma_mtp.chat.chat import Chat


def send(chat: Chat, text: str) -> None:
    """Send a message with all that is attached; without a word in reply it is handed back."""
    text = clean(text)
    if not text.strip() and not chat.attached:
        return
    try:
        refuse_image(text)
    except UsageError as error:
        chat.failed(error, "")
        hand_back(chat, text)
        return
    tell_of_images(text, chat.note)
    message = Message.text("user", compose(chat.attached, text))
    if write_turn(chat, chat.conversation.asking(message)):
        chat.attached.clear()
    else:
        hand_back(chat, text)


def hand_back(chat: Chat, text: str) -> None:
    """Put a message back on the line, to be corrected or sent again."""
    chat.unsent = text
    if text:
        chat.note("The message is back on the line; Ctrl-C empties it.")
