"""The resident engine as a process of its own, with the built-in pair, and what may befall it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.engines import status
from support.pairs import TINY
from support.waiting import wait_until

from gemma_mtp.api import LoadOptions, Message, Request, TextDelta
from gemma_mtp.options import Options
from gemma_mtp.resident.attach import attach
from gemma_mtp.resident.client import EngineDied, ResidentPair
from gemma_mtp.resident.identity import SOCKET
from gemma_mtp.resident.keep import BUILD_SERVERS
from gemma_mtp.resident.sockets import connect, is_running

NEVER = threading.Event()


@pytest.fixture
def folder(engine_home: Path) -> Path:
    return engine_home


def run(*words: str, keep: str | None = "5m", **variables: str) -> subprocess.CompletedProcess[str]:
    """One command, away from any terminal."""
    env = {**os.environ, **variables}
    if keep is not None:
        env["GEMMA_MTP_KEEP_ALIVE"] = keep
    return subprocess.run(
        [sys.executable, "-m", "gemma_mtp", *words],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=env,
        timeout=120,
        check=False,
    )


def answer(*words: str, **variables: Any) -> str:
    done = run("run", "tiny", "--seed", "1", "--max-tokens", "20", "Hi", *words, **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


def resident(folder: Path) -> ResidentPair:
    pair = ResidentPair(folder, TINY, LoadOptions(threads=1), 300.0)
    pair.load(lambda fraction: True)
    return pair


def request(text: str = "Tell me a story about a dog.", tokens: int = 4000) -> Request:
    return Request((Message.text("user", text),), seed=1, max_tokens=tokens, ignore_end=True)


def test_the_text_is_the_same_in_the_command_cold_and_warm(folder: Path) -> None:
    alone = answer(keep="0")
    assert not is_running(folder)
    assert answer() == alone
    first = status(folder)
    assert answer() == alone
    assert status(folder)["pid"] == first["pid"]
    assert first["model"] == "tiny"


def test_away_from_terminals_no_process_is_left_unless_it_is_wanted(folder: Path) -> None:
    answer(keep=None)
    assert not is_running(folder)
    answer("--keep-alive", "1h", keep=None)
    assert status(folder)["seconds_left"] > 3000


@pytest.mark.parametrize(("build_server", "stays"), [("", True), ("true", False)])
def test_at_a_terminal_the_engine_stays_but_not_on_a_build_server(
    folder: Path, open_terminal: Callable[..., Any], build_server: str, stays: bool
) -> None:
    variables = dict.fromkeys((*BUILD_SERVERS, "GEMMA_MTP_KEEP_ALIVE"), "")
    variables["CI"] = build_server
    words = ("run", "tiny", "Hi", "--max-tokens", "5")
    assert open_terminal(*words, real=True, **variables).leave() == 0
    assert is_running(folder) == stays
    if stays:
        assert 200 < status(folder)["seconds_left"] <= 300


def test_what_is_typed_counts_more_than_the_variable_and_that_more_than_the_file(
    folder: Path,
) -> None:
    run("config", "keep_alive", "2h")
    answer(keep="1h")
    assert 3500 < status(folder)["seconds_left"] <= 3600
    answer("--keep-alive", "3h", keep="1h")
    assert status(folder)["seconds_left"] > 10_700
    answer(keep=None)
    assert 7100 < status(folder)["seconds_left"] <= 7200


def test_where_the_folder_cannot_be_had_the_command_loads_the_model_itself(
    folder: Path,
) -> None:
    folder.rmdir()
    folder.touch()
    done = run("run", "tiny", "Hi", "--seed", "1")
    assert done.returncode == 0
    assert done.stdout.startswith("Hello")
    said = " ".join(done.stderr.split())
    assert said == (
        f"gemma-mtp: {folder} cannot be used: File exists. "
        "The model is loaded for this command alone."
    )


def test_where_the_engine_does_not_start_the_command_loads_the_model_itself(
    folder: Path,
) -> None:
    (folder / SOCKET).mkdir()  # so that it cannot listen
    done = run("run", "tiny", "Hi", "--seed", "1")
    assert done.returncode == 0
    assert done.stdout.startswith("Hello")
    said = " ".join(done.stderr.split())
    assert "The engine does not start" in said
    assert said.endswith("The model is loaded for this command alone.")


def test_where_no_process_can_be_made_the_command_loads_the_model_itself(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **more: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("subprocess.Popen", refuse)
    said: list[str] = []
    options = Options().with_values(keep_alive=300)
    pair = attach(TINY, options, lambda fraction: True, said.append)
    assert pair.count(request()) > 0
    pair.close()
    assert said == [
        "No engine can be started: Resource temporarily unavailable. "
        "The model is loaded for this command alone."
    ]


def test_who_says_nothing_uses_an_engine_that_runs_and_leaves_its_time_alone(
    folder: Path,
) -> None:
    answer(keep="forever")
    answer(keep=None)
    assert status(folder)["seconds_left"] is None


def test_an_engine_that_is_to_stay_for_no_time_unloads_after_the_reply(folder: Path) -> None:
    answer()
    answer(keep="0")
    wait_until(lambda: not is_running(folder))


def test_that_a_process_stays_is_said_once(folder: Path) -> None:
    first = run("run", "tiny", "--max-tokens", "5", "Hi")
    assert "stays loaded for 5 minutes" in " ".join(first.stderr.split())
    assert run("stop").returncode == 0
    wait_until(lambda: not is_running(folder))
    assert run("run", "tiny", "--max-tokens", "5", "Hi").stderr == ""


def test_the_log_is_shown_to_who_wants_it_and_makes_no_other_pair(folder: Path) -> None:
    answer("--verbose")
    first = status(folder)
    for _ in range(2):
        done = run("run", "tiny", "Hi", "--verbose")
        assert "llama_model_loader" in done.stderr
    assert run("run", "tiny", "Hi").stderr == ""
    assert status(folder)["pid"] == first["pid"]
    assert first["options"]["verbose"] is False


def test_ps_and_stop(folder: Path) -> None:
    assert run("ps").stdout == "No model is loaded.\n"
    assert run("stop").stdout == "No model is loaded.\n"
    answer("--ctx", "512")
    shown = " ".join(run("ps").stdout.split())
    for part in ("tiny", "512 tokens", "--ctx 512", "CPU, 1 thread", "used by nobody", "now no"):
        assert part in shown
    assert re.search(r"stays [345]:\d\d min", shown)
    assert json.loads(run("ps", "--json").stdout)["options"]["context"] == 512
    assert run("stop", "e2b").stdout == "e2b is not loaded, tiny is.\n"
    assert run("stop", "e3b").returncode == 4
    assert re.search(r"tiny .* loaded", run("list").stdout)
    assert run("stop", "tiny").stdout == "tiny is unloaded.\n"
    assert not is_running(folder)
    assert re.search(r"tiny .* built in", run("list").stdout)


def test_a_command_that_finds_its_model_loaded_imports_nothing_heavy(folder: Path) -> None:
    answer()
    done = run("run", "tiny", "Hi", PYTHONPROFILEIMPORTTIME="1")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "gemma_mtp.resident.client" in imported
    heavy = "numpy llama_cpp rich prompt_toolkit pygments huggingface_hub httpx fastapi uvicorn"
    heavy += " sqlite3 asyncio gemma_mtp.engine gemma_mtp.llama"
    assert sorted(imported & set(heavy.split())) == []


def test_starts_at_the_same_time_end_in_one_engine(folder: Path) -> None:
    pids = []

    def use() -> None:
        pair = resident(folder)
        pids.append(status(folder)["pid"])
        pair.close()

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(pids) == 4
    assert len(set(pids)) == 1


def test_the_process_stands_on_its_own(folder: Path) -> None:
    answer()
    pid = status(folder)["pid"]
    proc = Path(f"/proc/{pid}")
    if not proc.exists():
        pytest.skip("only Linux shows it")
    assert os.readlink(proc / "cwd") == "/"
    assert os.getsid(pid) == pid
    open_files = {os.readlink(f) for f in (proc / "fd").iterdir() if f.exists()}
    assert not any(name.startswith("pipe:") for name in open_files)


def test_the_next_request_after_a_death_has_an_engine_again(folder: Path) -> None:
    pair = resident(folder)
    events = pair.reply(request(), NEVER)
    texts = [next(event.text for event in events if isinstance(event, TextDelta))]
    os.kill(status(folder)["pid"], signal.SIGKILL)
    with pytest.raises(EngineDied, match="by SIGKILL"):
        texts += [event.text for event in events if isinstance(event, TextDelta)]
    again = [e.text for e in pair.reply(request(tokens=40), NEVER) if isinstance(e, TextDelta)]
    assert "".join(again).startswith(texts[0])
    pair.close()


def test_an_engine_that_died_between_two_messages_is_not_missed(folder: Path) -> None:
    pair = resident(folder)
    for number in (signal.SIGKILL, signal.SIGTERM):
        os.kill(status(folder)["pid"], number)
        wait_until(lambda: not is_running(folder))
        said = [e.text for e in pair.reply(request(tokens=5), NEVER) if isinstance(e, TextDelta)]
        assert said
    pair.close()


def test_a_command_that_is_killed_stops_its_reply(folder: Path) -> None:
    pair = resident(folder)
    command = subprocess.Popen(
        [sys.executable, "-m", "gemma_mtp", "run", "tiny", "Tell me a story.", "--no-stdin"],
        stdout=subprocess.PIPE,
        env={**os.environ, "GEMMA_MTP_KEEP_ALIVE": "5m"},
    )
    assert command.stdout is not None
    command.stdout.read(1)
    command.kill()
    command.wait()
    command.stdout.close()
    wait_until(lambda: status(folder)["busy_for"] is None)
    assert connect(folder) is not None
    pair.close()


def test_another_version_of_the_program_is_replaced(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer()
    before = status(folder)["pid"]
    monkeypatch.setattr("gemma_mtp.resident.client.__version__", "0.0.0")
    pair = resident(folder)
    assert status(folder)["pid"] != before
    pair.close()
