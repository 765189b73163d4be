"""Whether what the model has read of a chat is kept on the disk: settings, and a question once.

Whoever makes a request for a conversation asks `keeping`; a long chat that ends asks the person.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemma_mtp.api import Keeping
from gemma_mtp.models import chat_states
from gemma_mtp.models.temporary_pair import is_temporary
from gemma_mtp.text import byte_size

if TYPE_CHECKING:
    from gemma_mtp.chat.chat import Chat
    from gemma_mtp.conversations.record import Record
    from gemma_mtp.options import Options

LONG = 2000  # tokens; a shorter chat is read again in a moment
GB = 1_000_000_000  # bytes


def keeping(record: Record, options: Options) -> Keeping | None:
    """How the conversation of a record is kept; None for not at all, as where it is not saved.
    Where that is off, what was kept of it before goes."""
    if options.keep_chats == "ask" or not record.saves or record.id is None:
        return None
    name = record.archive.key(record.id)
    if options.keep_chats == "off":
        chat_states.remove(name)
        return None
    chat_states.admit(name)
    return Keeping(name, options.keep_chats_gb * GB)


def offer_to_keep(chat: Chat) -> None:
    """Ask whether long chats are to be kept, the first time that one is left; the answer stays."""
    if chat.options.keep_chats != "ask" or not chat.record.saves or chat.record.id is None:
        return
    if chat.loaded is None or chat.files is None or is_temporary(chat.files.target):
        return
    used = chat.context_used()
    if used < LONG or not chat.loaded.info.state_bytes:  # a server elsewhere keeps nothing here
        return
    size, most = byte_size(chat.loaded.info.state_bytes), f"{chat.options.keep_chats_gb} GB"
    chat.say(
        f"This chat is long: the model takes a while to read its {used} tokens again. What it has "
        f"read can be kept on the disk, so that chat --continue goes on at once: {size} for this "
        f"one, {most} at the most for all, in {chat_states.folder()}."
    )
    answer = chat.console.ask("Keep long chats so?", ("yes, keep them", "no"))
    if answer is None:
        return
    word = ("on", "off")[answer]
    chat.options = chat.options.with_values(keep_chats=word)
    file = chat.env.remember_setting("keep_chats", word)
    chat.note(f"keep_chats is {word} from now on, in {file}.")
    if word == "on":
        chat.loaded.prepare(chat.request())
