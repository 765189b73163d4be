"""Verbs for help, figures and the way out; the help is written from the registry."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from gemma_mtp.chat.verbs.registry import Group, find, listed, unknown, verb
from gemma_mtp.terminal.figures import MEANINGS

if TYPE_CHECKING:
    from gemma_mtp.chat.chat import Chat

NARROW = 72  # columns; below, a summary gets a line of its own
KEYS = (
    ('"""', "starts and ends a message of several lines; Alt-Enter is a new line, too"),
    ("Tab", "completes; Ctrl-R searches what was typed before"),
    ("Ctrl-G", "opens the message in your editor ($EDITOR)"),
    ("Ctrl-C", "stops a reply, or empties the line"),
    ("Ctrl-D", "leaves"),
)


def _verbs(chat: Chat, before: list[str]) -> Iterator[tuple[str, str]]:
    if not before:
        yield from ((v.names[0], v.summary) for v in listed())


@verb(
    *("help", "?"),
    group=Group.CHAT,
    argument="[VERB]",
    words=1,
    choices=_verbs,
    summary="list the commands, or explain one",
)
def show_help(chat: Chat, rest: str) -> None:
    """Without a verb, lists all commands and the most useful keys. With one, says what it does in
    full."""
    name = rest.removeprefix("/").lower()
    if not name:
        _list(chat)
        return
    known = find(name)
    if known is None:
        chat.say(unknown(name))
        return
    others = [f"/{other}" for other in known.names[1:]]
    also = f" (also {', '.join(others)})" if others else ""
    chat.say(f"{known.usage}{also}: {known.summary}")
    chat.say(known.details)
    if known.act is stats:
        chat.note("Figures")
        _table(chat, MEANINGS)


def _list(chat: Chat) -> None:
    width = max(len(v.usage) for v in listed())
    for group, verbs in groupby(listed(), lambda v: v.group):
        chat.note(group.value)
        for known in verbs:
            _entry(chat, known.usage, known.summary, width)
    chat.note("Keys")
    _table(chat, KEYS, width)


def _table(chat: Chat, entries: Sequence[tuple[str, str]], width: int = 0) -> None:
    width = max(width, *(len(left) for left, _ in entries))
    for left, right in entries:
        _entry(chat, left, right, width)


def _entry(chat: Chat, left: str, right: str, width: int) -> None:
    columns = chat.printer.screen.width
    if columns < NARROW:
        chat.say(f"  {left}")
        left, width = "", 2
    room = columns - width - 4 if chat.printer.screen.notes_shown else 1000
    for row in textwrap.wrap(right, max(room, 20)):
        chat.say(f"  {left:{width}}  {row}")
        left = ""


@verb("stats", group=Group.CHAT, summary="speed, acceptance and time of the last reply")
def stats(chat: Chat, rest: str) -> None:
    """Shows the figures of the last reply and of the whole session: how many drafts were accepted,
    where the time went, and what the caches take; and says what drafts brought, or why they were
    left out. A speedup is against plain decoding on this machine: measured with plain steps timed
    in this session near this length of context, or estimated from ones further away. A reply of
    fewer than 64 tokens has none, nor one during which the timings differed by over 25 %."""
    from gemma_mtp.terminal.stats_report import report

    info, width = chat.engine.info, chat.printer.screen.width
    toy = chat.env.is_built_in(info.name)
    for line in report(chat.last, chat.total, chat.replies, info, width, built_in=toy):
        chat.say(line)


@verb("bye", "exit", "quit", group=Group.CHAT, summary="leave")
def bye(chat: Chat, rest: str) -> None:
    """Leaves the chat. Ctrl-D on an empty line does the same. The conversation is saved; gemma-mtp
    chat --continue goes on with it."""
    chat.open = False
