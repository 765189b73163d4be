"""Tools in a chat in a real terminal: MCP servers, keys, kills."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="pseudo-terminals are POSIX")

from support.mcp_config import write_config
from support.terminal import CTRL_C, CTRL_D, ENTER, SUPPORT, Terminal
from support.waiting import wait_until

from gemma_mtp.api import ToolResult, Turn
from gemma_mtp.conversations.archive import Archive

Open = Callable[..., Terminal]
ADD = {"text": "I will count.", "calls": [["add", '{"a": 1, "b": 2}']]}
DONE = {"text": "It is 3."}


@pytest.fixture
def start(open_terminal: Open, tmp_path: Path) -> Callable[..., Terminal]:
    def begin(*scripts: object, options: tuple[str, ...] = ()) -> Terminal:
        script = {"scripts": [*scripts], "home": str(tmp_path)}
        arguments = ("chat", "--mcp", write_config(tmp_path), *options)
        return open_terminal(*arguments, script=script, GEMMA_MTP_HOME=str(tmp_path))

    return begin


def kill(chat: Terminal) -> None:
    os.kill(chat.pid, signal.SIGKILL)
    while chat.read():
        pass


def saved(home: Path, name: str = "chats.sqlite") -> Turn:
    archive = Archive(home / name)
    latest = archive.latest()
    assert latest is not None
    return archive.read(latest).turns[-1]


def results(turn: Turn) -> list[str]:
    return [p.text for m in turn.replies for p in m.parts if isinstance(p, ToolResult)]


def calls(home: Path) -> list[str]:
    file = home / "calls"
    return file.read_text().splitlines() if file.exists() else []


def test_the_real_engine_calls_a_server_and_goes_on(open_terminal: Open, tmp_path: Path) -> None:
    """The built-in pair, its template and its notation; forced, since it is a toy."""
    arguments = ("tiny", "--mcp", write_config(tmp_path), "--temperature", "0")
    chat = open_terminal(
        *("chat", *arguments, "--max-tokens", "40"),
        driver=SUPPORT / "forced_calls.py",
        GEMMA_MTP_HOME=str(tmp_path),
    )
    chat.say("Paint my wall.")
    chat.until("Run paint (calc)?")
    chat.keys(ENTER)
    chat.until("  the wall is ")
    chat.prompt()
    (called,) = calls(tmp_path)
    colour = called.removeprefix("paint ")
    assert f'paint(colour: "{colour}")' in chat.lines
    turn = saved(tmp_path / "state", "chats.db")
    assert results(turn) == [f"the wall is {colour}"]
    assert [m.role for m in turn.replies] == ["assistant", "tool", "assistant"]
    assert "<|tool" not in "\n".join(chat.lines)
    assert chat.leave(CTRL_D) == 0


def test_no_answer_at_the_question_stops_and_nothing_runs_or_writes_on_the_screen(
    start: Callable[..., Terminal], tmp_path: Path
) -> None:
    chat = start({"text": "", "calls": [["shout", '{"text": "hi"}']]}, DONE)
    chat.say("go")
    chat.until("Run shout (calc)?")
    chat.keys(CTRL_C)
    chat.until("stopped; /continue goes on")
    chat.prompt()
    assert calls(tmp_path) == []
    chat.say("/continue")
    chat.until("Enter takes it")
    chat.keys(ENTER)
    chat.until("It is 3.")
    assert results(saved(tmp_path)) == ["HI"]
    assert b"NOISE" not in chat.raw
    log = tmp_path / "state" / "mcp.log"
    assert "NOISE on stderr" in log.read_text()
    assert log.stat().st_mode & 0o077 == 0
    assert chat.leave(CTRL_D) == 0


def test_a_kill_at_the_question_loses_nothing(
    start: Callable[..., Terminal], tmp_path: Path
) -> None:
    chat = start(ADD)
    chat.say("count")
    chat.until("Run add (calc)?")
    kill(chat)
    (reply,) = saved(tmp_path).replies
    assert (reply.content, reply.calls[0].arguments) == ("I will count.", '{"a": 1, "b": 2}')
    chat = start(DONE, options=("--continue",))
    chat.until("add(a: 1, b: 2)")
    chat.say("/continue")
    chat.until("Run add (calc)?")
    chat.keys(ENTER)
    chat.until("It is 3.")
    chat.prompt()
    assert calls(tmp_path) == ["add 1 2"]
    assert [m.role for m in saved(tmp_path).replies] == ["assistant", "tool", "assistant"]
    assert chat.leave(CTRL_D) == 0


def test_a_kill_while_a_tool_runs_keeps_the_results_before(
    start: Callable[..., Terminal], tmp_path: Path
) -> None:
    both = [["add", '{"a": 1, "b": 2}'], ["sleep", '{"seconds": 60}']]
    chat = start({"text": "", "calls": both})
    chat.say("go")
    for question in ("Run add (calc)?", "Run sleep (calc)?"):
        chat.until(question)
        chat.until("Enter takes it")
        chat.keys(ENTER)
    wait_until(lambda: "sleep" in calls(tmp_path))
    kill(chat)
    assert results(saved(tmp_path)) == ["3"]
    chat = start(DONE, options=("--continue",))
    chat.until("sleep(seconds: 60)")
    chat.say("never mind")
    chat.until("It is 3.")
    assert chat.leave(CTRL_D) == 0


def test_where_nobody_can_be_asked_no_tool_runs(open_terminal: Open, tmp_path: Path) -> None:
    from support.fakes import FakeEngine, FakeEnvironment, Script, invoke

    engine = FakeEngine([Script()])
    outcome = invoke(
        "chat", "--mcp", "mcp.json", stdin=b"hi", env=FakeEnvironment(engine, home=tmp_path)
    )
    assert (outcome.status, outcome.stdout, engine.requests) == (2, "", [])
    assert "Tools need a terminal: each call is asked for before it runs." in outcome.stderr
    env = FakeEnvironment(engine, home=tmp_path)
    env.configured["mcp"] = "mcp.json"
    outcome = invoke("chat", stdin=b"hi", env=env)
    assert (outcome.status, outcome.stdout) == (0, "Hello there.\n")
    assert "the tools of mcp.json are off" in outcome.stderr


def test_a_file_of_config_toml_that_is_gone_costs_a_sentence_and_not_the_chat(
    open_terminal: Open, tmp_path: Path
) -> None:
    config = tmp_path / "config" / "config.toml"
    config.parent.mkdir()
    config.write_text('mcp = "/gone/servers.json"')
    for arguments in (("chat", "tiny"), ("run", "tiny")):
        chat = open_terminal(
            *arguments, driver=SUPPORT / "forced_calls.py", GEMMA_MTP_HOME=str(tmp_path)
        )
        chat.until("/gone/servers.json cannot be read: No such file or directory.")
        chat.prompt()
        assert "This chat has no tools;" in " ".join(chat.lines)
        assert chat.leave(CTRL_D) == 0
