"""`/set`: one name after another for what a chat lets itself be told, as Ollama's users know it.

Called by the registry of verbs. What has a verb of its own is done there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gemma_mtp import options
from gemma_mtp.chat import parameters
from gemma_mtp.chat.form import form_of
from gemma_mtp.chat.verbs.registry import Group, verb
from gemma_mtp.chat.verbs.settings import (
    ON_OFF,
    change,
    in_use,
    is_on,
    keep_alive,
    set_parameter,
    system,
    think,
)
from gemma_mtp.errors import UsageError
from gemma_mtp.options import PARAMETER_NAMES, PARAMETERS, TASTE
from gemma_mtp.setting import NONE, Setting
from gemma_mtp.text import one_line, suggestion

if TYPE_CHECKING:
    from gemma_mtp.chat.chat import Chat

SAID: dict[tuple[str, object], str] = {
    ("figures", True): "Figures are shown below each reply.",
    ("figures", False): "Replies come without figures; see /stats.",
    ("thoughts", "show"): "Thoughts are shown, dim.",
    ("thoughts", "fold"): "Thoughts become one line that says how many tokens they took.",
    ("thoughts", "hide"): "Thoughts are left out.",
    ("wordwrap", True): "Lines break between words.",
    ("wordwrap", False): "Lines break where the screen ends.",
    ("history", True): "What is typed is kept for the chats to come.",
    ("history", False): "What is typed is kept for this chat only.",
    ("save", True): "This conversation is saved from here on.",
    ("save", False): "From here on nothing is saved.",
    ("keep_chats", "on"): "What is read of this chat is kept on the disk, if the chat is saved.",
    ("keep_chats", "off"): "What is read of this chat is not kept on the disk any more.",
    ("mcp", None): "The model has no tools.",
    ("vi", True): "Lines are edited with vi keys now.",
    ("vi", False): "Lines are edited with Emacs keys now.",
}
"""What is said about a value of a setting; of others, name and value."""


ELSEWHERE = {
    "server": "gemma-mtp chat --server URL, or gemma-mtp config server URL for all chats",
    "api_key": "gemma-mtp chat --server URL --api-key KEY, or the variable GEMMA_MTP_API_KEY",
    "drafter": "gemma-mtp chat MODEL --drafter FILE",
}
"""What a chat is begun with, and how."""
KEEP = options.SETTINGS["keep_alive"]


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


def _taste(known: Setting) -> Choice:
    """A setting of the one table; the name of a switch alone turns it on."""
    words = ON_OFF if known.kind is bool else known.choices

    def act(chat: Chat, rest: str) -> None:
        if known.kind is bool:
            on = is_on(rest or "on", f"/set {known.name} on, or /set {known.name} off")
            change(chat, known.name, [_word(on)])
        elif rest:
            change(chat, known.name, [rest])
        value = getattr(chat.options, known.field)
        chat.note(SAID.get((known.name, value)) or f"{known.name} is {_word(value)}.")

    def now(chat: Chat) -> str:
        value = getattr(chat.options, known.field)
        return f"now {known.unset if value is None else _word(value)}"

    what = known.help[:1].lower() + known.help[1:].rstrip(".")
    argument = "FILE" if known.kind is str and not words else "|".join(words) or "N"
    return Choice(argument, what, act, now, tuple((w, "") for w in words))


def _short(name: str, known: Setting, word: str) -> Choice:
    """Ollama's word for a value of a switch; `off` after it means the other value."""

    def act(chat: Chat, rest: str) -> None:
        on = is_on(rest or "on", f"/set {name}, or /set {name} off")
        SETTINGS[known.name].act(chat, _word((word == "on") is on))

    return Choice("", f"as /set {known.name} {word}", act)


def _system_now(chat: Chat) -> str:
    system = chat.conversation.system
    return f'now "{one_line(system, 30)}"' if system.strip() else "now none"


def _format(chat: Chat, rest: str) -> None:
    if rest:
        off = rest.lower() in NONE
        chat.form = None if off else form_of(rest, chat.note, "/set format")
    chat.note(f"Answers are {_form(chat)}.")


def _form(chat: Chat) -> str:
    if chat.form is None:
        return "in no given format"
    return "JSON" if chat.form.kind == "json" else "as the JSON Schema says"


SETTINGS = {
    "parameter": Choice("NAME VALUE", "sampling, limits, seed; alone, list them", set_parameter),
    "system": Choice("TEXT", "the system prompt", system, _system_now),
    "think": Choice(
        "on|off|N",
        "let the model think first",
        lambda chat, rest: think(chat, rest or "on"),
        lambda chat: f"now {_word(chat.options.think_budget or chat.options.think)}",
        tuple((word, "") for word in ON_OFF),
    ),
    "keep_alive": Choice(
        "TIME",
        "how long the model stays loaded after a reply",
        keep_alive,
        lambda chat: f"now {KEEP.shown(chat.options.keep_alive)}",
        tuple((word, "") for word in KEEP.words),
    ),
    "format": Choice(
        "json|FILE|none",
        "JSON, or what a JSON Schema says, for all answers",
        _format,
        lambda chat: f"now {_form(chat)}",
        (("json", ""), ("none", "")),
    ),
    "noformat": Choice("", "as /set format none", lambda chat, rest: _format(chat, "none")),
    "nothink": _short("nothink", PARAMETERS["think"], "off"),
    **{name: _taste(known) for name, known in TASTE.items()},
    "verbose": _short("verbose", TASTE["figures"], "on"),
    "quiet": _short("quiet", TASTE["figures"], "off"),
    "nowordwrap": _short("nowordwrap", TASTE["wordwrap"], "off"),
    "nohistory": _short("nohistory", TASTE["history"], "off"),
    "emacs": _short("emacs", TASTE["vi"], "off"),
}


def _word(value: object) -> str:
    return str(value) if not isinstance(value, bool) else "on" if value else "off"


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
    example="/set temperature 0.5",
)
def set_(chat: Chat, rest: str) -> None:
    """Changes a setting for this chat: /set parameter NAME VALUE, or without that word, for
    sampling and limits, /set system TEXT, and the others that /set lists. For all chats it is
    gemma-mtp config NAME VALUE that changes it."""
    name, *value = rest.split(maxsplit=1) or [""]
    if not name:
        _list(chat)
    elif (word := name.lower().replace("-", "_").replace("keepalive", "keep_alive")) in SETTINGS:
        SETTINGS[word].act(chat, "".join(value))
    elif word in ELSEWHERE:
        raise UsageError(f"A chat is begun with its {word}.", f"{ELSEWHERE[word]}.")
    elif word == "model":
        raise UsageError("/model NAME switches to another model.")
    elif name.lower().replace("-", "_") in PARAMETER_NAMES:
        set_parameter(chat, rest)
    else:
        names = [*SETTINGS, *PARAMETER_NAMES]
        known = f"Known: {', '.join(SETTINGS)}; /set parameter lists more."
        raise UsageError(f'There is no setting "{name}".', suggestion(name, names) or known)


def _list(chat: Chat) -> None:
    own = {name: choice for name, choice in SETTINGS.items() if choice.argument}
    labels = [
        name if chat.is_narrow else f"{name} {choice.argument}" for name, choice in own.items()
    ]
    chat.list(zip(labels, (choice.described(chat) for choice in own.values()), strict=True))
    short = ", ".join(name for name in SETTINGS if name not in own)
    chat.note(f"Other words for some of these: {short}.")
    chat.note("These hold for this chat; gemma-mtp config NAME VALUE is for all.")
