"""What befalls a chat in a terminal, and what the engine behind it does then."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.engines import DEAD, last_saved, status, words_below
from support.waiting import wait_until

Open = Callable[..., Any]
STORY = "Tell me a very long story about a fox."


@pytest.fixture
def chat(engine_home: Path, open_terminal: Open) -> Any:
    """A chat that waits for its first message."""
    words = ("chat", "tiny", "--draft", "off")
    chat = open_terminal(*words, real=True, rows=60, GEMMA_MTP_KEEP_ALIVE="5m")
    chat.prompt()
    return chat


def begin_reply(chat: Any) -> None:
    """Ask for a long reply and see its first words."""
    chat.say(STORY)
    chat.until(lambda: bool(words_below(chat, STORY)))


def test_closing_the_terminal_stops_the_reply_and_leaves_the_engine(
    chat: Any, engine_home: Path
) -> None:
    engine = status(engine_home)["pid"]
    begin_reply(chat)
    seen = words_below(chat, STORY)
    os.kill(chat.pid, signal.SIGHUP)
    assert chat.leave() == 128 + signal.SIGHUP
    wait_until(lambda: status(engine_home)["busy_for"] is None)
    assert status(engine_home)["pid"] == engine
    wait_until(lambda: not status(engine_home)["clients"])
    assert last_saved().startswith(seen)


def test_ctrl_c_stops_the_reply_and_leaves_the_engine(chat: Any, engine_home: Path) -> None:
    engine = status(engine_home)["pid"]
    begin_reply(chat)
    chat.keys("\x03")
    chat.prompt()
    wait_until(lambda: status(engine_home)["busy_for"] is None)
    chat.say("Hi")
    chat.until(lambda: chat.above[-1] == ">>>" and "stopped" not in chat.above[-2])
    assert status(engine_home)["pid"] == engine


def test_the_death_of_the_engine_keeps_the_words_and_the_next_message_has_another_one(
    chat: Any, engine_home: Path
) -> None:
    engine = status(engine_home)["pid"]
    for _ in range(10):  # until it dies before the reply has ended
        begin_reply(chat)
        os.kill(status(engine_home)["pid"], signal.SIGKILL)
        chat.prompt()
        if any(DEAD in row for row in chat.lines):
            break
    assert any(DEAD in row for row in chat.lines), "\n".join(chat.lines)
    told = next(y for y, row in enumerate(chat.lines) if DEAD in row)
    assert any("What was written is kept" in row for row in chat.lines[told:])
    seen = words_below(chat, STORY).partition("".join(DEAD.split()))[0]
    assert seen
    assert last_saved() == seen
    chat.say("Hi")
    chat.until(lambda: chat.above[-1] == ">>>" and "tok/s" in chat.above[-2])
    assert status(engine_home)["pid"] != engine
