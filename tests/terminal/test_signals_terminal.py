"""What is left of a chat that is told to end, or stopped for a while: the terminal as it was."""

from __future__ import annotations

import os
import signal
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="pseudo-terminals are POSIX")

from support.terminal import CTRL_D, Terminal

from gemma_mtp.conversations.archive import Archive

Open = Callable[..., Terminal]
SIGNALS = pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGHUP])


def slow(home: Path) -> dict[str, object]:
    """A reply that stops after three words."""
    (home / "four").touch()
    reply = {"text": "one two three four five six", "hold": str(home)}
    return {"scripts": [reply], "home": str(home)}


def modes(chat: Terminal) -> tuple[int, int]:
    """What the terminal does with keys, and with lines."""
    attributes = termios.tcgetattr(chat.fd)
    return attributes[0] & termios.ICRNL, attributes[3] & (termios.ECHO | termios.ICANON)


def end(chat: Terminal, told: signal.Signals, usual: tuple[int, int]) -> None:
    """Tell the chat to end, and look at what it leaves."""
    assert modes(chat) != usual
    os.kill(chat.pid, told)
    assert chat.leave() == 128 + told
    assert modes(chat) == usual
    assert chat.raw.rindex(b"\x1b[?2004l") > chat.raw.rindex(b"\x1b[?2004h")


def saved_reply(home: Path) -> str:
    archive = Archive(home / "chats.sqlite")
    (turn,) = archive.read(archive.latest() or 0).turns
    assert turn.reply is not None
    return turn.reply.content


@SIGNALS
def test_told_to_end_at_the_prompt(open_terminal: Open, told: signal.Signals) -> None:
    chat = open_terminal("chat")
    usual = modes(chat)
    chat.prompt()
    chat.keys("half a line")
    chat.until(">>> half a line")
    end(chat, told, usual)
    assert "half" not in "".join(chat.lines)


@SIGNALS
def test_told_to_end_during_a_reply(
    open_terminal: Open, tmp_path: Path, told: signal.Signals
) -> None:
    chat = open_terminal("chat", script=slow(tmp_path))
    usual = modes(chat)
    chat.say("count")
    chat.until("one two")
    end(chat, told, usual)
    assert saved_reply(tmp_path).startswith("one two")
    assert " tok/s" not in "".join(chat.lines)


def test_told_to_end_at_a_question(open_terminal: Open, tmp_path: Path) -> None:
    chat = open_terminal("chat", script={"scripts": [{}], "home": str(tmp_path)})
    usual = modes(chat)
    chat.say("hi")
    chat.say("/clear")
    chat.say("/resume")
    chat.until("Enter takes it")
    end(chat, signal.SIGTERM, usual)


def test_told_to_end_while_loading(open_terminal: Open) -> None:
    chat = open_terminal("chat", script={"load": 10.0})
    usual = modes(chat)
    chat.until("loading")
    end(chat, signal.SIGTERM, usual)


def test_what_the_engine_learned_is_kept(open_terminal: Open, tmp_path: Path) -> None:
    chat = open_terminal("chat", "tiny", real=True, GEMMA_MTP_HOME=str(tmp_path))
    chat.say("Tell me about the rain.")
    chat.until(" tok/s")
    chat.prompt()
    before = {*tmp_path.rglob("*.json")}
    os.kill(chat.pid, signal.SIGTERM)
    assert chat.leave() == 128 + signal.SIGTERM
    assert {*tmp_path.rglob("*.json")} - before


def test_a_terminal_that_goes_away(open_terminal: Open, tmp_path: Path) -> None:
    chat = open_terminal("chat", script=slow(tmp_path))
    chat.say("count")
    chat.until("one two")
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), chat.fd)
    chat.status = os.waitstatus_to_exitcode(chat.program.wait())
    assert chat.status == 128 + signal.SIGHUP
    assert saved_reply(tmp_path).startswith("one two")


def test_a_hangup_is_not_heeded_where_nohup_says_so(open_terminal: Open) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        chat = open_terminal("chat", cold=True)
    finally:
        signal.signal(signal.SIGHUP, before)
    chat.prompt()
    os.kill(chat.pid, signal.SIGHUP)
    chat.say("hi")
    chat.until("Hello there.")
    chat.prompt()
    assert chat.leave(CTRL_D) == 0
