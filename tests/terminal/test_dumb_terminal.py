"""Where TERM names no terminal that understands them, no escape sequence is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="pseudo-terminals are POSIX")

from support.terminal import CTRL_C, CTRL_D, Terminal

from gemma_mtp.terminal.console import is_dumb

Open = Callable[..., Terminal]
KINDS = pytest.mark.parametrize("kind", ["dumb", "Unknown", ""])
COMMANDS = [
    ("list",),
    ("show", "tiny"),
    ("config",),
    ("chats", "list"),
    ("doctor", "--offline"),
    ("bench", "tiny", "--help"),
    ("--help",),
    ("nonsense",),
    ("run", "tiny", "hi"),
    ("pull", "e2b"),
]


def test_which_terminals_are_dumb() -> None:
    assert is_dumb({"TERM": "dumb"})
    assert is_dumb({"TERM": "UNKNOWN"})
    assert is_dumb({"TERM": ""})
    assert is_dumb({})
    assert not is_dumb({"TERM": "vt100"})


@KINDS
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command(open_terminal: Open, tmp_path: Path, kind: str, command: tuple[str]) -> None:
    script = {"scripts": [{"text": "**one** two", "delay": 0.2}], "home": str(tmp_path)}
    shown = open_terminal(*command, script=script, TERM=kind, FORCE_COLOR="1")
    assert shown.leave() == (2 if command == ("nonsense",) else 0)
    assert shown.raw
    assert b"\x1b" not in shown.raw


@KINDS
def test_a_chat(open_terminal: Open, tmp_path: Path, kind: str) -> None:
    reply = {"text": "**one** two `three` four", "thought": "Hm.", "delay": 0.1}
    script = {"scripts": [reply], "home": str(tmp_path), "load": 0.5}
    chat = open_terminal("chat", script=script, TERM=kind, PATH="")
    for line, answer in (
        ("hello", "tok/s"),
        ("/stats", "KV cache"),
        ("/race", "The texts are equal"),
        ("/copy", "There is no clipboard"),
        ("/nonsense", "There is no"),
    ):
        chat.say(line)
        chat.until(answer)
    chat.prompt()
    chat.keys(CTRL_C)
    chat.until("Ctrl-D or /bye leaves.")
    chat.prompt()
    assert chat.leave(CTRL_D) == 0
    assert b"\x1b" not in chat.raw
    assert "**one** two `three` four" in [*chat.scrolled, *chat.lines]
