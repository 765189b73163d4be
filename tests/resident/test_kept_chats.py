"""A chat that goes on in another process: the same words as in one, and little to read again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.engines import status
from support.waiting import wait_until

from gemma_mtp.api import Message, Turn
from gemma_mtp.conversations.archive import Archive
from gemma_mtp.models import chat_states
from gemma_mtp.paths import state_dir
from gemma_mtp.resident.sockets import is_running

LONG = "Tell me a long story about a dog and a cat who went to the sea. " * 20
ASKED = ("Who are you?", "Tell me about the dog.", "And the cat?")


@pytest.fixture
def folder(engine_home: Path) -> Path:
    return engine_home


def archive() -> Archive:
    return Archive(state_dir() / "chats.db")


def begin() -> int:
    """A long conversation that was saved before."""
    reply = Message.text("assistant", "Once there was a dog.")
    id = archive().add([Turn(Message.text("user", LONG), (reply,), reason="stop")], model="tiny")
    assert id is not None
    return id


def run(*words: str, keep: str = "0") -> str:
    done = subprocess.run(
        [sys.executable, "-m", "gemma_mtp", *words],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "GEMMA_MTP_KEEP_ALIVE": keep},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def go_on(text: str, *words: str, keep: str = "0") -> None:
    exact = ("--seed", "5", "--draft", "3", "--max-tokens", "60")
    run("chat", "--continue", "-p", text, *exact, *words, keep=keep)


def told() -> list[tuple[object, ...]]:
    """Texts, tokens and drafts of all replies, and what was cached before each."""
    latest = archive().latest()
    assert latest is not None
    found = []
    for turn in archive().read(latest).turns[1:]:
        assert turn.reply is not None
        assert turn.stats is not None
        stats = turn.stats
        drafts = (stats.drafted, stats.accepted, stats.rounds)
        found.append((turn.reply.content, turn.reply.tokens, drafts, stats.cached_tokens))
    return found


def read_again() -> int:
    """Tokens that were evaluated before the last reply."""
    latest = archive().latest()
    assert latest is not None
    stats = archive().read(latest).turns[-1].stats
    assert stats is not None
    return stats.prompt_tokens - stats.cached_tokens


def stop(folder: Path) -> None:
    run("stop")
    wait_until(lambda: not is_running(folder))


def test_each_message_in_a_process_of_its_own_or_all_in_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begin()
    for text in ASKED:
        go_on(text, keep="5m")
    in_one = told()
    assert chat_states.sizes() == {}  # keep_chats is not on
    monkeypatch.setenv("GEMMA_MTP_HOME", str(tmp_path))
    begin()
    for text in ASKED:
        go_on(text, "--keep-chats", "on")
    assert told() == in_one
    assert read_again() < 100
    assert len(chat_states.sizes()) == 1


def test_the_next_engine_goes_on_where_the_last_one_was_stopped(folder: Path) -> None:
    begin()
    run("config", "keep_chats", "on")
    go_on("Who are you?", keep="5m")
    assert chat_states.sizes() == {}  # not while somebody may go on
    stop(folder)
    assert len(chat_states.sizes()) == 1
    go_on("And then?", keep="5m")
    assert read_again() < 100
    os.kill(status(folder)["pid"], signal.SIGKILL)
    wait_until(lambda: not is_running(folder))
    go_on("And now?", keep="5m")  # from the state before
    assert read_again() < 200
    os.kill(status(folder)["pid"], signal.SIGTERM)
    wait_until(lambda: not is_running(folder))
    go_on("And now?")
    assert read_again() < 100


@pytest.mark.parametrize("way", [("--no-save",), ("--keep-chats", "off"), ()])
def test_what_is_not_to_be_kept_is_not(folder: Path, way: tuple[str, ...]) -> None:
    begin()
    if way == ("--no-save",):
        run("config", "keep_chats", "on")
    go_on("Who are you?", *way)
    assert chat_states.sizes() == {}


def test_a_deleted_conversation_leaves_nothing_though_the_engine_has_it(folder: Path) -> None:
    id = begin()
    run("config", "keep_chats", "on")
    go_on("Who are you?", keep="5m")
    run("chats", "delete", "--yes", str(id))
    stop(folder)
    assert not any(chat_states.folder().iterdir())
    second = begin()
    go_on("Who are you?")
    assert len(chat_states.sizes()) == 1
    run("chats", "delete", "--yes", str(second))
    assert not any(chat_states.folder().iterdir())


def test_a_chat_that_is_to_be_kept_from_its_end_on_is_kept_by_the_engine_it_leaves(
    folder: Path, open_terminal: Callable[..., Any], tmp_path: Path
) -> None:
    text = tmp_path / "long.txt"
    text.write_text("The dog and the cat went to the sea. " * 250)
    words = ("chat", "tiny", "-f", str(text), "What is it about?", "--max-tokens", "5")
    chat = open_terminal(*words, real=True, rows=40, GEMMA_MTP_KEEP_ALIVE="5m")
    chat.prompt()
    chat.keys("\x04")
    chat.until("Keep long chats so?")
    chat.keys("\r")
    assert chat.leave() == 0
    assert chat_states.sizes() == {}
    stop(folder)
    go_on("And then?")
    assert read_again() < 100
