"""`/tools`: what the model may call, and whether it has to be asked for. The registry calls it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gemma_mtp.chat.tools import tell
from gemma_mtp.chat.verbs.registry import Group, unknown_word, verb
from gemma_mtp.errors import UsageError
from gemma_mtp.text import one_line, suggestion

if TYPE_CHECKING:
    from gemma_mtp.chat.chat import Chat

WORDS = (
    ("on", "let the model call it"),
    ("off", "keep it from the model"),
    ("ask", "ask before each call again"),
)
ABOUT = 60  # characters of what a tool is for


def _choices(chat: Chat, before: list[str]) -> Iterator[tuple[str, str]]:
    if not before:
        yield from ((f"{word} ", does) for word, does in WORDS)
    elif len(before) == 1:
        for each in chat.tools.all():
            yield each.name, one_line(each.tool.description, ABOUT)


@verb(
    "tools",
    group=Group.SETTINGS,
    argument="[on|off|ask NAME]",
    words=2,
    choices=_choices,
    summary="list the tools that the model may call, or switch one",
    example="/tools off delete_file",
)
def tools(chat: Chat, rest: str) -> None:
    """Lists the tools of the MCP servers that --mcp FILE or /set mcp FILE has started: whether each
    is on, whether it is asked for before it runs, and what it is for. /tools off NAME keeps one
    from the model, or all of a server; on brings it back. After "yes, always for this tool", ask
    NAME has it asked for again."""
    tell(chat)
    word, _, name = rest.partition(" ")
    if not rest:
        _list(chat)
    elif word.lower() in dict(WORDS) and name:
        _switch(chat, word.lower(), name.strip())
    elif word.lower() in dict(WORDS):
        raise UsageError(f"/tools {word} needs the NAME of a tool.", "/tools lists them.")
    else:
        raise unknown_word("tools", word, WORDS, "The NAME of a tool follows.")


def _list(chat: Chat) -> None:
    found = chat.tools.all()
    if not found:
        chat.note("There are no tools; --mcp FILE or /set mcp FILE starts servers that have some.")
        return
    rows = []
    for each in found:
        asked = "unasked" if each.name in chat.tools.unasked else "asked for"
        state = "off" if each.name in chat.tools.off else f"on, {asked}"
        about = one_line(each.tool.description, ABOUT)
        rows.append((each.name, f"{state}; {each.server}{': ' if about else ''}{about}"))
    chat.list(rows)


def _switch(chat: Chat, word: str, name: str) -> None:
    known = [each.name for each in chat.tools.all() if name in (each.name, each.server)]
    if not known:
        names = {each.name for each in chat.tools.all()}
        hint = suggestion(name, names) or "/tools lists them."
        raise UsageError(f'There is no tool "{name}".', hint)
    for each in known:
        if word == "off":
            chat.tools.off.add(each)
        elif word == "on":
            chat.tools.off.discard(each)
        else:
            chat.tools.unasked.discard(each)
    says = {"on": "on", "off": "off", "ask": "asked for before each call"}[word]
    chat.note(f"{', '.join(known)}: {says}.")
