"""How much of a tool's result the context has room for. `tool_rounds` cuts results by it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from gemma_mtp.api import ROOM_TO_REPLY
from gemma_mtp.conversations.conversation import Conversation
from gemma_mtp.errors import DoesNotFit, NotCounted

if TYPE_CHECKING:
    from gemma_mtp.api import Turn
    from gemma_mtp.chat.chat import Chat

SHORT = 500  # characters that are never cut; should they not fit, it is as with any long message
UNCOUNTED = 50_000  # characters of a result where a server does not count tokens
MOST_CHARACTERS = 16  # of a token, on average, in any text; what is longer need not be counted
SENTENCE = 40  # tokens of the one that says what was cut


def fitted(chat: Chat, turn: Turn, text: str, results: int) -> str:
    """`text`, or as much of its beginning as fits, with a sentence about that for the model; the
    person is told. `results`: so many are to come, this one included."""
    if len(text) <= SHORT:
        return text
    kept = text[:UNCOUNTED]
    with suppress(NotCounted, DoesNotFit):
        if chat.engine.info.context_size:
            kept = _beginning(chat, text, _room(chat, turn) // results)
    if kept == text:
        return text
    chat.note(f"Cut to what the context has room for: {len(kept)} of {len(text)} characters.")
    return (
        f"{kept}\n(Cut here: these are the first {len(kept)} of {len(text)} characters, which is "
        "what the context has room for.)"
    ).lstrip("\n")


def _room(chat: Chat, turn: Turn) -> int:
    """Tokens that are free when nothing but this turn is in the prompt."""
    size = chat.engine.info.context_size
    alone = chat.engine.count(chat.request(Conversation(chat.conversation.system, (turn,))))
    return size - alone - min(ROOM_TO_REPLY, size // 4)


def _beginning(chat: Chat, text: str, room: int) -> str:
    """As much of `text` as has `room` tokens, less those of a sentence where it is not all."""
    kept = text[: max(room, 0) * MOST_CHARACTERS]
    tokens = chat.tokens(kept)
    if tokens is None:
        return text[:UNCOUNTED]
    if kept == text and tokens <= room:
        return text
    room = max(room - SENTENCE, 0)
    while kept and (tokens := chat.tokens(kept) or 0) > room:
        kept = kept[: int(len(kept) * room / tokens * 0.95)]
    return kept
