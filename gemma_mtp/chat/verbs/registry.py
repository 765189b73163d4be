"""What can be typed after a slash: one registry for doing, help, completion and docs/reference.md.

A verb is a function that acts on the `Chat` it is given. The loop runs verbs, `start`
completes them, `/help` and the docs list them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from gemma_mtp.errors import GemmaMtpError, UsageError
from gemma_mtp.text import nearest

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

    `words`: how many may follow at the most, None for a text. `paths`: they are files.
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
) -> Callable[[Action], Action]:
    """Register a function as the verb `names[0]`; its docstring is the long help."""

    def register(act: Action) -> Action:
        details = " ".join((act.__doc__ or "").split())
        VERBS.append(Verb(names, argument, summary, details, act, group, words, choices, paths))
        return act

    return register


def listed() -> list[Verb]:
    """All verbs, group by group."""
    return sorted(VERBS, key=lambda v: [*Group].index(v.group))


def read_verb(line: str) -> tuple[str, str] | None:
    """(verb, rest) of a command line; None for a message, which may well start with a path."""
    if line.strip() in ("/", "?"):
        return "help", ""
    spaced = re.match(r"\s*/( +\w+)", line)
    if spaced and find(spaced[1].strip().lower()):
        # No verb has spaces in front: the answer names the one without them.
        return spaced[1].lower(), ""
    match = re.fullmatch(r"\s*/(\?|[A-Za-z]\w*)(?:\s+(.*))?", line, re.DOTALL)
    if not match:
        return None
    name, rest = match[1].lower(), (match[2] or "").strip()
    if rest and find(name) is None and os.path.exists(f"/{match[1]}"):  # also of endless names
        return None
    return name, rest


def find(name: str) -> Verb | None:
    """The verb called `name`, by any of its names."""
    return next((v for v in VERBS if name in v.names), None)


def run(chat: Chat, name: str, rest: str) -> None:
    """Do what was typed, or say why not; whatever happens, the chat goes on."""
    known = find(name)
    if known is None:
        chat.say(unknown(name))
        return
    try:
        _check_words(known, name, rest)
        known.act(chat, rest)
    except GemmaMtpError as error:
        chat.failed(error, "")
    except KeyboardInterrupt:
        chat.note("stopped")
    except EOFError:  # Ctrl-D at a question
        chat.note("Nothing was done.")
    except Exception as error:
        chat.failed(error, f"/{name}")


def _check_words(known: Verb, name: str, rest: str) -> None:
    count = len(rest.split())
    if known.words is None or count <= known.words:
        return
    allowed = {0: "nothing", 1: "one word"}.get(known.words, f"{known.words} words")
    raise UsageError(f"/{name} takes {allowed} after it: {known.usage}")


def unknown(name: str) -> str:
    """The answer to a verb that does not exist, with the nearest one that does."""
    near = nearest(name, [n for v in VERBS for n in v.names if len(n) > 1])
    advice = f"did you mean /{near[0]}?" if near else "/help lists the commands."
    return f"There is no command /{name}; {advice}"


def unknown_word(name: str, word: str, known: Iterable[tuple[str, str]]) -> UsageError:
    """The error about a word that is missing after a verb, or is none of the known ones."""
    problem = f'/{name} knows no "{word}".' if word else f"/{name} needs a word after it."
    return UsageError(problem, f"Known: {', '.join(f'/{name} {w} ({does})' for w, does in known)}.")


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
            shown = next((n for n in found.names if n.startswith(name.lower())), None)
            if shown:
                yield typed, f"/{shown}{' ' if found.argument else ''}", found.summary
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
