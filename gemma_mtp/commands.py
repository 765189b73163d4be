"""What can be typed after a slash in a chat: one registry for the doing, the help, the completion.

Knows neither keyboard nor engine: a command acts on the `Chat` it is given.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gemma_mtp.catalogue import distance
from gemma_mtp.figures import report

if TYPE_CHECKING:
    from gemma_mtp.repl import Chat

Action = Callable[["Chat", str], None]


@dataclass(frozen=True)
class Command:
    """A verb with its other names, what `/help` says in a line, and what `/help VERB` adds."""

    names: tuple[str, ...]
    argument: str
    summary: str
    details: str
    act: Action

    @property
    def usage(self) -> str:
        return f"/{self.names[0]} {self.argument}".rstrip()


COMMANDS: list[Command] = []


def command(*names: str, argument: str = "", summary: str) -> Callable[[Action], Action]:
    """Register a function as the verb `names[0]`; its docstring is the long help."""

    def register(act: Action) -> Action:
        details = " ".join((act.__doc__ or "").split())
        COMMANDS.append(Command(names, argument, summary, details, act))
        return act

    return register


def read_verb(line: str) -> tuple[str, str] | None:
    """(verb, rest) of a command line; None for a message, which may well start with a path."""
    match = re.fullmatch(r"\s*/(\?|[A-Za-z]\w*)(?:\s+(.*))?", line, re.DOTALL)
    return (match[1].lower(), (match[2] or "").strip()) if match else None


def find(verb: str) -> Command | None:
    """The command called `verb`, by any of its names."""
    return next((c for c in COMMANDS if verb in c.names), None)


def completions(typed: str) -> list[Command]:
    """The commands whose first name starts with `typed` (the slash included)."""
    return [c for c in COMMANDS if typed.startswith("/") and c.names[0].startswith(typed[1:])]


def run(chat: Chat, verb: str, rest: str) -> None:
    """Do what was typed, or say what may have been meant."""
    known = find(verb)
    if known:
        known.act(chat, rest)
    else:
        chat.printer.line(unknown(verb))


def unknown(verb: str) -> str:
    """The answer to a verb that does not exist, with the nearest one that does."""
    names = [name for c in COMMANDS for name in c.names if len(name) > 1]
    near = [n for n in names if n.startswith(verb) or distance(verb, n) <= 2]
    near.sort(key=lambda name: (not name.startswith(verb), distance(verb, name)))
    advice = f"did you mean /{near[0]}?" if near else "/help lists the commands."
    return f"There is no command /{verb}; {advice}"


@command("help", "?", argument="[VERB]", summary="list the commands, or explain one")
def show_help(chat: Chat, rest: str) -> None:
    """Without a verb, lists all commands. With one, says what it does in full."""
    verb = rest.removeprefix("/").lower()
    if not verb:
        width = max(len(c.usage) for c in COMMANDS)
        for entry in COMMANDS:
            chat.printer.line(f"{entry.usage:{width}}  {entry.summary}")
        chat.printer.line('"""' + " " * (width - 1) + "starts and ends a message of several lines")
        return
    known = find(verb)
    if known is None:
        chat.printer.line(unknown(verb))
        return
    others = [f"/{name}" for name in known.names[1:]]
    also = f" (also {', '.join(others)})" if others else ""
    chat.printer.line(f"{known.usage}{also}: {known.summary}")
    chat.printer.line(known.details)


@command("clear", summary="forget the conversation")
def clear(chat: Chat, rest: str) -> None:
    """Empties the context for a new conversation with the same model. The system prompt stays,
    and so do the totals of /stats."""
    chat.clear()
    chat.printer.line("The conversation is forgotten.", dim=True)


@command("stats", summary="speed, acceptance and time of the last reply")
def stats(chat: Chat, rest: str) -> None:
    """Shows the figures of the last reply and of the whole session: how many drafted tokens were
    accepted in each round, where the time went, and what the caches take. A speedup is against
    plain decoding on this machine: measured with plain steps timed in this session near this
    length of context, or estimated from ones further away."""
    width = chat.printer.screen.width
    for line in report(chat.last, chat.total, chat.replies, chat.engine.info, width):
        chat.printer.line(line)


@command("bye", "exit", "quit", summary="leave")
def bye(chat: Chat, rest: str) -> None:
    """Leaves the chat. Ctrl-D on an empty line does the same."""
    chat.open = False
