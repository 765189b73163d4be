"""Reads lines and acts on them until the person leaves; `start` calls it when all is loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gemma_mtp.chat import verbs
from gemma_mtp.chat.sending import hand_back, send
from gemma_mtp.terminal.prompt.quotes import QUOTES, unquoted
from gemma_mtp.text import clean

if TYPE_CHECKING:
    from gemma_mtp.chat.chat import Chat


def feed(chat: Chat, line: str) -> None:
    """Act on one line: a verb, or a message."""
    text = clean(line).strip()
    if text.startswith(QUOTES):
        send(chat, unquoted(text))
        return
    command = verbs.read_verb(text)
    if command:
        verbs.run(chat, *command)
    elif text.lower() in verbs.LEAVING:
        _leave_or_send(chat, text)
    elif text:
        if text.lower() in verbs.ASKING:
            chat.note("/help lists the commands.")
        send(chat, text)
    elif chat.attached:
        chat.note("What is attached goes along with the next message; /file lists it.")


def _leave_or_send(chat: Chat, text: str) -> None:
    """A word that ends other programs may be an answer to the model as well."""
    answer = chat.console.ask("Leave the chat?", ("yes, leave", "no, send it"))
    if answer == 0:
        chat.open = False
    elif answer == 1:
        send(chat, text)
    else:
        hand_back(chat, text)


def converse(chat: Chat, first: str | None = None) -> None:
    """Read and answer until the user leaves; `first` is a message that was given beforehand."""
    if first is not None:
        chat.printer.message(first)
        _guarded(chat, send, first)
    while chat.open:
        try:
            offered, chat.unsent = chat.unsent, ""
            chat.prepare()
            _guarded(chat, feed, chat.console.read(offered))
        except EOFError:
            return
        except KeyboardInterrupt:  # meant for a reply that had just ended
            chat.unsent = chat.unsent or offered


def _guarded(chat: Chat, act: Callable[[Chat, str], None], line: str) -> None:
    """Act on a line. The chat goes on after any error, and a line that had no effect is offered
    again."""
    before = chat.conversation
    try:
        act(chat, line)
        return
    except KeyboardInterrupt:  # as a reply was about to begin, or had just ended
        pass
    except Exception as error:
        chat.failed(error, "This")
    if chat.conversation is before and not chat.unsent:
        hand_back(chat, line)
