"""The engine is begun while the command line is still being read, where the command wants one."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.engines import status
from support.pairs import TINY
from support.waiting import wait_until

from gemma_mtp import paths
from gemma_mtp.api import LoadOptions
from gemma_mtp.cli.early import start_engine
from gemma_mtp.options import Options
from gemma_mtp.resident import keep, start
from gemma_mtp.resident.attach import attach
from gemma_mtp.resident.client import ResidentPair
from gemma_mtp.resident.sockets import connect, is_running


@pytest.fixture(autouse=True)
def none_begun() -> Iterator[None]:
    yield
    while start._begun:
        process = start._begun.pop()
        process.kill()
        process.wait()


@pytest.fixture
def begun(engine_home: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders in which an engine was begun, by somebody at a terminal."""
    folders: list[Path] = []
    monkeypatch.setattr(start, "begin", folders.append)
    monkeypatch.setattr(keep, "usual", lambda: 300)
    monkeypatch.delenv("GEMMA_MTP_SERVER", raising=False)
    return folders


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("run tiny Hi", True),
        ("chat", True),
        ("run tiny --keep-alive 1h Hi", True),
        ("run tiny --keepalive=-1 Hi", True),
        ("run tiny --keep-alive 0 Hi", False),
        ("run tiny --keep_alive=off Hi", False),
        ("run tiny --keep-alive soon Hi", False),
        ("run tiny --keep-alive", True),
        ("run tiny --server localhost:1 Hi", False),
        ("run tiny Hi --server=localhost:1", False),
        ("run --help", False),
        ("chat -h", False),
        ("bench tiny", False),
        ("serve tiny", False),
        ("", False),
    ],
)
def test_it_is_begun_for_commands_that_want_it(
    begun: list[Path], engine_home: Path, words: str, wanted: bool
) -> None:
    start_engine(words.split())
    assert begun == [engine_home] * wanted


@pytest.mark.parametrize(
    ("text", "variables", "wanted"),
    [
        ("", {}, True),
        ('keep_alive = "off"', {}, False),
        ('keep_alive = "off"', {"GEMMA_MTP_KEEP_ALIVE": "5m"}, True),
        ('keep_alive = "1h"', {"GEMMA_MTP_KEEP_ALIVE": "0"}, False),
        ('server = "localhost:1"', {}, False),
        ("", {"GEMMA_MTP_SERVER": "localhost:1"}, False),
        ("not TOML", {}, False),
    ],
)
def test_what_is_configured_counts(
    begun: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    variables: dict[str, str],
    wanted: bool,
) -> None:
    paths.config_file().parent.mkdir(parents=True, exist_ok=True)
    paths.config_file().write_text(text)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    start_engine(["run", "tiny", "Hi"])
    assert bool(begun) == wanted


def test_it_is_not_begun_where_nobody_is_at_a_terminal(
    begun: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keep, "usual", lambda: 0)
    start_engine(["run", "tiny", "Hi"])
    assert begun == []


def test_what_was_begun_is_the_engine_and_is_spoken_of_as_new(
    engine_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keep, "usual", lambda: 300)
    monkeypatch.setattr("gemma_mtp.resident.attach.usual", lambda: 300)
    start.begin(engine_home)
    (process,) = start._begun
    wait_until(lambda: is_running(engine_home))  # it may be quicker than the command
    said: list[str] = []
    pair = attach(TINY, Options(threads=1), lambda fraction: True, said.append)
    assert status(engine_home)["pid"] == process.pid
    assert 200 < status(engine_home)["seconds_left"] <= 300
    assert any("stays loaded" in text for text in said)
    pair.close()


def test_where_one_runs_none_is_begun(engine_home: Path) -> None:
    first = start.connect_or_start(engine_home)
    start.begin(engine_home)
    assert start._begun == []
    assert start.ran_before(engine_home)
    first.socket.close()


def test_what_was_begun_and_has_ended_is_no_obstacle(engine_home: Path) -> None:
    start.begin(engine_home)
    start._begun[0].send_signal(signal.SIGKILL)
    start._begun[0].wait()
    started = start.connect_or_start(engine_home)
    assert started.process is not None
    assert status(engine_home)["pid"] == started.process.pid
    started.socket.close()


def test_one_that_ends_unused_at_that_moment_is_replaced(
    engine_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []
    usual = start.connect_or_start

    def too_late(folder: Path) -> start.Started:
        found = usual(folder)
        if not ended and found.process is not None:
            ended.append(found.process.pid)
            found.process.terminate()  # as when it has waited for nothing
            wait_until(lambda: connect(folder) is None)
        return found

    monkeypatch.setattr("gemma_mtp.resident.client.connect_or_start", too_late)
    start.begin(engine_home)
    pair = ResidentPair(engine_home, TINY, LoadOptions(threads=1), 300.0)
    pair.load(lambda fraction: True)
    assert status(engine_home)["pid"] not in ended
    pair.close()
