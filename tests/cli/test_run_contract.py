"""What a program may rely on of `run`, beyond its plain output: docs/run.md says it in words."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from support.fakes import BrokenEnvironment, FakeEngine, FakeEnvironment, Script, invoke
from support.server_process import server_process
from support.waiting import wait_until

from gemma_mtp.api import Message
from gemma_mtp.cli.environment import Environment

ROOT = Path(__file__).parents[2]
DRIVER = ROOT / "tests" / "support" / "fakes.py"
posix = pytest.mark.skipif(os.name != "posix", reason="signals and pipes of POSIX")


def env(*scripts: Script, **settings: Any) -> FakeEnvironment:
    return FakeEnvironment(FakeEngine(list(scripts) or [Script()], **settings))


def start(script: dict[str, Any], *arguments: str, **more: Any) -> subprocess.Popen[bytes]:
    """The command line with the fake engine in a process of its own."""
    variables = {**os.environ, "FAKE": json.dumps(script), "PYTHONPATH": str(ROOT)}
    streams = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    streams |= {"stdin": subprocess.DEVNULL, **more}
    command = [sys.executable, str(DRIVER), *arguments]
    return subprocess.Popen(command, env=variables, **streams)


# --- texts from files ------------------------------------------------------------------------


def test_prompt_and_system_prompt_from_files(tmp_path: Path) -> None:
    prompt, system = tmp_path / "prompt", tmp_path / "system"
    prompt.write_bytes(b"\xef\xbb\xbfWhy?\r\nReally.\n")
    system.write_text("Be brief.\n")
    there = env()
    options = ["--prompt-file", str(prompt), "--system-file", str(system)]
    assert invoke("run", "tiny", *options, stdin=b"more", env=there).status == 0
    assert there.engine.requests[0].messages == (
        Message.text("system", "Be brief."),
        Message.text("user", "Why?\nReally.\n\nmore"),
    )


def test_the_prompt_is_standard_input() -> None:
    there = env()
    outcome = invoke("run", "tiny", "--prompt-file", "-", stdin=b"Why?\n", env=there)
    assert outcome.status == 0
    assert there.engine.requests[0].messages == (Message.text("user", "Why?"),)


def test_files_go_along_under_either_name(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(name)
    there = env()
    invoke("run", "tiny", "hi", "--files", str(tmp_path / "*.txt"), env=there)
    sent = there.engine.requests[0].messages[0].content
    assert [f"{name}.txt" in sent for name in "ab"] == [True, True]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("hi --prompt-file {}/full", "The prompt is given twice."),
        ("--system a hi --system-file {}/full", "The system prompt is given twice."),
        ("--prompt-file {}/none", "none cannot be read: No such file or directory."),
        ("--prompt-file {}/empty", "The prompt is empty."),
        ("hi --system-file {}/empty", "The system prompt is empty."),
        ("--prompt-file -", "The prompt is empty."),
        ("--prompt-file {}/binary", "binary is not text: it holds zero bytes."),
        ("hi --system-file {}/binary", "binary is not text: it holds zero bytes."),
        ("hi --json --jsonl", "--json and --jsonl do not go together."),
    ],
)
def test_mistakes(tmp_path: Path, words: str, said: str) -> None:
    (tmp_path / "full").write_text("text")
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "binary").write_bytes(b"\x7fELF\0")
    there = env()
    outcome = invoke("run", "tiny", *words.format(tmp_path).split(), env=there)
    assert (outcome.status, outcome.stdout, there.loaded) == (2, "", [])
    assert said in outcome.stderr


# --- events as lines -------------------------------------------------------------------------


def events(*words: str, there: FakeEnvironment) -> list[dict[str, Any]]:
    outcome = invoke("run", "tiny", "hi", "--jsonl", *words, env=there)
    return [json.loads(line) for line in outcome.stdout.splitlines()]


def test_events_are_lines_and_the_last_one_is_what_json_prints() -> None:
    script = Script("One two.", thought="Well now.")
    found = events("--think", there=env(script))
    *_, read, thought, more, text, rest, end = found
    assert read == {"type": "prompt", "done": 5, "total": 5, "cached": 0}
    assert [thought, more] == [{"type": "thought", "text": t} for t in ("Well", " now.")]
    assert [text, rest] == [{"type": "text", "text": t} for t in ("One", " two.")]
    alone = json.loads(invoke("run", "tiny", "hi", "--json", "--think", env=env(script)).stdout)
    for stats in (end["stats"], alone["stats"]):
        del stats["load_seconds"], stats["total_seconds"]
    assert end == {"type": "end", **alone}


def test_each_line_comes_as_soon_as_it_happens(tmp_path: Path) -> None:
    script = {"scripts": [{"text": "one two", "hold": str(tmp_path)}]}
    (tmp_path / "two").touch()
    with start(script, "run", "tiny", "hi", "--jsonl") as process:
        assert process.stdout
        lines = iter(process.stdout.readline, b"")
        assert (
            next(line for line in lines if b"text" in line) == b'{"type": "text", "text": "one"}\n'
        )
        (tmp_path / "two").unlink()
        assert b"".join(lines).count(b"\n") == 2


def test_calls_are_lines_before_the_end() -> None:
    from gemma_mtp.cli.events import Lines

    written: list[str] = []
    Lines(written.append).end({"tool_calls": [{"name": "f", "arguments": {"a": 1}}], "text": ""})
    call, end = map(json.loads, written)
    assert call == {"type": "tool_call", "index": 0, "name": "f", "arguments": {"a": 1}}
    assert end["type"] == "end"


def test_an_error_is_the_last_line() -> None:
    there = env(Script(error="The file is truncated."))
    assert events(there=there) == [
        {
            "type": "error",
            "message": "The file is truncated.",
            "hint": "Try something else.",
            "status": 6,
        }
    ]
    (found,) = events("--ctx", "256", "--system", "a " * 300, there=env())
    assert (found["type"], found["status"]) == ("error", 5)
    assert events(there=BrokenEnvironment()) == []  # nobody foresaw it; the status tells


def test_a_stopped_reply_has_an_end() -> None:
    (*_, end) = events("--max-tokens", "1", "--fail-on-length", there=env())
    assert end["finish_reason"] == "length"


# --- signals and pipes -----------------------------------------------------------------------


@posix
@pytest.mark.parametrize("more", [[], ["--json"], ["--jsonl"]])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_told_to_end_it_keeps_what_was_written(
    more: list[str], number: int, status: int, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    script = {"scripts": [{"text": "one two three", "delay": 60, "mark": str(mark)}]}
    with start(script, "run", "tiny", "hi", *more) as process:
        wait_until(mark.exists)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (status, b"")
    if more:
        last = json.loads(out.splitlines()[-1])
        assert (last["text"], last["finish_reason"]) == ("one", "cancelled")
    else:
        assert out == b"one\n"


@posix
def test_told_to_end_it_ends_although_nobody_reads() -> None:
    code = (
        "import runpy; from gemma_mtp.terminal import interrupts; interrupts.GRACE = 0.2; "
        f"runpy.run_path({str(DRIVER)!r}, run_name='__main__')"
    )
    script = {"scripts": [{"text": LONG}]}
    variables = {**os.environ, "FAKE": json.dumps(script), "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code, "run", "tiny", "hi"]
    with subprocess.Popen(command, env=variables, stdin=subprocess.DEVNULL, stdout=pipe) as process:
        assert process.stdout
        process.stdout.read(1)
        wait_until(lambda: waiting_in(process.stdout.fileno()) > 60_000)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143


LONG = f"{'word' * 20} " * 1200  # more than a pipe holds


def full_pipe() -> tuple[int, int]:
    """A pipe that takes nothing more."""
    end, begin = os.pipe()
    os.set_blocking(begin, False)
    try:
        while True:
            os.write(begin, b"x" * 512)
    except BlockingIOError:
        os.set_blocking(begin, True)
    return end, begin


@posix
@pytest.mark.parametrize("command", ["run hi --stats", "run nosuch: hi"])
def test_notes_that_nobody_reads_hold_up_nothing(command: str) -> None:
    end, begin = full_pipe()
    with start({}, *command.split(), stderr=begin) as process:
        os.close(begin)
        timer = threading.Timer(60, process.kill)
        timer.start()
        out, _ = process.communicate()
        timer.cancel()
    assert (process.returncode, out) in [(0, b"Hello there.\n"), (4, b"")]
    os.close(end)


def waiting_in(pipe: int) -> int:
    """Bytes that can be read."""
    import fcntl
    import termios

    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


@posix
def test_an_output_that_does_not_wait_gets_all_of_an_answer() -> None:
    """As from programs whose pipes are made not to block."""
    end, begin = os.pipe()
    os.set_blocking(begin, False)
    with start({"scripts": [{"text": LONG}]}, "run", "tiny", "hi", stdout=begin) as process:
        os.close(begin)
        with open(end, "rb") as file:
            wait_until(lambda: waiting_in(end) > 60_000)
            time.sleep(0.1)  # it is at the end of what a pipe holds, or nearly
            assert file.read() == LONG.encode() + b"\n"
    assert process.returncode == 0


@posix
def test_a_c_locale() -> None:
    script = {"scripts": [{"text": "grün 雨"}]}
    variables = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    command = [sys.executable, str(DRIVER), "run", "tiny", "été", "--system", "雨"]
    done = subprocess.run(
        command,
        env={**os.environ, **variables, "FAKE": json.dumps(script), "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "grün 雨\n".encode(), b"")


# --- the same bytes --------------------------------------------------------------------------

ASKED = ["tiny", "Tell me about a fox and a bear.", "--seed", "11", "--max-tokens", "40"]


def test_a_seed_gives_the_same_bytes_however_it_is_asked(engine_home: Path, tmp_path: Path) -> None:
    """At every draft length; in this process, in an engine that loads, in one that has answered
    that and others; by a server; and in lines, in JSON and in a batch."""

    def run(*more: str) -> str:
        outcome = invoke("run", *ASKED, *more, env=Environment())
        assert outcome.status == 0, outcome.stderr
        return outcome.stdout

    text = run("--draft", "off", "--keep-alive", "off")
    assert len(text.split()) > 10
    for draft in ("1", "3", "7", "auto"):
        assert run("--draft", draft, "--keep-alive", "off") == text
    warm = ["--keep-alive", "5m"]
    for draft in ("off", "3", "auto"):
        assert run("--draft", draft, *warm) == text
        invoke("run", "tiny", f"Something else, {draft}.", "-n", "9", *warm, env=Environment())
    with server_process(tmp_path) as server:
        for draft in ("off", "3", "auto"):
            assert run("--draft", draft, "--server", server.url) == text
    assert json.loads(run("--json", *warm))["text"] + "\n" == text
    lines = [json.loads(line) for line in run("--jsonl", *warm).splitlines()]
    pieces = (line["text"] for line in lines if line["type"] == "text")
    assert "".join(pieces) + "\n" == text
