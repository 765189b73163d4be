"""What can be typed after a slash: one registry for doing, help, completion and docs/reference.md.

A verb is a function that acts on the `Chat` it is given. `running` runs verbs, `start`
completes them, `/help` and the docs list them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from gemma_mtp.errors import UsageError

if TYPE_CHECKING:
    from gemma_mtp.chat.chat import Chat

Action = Callable[["Chat", str], None]
Choices = Callable[["Chat", list[str]], Iterable[tuple[str, str]]]
"""Given the words before the one being typed: what it may be, each with a description. A space at
its end says that more is to follow."""

# Whole words at the start of a line: quoted, or with backslashes before what is special.
_WORDS = re.compile(r"""^(?:(?:"[^"]*"|'[^']*'|(?:\\.|[^\\\s"'])+)\s+)*""")


class Group(Enum):
    """What a verb is about: the headings of `/help`, in this order."""

    CONVERSATION = "The conversation"
    REPLY = "The reply"
    FILES = "Files"
    MODEL = "The model"
    SETTINGS = "Settings"
    CHAT = "The chat"


@dataclass(frozen=True)
class Verb:
    """A verb with its other names, what `/help` says in a line, and what `/help VERB` adds.

    Other names are those of other programs; only the first one is shown and completed. `words`: how
    many may follow at the most, None for a text. `paths`: they are files.
    """

    names: tuple[str, ...]
    argument: str
    summary: str
    details: str
    act: Action
    group: Group
    words: int | None = 0
    choices: Choices | None = None
    paths: bool = False
    example: str = ""

    @property
    def usage(self) -> str:
        return f"/{self.names[0]} {self.argument}".rstrip()


VERBS: list[Verb] = []


def verb(
    *names: str,
    group: Group,
    summary: str,
    argument: str = "",
    words: int | None = 0,
    choices: Choices | None = None,
    paths: bool = False,
    example: str = "",
) -> Callable[[Action], Action]:
    """Register a function as the verb `names[0]`; its docstring is the long help."""

    def register(act: Action) -> Action:
        details = " ".join((act.__doc__ or "").split())
        more = (words, choices, paths, example)
        VERBS.append(Verb(names, argument, summary, details, act, group, *more))
        return act

    return register


def listed() -> list[Verb]:
    """All verbs, group by group."""
    return sorted(VERBS, key=lambda v: [*Group].index(v.group))


def find(name: str) -> Verb | None:
    """The verb called `name`, by any of its names."""
    return next((v for v in VERBS if name in v.names), None)


def unknown_word(
    name: str, word: str, known: Iterable[tuple[str, str]], more: str = ""
) -> UsageError:
    """The error about a word that is missing after a verb, or is none of the known ones; `more`
    says what else may have been meant."""
    problem = f'/{name} knows no "{word}".' if word else f"/{name} needs a word after it."
    words = ", ".join(f"/{name} {w} ({does})" for w, does in known)
    return UsageError(problem, f"Known: {words}. {more}".strip())


def choose(names: Iterable[tuple[str, str]]) -> Choices:
    """Choices for the first word only."""
    known = tuple(names)
    return lambda chat, before: () if before else known


def suggestions(chat: Chat, typed: str) -> Iterator[tuple[str, str, str]]:
    """(word being typed, what it may become, description) for a line up to the cursor."""
    if not typed.startswith("/") or "\n" in typed:
        return
    name, space, rest = typed[1:].partition(" ")
    if not space:
        for found in listed():
            if found.names[0].startswith(name.lower()):
                yield typed, f"/{found.names[0]}{' ' if found.argument else ''}", found.summary
        return
    known = find(name.lower())
    *before, word = rest.split(" ") if rest else [""]
    for text, description in known.choices(chat, before) if known and known.choices else ():
        if text.lower().startswith(word.lower()):
            yield word, text, description


def path_in(typed: str) -> str | None:
    """The path being typed after a verb that takes some."""
    name, space, rest = typed.removeprefix("/").partition(" ")
    known = find(name.lower()) if space and typed.startswith("/") else None
    if known is None or not known.paths:
        return None
    return _WORDS.sub("", rest, count=1)


def table() -> str:
    """The table of docs/reference.md."""
    rows = [f"| `{v.usage.replace('|', chr(92) + '|')}` | {v.summary} |" for v in listed()]
    return "\n".join(["| command | does |", "|---|---|", *rows]) + "\n"
