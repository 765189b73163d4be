"""What can be done with the conversation: begun anew, taken back, changed, written to a file.

The registry calls them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from gemma_mtp.chat.keeping import offer_to_keep
from gemma_mtp.chat.media import attach_again
from gemma_mtp.chat.reply import write_turn
from gemma_mtp.chat.sending import hand_back
from gemma_mtp.chat.verbs.files import detach_all
from gemma_mtp.chat.verbs.registry import Group, choose, unknown_word, verb
from gemma_mtp.chat.verbs.replies import last_turn
from gemma_mtp.conversations.attachments import message_of, shown
from gemma_mtp.conversations.export import as_json, as_markdown
from gemma_mtp.errors import UsageError
from gemma_mtp.files import atomic, private
from gemma_mtp.text import one_line

if TYPE_CHECKING:
    from gemma_mtp.chat.chat import Chat
    from gemma_mtp.conversations.archive import Saved

FORMATS = (("md", "Markdown, to read"), ("json", "everything, for programs"))
WRITERS = {"md": as_markdown, "json": as_json}


@verb(
    *("clear", "new", "reset"),
    group=Group.CONVERSATION,
    summary="begin a new conversation",
)
def clear(chat: Chat, rest: str) -> None:
    """Empties the context for a new conversation with the same model. The system prompt stays, and
    so do the totals of /stats. The old conversation stays saved, if it was: /resume finds it."""
    offer_to_keep(chat)
    kept = chat.record.saves and chat.record.id is not None
    chat.start_afresh()
    found = " /resume finds the old one." if kept else ""
    chat.note(f"A new conversation.{found}")
    if chat.conversation.system:
        chat.note("The system prompt stays; /system none takes it away.")
    detach_all(chat)


@verb("undo", group=Group.CONVERSATION, summary="take back the last message and its reply")
def undo(chat: Chat, rest: str) -> None:
    """Takes the last message and its reply out of the conversation, here and in what is saved. Up
    arrow brings the message back to the line; its pictures stay attached."""
    turn = last_turn(chat)
    chat.conversation = chat.conversation.without_last()
    chat.record.save(chat.conversation, chat.model)
    said = one_line(shown(turn.user), 40)
    chat.note(f'Taken back: "{said}" and its reply.')
    attach_again(chat, turn.user)
    if not chat.conversation.turns:
        chat.note("The conversation is empty now, and /chats does not list it.")


@verb(
    "edit",
    group=Group.CONVERSATION,
    summary="change the last message in the editor, and send it again",
)
def edit(chat: Chat, rest: str) -> None:
    """Opens the last message in your editor ($VISUAL or $EDITOR). Saved and closed, it is sent in
    place of the old one, with its pictures, and gets a reply of its own; unchanged or empty,
    nothing happens."""
    turn = last_turn(chat)
    text = chat.console.edit(turn.user.content)
    if text is None or not text.strip():
        chat.note("Nothing was changed.")
        return
    message = message_of(turn.user.media, text)
    chat.printer.message(shown(message))
    if not write_turn(chat, chat.conversation.without_last().asking(message)):
        hand_back(chat, text)


@verb(
    "export",
    group=Group.CONVERSATION,
    argument="[md|json] [PATH]",
    words=None,
    paths=True,
    choices=choose(FORMATS),
    summary="write the conversation to a file",
    example="/export md ~/rain.md",
)
def export(chat: Chat, rest: str) -> None:
    """Writes this conversation to a file, as Markdown or as JSON; the ending of a PATH tells which.
    Without a path the file is named after the conversation and lies in this folder. You are asked
    before a file that is there is replaced."""
    kind, name = _read_export(rest)
    last_turn(chat)
    saved = chat.record.as_saved(chat.conversation, chat.model)
    path = _expanded(name) if name else Path(_file_name(saved))
    if os.path.isdir(path):
        path = path / _file_name(saved)
    path = path.with_name(path.name + f".{kind}") if not path.suffix else path
    _write(chat, path, WRITERS[kind](saved))


def _read_export(rest: str) -> tuple[str, str]:
    """The format and the path, which may come alone; of both, one says the other."""
    kind, _, name = rest.partition(" ")
    if kind.lower() in WRITERS or not kind:
        return kind.lower() or "md", name.strip().strip("'\"")
    path = rest.strip("'\"")
    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix in WRITERS:
        return suffix, path
    if "/" in path and not suffix:
        return "md", path
    raise unknown_word("export", rest, FORMATS, "A PATH may follow.")


def _expanded(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise UsageError(f"There is no user of that name: {name}.") from error


def _write(chat: Chat, path: Path, text: str) -> None:
    """Write a new file; one that is there is replaced, or left for another, as the person says."""
    write: Callable[[Path, str], None] = private.write_new
    if os.path.isfile(path):
        other = _free(path)
        choices = (f"no, write {other.name}", "yes, replace it")
        answer = chat.console.ask(f"{path} is there already. Replace it?", choices)
        if answer is None:
            chat.note("Nothing was written.")
            return
        write = partial(atomic.write_text, private=True) if answer == 1 else write
        path = path if answer == 1 else other
    try:
        write(path, text)
    except OSError as error:
        hint = "/export md PATH writes to another place."
        raise UsageError(f"{path} cannot be written: {error.strerror}.", hint) from error
    chat.note(f"Written to {path}.")


def _free(path: Path) -> Path:
    """The next name that no file has: rain-2.md beside rain.md."""
    names = (path.with_name(f"{path.stem}-{n}{path.suffix}") for n in count(2))
    return next(name for name in names if not os.path.lexists(name))


def _file_name(saved: Saved) -> str:
    letters = "".join(c if c.isalnum() else " " for c in saved.title)
    return "-".join(letters.lower().split())[:40].strip("-") or f"chat-{saved.id}"
