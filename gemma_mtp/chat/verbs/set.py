"""`/set`: one name after another for what a chat lets itself be told, as Ollama's users know it.

Called by the registry of verbs. What has a verb of its own is done there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from gemma_mtp.chat import parameters
from gemma_mtp.chat.verbs.registry import Group, verb
from gemma_mtp.chat.verbs.settings import (
    SWITCH,
    in_use,
    one_of,
    set_parameter,
    system,
    think,
)
from gemma_mtp.errors import UsageError
from gemma_mtp.settings import PARAMETER_NAMES, PARAMETERS
from gemma_mtp.text import one_line, suggestion

if TYPE_CHECKING:
    from gemma_mtp.chat.chat import Chat

THOUGHTS: dict[Literal["show", "fold", "hide"], tuple[str, str]] = {
    "show": ("show them, dim", "Thoughts are shown, dim."),
    "fold": (
        "one line in their place",
        "Thoughts become one line that says how many tokens they took.",
    ),
    "hide": ("leave them out", "Thoughts are left out."),
}


@dataclass(frozen=True)
class Choice:
    """What follows the name, what it does, the doing, how it stands ("" where that is said
    elsewhere), and what may be typed after the name, each with a description."""

    argument: str
    what: str
    act: Callable[[Chat, str], None]
    now: Callable[[Chat], str] = lambda chat: ""
    values: tuple[tuple[str, str], ...] = ()

    def described(self, chat: Chat) -> str:
        """What it does and how it stands."""
        now = self.now(chat)
        return f"{self.what} ({now})" if now else self.what


def _view(name: str, what: str) -> Choice:
    """A setting of how replies are shown that is on or off."""

    def act(chat: Chat, rest: str) -> None:
        on = one_of(rest, SWITCH, f"/set {name} on, or /set {name} off")
        setattr(chat.printer.view, name, on)
        chat.note(f"{name} is {'on' if on else 'off'}.")

    def now(chat: Chat) -> str:
        return "now on" if getattr(chat.printer.view, name) else "now off"

    return Choice("on|off", what, act, now, tuple((word, "") for word in SWITCH))


def _fixed(what: str, act: Callable[[Chat], object], is_now: Callable[[Chat], bool]) -> Choice:
    """A setting that is its own value, after which nothing comes."""

    def alone(chat: Chat, rest: str) -> None:
        if rest:
            raise UsageError("Nothing comes after that.")
        act(chat)

    return Choice("", what, alone, lambda chat: "now" if is_now(chat) else "")


def _value(place: str, name: str, value: bool, what: str, said: str) -> Choice:
    """The same, for an attribute of the chat, of its view or of its keyboard."""

    def holder(chat: Chat) -> object:
        return {"chat": chat, "view": chat.printer.view, "keyboard": chat.console}[place]

    def act(chat: Chat) -> None:
        setattr(holder(chat), name, value)
        chat.note(said)

    return _fixed(what, act, lambda chat: getattr(holder(chat), name) == value)


def _thoughts(chat: Chat, rest: str) -> None:
    for word, (_, said) in THOUGHTS.items():
        if word == rest.lower():
            chat.printer.view.thoughts = word
            chat.note(said)
            return
    raise UsageError(f'Thoughts are {", ".join(THOUGHTS)}, not "{rest}".')


def _system_now(chat: Chat) -> str:
    system = chat.conversation.system
    return f'now "{one_line(system, 30)}"' if system.strip() else "now none"


def _thinks(chat: Chat) -> bool:
    return chat.options.think


_figures, _wrap = partial(_value, "chat", "figures"), partial(_value, "view", "wrap")
_history, _vi = partial(_value, "keyboard", "history_on"), partial(_value, "keyboard", "vi")
SETTINGS = {
    "parameter": Choice("NAME VALUE", "sampling, limits, seed; alone, list them", set_parameter),
    "system": Choice("TEXT", "the system prompt", system, _system_now),
    "think": _fixed("let the model think first", lambda c: think(c, "on"), _thinks),
    "nothink": _fixed("answer at once", lambda c: think(c, "off"), lambda c: not _thinks(c)),
    "verbose": _figures(True, "figures below each reply", "Figures are shown below each reply."),
    "quiet": _figures(
        False, "no figures below replies", "Replies come without figures; see /stats."
    ),
    "markdown": _view("markdown", "render Markdown, or show it as written"),
    "highlight": _view("highlight", "tint the tokens that were proposed"),
    "thoughts": Choice(
        "show|fold|hide",
        "what to do with thoughts",
        _thoughts,
        lambda chat: f"now {chat.printer.view.thoughts}",
        tuple((word, what) for word, (what, _) in THOUGHTS.items()),
    ),
    "wordwrap": _wrap(True, "break lines between words", "Lines break between words."),
    "nowordwrap": _wrap(
        False, "leave breaking lines to the terminal", "Lines break where the screen ends."
    ),
    "history": _history(True, "remember what is typed", "What is typed is remembered."),
    "nohistory": _history(False, "do not remember what is typed", "Typed lines are not kept."),
    "vi": _vi(True, "vi keys", "Lines are edited with vi keys now."),
    "emacs": _vi(False, "Emacs keys", "Lines are edited with Emacs keys now."),
}


def _set_choices(chat: Chat, before: list[str]) -> Iterator[tuple[str, str]]:
    if not before:
        for name, choice in SETTINGS.items():
            yield f"{name} " if choice.argument else name, choice.described(chat)
    elif before == ["parameter"]:
        now = dict(parameters.shown(chat.options, in_use(chat)))
        for name, known in PARAMETERS.items():
            yield f"{name} ", f"{known.help.rstrip('.')} (now {now[name]})"
    elif len(before) == 1 and before[0] in SETTINGS:
        yield from SETTINGS[before[0]].values


@verb(
    "set",
    group=Group.SETTINGS,
    argument="NAME [VALUE]",
    words=None,
    choices=_set_choices,
    summary="change a setting; without a name, list them",
)
def set_(chat: Chat, rest: str) -> None:
    """Changes a setting for this chat: /set parameter NAME VALUE, or without that word, for
    sampling and limits,
    /set system TEXT, think or nothink, verbose or quiet, wordwrap or nowordwrap, history or
    nohistory, markdown on|off, highlight on|off, thoughts show|fold|hide, vi or emacs."""
    name, *value = rest.split(maxsplit=1) or [""]
    if not name:
        _list(chat)
    elif name.lower() == "format":  # Ollama's; here another command does it
        raise UsageError(
            "Replies in a given format are not supported in a chat.",
            "gemma-mtp run --json gives text and figures as one JSON object.",
        )
    elif name.lower() in SETTINGS:
        SETTINGS[name.lower()].act(chat, "".join(value))
    elif name.lower().replace("-", "_") in PARAMETER_NAMES:
        set_parameter(chat, rest)
    else:
        names = [*SETTINGS, *PARAMETER_NAMES]
        known = f"Known: {', '.join(SETTINGS)}; /set parameter lists more."
        raise UsageError(f'There is no setting "{name}".', suggestion(name, names) or known)


def _list(chat: Chat) -> None:
    width = max(len(f"{name} {choice.argument}") for name, choice in SETTINGS.items())
    for name, choice in SETTINGS.items():
        chat.say(f"  {f'{name} {choice.argument}':{width}}  {choice.described(chat)}")
