"""What can be done with the conversation: begun anew, taken back, changed, written to a file.

The registry calls them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gemma_mtp.api import Message
from gemma_mtp.chat.reply import write_turn
from gemma_mtp.chat.sending import hand_back
from gemma_mtp.chat.verbs.files import detach_all
from gemma_mtp.chat.verbs.registry import Group, choose, unknown_word, verb
from gemma_mtp.chat.verbs.replies import last_turn
from gemma_mtp.conversations.attachments import shortened
from gemma_mtp.errors import UsageError
from gemma_mtp.files import private
from gemma_mtp.text import one_line

if TYPE_CHECKING:
    from gemma_mtp.chat.chat import Chat
    from gemma_mtp.conversations.archive import Saved

FORMATS = (("md", "Markdown, to read"), ("json", "everything, for programs"))


@verb("clear", group=Group.CONVERSATION, summary="begin a new conversation")
def clear(chat: Chat, rest: str) -> None:
    """Empties the context for a new conversation with the same model. The system prompt stays, and
    so do the totals of /stats. The old conversation stays saved, if it was: /resume finds it."""
    kept = chat.record.saves and chat.record.id is not None
    chat.start_afresh()
    chat.note(f"A new conversation.{' /resume finds the old one.' if kept else ''}")
    detach_all(chat)


@verb("undo", group=Group.CONVERSATION, summary="take back the last message and its reply")
def undo(chat: Chat, rest: str) -> None:
    """Takes the last message and its reply out of the conversation, here and in what is saved. Up
    arrow brings the message back to the line."""
    turn = last_turn(chat)
    chat.conversation = chat.conversation.without_last()
    chat.record.save(chat.conversation, chat.model)
    chat.note(f'Taken back: "{one_line(shortened(turn.user.content), 40)}" and its reply.')


@verb(
    "edit",
    group=Group.CONVERSATION,
    summary="change the last message in the editor, and send it again",
)
def edit(chat: Chat, rest: str) -> None:
    """Opens the last message in your editor ($VISUAL or $EDITOR). Saved and closed, it is sent in
    place of the old one and gets a reply of its own; unchanged or empty, nothing happens."""
    turn = last_turn(chat)
    text = chat.console.edit(turn.user.content)
    if text is None or not text.strip():
        chat.note("Nothing was changed.")
        return
    chat.printer.message(">>> ", shortened(text))
    if not write_turn(chat, chat.conversation.without_last().asking(Message.text("user", text))):
        hand_back(chat, text)


@verb(
    "export",
    group=Group.CONVERSATION,
    argument="md|json [PATH]",
    words=None,
    paths=True,
    choices=choose(FORMATS),
    summary="write the conversation to a file",
)
def export(chat: Chat, rest: str) -> None:
    """Writes this conversation to a file, as Markdown or as JSON. Without a path the file is named
    after the conversation and lies in this folder. A file that is there is not replaced."""
    from gemma_mtp.conversations import export

    kind, _, name = rest.partition(" ")
    known = {"md": export.as_markdown, "json": export.as_json}
    if kind.lower() not in known:
        raise unknown_word("export", kind, FORMATS)
    last_turn(chat)
    saved = chat.record.as_saved(chat.conversation, chat.model)
    path = _expanded(name.strip().strip("'\"")) if name.strip() else Path(_file_name(saved))
    if path.is_dir():
        path = path / _file_name(saved)
    path = path.with_name(path.name + f".{kind.lower()}") if not path.suffix else path
    _write_new(path, known[kind.lower()](saved))
    chat.note(f"Written to {path}.")


def _expanded(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise UsageError(f"There is no user of that name: {name}.") from error


def _write_new(path: Path, text: str) -> None:
    try:
        private.write_new(path, text)
    except FileExistsError as error:
        raise UsageError(f"{path} is there already.", "/export md OTHER_NAME.md") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.") from error


def _file_name(saved: Saved) -> str:
    letters = "".join(c if c.isalnum() else " " for c in saved.title)
    return "-".join(letters.lower().split())[:40].strip("-") or f"chat-{saved.id}"
