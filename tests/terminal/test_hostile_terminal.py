"""On a real terminal: lists to choose from, pasted messages and replies send nothing of others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="pseudo-terminals are POSIX")

from support.terminal import CTRL_C, CTRL_D, CTRL_E, ENTER, TAB, Terminal, paste
from test_hostile_text import HOSTILE

from gemma_mtp.api import Message, Turn
from gemma_mtp.conversations.archive import Archive

CTRL_A = "\x01"
Open = Callable[..., Terminal]
ACTING = ("\x1b]0;t", "\x07", "\x1b[31m", "\x9b", "\x9d", "\x9c", "\x7f", "\u202e", "\u2066")


def check(chat: Terminal) -> None:
    """Nothing that came from others acts; the program's own sequences are different ones."""
    sent = chat.raw.decode("utf-8", "replace")
    assert "evil" in sent
    assert not [ascii(what) for what in ACTING if what in sent]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two conversations with such titles, and the folder of the test as the current one."""
    archive = Archive(tmp_path / "chats.sqlite")
    for number in (1, 2):
        turn = Turn(
            Message.text("user", f"{number} {HOSTILE}"),
            (Message.text("assistant", "x"),),
            reason="stop",
        )
        archive.add([turn], model=HOSTILE)
    archive.close()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("terminal", ["xterm-256color", "dumb"])
def test_a_list_of_conversations(open_terminal: Open, home: Path, terminal: str) -> None:
    chat = open_terminal("chat", script={"home": str(home)}, TERM=terminal)
    chat.until(">>>")
    chat.keys("/resume", ENTER)
    chat.until("2 evil")
    chat.until("Which conversation?")
    chat.keys("1", ENTER)
    chat.until(lambda: sum("evil" in row for row in chat.lines) > 2)
    chat.until(lambda: chat.lines[-1].rstrip() == ">>>" or terminal != "dumb")
    assert chat.leave(CTRL_D) == 0
    check(chat)


def test_names_that_may_be_meant(open_terminal: Open, home: Path) -> None:
    for name in ("a", "b"):
        (home / f"evil{name}{HOSTILE}").write_text("x")
    chat = open_terminal("chat", script={"home": str(home)})
    chat.prompt()
    chat.keys("/file ev", TAB)
    chat.until("/file evil")
    chat.keys(TAB)
    chat.until("evilb")
    chat.keys(TAB)
    chat.until("/file evila")
    chat.keys(ENTER)  # takes the name
    chat.until("ctx 0/")
    chat.keys(ENTER)
    chat.until("attached: evila")
    check(chat)


def test_a_message_and_its_reply(open_terminal: Open, home: Path) -> None:
    script = {"home": str(home), "scripts": [{"text": HOSTILE, "thought": HOSTILE}]}
    chat = open_terminal("chat", script=script)
    chat.prompt()
    chat.keys(paste(f"ask {HOSTILE.replace(chr(13), '')} end"))
    chat.until("end")
    chat.keys(CTRL_A)
    chat.until(lambda: chat.screen.cursor.x == len(">>> "))
    chat.keys(CTRL_E)
    chat.until(lambda: chat.screen.cursor.x == len(chat.row))  # each sign has a column of its own
    chat.keys(ENTER)
    chat.until("tok/s")
    chat.prompt()
    assert chat.leave(CTRL_C, CTRL_D) == 0
    check(chat)
