"""`/set`: one name after another for what a chat lets itself be told, as Ollama's users know it.

Knows the chat; what has a verb of its own is done there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gemma_mtp.chat import parameters
from gemma_mtp.chat.verbs.registry import verb
from gemma_mtp.chat.verbs.settings import (
    GROUP,
    SWITCH,
    in_use,
    one_of,
    set_parameter,
    system,
    think,
)
from gemma_mtp.errors import UsageError
from gemma_mtp.settings import PARAMETERS
from gemma_mtp.text import suggestion

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
class Setting:
    """What follows the name, what it does, the doing, and how it stands ("" where that is said
    elsewhere)."""

    argument: str
    what: str
    act: Callable[[Chat, str], None]
    now: Callable[[Chat], str] = lambda chat: ""
    listed: bool = True

    def described(self, chat: Chat) -> str:
        """What it does and how it stands."""
        now = self.now(chat)
        return f"{self.what} ({now})" if now else self.what


def _view(name: str, what: str) -> Setting:
    def act(chat: Chat, rest: str) -> None:
        on = one_of(rest, SWITCH, f"/set {name} on, or /set {name} off")
        setattr(chat.printer.view, name, on)
        chat.note(f"{name} is {'on' if on else 'off'}.")

    def now(chat: Chat) -> str:
        return "now on" if getattr(chat.printer.view, name) else "now off"

    return Setting("on|off", what, act, now)


def _thoughts(chat: Chat, rest: str) -> None:
    for word, (_, said) in THOUGHTS.items():
        if word == rest.lower():
            chat.printer.view.thoughts = word
            chat.note(said)
            return
    raise UsageError(f'Thoughts are {", ".join(THOUGHTS)}, not "{rest}".')


def _fixed(what: str, said: str, of: Callable[[Chat], object], name: str, value: object) -> Setting:
    """A setting that is its own value: that attribute of what `of` finds in the chat."""

    def act(chat: Chat, rest: str) -> None:
        if rest:
            raise UsageError("Nothing comes after that.")
        setattr(of(chat), name, value)
        chat.note(said)

    def now(chat: Chat) -> str:
        return "now" if getattr(of(chat), name) == value else ""

    return Setting("", what, act, now)


def _think(chat: Chat, rest: str) -> None:
    think(chat, rest or "on")


def _nothink(chat: Chat, rest: str) -> None:
    if rest:
        raise UsageError("Nothing comes after that.")
    think(chat, "off")


def _system_now(chat: Chat) -> str:
    text = " ".join(chat.conversation.system.split())
    return f'now "{text if len(text) <= 30 else text[:29].rstrip() + "…"}"' if text else "now none"


def _format(chat: Chat, rest: str) -> None:
    raise UsageError(
        "Replies in a given format are not supported in a chat.",
        "gemma-mtp run --json gives text and figures as one JSON object.",
    )


def _chat(chat: Chat) -> object:
    return chat


def _printed(chat: Chat) -> object:
    return chat.printer.view


def _keys(chat: Chat) -> object:
    return chat.console


SETTINGS: dict[str, Setting] = {
    "parameter": Setting(
        "NAME VALUE",
        "sampling, limits, seed; alone, list them",
        set_parameter,
    ),
    "system": Setting("TEXT", "the system prompt", system, _system_now),
    "think": Setting(
        "", "let the model think first", _think, lambda c: "now" if c.options.think else ""
    ),
    "nothink": Setting("", "answer at once", _nothink, lambda c: "" if c.options.think else "now"),
    "verbose": _fixed(
        "figures below each reply",
        "Figures are shown below each reply.",
        *(_chat, "figures", True),
    ),
    "quiet": _fixed(
        "no figures below a reply",
        "Replies come without figures; see /stats.",
        *(_chat, "figures", False),
    ),
    "markdown": _view("markdown", "render Markdown, or show it as written"),
    "highlight": _view("highlight", "tint the tokens that were proposed"),
    "thoughts": Setting(
        "show|fold|hide",
        "what to do with thoughts",
        _thoughts,
        lambda c: f"now {c.printer.view.thoughts}",
    ),
    "wordwrap": _fixed(
        "break lines between words", "Lines break between words.", *(_printed, "wrap", True)
    ),
    "nowordwrap": _fixed(
        "leave breaking lines to the terminal",
        "Lines break where the screen ends.",
        *(_printed, "wrap", False),
    ),
    "history": _fixed(
        "remember what is typed", "What is typed is remembered.", *(_keys, "history_on", True)
    ),
    "nohistory": _fixed(
        "do not remember what is typed", "Typed lines are not kept.", *(_keys, "history_on", False)
    ),
    "vi": _fixed("vi keys", "Lines are edited with vi keys now.", *(_keys, "vi", True)),
    "emacs": _fixed("Emacs keys", "Lines are edited with Emacs keys now.", *(_keys, "vi", False)),
    "format": Setting("json", "not supported", _format, listed=False),
}
LISTED = {name: setting for name, setting in SETTINGS.items() if setting.listed}
_VALUES: dict[str, dict[str, str]] = {
    "markdown": dict.fromkeys(SWITCH, ""),
    "highlight": dict.fromkeys(SWITCH, ""),
    "thoughts": {word: what for word, (what, _) in THOUGHTS.items()},
}


def _set_choices(chat: Chat, before: list[str]) -> Iterator[tuple[str, str]]:
    if not before:
        for name, setting in LISTED.items():
            yield f"{name} " if setting.argument else name, setting.described(chat)
    elif before == ["parameter"]:
        now = dict(parameters.shown(chat.options, in_use(chat)))
        for name, known in PARAMETERS.items():
            yield f"{name} ", f"{known.help.rstrip('.')} (now {now[name]})"
    elif len(before) == 1:
        yield from _VALUES.get(before[0], {}).items()


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
    name, *value = rest.split(maxsplit=1) or [""]
    if not name:
        _list(chat)
    elif name.lower() in SETTINGS:
        SETTINGS[name.lower()].act(chat, "".join(value))
    else:
        hint = suggestion(name, LISTED) or f"Known: {', '.join(LISTED)}."
        raise UsageError(f'There is no setting "{name}".', hint)


def _list(chat: Chat) -> None:
    width = max(len(f"{name} {setting.argument}") for name, setting in LISTED.items())
    for name, setting in LISTED.items():
        chat.say(f"  {f'{name} {setting.argument}':{width}}  {setting.described(chat)}")
