"""Reads lines and acts on them until the person leaves. Knows no engine and no disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemma_mtp.arguments import clean
from gemma_mtp.chat import verbs
from gemma_mtp.chat.exchange import say

if TYPE_CHECKING:
    from gemma_mtp.chat.chat import Chat

PROMPT = ">>> "
QUOTES = '"""'


def feed(chat: Chat, line: str) -> None:
    """Act on one line: a verb, or a message."""
    text = clean(line).strip()
    if text.startswith(QUOTES):
        say(chat, text.removeprefix(QUOTES).removesuffix(QUOTES).strip("\n"))
        return
    command = verbs.read_verb(text)
    if command:
        verbs.run(chat, *command)
    elif text:
        say(chat, text)


def converse(chat: Chat, first: str | None = None) -> None:
    """Read and answer until the user leaves; `first` is a message that was given beforehand."""
    if first is not None:
        chat.printer.message(PROMPT, first)
        say(chat, first)
    while chat.open:
        offered, chat.again = chat.again, ""
        try:
            feed(chat, chat.console.read(offered))
        except EOFError:
            return
        except KeyboardInterrupt:  # meant for a reply that had just ended
            continue
