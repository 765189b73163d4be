"""Engines and chats killed at random moments, many times: nothing is lost and nothing is left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.engines import DEAD, last_saved, status, words_below
from support.terminal import CTRL_C, CTRL_D
from support.waiting import wait_until

from gemma_mtp.files.folder_lock import hold
from gemma_mtp.resident.sockets import is_running

pytestmark = pytest.mark.slow
KILLS = 50
BYTES = 2500  # of output; a reply takes about so many
STORY = "Tell me a very long story about a fox."


@pytest.fixture
def open_chat(engine_home: Path, open_terminal: Callable[..., Any]) -> Callable[[], Any]:
    """Starts a chat that asks for a long reply, in a conversation of its own."""

    def start() -> Any:
        words = ("chat", "tiny", STORY)
        return open_terminal(*words, real=True, rows=60, GEMMA_MTP_KEEP_ALIVE="5m")

    return start


def read_bytes(chat: Any, count: int) -> None:
    """Read so much of what a chat writes, or until it waits for a line."""
    while len(chat.raw) < count and not is_answered(chat) and chat.read():
        pass


def is_answered(chat: Any) -> bool:
    """It waits for a line: an empty one, or the message that had no reply."""
    handed_back = any("back on the line" in row for row in chat.lines)
    told = any("tok/s" in row or DEAD in row for row in chat.lines[:-1])
    return (told and chat.row == ">>>") or (handed_back and chat.row.startswith(">>>"))


def processes_of(folder: Path) -> list[int]:
    """The engines of this folder that are alive."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(folder) in words:
                found.append(int(entry.name))
    return found


def check_that_nothing_is_left(folder: Path) -> None:
    """The next command works; then no process is left, and no lock."""
    words = [sys.executable, "-m", "gemma_mtp"]
    env = {**os.environ, "GEMMA_MTP_KEEP_ALIVE": "5m"}
    done = subprocess.run([*words, "run", "tiny", "Hi", "--no-stdin"], env=env, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert processes_of(folder) == [status(folder)["pid"]]
    assert subprocess.run([*words, "stop"], env=env, capture_output=True).returncode == 0
    wait_until(lambda: not processes_of(folder))
    lock = hold(folder)
    assert lock is not None
    os.close(lock)


def test_kills_of_the_engine_lose_no_word(engine_home: Path, open_chat: Callable[[], Any]) -> None:
    moments = random.Random("engine")
    broken_off = 0
    for _ in range(KILLS):
        chat = open_chat()
        read_bytes(chat, moments.randrange(BYTES))
        while (engine := status(engine_home)) is None and chat.read():
            pass
        if engine is not None:
            os.kill(engine["pid"], signal.SIGKILL)
        while not is_answered(chat) and chat.read():
            pass
        if not is_answered(chat):  # killed while it loaded the model: there is no chat
            assert any(DEAD in row for row in chat.lines), "\n".join(chat.lines)
            continue
        seen = words_below(chat, STORY)
        seen = seen.partition("".join(DEAD.split()))[0].removesuffix(">>>")
        assert last_saved().startswith(seen), "\n".join(chat.lines)
        broken_off += bool(seen) and any(DEAD in row for row in chat.lines)
        chat.keys(CTRL_C)  # empties the line
        chat.prompt()
        assert chat.leave(CTRL_D) == 0
    assert broken_off > KILLS // 10
    check_that_nothing_is_left(engine_home)


def test_kills_of_chats_leave_the_engine_as_it_was(
    engine_home: Path, open_chat: Callable[[], Any]
) -> None:
    moments = random.Random("chats")
    chat = open_chat()
    chat.until(lambda: is_answered(chat))
    engine = status(engine_home)["pid"]
    files = len(os.listdir(f"/proc/{engine}/fd"))
    threads = len(os.listdir(f"/proc/{engine}/task"))
    for _ in range(KILLS):
        chat = open_chat()
        read_bytes(chat, moments.randrange(BYTES))
        os.kill(chat.pid, signal.SIGKILL)
        while chat.read():
            pass
        if any(row.endswith(STORY) for row in chat.lines):
            assert last_saved().startswith(words_below(chat, STORY).removesuffix(">>>"))
    wait_until(lambda: len(status(engine_home)["clients"]) == 1)  # the first chat
    wait_until(lambda: status(engine_home)["busy_for"] is None)
    assert is_running(engine_home)
    assert status(engine_home)["pid"] == engine
    wait_until(lambda: len(os.listdir(f"/proc/{engine}/fd")) <= files + 1)
    wait_until(lambda: len(os.listdir(f"/proc/{engine}/task")) <= threads + 2)
    check_that_nothing_is_left(engine_home)
