"""Verbs for saved conversations: named, listed, found again, deleted; `start` uses them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from gemma_mtp.api import Message, Stats
from gemma_mtp.chat.context_overflow import warn_when_filling
from gemma_mtp.chat.keeping import offer_to_keep
from gemma_mtp.chat.media import attach_again, tell_of_unseen
from gemma_mtp.chat.sending import hand_back
from gemma_mtp.chat.verbs.registry import Group, verb
from gemma_mtp.chat.verbs.settings import change
from gemma_mtp.conversations.attachments import shown
from gemma_mtp.conversations.conversation import Conversation, unanswered
from gemma_mtp.conversations.overflow import is_filling
from gemma_mtp.errors import GemmaMtpError, ModelNotAvailable, UsageError
from gemma_mtp.terminal import tables
from gemma_mtp.terminal.earlier import show_earlier
from gemma_mtp.text import counted, moment, one_line

if TYPE_CHECKING:
    from gemma_mtp.chat.chat import Chat
    from gemma_mtp.conversations.archive import Saved, Summary

SHOWN = 15  # conversations in a list; a word finds the others
MARGIN = 5  # columns: a mark and three blanks around the number, and the last one of the screen
LEAST_TITLE = 30  # columns; with less, what else is in the line has to go


@verb(
    *("title", "rename"),
    group=Group.CONVERSATION,
    argument="[TEXT]",
    words=None,
    summary="name this conversation",
    example="/title Sourdough, second try",
)
def title(chat: Chat, rest: str) -> None:
    """Gives this conversation a name under which /chats and /resume list it. Without a text it says
    what it is called."""
    if rest:
        chat.record.name(rest)
        later = "" if chat.conversation.turns else " once something is said"
        chat.note(f'This conversation is called "{one_line(rest, 200)}"{later}.')
    elif chat.conversation.turns:
        chat.say(chat.record.as_saved(chat.conversation, chat.model).title)
    else:
        chat.note("This conversation has no message and no title yet.")


@verb(
    "save",
    group=Group.CONVERSATION,
    argument="NAME",
    words=None,
    summary="name this conversation",
    example="/save sourdough",
)
def save(chat: Chat, rest: str) -> None:
    """Gives this conversation a name, as /title does; it is saved by itself all the time. In
    Ollama, /save makes a model of it instead: /show modelfile prints what gemma-mtp create NAME
    takes for that. /resume NAME takes it up again. In a chat that saves nothing, it is saved from
    here on."""
    if not chat.record.saves:
        change(chat, "save", ["on"])
        chat.note("This conversation is saved from here on.")
    elif not rest:
        raise UsageError(
            "The conversation is saved by itself; a name is what /save gives it.", "/save my story"
        )
    if rest:
        title(chat, rest)


@verb(
    "chats",
    group=Group.CONVERSATION,
    argument="[WORDS]",
    words=None,
    summary="list saved conversations",
    example="/chats sourdough",
)
def chats(chat: Chat, rest: str) -> None:
    """Lists the saved conversations, the latest first; with words, those that hold them. A star
    marks the one that is going on, the number is what /resume and /forget take."""
    found = _found(chat, rest)
    if not found:
        chat.note(f'No saved conversation holds "{rest}".' if rest else "Nothing is saved yet.")
        return
    for line in _listed(chat, found[:SHOWN]):
        chat.say(line)
    if len(found) > SHOWN:
        chat.note(f"{len(found) - SHOWN} more; /chats WORDS finds them.")


def _saved(chat: Chat, before: list[str]) -> Iterator[tuple[str, str]]:
    if not before:
        yield from ((str(one.id), one.title) for one in chat.record.archive.list()[:SHOWN])


@verb(
    "resume",
    group=Group.CONVERSATION,
    argument="[N|WORDS]",
    words=None,
    choices=_saved,
    summary="take up a saved conversation",
    example="/resume sourdough",
)
def resume(chat: Chat, rest: str) -> None:
    """Takes up a saved conversation: by its number in /chats, by words that only it holds, or
    picked from a list with the same numbers. Its model is loaded, if it is here; else the loaded
    one goes on with it."""
    id = pick(chat, rest)
    if id is None:
        chat.note("Nothing was changed.")
        return
    if id == chat.record.id:
        chat.note("This is that conversation.")
        return
    saved = _read(chat, id, afresh=True)
    offer_to_keep(chat)
    if saved.model and saved.model != chat.model:
        _load(chat, saved.model)
    take_up(chat, saved)


def _load(chat: Chat, model: str) -> None:
    try:
        chat.use(chat.env.resolve(model), remember=False)
    except ModelNotAvailable as error:
        if chat.loaded is None:
            raise
        chat.note(f"{error} {chat.model} goes on with the conversation.")


@verb(
    "forget",
    group=Group.CONVERSATION,
    argument="N",
    words=1,
    choices=_saved,
    summary="delete a saved conversation",
    example="/forget 3",
)
def forget(chat: Chat, rest: str) -> None:
    """Deletes a saved conversation for good, by its number in /chats. The one that is going on is
    deleted with /forget and its number, too, and a new one begins."""
    if not rest.isdecimal():
        raise UsageError("/forget needs the number of a conversation.", "/chats lists them.")
    saved = _read(chat, int(rest))
    choices = ("no, keep it", "yes, delete it")  # so that y and n each pick one
    if chat.console.ask(f'Delete "{saved.title}" for good?', choices) != 1:
        chat.note("Nothing was deleted.")
        return
    chat.record.archive.delete(saved.id)
    chat.note(f'"{saved.title}" is deleted.')
    if saved.id == chat.record.id:
        chat.start_afresh()
        chat.note("A new conversation.")


def pick(chat: Chat, words: str) -> int | None:
    """The saved conversation that `words` mean, or that is picked from a list, if one is."""
    if words.isdecimal():
        return int(words)
    found = _found(chat, words)
    if not found:
        if not words:
            raise UsageError("Nothing is saved yet.")
        raise UsageError(f'No saved conversation holds "{words}".', "/chats lists them.")
    if words and len(found) == 1:
        return found[0].id
    numbers = [one.id for one in found]
    room = chat.printer.screen.width - MARGIN - len(str(max(numbers)))
    choices = [f"{_about(one, room)}{one.title}" for one in found]
    answer = chat.console.ask("Which conversation?", choices, numbers)
    return None if answer is None else numbers[answer]


def _found(chat: Chat, words: str) -> list[Summary]:
    """Conversations that hold `words`; an error, not none, where the file cannot be read."""
    archive = chat.record.archive
    found = archive.list(words)
    if archive.problem:
        raise GemmaMtpError(archive.problem)
    chat.record.tell()
    return found


def _read(chat: Chat, id: int, *, afresh: bool = False) -> Saved:
    try:
        return chat.record.archive.offered(id, afresh=afresh)
    except UsageError as error:
        raise UsageError(f"There is no conversation {id}.", "/chats lists them.") from error


def take_up(chat: Chat, saved: Saved) -> None:
    """Go on with a saved conversation, and show it again."""
    turns, waiting = unanswered(saved.turns)
    conversation = Conversation(saved.system, turns)
    if saved.model != chat.model:
        conversation = conversation.without_tokens()
    chat.start_afresh(conversation)
    chat.record.forget(saved.id)
    chat.note(f"{saved.title} ({moment(saved.updated) or 'date unknown'})")
    chat.record.tell()
    if saved.gaps:
        chat.say(saved.gaps)
    short = (Message.text("user", shown(turn.user)) for turn in turns)
    earlier = [replace(turn, user=user) for turn, user in zip(turns, short, strict=True)]
    show_earlier(chat.printer, earlier)
    tell_of_unseen(chat)
    _leave_out(chat, min(saved.skipped, len(turns) - 1))
    if waiting:
        attach_again(chat, waiting)
        hand_back(chat, waiting.content)


def _leave_out(chat: Chat, skipped: int) -> None:
    """What was left out of the prompt still is, unless a larger context has room for it now."""
    size = chat.engine.info.context_size
    if skipped > 0 and is_filling(chat.context_used(), size):
        chat.conversation = chat.conversation.skipping(skipped)
        oldest = "exchange" if skipped == 1 else f"{skipped} exchanges"
        chat.note(f"Still left out of the prompt: the oldest {oldest}.")
    warn_when_filling(chat, Stats(context_used=chat.context_used(), context_size=size))


def _listed(chat: Chat, found: list[Summary]) -> list[str]:
    """A row each, with a star for the current one."""
    numbers = [f"{'* ' if one.id == chat.record.id else ''}{one.id}" for one in found]
    facts = [(moment(one.updated), str(one.turns), one.title) for one in found]
    rows = [(number, *known) for number, known in zip(numbers, facts, strict=True)]
    heads = ("number", "last change", "turns", "title")
    screen = chat.printer.screen
    width = screen.width - 1 if screen.notes_shown else tables.ENDLESS
    right, below = ("number", "turns"), ("turns", "last change")
    return tables.plain_lines(tables.Table(heads, rows, right=right, below=below), width)


def _about(one: Summary, room: int) -> str:
    """What is said before the title, as far as that leaves most of it to be seen."""
    known = [f"{moment(one.updated) or 'date unknown'}  ", f"{counted(one.turns, 'turn'):>8}  "]
    while known and room - len("".join(known)) < LEAST_TITLE:
        known.pop()
    return "".join(known)
