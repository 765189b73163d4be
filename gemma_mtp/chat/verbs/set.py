"""`/set`: one name after another for what a chat lets itself be told, as Ollama's users know it.

Knows the chat; what has a verb of its own is done there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from gemma_mtp.chat import parameters
from gemma_mtp.chat.verbs.registry import verb
from gemma_mtp.chat.verbs.settings import (
    GROUP,
    SWITCH,
    one_of,
    set_parameter,
    system,
    think,
)
from gemma_mtp.errors import UsageError

if TYPE_CHECKING:
    from gemma_mtp.chat.chat import Chat

THOUGHTS: dict[Literal["show", "fold", "hide"], str] = {
    "show": "show them, dim",
    "fold": "one line that says how many",
    "hide": "leave them out",
}
Setting = tuple[str, str, Callable[["Chat", str], None]]
"""What follows the name, what it does, and the doing."""


def _view(name: str) -> Callable[[Chat, str], None]:
    def set_it(chat: Chat, rest: str) -> None:
        on = one_of(rest, SWITCH, f"/set {name} on, or /set {name} off")
        setattr(chat.printer.view, name, on)
        chat.note(f"{name} is {'on' if on else 'off'}.")

    return set_it


def _thoughts(chat: Chat, rest: str) -> None:
    for word, meaning in THOUGHTS.items():
        if word == rest.lower():
            chat.printer.view.thoughts = word
            chat.note(f"Thoughts: {meaning}.")
            return
    raise UsageError(f'Thoughts are {", ".join(THOUGHTS)}, not "{rest}".')


def _fixed(change: Callable[[Chat], None], said: str) -> Callable[[Chat, str], None]:
    """A setting that is its own value."""

    def set_it(chat: Chat, rest: str) -> None:
        if rest:
            raise UsageError("Nothing comes after that.")
        change(chat)
        chat.note(said)

    return set_it


def _options(**values: Any) -> Callable[[Chat], None]:
    def change(chat: Chat) -> None:
        chat.options = replace(chat.options, **values)

    return change


def _of(what: Callable[[Chat], object], name: str, value: object) -> Callable[[Chat], None]:
    return lambda chat: setattr(what(chat), name, value)


def _format(chat: Chat, rest: str) -> None:
    raise UsageError(
        "Replies in a given format are not supported in a chat.",
        "gemma-mtp run --json gives text and figures as one JSON object.",
    )


SETTINGS: dict[str, Setting] = {
    "parameter": ("NAME VALUE", "sampling, limits, seed, draft length", set_parameter),
    "system": ("TEXT", "the system prompt", system),
    "think": ("", "let the model think first", lambda c, r: think(c, r or "on")),
    "nothink": ("", "answer at once", _fixed(_options(think=False), "The model answers at once.")),
    "verbose": (
        "",
        "figures below each reply",
        _fixed(_of(lambda c: c, "figures", True), "Figures are shown below each reply."),
    ),
    "quiet": (
        "",
        "no figures below a reply",
        _fixed(_of(lambda c: c, "figures", False), "Replies come without figures; see /stats."),
    ),
    "markdown": ("on|off", "render Markdown, or show it as written", _view("markdown")),
    "highlight": ("on|off", "tint what the drafter proposed", _view("highlight")),
    "thoughts": ("show|fold|hide", "what to do with thoughts", _thoughts),
    "wordwrap": (
        "",
        "break lines between words",
        _fixed(_of(lambda c: c.printer.view, "wrap", True), "Lines break between words."),
    ),
    "nowordwrap": (
        "",
        "leave breaking lines to the terminal",
        _fixed(_of(lambda c: c.printer.view, "wrap", False), "Lines break where the screen ends."),
    ),
    "history": (
        "",
        "remember what is typed",
        _fixed(_of(lambda c: c.console, "history_on", True), "What is typed is remembered."),
    ),
    "nohistory": (
        "",
        "do not remember what is typed",
        _fixed(_of(lambda c: c.console, "history_on", False), "Typed lines are not kept."),
    ),
    "vi": ("", "vi keys", _fixed(_of(lambda c: c.console, "vi", True), "vi keys.")),
    "emacs": ("", "emacs keys", _fixed(_of(lambda c: c.console, "vi", False), "emacs keys.")),
    "format": ("json", "not supported", _format),
}
_VALUES = {
    "markdown": tuple(SWITCH),
    "highlight": tuple(SWITCH),
    "thoughts": tuple(THOUGHTS),
}


def _set_choices(chat: Chat, before: list[str]) -> Iterator[tuple[str, str]]:
    if not before:
        for name, (argument, what, _) in SETTINGS.items():
            if name != "format":
                yield f"{name} " if argument else name, what
    elif before == ["parameter"]:
        now = dict(parameters.shown(chat.options))
        for name, known in parameters.PARAMETERS.items():
            yield f"{name} ", f"{known.summary} (now {now[name]})"
    elif len(before) == 1:
        yield from ((value, "") for value in _VALUES.get(before[0], ()))


@verb(
    "set",
    group=GROUP,
    argument="NAME [VALUE]",
    words=None,
    choices=_set_choices,
    summary="change a setting; without a name, list them",
)
def set_(chat: Chat, rest: str) -> None:
    """Changes a setting for this chat: /set parameter NAME VALUE for sampling and limits,
    /set system TEXT, think or nothink, verbose or quiet, wordwrap or nowordwrap, history or
    nohistory, markdown on|off, highlight on|off, thoughts show|fold|hide, vi or emacs."""
    name, _, value = rest.partition(" ")
    if not name:
        width = max(len(f"{n} {argument}") for n, (argument, _, _) in SETTINGS.items())
        for known, (argument, what, _) in SETTINGS.items():
            if known == "format":
                continue
            chat.say(f"  {f'{known} {argument}':{width}}  {what}")
        return
    if name.lower() not in SETTINGS:
        known_names = ", ".join(SETTINGS)
        raise UsageError(f'There is no setting "{name}".', f"Known: {known_names}.")
    SETTINGS[name.lower()][2](chat, value.strip())
