"""What other programs call the things that can be done here, and what leads to ours.

Used where a verb is typed that does not exist, and by `/help`. Words whose meaning is clear are
other names of the verbs themselves.
"""

from __future__ import annotations

from gemma_mtp.chat.verbs.model import SHOWN
from gemma_mtp.chat.verbs.registry import VERBS
from gemma_mtp.chat.verbs.set import SETTINGS
from gemma_mtp.options import PARAMETER_NAMES
from gemma_mtp.text import distance, nearest

LEAVING = ("exit", "quit", "bye", "q", ":q", ":q!", ":wq", r"\q", ".exit", ".quit", "exit()",
           "quit()", "logout")  # fmt: skip
"""How one leaves other programs: typed alone, they are hardly meant for the model."""
ASKING = ("help", ":help", ":h", r"\?", ".help", "help()")
"""How one asks other programs for help."""

_SENT = "/regen writes the last reply again, /edit changes the last message first."
_FORGET = "/forget N deletes a saved conversation; gemma-mtp rm NAME removes a model."
_PULL = "gemma-mtp pull NAME, typed in another terminal, fetches a model; then /model NAME."
_PAST = "/chats lists saved conversations, /resume takes one up, /export writes this one to a file."
_FULL = "/stats shows how full the context is, and the speed; /set ctx N sets its size."
_KEPT = "/set lists the settings of this chat; gemma-mtp config NAME VALUE keeps one for all."
_FILES = "/image shows pictures to the model, /audio plays recordings; films are not read."
_LINES = '""" before and after it makes a message of several lines; Alt-Enter is a new line.'
HINTS = {
    **dict.fromkeys(("redo", "again", "resend", "rewrite"), _SENT),
    **dict.fromkeys(("delete", "del", "rm", "remove"), _FORGET),
    **dict.fromkeys(("pull", "download", "install", "get"), _PULL),
    **dict.fromkeys(("history", "log", "messages", "sessions", "conversations", "search"), _PAST),
    **dict.fromkeys(("tokens", "context", "usage", "cost", "speed"), _FULL),
    **dict.fromkeys(("config", "settings", "options", "preferences"), _KEPT),
    **dict.fromkeys(("video", "film", "movie"), _FILES),
    **dict.fromkeys(("multiline", "multi", "ml", "paste"), _LINES),
    "run": "/model NAME switches to another model.",
    "stop": "Ctrl-C stops a reply; /set stop TEXT lets replies end before a text.",
    "cancel": "Ctrl-C stops a reply.",
    "open": "/resume takes up a saved conversation; /file attaches a text file.",
    "compact": "/clear begins a new conversation; ask for a summary first to go on from it.",
    "version": "gemma-mtp --version, typed in another terminal, says it.",
    "prompt": "/system TEXT sets the system prompt.",
    "editor": "Ctrl-G opens the message in your editor.",
    "cls": "Ctrl-L empties the screen; /clear begins a new conversation.",
    "bench": "gemma-mtp bench, typed in another terminal, measures the speed; /race compares here.",
}


def is_known(name: str) -> bool:
    return name in HINTS or meant(name, "") is not None


def meant(name: str, rest: str) -> tuple[str, str] | None:
    """The verb and what follows it, where what was typed is one without its first word: settings
    and what `/show` shows."""
    if name in HINTS:
        return None
    word = {"temp": "temperature", "no_think": "nothink"}.get(name.replace("-", "_"), name)
    if word in SETTINGS or word.replace("-", "_") in PARAMETER_NAMES:
        return "set", f"{word} {rest}".strip()
    return ("show", name) if name in SHOWN else None


def unknown(name: str) -> str:
    """The answer to a verb that does not exist, with what does it or the nearest one that does."""
    problem = f"There is no command /{name}"
    if name in HINTS:
        return f"{problem}. {HINTS[name]}"
    words = [n for v in VERBS for n in v.names if len(n) > 1]
    # Of short words any two are near; a slip seldom changes the first letter.
    near = [n for n in nearest(name, words) if n[0] == name.strip()[0] or distance(n, name) < 2]
    advice = f"did you mean /{near[0]}?" if near else "/help lists the commands."
    return f"{problem}; {advice}"
