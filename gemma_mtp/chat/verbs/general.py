"""Verbs for help, figures and the way out; the help is written from the registry."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from gemma_mtp.chat.verbs.others import meant, unknown
from gemma_mtp.chat.verbs.registry import Group, Verb, find, listed, verb
from gemma_mtp.chat.verbs.set import SETTINGS
from gemma_mtp.options import PARAMETER_NAMES
from gemma_mtp.terminal.figures import MEANINGS

if TYPE_CHECKING:
    from gemma_mtp.chat.chat import Chat

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
    *("help", "?", "h"),
    group=Group.CHAT,
    argument="[VERB]",
    words=1,
    choices=_verbs,
    summary="list the commands, or explain one",
    example="/help set",
)
def show_help(chat: Chat, rest: str) -> None:
    """Without a verb, lists all commands and the most useful keys. With one, says what it does in
    full; the name of a setting will do, too."""
    name = rest.removeprefix("/").lower()
    if not name:
        _list(chat)
        return
    verb, setting = (name, "") if find(name) else meant(name, "") or (name, "")
    known = find(verb)
    if known is None:
        chat.say(unknown(name))
    elif setting and verb == "set":
        _explain_setting(chat, setting)
    else:
        _explain(chat, known)


def _explain_setting(chat: Chat, name: str) -> None:
    known = PARAMETER_NAMES.get(name.replace("-", "_"))
    if known:
        chat.say(f"/set {known.name} VALUE: {known.help}")
        chat.note(f"VALUE is {known.wanted}; default goes back to what is recommended.")
    else:
        chat.say(f"/set {name} {SETTINGS[name].argument}".rstrip() + f": {SETTINGS[name].what}")


def _explain(chat: Chat, known: Verb) -> None:
    others = [f"/{other}" for other in known.names[1:]]
    also = f" (also {', '.join(others)})" if others else ""
    chat.say(f"{known.usage}{also}: {known.summary}")
    chat.say(known.details)
    if known.example:
        chat.note(f"Example: {known.example}")
    if known.act is stats:
        chat.note("Figures")
        chat.list(MEANINGS)


def _list(chat: Chat) -> None:
    # What follows a verb is left to `/help VERB` where there is no room for it.
    shown = {v: f"/{v.names[0]}" if chat.is_narrow else v.usage for v in listed()}
    width = max(map(len, shown.values()))
    for group, verbs in groupby(listed(), lambda v: v.group):
        chat.note(group.value)
        chat.list([(shown[v], v.summary) for v in verbs], width)
    chat.note("Keys")
    chat.list(KEYS, width)
    chat.note("/help VERB says more, with an example: /help set")


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
    off = chat.options.draft == 0
    for line in report(chat.last, chat.total, chat.replies, info, width, off=off, built_in=toy):
        chat.say(line)


@verb("bye", "exit", "quit", "q", group=Group.CHAT, summary="leave")
def bye(chat: Chat, rest: str) -> None:
    """Leaves the chat. Ctrl-D on an empty line does the same. The conversation is saved; gemma-mtp
    chat --continue goes on with it."""
    chat.open = False
