"""Standard input that is idle, endless or somebody else's, and output that nobody takes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fakes import FakeEngine, FakeEnvironment, invoke
from support.sounds import wav
from support.talk import Talk

from gemma_mtp.api import Message, Turn
from gemma_mtp.cli import app
from gemma_mtp.conversations.archive import Archive
from gemma_mtp.engine import prompt_length
from gemma_mtp.errors import DoesNotFit
from gemma_mtp.files import reading
from gemma_mtp.terminal import output
from gemma_mtp.text import json_text

DRIVER = Path(__file__).parents[1] / "support" / "fakes.py"
ENV = {**os.environ, "PYTHONPATH": str(DRIVER.parents[2])}
PROGRAM = [sys.executable, str(DRIVER)]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")


# --- output that nobody takes ----------------------------------------------------------------

COMMANDS = [
    "--help",
    "--version",
    "run tiny hi",
    "run --json tiny hi",
    "list",
    "config",
    "chats",
    "prune",
]


READ = [(command, "stdout") for command in (*COMMANDS, "show tiny", "chats show 1", "doctor")]
READ += [(command, stream) for command in ("run tiny hi", "list") for stream in ("stderr", "both")]


@pytest.mark.parametrize(("command", "stream"), READ)
def test_a_reader_that_has_left_had_enough(command: str, stream: str, tmp_path: Path) -> None:
    Archive(tmp_path / "chats.sqlite").add([Turn(Message.text("user", "hi"))])
    end, start = os.pipe()
    os.close(end)
    fake = json.dumps({"home": str(tmp_path)})
    env = {**ENV, "GEMMA_MTP_HOME": str(tmp_path), "FAKE": fake}
    done = subprocess.run(
        [*PROGRAM, *command.split()],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if stream == "stderr" else start,
        stderr=subprocess.PIPE if stream == "stdout" else start,
    )
    os.close(start)
    assert (done.returncode, done.stderr or b"") == (0, b"")
    assert bool(done.stdout) == (stream == "stderr")


def test_what_is_wrong_is_told_by_the_status_whoever_reads(tmp_path: Path) -> None:
    file = tmp_path / "config" / "config.toml"
    file.parent.mkdir()
    file.write_text("temprature = 1")
    env = {**ENV, "GEMMA_MTP_HOME": str(tmp_path)}
    command = "set -o pipefail; $PYTHON -m gemma_mtp {} | head -1 >{}"
    for words, status in (("doctor --offline", 1), ("show tiny", 0), ("rm nosuch", 4)):
        shell = command.format(words, os.devnull)
        done = subprocess.run(
            ["bash", "-c", shell], env={**env, "PYTHON": sys.executable}, stderr=subprocess.PIPE
        )
        assert done.returncode == status, done.stderr


def test_a_reply_ends_when_its_reader_leaves() -> None:
    script = {"scripts": [{"text": "word\n" * 20_000, "delay": 0.001}]}
    done = subprocess.run(
        [
            "bash",
            "-c",
            '"$@" | head -1; exit ${PIPESTATUS[0]}',
            "bash",
            *PROGRAM,
            "run",
            "tiny",
            "hi",
        ],
        env={**ENV, "FAKE": json.dumps(script)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"word\n", b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("command", COMMANDS)
def test_an_output_that_is_full(command: str, tmp_path: Path) -> None:
    env = {**ENV, "GEMMA_MTP_HOME": str(tmp_path)}
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*PROGRAM, *command.split()],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
        )
    said = b"gemma-mtp: The output cannot be written: No space left on device.\n"
    assert (done.returncode, done.stderr) == (1, said)


def test_complaints_that_nobody_reads() -> None:
    end, start = os.pipe()
    os.close(end)
    done = subprocess.run([*PROGRAM, "run", "nosuch:", "hi"], env=ENV, stderr=start)
    os.close(start)
    assert done.returncode == 4


# --- what passes the guard -------------------------------------------------------------------


def test_the_streams_of_a_command_are_guarded_and_afterwards_as_they_were() -> None:
    before = sys.stdout, sys.stderr
    seen = []

    class Environment(FakeEnvironment):
        def versions(self) -> tuple[str, str]:
            seen.extend([sys.stdout, sys.stderr])
            return "", ""

    app.main(["--version"], Environment())
    assert [type(stream) for stream in seen] == [output.Guard, output.Guard]
    assert (sys.stdout, sys.stderr) == before


def test_a_guard_is_a_text_stream_and_offers_no_bytes() -> None:
    behind = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="replace")
    guard = output.Guard(behind)
    print("a\x1b[1mb\tc\r\n雨\u202e\udcff", end="", file=guard)  # type: ignore[call-overload]
    guard.writelines(["x\x9b", "y"])
    guard.flush()
    assert behind.buffer.getvalue().decode() == "a�[1mb\tc�\n雨��x�y"  # type: ignore[attr-defined]
    assert not hasattr(guard, "buffer")
    assert (guard.encoding, guard.errors, guard.isatty(), guard.closed) == (
        *("utf-8", "replace"),
        *(False, False),
    )


def test_json_escapes_what_could_act_and_nothing_else() -> None:
    value = {"é雨": ["\x1b\x7f\x9b\u202e\u2069\udcff", "\n\t", 1.5, None]}
    text = json_text(value)
    assert json.loads(text) == value
    assert text == (r'{"é雨": ["\u001b\u007f\u009b\u202e\u2069\udcff", "\n\t", 1.5, null]}')


# --- standard input --------------------------------------------------------------------------


def test_waiting_is_said_and_goes_on() -> None:
    process = subprocess.Popen(
        [*PROGRAM, "run", "tiny", "Sum up:"],
        env=ENV,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    said = process.stderr.readline()  # before anything was sent
    assert said == (
        b"gemma-mtp: Waiting for standard input to end; with --no-stdin it is not read.\n"
    )
    out, err = process.communicate(b"late")
    assert (process.returncode, out, err) == (0, b"Hello there.\n", b"")


def test_what_comes_at_once_needs_no_words() -> None:
    there = FakeEnvironment()
    assert invoke("run", "tiny", "a", stdin=b"b", env=there).stderr == ""
    assert there.engine.requests[0].messages == (Message.text("user", "a\n\nb"),)


def test_no_stdin() -> None:
    """It is not touched at all: neither waited for nor used up."""
    for command in ("run", "chat"):
        end, start = os.pipe()
        os.write(start, b"for others")
        done = subprocess.run(
            [*PROGRAM, command, "tiny", "hi", "--no-stdin"], env=ENV, stdin=end, capture_output=True
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, b"Hello there.\n", b"")
        assert os.read(end, 99) == b"for others"
        os.close(end)
        os.close(start)
    assert "The prompt is empty." in invoke("run", "--no-stdin", stdin=b"hi").stderr


def loop(tmp_path: Path, words: str) -> list[str]:
    """What a shell's loop over three lines leaves in a file, one call after the other."""
    (tmp_path / "lines").write_text("one\ntwo\nthree\n")
    shell = f'while read -r line; do echo "$line"; {words} 2>&1; done < lines'
    program = " ".join(PROGRAM)
    done = subprocess.run(
        ["sh", "-c", shell.replace("GEMMA", program)],
        env=ENV,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    return done.stdout.splitlines()


def test_a_loop_over_the_lines_of_a_file_keeps_its_lines(tmp_path: Path) -> None:
    said = "gemma-mtp: Standard input was read in part by something else and is left alone"
    for option, note in (("", [f"{said} (--no-stdin)."]), ("--no-stdin", [])):
        lines = loop(tmp_path, f'GEMMA run tiny "$line" {option}')
        assert lines == ["one", *note, "Hello there.", "two", *note, "Hello there.",
                         "three", "Hello there."]  # fmt: skip


def test_without_a_prompt_the_rest_of_a_file_is_the_prompt(tmp_path: Path) -> None:
    assert loop(tmp_path, "GEMMA run --quiet") == ["one", "Hello there."]


def test_a_file_from_its_beginning_goes_along(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("much")
    shell = f"{' '.join(PROGRAM)} run tiny 'Sum up:' --json < notes"
    done = subprocess.run(["sh", "-c", shell], env=ENV, cwd=tmp_path, capture_output=True)
    assert json.loads(done.stdout)["prompt_tokens"] == len(["Sum", "up:", "much"]) + 4


@pytest.mark.skipif(not Path("/dev/stdin").exists(), reason="a file of Unix")
@pytest.mark.parametrize("before", ["cat {} |", "< {}"])
def test_a_file_that_is_read_from_standard_input_is_read_once(before: str, tmp_path: Path) -> None:
    (tmp_path / "memo.wav").write_bytes(wav(1.0))
    (tmp_path / "notes").write_text("much")
    program = " ".join([*PROGRAM, "run", "tiny", "'Sum up:'"])
    for file, words, tokens in (("memo.wav", "--audio", 106), ("notes", "-f", 10)):
        shell = f"{before.format(file)} {program} {words} /dev/stdin --json"
        done = subprocess.run(["sh", "-c", shell], env=ENV, cwd=tmp_path, capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")
        assert json.loads(done.stdout)["prompt_tokens"] == tokens


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="a device of Unix")
def test_an_endless_input_is_refused() -> None:
    for shell in ("yes |", "< /dev/zero"):
        program = " ".join([*PROGRAM, "run", "tiny", "hi"])
        command = f"{shell} {program}" if shell.endswith("|") else f"{program} {shell}"
        done = subprocess.run(["sh", "-c", command], env=ENV, capture_output=True)
        said = b"gemma-mtp: What was piped in is larger than 16 MiB.\n"
        assert (done.returncode, done.stderr) == (2, said)


# --- files -----------------------------------------------------------------------------------


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Path]:
    """A named pipe."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("command", ["chat -f", "bench --prompt-file"])
def test_a_pipe_without_a_writer(pipe: Path, command: str) -> None:
    process = subprocess.Popen(
        [*PROGRAM, *command.split(), str(pipe)],
        env=ENV,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    assert process.stderr.readline().endswith(b"Waiting for %s.\n" % bytes(pipe))
    pipe.write_bytes(b"\0")  # no text, so that it ends here
    _, err = process.communicate()
    assert (process.returncode, b"is not text" in err) == (2, True)


def test_a_pipe_in_a_chat(pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PATIENCE", 0)
    talk = Talk()
    note = talk.chat.note

    def noted(text: str) -> None:
        note(text)
        if text.startswith("Waiting"):
            subprocess.Popen(["sh", "-c", f"echo text > {pipe}"])

    monkeypatch.setattr(talk.chat, "note", noted)
    shown = talk.run(f"/file {pipe}")
    assert shown.splitlines()[1:] == [
        f"Waiting for {pipe}.",
        f"attached: {pipe}, 1 token of 8192",
    ]


# --- a message that is far too long ----------------------------------------------------------


def test_a_text_that_is_far_too_long_is_refused_after_its_first_piece() -> None:
    counted: list[int] = []

    def count(text: str) -> int:
        counted.append(len(text))
        return len(text) // 4

    with pytest.raises(DoesNotFit, match=r"about 5000000 tokens, and the context holds 8192"):
        prompt_length.refuse_far_too_long(["x" * 20_000_000], count, 8192)
    assert counted == [prompt_length.PIECE_CHARACTERS] * 2  # more than twice the context
    prompt_length.refuse_far_too_long(["x" * 60_000], count, 8192)
    prompt_length.refuse_far_too_long(["x" * 60_000], count, 256)
    assert len(counted) == 2  # of what others will say how much it is too long, nothing


def test_a_long_text_of_few_tokens_passes() -> None:
    prompt_length.refuse_far_too_long([" " * 200_000], lambda text: len(text) // 30, 8192)


def test_the_engine_refuses_it_at_once() -> None:
    from gemma_mtp.cli.environment import Environment

    text = b"some words to be read " * 500_000
    outcome = invoke("run", "tiny", stdin=text, env=Environment())
    assert outcome.status == 5
    assert "about" in outcome.stderr
    assert "and the context holds 8192.\n" in outcome.stderr


def test_a_file_that_is_far_too_long_is_not_attached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def count(self: FakeEngine, request: object) -> int:
        raise DoesNotFit("The prompt has about 5000000 tokens.")

    talk = Talk()
    (tmp_path / "long").write_text("x")
    monkeypatch.setattr(FakeEngine, "count", count)
    assert "about 5000000 tokens." in talk.run(f"/file {tmp_path / 'long'}")
    assert not talk.chat.attached
