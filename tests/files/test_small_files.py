"""Small files of our own: never half written, nothing left beside them, private if of words."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.fakes import invoke
from support.talk import Talk

from gemma_mtp import paths
from gemma_mtp.api import Stats
from gemma_mtp.cli.environment import Environment
from gemma_mtp.files import atomic, private
from gemma_mtp.models import last_used, speeds

posix = pytest.mark.skipif(os.name != "posix", reason="file modes and limits")


pytestmark = pytest.mark.usefixtures("home")


@contextmanager
def full() -> Iterator[None]:
    """No file can have more than 10 bytes: as a full disk, an error in the middle of a write.

    Not a fixture: those last while pytest writes its report, which may go to a file.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- a full disk ------------------------------------------------------------------------------


@posix
def test_a_file_that_cannot_be_written_whole_stays_as_it_was(home: Path) -> None:
    path = home / "file"
    path.write_text("short")
    for action in (atomic.write_text, private.write_new):
        place = path if action is atomic.write_text else home / "new"
        with full(), pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            action(place, "far too long for what is left")
    assert path.read_text() == "short"
    assert [*home.iterdir()] == [path]


def test_what_a_killed_writer_left_goes_with_the_next_write(home: Path) -> None:
    old, young, other = (home / f"{name}.tmp" for name in ("file.1", "file.2", "else.3"))
    for path in (old, young, other):
        path.touch()
    long_ago = time.time() - 2 * atomic.ABANDONED
    for path in (old, other):
        os.utime(path, (long_ago, long_ago))
    atomic.write_text(home / "file", "text")
    assert {path.name for path in home.iterdir()} == {"file", "file.2.tmp", "else.3.tmp"}


@posix
def test_what_a_killed_writer_left_goes_at_once_and_what_a_living_one_writes_stays(
    home: Path,
) -> None:
    program = """
import sys, time
from pathlib import Path
from gemma_mtp.files import atomic
def parts():
    yield b"begun"
    print("writing", flush=True)
    time.sleep(600)
atomic.write(Path(sys.argv[1]), parts(), private=False)
"""
    writer = subprocess.Popen(
        [sys.executable, "-c", program, str(home / "file")], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    (part,) = home.glob("file.*.tmp")
    soon = time.time() - 2 * atomic.MOMENT
    os.utime(part, (soon, soon))
    atomic.write_text(home / "file", "text")
    assert part.exists()
    writer.kill()
    writer.communicate()
    os.utime(part, (soon, soon))
    atomic.write_text(home / "file", "text")
    assert [path.name for path in home.iterdir()] == ["file"]


@posix
def test_a_log_that_cannot_be_written_says_nothing(home: Path) -> None:
    """In a process of its own: a file that grows no further, and llama.cpp that logs on."""
    program = """
import resource, signal, sys
from pathlib import Path
from gemma_mtp.engine.loading import load
from gemma_mtp.api import LoadOptions
from gemma_mtp.cli.environment import Environment
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
files = Environment().resolve("tiny", None)
for _ in range(2):
    load(files, LoadOptions(context=512, log_file=Path(sys.argv[1]))).close()
"""
    log = home / "state" / "llama.log"
    done = subprocess.run(
        [sys.executable, "-c", program, str(log)], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert log.stat().st_size == 1000


# --- links and rights -------------------------------------------------------------------------


@posix
def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    link, target = tmp_path / "config.toml", tmp_path / "dotfiles" / "config.toml"
    link.symlink_to(target)
    for text in ("one", "two"):
        atomic.write_text(link, text)
        assert link.is_symlink()
        assert target.read_text() == text


@posix
def test_files_with_words_are_for_their_owner_alone(home: Path, tmp_path: Path) -> None:
    """Settings, history, what was used, figures, the log; and folders that were open before."""
    from gemma_mtp.api import LoadOptions
    from gemma_mtp.terminal.prompt.history import MessageHistory
    from gemma_mtp.terminal.prompt.pastes import Pastes

    state = home / "state"
    state.mkdir(parents=True)
    for name in ("history", "llama.log", "used.json", "speeds.json"):
        (state / name).touch()
        (state / name).chmod(0o644)
    before = os.umask(0)
    try:
        assert invoke("config", "system", "Be my friend.").status == 0
        last_used.remember("tiny")
        speeds.remember("tiny", Stats(decoded=100, decode_seconds=1))
        MessageHistory(state / "history", Pastes()).store_string("hello")
        env = Environment()
        env.load(env.resolve("tiny", None), LoadOptions(context=512), lambda _: True).close()
        talk = Talk(home=tmp_path)
        talk.run("Hello", f"/export md {tmp_path}/words.md")
        exported = invoke("chats", "export", "1", "-o", f"{tmp_path}/words.json", env=talk.env)
        assert exported.status == 0
        assert {mode(tmp_path / name) for name in ("words.md", "words.json")} == {0o600}
        files = [*state.iterdir(), paths.config_file()]
        assert {file.name: mode(file) for file in files} == dict.fromkeys(
            ("history", "llama.log", "used.json", "speeds.json", "config.toml"), 0o600
        )
        assert (mode(state), mode(paths.config_dir())) == (0o700, 0o700)
    finally:
        os.umask(before)


# --- damage -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "7", "[" * 100_000, '{"used": ["tiny"], "when": {"tiny": "soon"}}',
     '{"used": ["tiny"], "when": {"tiny": 7}}', '{"used": 7}', '{"tiny": {"speedup": "x"}}',
     '{"tiny": {}}', '{"costs": []}', '{"used": ["tiny"], "drafters": []}'],
)  # fmt: skip
def test_what_makes_no_sense_is_forgotten(home: Path, text: str) -> None:
    for file in ("state/used.json", "state/speeds.json", "cache/checked.json"):
        (home / file).parent.mkdir(parents=True, exist_ok=True)
        (home / file).write_text(text)
    for words in (("list",), ("show", "tiny"), ("show", "tiny", "--json")):
        outcome = invoke(*words, env=Environment())
        assert (outcome.status, outcome.stderr) == (0, "")
    last_used.remember("tiny")
    speeds.remember("tiny", Stats(decoded=100, decode_seconds=1))
    assert json.loads((home / "state/used.json").read_text())["used"][0] == "tiny"
    assert speeds.recall("tiny") is not None
