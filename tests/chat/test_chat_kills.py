"""Chats killed at random moments: all that was on the screen is saved, and an old reply stays until
a new one has a word."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="pseudo-terminals are POSIX")

from support.terminal import Terminal

from gemma_mtp.api import Turn
from gemma_mtp.conversations.archive import Archive

Open = Callable[..., Terminal]
KILLS = 5  # in each phase, so many chats at once
OLD, NEW, THOUGHT = ([f"{letter}{i:02}" for i in range(24)] for letter in "ant")
BYTES = 500  # of output; about what a reply of so many words is


@dataclass(frozen=True)
class Phase:
    """What was said, the line during which the chat is killed, and the messages with replies that
    it leads to; of NEW there may be a beginning, of so many words at `least` if it takes the place
    of something."""

    before: tuple[str, ...]
    line: str
    after: tuple[tuple[str, list[str]], ...]
    least: int = 0
    waiting: bool = False  # it is killed while the prompt is read
    thinking: bool = False
    options: tuple[str, ...] = ()


FIRST, LATER = (("hi", NEW),), (("hi", OLD), ("ho", NEW))
PHASES = {
    "the first message": Phase((), "hi", FIRST),
    "a thought": Phase((), "hi", FIRST, thinking=True),
    "a later message": Phase(("hi",), "ho", LATER),
    "reading the prompt": Phase(("hi",), "ho", LATER, waiting=True),
    "regen": Phase(("hi",), "/regen", FIRST, least=1),
    "regen, reading the prompt": Phase(("hi",), "/regen", FIRST, least=1, waiting=True),
    "retry": Phase(("hi",), "/retry plain", FIRST, least=1),
    "edit": Phase(("hi",), "/edit", (("ho", NEW),), least=1),
    "undo": Phase(("hi", "so"), "/undo", (("hi", OLD),)),
    "continue": Phase(("hi",), "/continue", FIRST, least=8, options=("--max-tokens", "8")),
}


@pytest.mark.parametrize("name", PHASES)
def test_kills_lose_nothing_that_was_seen(name: str, open_terminal: Open, tmp_path: Path) -> None:
    phase = PHASES[name]
    moments = random.Random(name)
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i s/hi/ho/ "$1"\n')
    editor.chmod(0o755)
    homes = [tmp_path / str(number) for number in range(KILLS)]
    chats = [
        open_terminal("chat", *phase.options, **_settings(phase, home, editor)) for home in homes
    ]
    for chat, home in zip(chats, homes, strict=True):
        for line in phase.before:
            chat.say(line)
        chat.say(phase.line)
        if phase.waiting:
            chat.until("reading prompt")
        _kill(chat, 0 if phase.waiting else moments.randrange(BYTES))
        _check(chat, phase, Archive(home / "chats.sqlite"))


def _settings(phase: Phase, home: Path, editor: Path) -> dict[str, object]:
    first = NEW if phase.line == "/continue" else OLD
    new = {"text": " ".join(NEW), "delay": 0.001}
    if phase.waiting:
        home.mkdir()
        for tokens in ("4", "36"):  # of the prompts of 5 and of 38
            (home / tokens).touch()
        new |= {"prefill_delay": 0.1, "hold": str(home)}
    if phase.thinking:
        new["thought"] = " ".join(THOUGHT)
    scripts = [{"text": " ".join(first)}] * len(phase.before)
    script = {"scripts": [*scripts, new], "home": str(home)}
    return {"columns": 100, "rows": 40, "script": script, "EDITOR": str(editor), "VISUAL": ""}


def _kill(chat: Terminal, moment: int) -> None:
    """Kill the chat once it has written so many bytes more, or when the reply is at its end."""
    end = len(chat.raw) + moment
    chat.until(lambda: len(chat.raw) >= end or chat.row == ">>>")
    os.kill(chat.pid, signal.SIGKILL)
    while chat.read():
        pass


def _check(chat: Terminal, phase: Phase, archive: Archive) -> None:
    """The line was acted on, as far as the screen tells; or it was not, and nothing is lost."""
    latest = archive.latest()
    found = archive.read(latest).turns if latest is not None else ()
    seen, thought = _seen(chat, NEW), _seen(chat, THOUGHT)
    if _is_after(found, phase):
        last = found[-1]
        assert _begins(thought, last.thought.split())
        assert _begins(seen, last.reply.content.split() if last.reply else [])
    else:
        assert not thought
        assert not seen
        assert not any("Taken back" in row for row in chat.lines)
        assert not phase.waiting or phase.least
        texts = [(turn.user.content, turn.reply.content if turn.reply else "") for turn in found]
        assert texts == [(message, " ".join(OLD)) for message in phase.before]


def _is_after(found: tuple[Turn, ...], phase: Phase) -> bool:
    if [turn.user.content for turn in found] != [message for message, _ in phase.after]:
        return False
    said = [turn.reply.content.split() if turn.reply else [] for turn in found]
    *old, (_, last) = phase.after
    if last is NEW and (len(said[-1]) < phase.least or not _begins(said[-1], NEW)):
        return False
    return said[:-1] == [words for _, words in old] and (last is NEW or said[-1] == last)


def _seen(chat: Terminal, words: list[str]) -> list[str]:
    return [word for row in chat.lines for word in row.split() if word in words]


def _begins(some: list[str], all_of_it: list[str]) -> bool:
    return all_of_it[: len(some)] == some


def test_kills_of_the_real_engine_lose_nothing_that_was_seen(
    open_terminal: Open, tmp_path: Path
) -> None:
    moments = random.Random("real")
    homes = [tmp_path / str(number) for number in range(KILLS)]
    words = ("chat", "tiny", "Tell me a very long story about a fox.", "--max-tokens", "150")
    chats = [open_terminal(*words, real=True, GEMMA_MTP_HOME=str(home)) for home in homes]
    for chat, home in zip(chats, homes, strict=True):
        chat.until("story about a fox.")
        _kill(chat, moments.randrange(BYTES))
        archive = Archive(home / "state" / "chats.db")
        latest = archive.latest()
        (turn,) = archive.read(latest).turns if latest is not None else (None,)
        kept = "".join((turn.answer if turn else "").split())
        assert kept.startswith(_reply_on(chat)), kept


def _reply_on(chat: Terminal) -> str:
    """The reply on the screen without its blanks, which depend on how it was broken into rows."""
    rows = chat.lines
    start = next(y for y, row in enumerate(rows) if row.endswith("about a fox."))
    below = takewhile(lambda row: "tok/s" not in row and ">>>" not in row, rows[start + 1 :])
    return "".join("".join(below).split())
