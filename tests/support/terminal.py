"""A terminal for tests: keys in, the screen of an emulator out.

Nothing here waits for a fixed time: a test looks at the screen until what it expects is there.
"""

from __future__ import annotations

import codecs
import fcntl
import json
import os
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from support import warm_python
from support.emulator import Emulator
from support.waiting import PATIENCE

from gemma_mtp.conversations.archive import Archive

SUPPORT = Path(__file__).parent
DRIVER = SUPPORT / "fakes.py"
ROOT = SUPPORT.parents[1]
CTRL_C, CTRL_D, ENTER, TAB, UP = "\x03", "\x04", "\r", "\t", "\x1b[A"
CTRL_E, CTRL_G, CTRL_L, CTRL_R, CTRL_X, CTRL_Z = "\x05", "\x07", "\x0c", "\x12", "\x18", "\x1a"
ALT_ENTER, BACKSPACE, ESCAPE = "\x1b\r", "\x7f", "\x1b"
CTRL_U = "\x15"
DOWN, LEFT, RIGHT = "\x1b[B", "\x1b[D", "\x1b[C"


def paste(text: str) -> str:
    """What a terminal makes of a paste."""
    return f"\x1b[200~{text}\x1b[201~"


class ColdProgram:
    """A program that begins in a terminal as it does for a person."""

    def __init__(self, command: list[str], env: dict[str, str], tty: int, stdin: int) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            os.login_tty(os.dup(tty))
            os.dup2(stdin, 0)
            os.execve(command[0], command, env)

    def wait(self) -> int:
        return os.waitpid(self.pid, 0)[1]


class Terminal:
    """The command line in a pseudo-terminal, with an emulator that answers as terminals do.

    Behind it is the scripted engine of fakes.py, or what another `driver` has, or with `real` the
    true one. Imports are done already, unless it begins `cold`. What is `piped` in (64 kB at most)
    is its standard input, and the terminal all the rest. Where it gets another width, it breaks
    its rows anew, or if not `reflows` cuts them.
    """

    def __init__(
        self,
        *arguments: str,
        columns: int = 80,
        rows: int = 24,
        script: dict[str, object] | None = None,
        real: bool = False,
        cold: bool = False,
        driver: Path = DRIVER,
        reflows: bool = True,
        piped: bytes | None = None,
        **env: str,
    ) -> None:
        self.screen = Emulator(columns, rows, reflows=reflows)
        self.widest = columns
        self.screen.write_process_input = lambda text: os.write(self.fd, text.encode())
        self.decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self.raw = b""
        self.last_key = ""
        self.status: int | None = None
        self.fd, tty = os.openpty()
        self.tty = os.ttyname(tty)
        fcntl.ioctl(tty, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        cleared = ("NO_COLOR", "COLUMNS", "LINES")
        inherited = {k: v for k, v in os.environ.items() if k not in cleared}
        env = {**inherited, **warm_python.USUAL, "FAKE": json.dumps(script or {}), **env}
        stdin = tty if piped is None else _full_pipe(piped)
        if real or cold or not warm_python.can_start(env):
            program = ["-m", "gemma_mtp"] if real else [str(driver)]
            command = [sys.executable, *program, *arguments]
            self.program: ColdProgram | warm_python.Program = ColdProgram(command, env, tty, stdin)
        else:
            self.program = warm_python.start(driver, arguments, env, tty, stdin)
        self.pid = self.program.pid
        os.close(tty)
        if stdin != tty:
            os.close(stdin)

    def close(self) -> None:
        if self.status is None:
            with suppress(ProcessLookupError):  # a test has killed it
                os.kill(self.pid, signal.SIGKILL)
            self.program.wait()
        os.close(self.fd)

    @property
    def lines(self) -> list[str]:
        """The rows of the screen down to the last one that is not empty."""
        rows = [row.rstrip() for row in self.screen.display]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    @property
    def row(self) -> str:
        """The row that is being typed: the last one, or above the bar; "" where there is none."""
        rows = [row.strip() for row in self.lines[-2:]]
        return next((row for row in reversed(rows) if row.startswith(">>>")), "")

    @property
    def above(self) -> list[str]:
        """What the screen shows without the bar."""
        return self.lines[:-1] if " · " in self.lines[-1] else self.lines

    @property
    def scrolled(self) -> list[str]:
        """The rows that have left the screen at the top."""
        columns = range(self.widest)
        return ["".join(r[x].data for x in columns).rstrip() for r in self.screen.history.top]

    def keys(self, *keys: str) -> None:
        """Press keys; what follows Enter when that was taken, since several lines at once are a
        paste."""
        for key in keys:
            if self.last_key == ENTER:
                self.taken()
            os.write(self.fd, key.encode())
            self.last_key = key

    def taken(self) -> None:
        """Wait until the program has taken the keys that were pressed."""
        with open(self.tty, "rb", buffering=0) as tty:
            self.until(lambda: not select.select([tty], [], [], 0)[0])

    def pour(self, text: str) -> None:
        """Press more keys than the terminal takes at once."""
        data = text.encode()
        deadline = time.monotonic() + PATIENCE
        os.set_blocking(self.fd, False)
        while data:
            try:
                data = data[os.write(self.fd, data) :]
                deadline = time.monotonic() + PATIENCE
            except BlockingIOError:
                assert time.monotonic() < deadline, f"{len(data)} bytes were never taken"
                assert self.read(0.01), f"the program has gone with {len(data)} bytes not taken"
        os.set_blocking(self.fd, True)

    def resize(self, columns: int, rows: int) -> None:
        """Another size of the window, at a moment when nothing is on its way to it."""
        os.kill(self.pid, signal.SIGSTOP)
        seen = -1
        while seen < len(self.raw):
            seen = len(self.raw)
            self.read(0.1)
        self.screen.resize(rows, columns)
        self.widest = max(self.widest, columns)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.kill(self.pid, signal.SIGCONT)

    def read(self, seconds: float = 0.05) -> bool:
        """Take what the program wrote; False when it has gone."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            data = b""
        self.raw += data
        self.screen.feed(self.decode(data))
        return bool(data)

    def until(self, seen: str | Callable[[], bool]) -> None:
        """Read until `seen` is on the screen, or true."""
        deadline = time.monotonic() + PATIENCE
        while not (seen() if callable(seen) else any(seen in row for row in self.lines)):
            here = "\n".join(self.lines)
            assert time.monotonic() < deadline, f"waited for {seen!r} in vain; the screen:\n{here}"
            assert self.read(), f"the program has gone before {seen!r}; the screen:\n{here}"

    def prompt(self) -> None:
        """Read until the chat waits for a line and has nothing on it."""
        self.until(lambda: self.row == ">>>")

    def say(self, text: str) -> None:
        """Type a message at an empty prompt, and see it there before sending it."""
        self.prompt()
        self.keys(text)
        self.until(lambda: self.row != ">>>")
        self.keys(ENTER)

    def leave(self, *keys: str) -> int:
        """Press keys and return the exit status."""
        self.keys(*keys)
        deadline = time.monotonic() + PATIENCE
        while self.read():
            assert time.monotonic() < deadline, "\n".join(self.lines)
        self.status = os.waitstatus_to_exitcode(self.program.wait())
        return self.status


def _full_pipe(data: bytes) -> int:
    """A descriptor from which that can be read."""
    ready, end = os.pipe()
    os.write(end, data)
    os.close(end)
    return ready


def told(home: Path) -> list[str]:
    """What the scripted engine was told in the latest conversation, as it was saved."""
    with closing(Archive(home / "chats.sqlite")) as archive:
        latest = archive.latest()
        return [turn.user.content for turn in archive.read(latest).turns] if latest else []
