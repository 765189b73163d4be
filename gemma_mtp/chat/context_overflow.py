"""What a chat does when the context is full or fills up: it asks, leaves turns out, or stops.

`reply` uses it, and what takes up a saved conversation. Which turns have to go is computed by
`conversations.overflow`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from gemma_mtp.api import Stats, Turn
from gemma_mtp.conversations.attachments import compose, named, shown
from gemma_mtp.conversations.conversation import Conversation
from gemma_mtp.conversations.overflow import is_filling, quoted, turns_to_drop
from gemma_mtp.errors import GemmaMtpError, NotCounted
from gemma_mtp.models.larger_context import larger_context
from gemma_mtp.terminal.interrupts import breakable
from gemma_mtp.text import counted

if TYPE_CHECKING:
    from gemma_mtp.chat.chat import Chat

LARGER: Literal["larger"] = "larger"
CLEAR, SHORTEN = "/clear starts afresh", "Shorten it"


def advice(chat: Chat, first: str, tokens: int = 0) -> str:
    """`first`, which helps at once, and how `tokens` would fit, or that they cannot."""
    size = larger_context(chat.env.machine, chat.engine.info, tokens)
    if isinstance(size, str):
        return f"{first}; {size}."
    return f"{first}; /set ctx {size} holds more."


def make_room(
    chat: Chat, draft: Conversation, problem: str, first: str = SHORTEN
) -> Conversation | None:
    """The conversation with enough of its oldest turns left out; None if it is to be left.

    `problem` is the sentence about it, `first` what helps at once if there is nothing to leave out.
    """
    size = chat.engine.info.context_size

    def tokens(dropped: int) -> int:
        shorter = draft.skipping(dropped)
        return chat.engine.count(chat.request(shorter))

    try:
        count = turns_to_drop(tokens, len(draft.sent), size)
        if count is None:
            alone = tokens(len(draft.sent) - 1)
            return draft if _helped(chat, draft, problem, first, alone) else None
    except NotCounted:  # nor is it known what would have to go
        chat.say(problem)
        chat.note(advice(chat, first))
        return None
    turns = draft.sent[:count]
    agreed = _agreed(chat, problem, turns)
    if agreed == LARGER:
        return draft
    if not agreed:
        return None
    stays = f" {'It stays' if count == 1 else 'They stay'} saved." if chat.record.saves else ""
    chat.note(f"Left out of the prompt from here on: {_named_oldest(turns)}.{stays}")
    chat.warned = False
    return draft.skipping(count)


def _helped(chat: Chat, draft: Conversation, problem: str, first: str, alone: int) -> bool:
    """Say what is too long, and whether a longer context was made for it. `alone`: the tokens of a
    prompt with nothing but the last exchange."""
    size = chat.engine.info.context_size
    last = draft.sent[-1]
    if last.reply is None:
        too_long = f"is too long, by {counted(alone - size, 'token')}"
        chat.say(
            f"{problem} The message itself "
            f"{too_long if alone > size else 'leaves no room for a reply'}."
        )
        _name_attached(chat, last.user.content)
        return _longer_for(chat, SHORTEN, alone)
    if len(draft.sent) == 1:
        chat.say(problem)
        return _longer_for(chat, first, alone)
    chat.say(f"{problem} The last exchange alone has {alone}, which leaves no room for a reply.")
    return _longer_for(chat, CLEAR, alone)


def _longer_for(chat: Chat, first: str, tokens: int) -> bool:
    """Offer a context in which `tokens` fit; whether it was made. `first` helps without one."""
    size = larger_context(chat.env.machine, chat.engine.info, tokens)
    if isinstance(size, int) and chat.options.overflow == "ask":
        with breakable():
            answer = chat.console.ask(
                f"Make the context longer, {size} tokens?", ("yes, make it longer", "no, stop here")
            )
        if answer == 0 and _made_larger(chat, size):
            return True
    chat.note(advice(chat, first, tokens))
    return False


def _name_attached(chat: Chat, message: str) -> None:
    """Name the files that are attached to a message that is too long."""
    files = compose(chat.attached, "")
    if files and message != files and message.startswith(files):
        chat.note(f"Attached to it: {named(chat.attached)}; /file none takes that away.")


def _agreed(chat: Chat, problem: str, turns: tuple[Turn, ...]) -> bool | Literal["larger"]:
    """Whether turns may be left out; LARGER where the context was made larger instead."""
    if chat.options.overflow == "drop-oldest":
        return True
    chat.say(problem)
    if chat.options.overflow == "ask":
        chat.say(f"To make room, the model can do without {_named_oldest(turns)}.")
        question = f"Leave {'it' if len(turns) == 1 else 'them'} out?"
        size = larger_context(chat.env.machine, chat.engine.info)
        more = () if isinstance(size, str) else (f"no, make the context longer: {size} tokens",)
        with breakable():
            answer = chat.console.ask(question, ("yes, leave out", "no, stop here", *more))
        if answer == 0:
            return True
        if answer == 2 and isinstance(size, int) and _made_larger(chat, size):
            return LARGER
        chat.note(advice(chat, CLEAR))
        return False
    chat.note(
        f"{advice(chat, CLEAR)} With --overflow drop-oldest the oldest exchanges are left out."
    )
    return False


def _made_larger(chat: Chat, size: int) -> bool:
    try:
        chat.enlarge(size)
    except GemmaMtpError as error:
        chat.failed(error, "")
        return False
    chat.warned = False
    return True


def _named_oldest(turns: tuple[Turn, ...]) -> str:
    said = quoted([shown(turn.user) for turn in turns])
    return (
        f"the oldest exchange, {said}"
        if len(turns) == 1
        else f"the oldest {len(turns)} exchanges, {said}"
    )


def warn_when_filling(chat: Chat, stats: Stats) -> None:
    """Say once that the context is filling up, while there is still room."""
    used, size = stats.context_used, stats.context_size
    if not is_filling(used, size):
        chat.warned = False
    elif not chat.warned:
        chat.warned = True
        then = {
            "ask": "when it is full, you will be asked what to do",
            "drop-oldest": "when it is full, the oldest exchanges are left out",
            "stop": "when it is full, nothing more can be said",
        }[chat.options.overflow]
        chat.note(f"The context is {used * 100 // size} % full ({used} of {size}); {then}.")
