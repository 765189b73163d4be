"""Ends that hang: an engine whose process is stopped, and a client that does not read."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.engines import status
from support.fakes import FakeEngine, invoke
from support.pairs import TINY
from support.scripted_resident import Engine, request, said
from support.waiting import wait_until

from gemma_mtp.api import LoadOptions, TextDelta
from gemma_mtp.resident import line, outbox
from gemma_mtp.resident.client import ResidentPair
from gemma_mtp.resident.line import EngineSilent, Line
from gemma_mtp.resident.outbox import Outbox
from gemma_mtp.resident.sockets import is_running
from gemma_mtp.resident.start import connect_or_start, kill
from gemma_mtp.resident.wire import Connection, Disconnected, Unread

NEVER = threading.Event()
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")


def lose_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on an engine is soon taken to hang."""
    monkeypatch.setattr(line, "SILENCE", 0.1)
    monkeypatch.setattr(line, "PATIENCE", 0.3)


@pytest.fixture
def frozen(engine_home: Path) -> Path:
    """The folder of an engine whose process is stopped."""
    started = connect_or_start(engine_home)
    assert started.process is not None
    started.process.send_signal(signal.SIGSTOP)
    started.socket.close()
    return engine_home


def pair_of(folder: Path) -> ResidentPair:
    return ResidentPair(folder, TINY, LoadOptions(threads=1), 300.0)


def test_an_engine_that_hangs_is_said_to_and_can_be_ended(
    frozen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_patience(monkeypatch)
    for words in (["ps"], ["ps", "--json"], ["stop"]):
        outcome = invoke(*words)
        assert (outcome.status, outcome.stdout) == (1, "")
        assert outcome.stderr == (
            "gemma-mtp: The engine does not answer.\n"
            "  gemma-mtp stop --force ends it; the next command starts another one.\n"
        )
    with pytest.raises(EngineSilent):
        pair_of(frozen).load(lambda fraction: True)
    ended = invoke("stop", "--force")
    assert ended.status == 0
    assert ended.stdout.startswith("The engine, process ")
    assert not is_running(frozen)
    assert invoke("stop", "--force").stdout == "No engine runs.\n"
    monkeypatch.setattr(line, "SILENCE", 60.0)
    pair_of(frozen).load(lambda fraction: True)  # another one


@pytest.mark.parametrize("stopped", [False, True])
def test_one_that_hangs_in_the_middle_of_a_reply_is_noticed(
    engine_home: Path, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    pair, cancel = pair_of(engine_home), threading.Event()
    pair.load(lambda fraction: True)
    pid = status(engine_home)["pid"]
    events = pair.reply(request("Tell me a story."), cancel)
    next(event for event in events if isinstance(event, TextDelta))
    os.kill(pid, signal.SIGSTOP)
    lose_patience(monkeypatch)
    if stopped:
        cancel.set()
    with pytest.raises(EngineSilent):
        list(events)
    assert kill(engine_home) == pid


def test_one_that_has_nothing_to_say_says_that_it_is_there(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "SILENCE", 0.02)
    asked: list[Any] = []
    usual = Line.send

    def send(self: Line, *messages: dict[str, Any]) -> None:
        asked.extend(message for message in messages if message["op"] == "ping")
        usual(self, *messages)

    monkeypatch.setattr(Line, "send", send)
    go_on = threading.Event()

    def load(*_: Any) -> FakeEngine:
        assert go_on.wait(60)
        return FakeEngine(engine.scripts)

    engine.resident.loaded._load = load
    done: list[str] = []

    def use() -> None:
        try:
            done.append(
                said(ResidentPair(engine.folder, TINY, LoadOptions()).reply(request(), NEVER))
            )
        except EngineSilent as error:
            done.append(str(error))

    user = threading.Thread(target=use, daemon=True)
    user.start()
    wait_until(lambda: len(asked) > 3 or bool(done))  # each but the first follows an answer
    assert not done
    go_on.set()
    user.join(60)
    assert done == ["One two three four."]


def test_what_nobody_takes_is_not_waited_for_without_end() -> None:
    left, right = socket.socketpair()
    with pytest.raises(Unread):
        Connection(left, 0.05).send({"text": "x" * 10_000_000})
    right.close()


def test_a_client_that_does_not_read_is_told_so_and_takes_no_more_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outbox, "MOST", 100)
    left, right = socket.socketpair()
    full: list[str] = []
    box = Outbox(Connection(left), lambda: full.append("full"))
    for _ in range(20_000):
        box.put(TextDelta("word " * 200))
    assert full == ["full"]
    assert len(box._waiting) <= 1
    reader = Connection(right)
    told: Any = None
    with suppress(Disconnected):
        while last := reader.receive(60.0):
            told = last
    assert last is not None  # else it still waits
    assert "had not been read" in told["all"][-1]["error"]["text"]


def test_ps_as_json_is_an_object_where_nothing_runs(engine_home: Path) -> None:
    assert invoke("ps", "--json").stdout == "{}\n"
    assert (
        subprocess.run(
            [sys.executable, "-m", "gemma_mtp", "ps"], capture_output=True, text=True, check=True
        ).stdout
        == "No model is loaded.\n"
    )
