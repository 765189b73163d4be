"""A Python that has imported the program: processes of terminals are forked from it, since imports
are most of the time that a chat takes to begin.

`start` is for tests. Run as a program, with a socket on a descriptor, it forks what is asked for
there: a keeper, which forks the program itself and says over a socket who it is and how it ended.
"""

from __future__ import annotations

import gc
import json
import os
import pkgutil
import runpy
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("chat", "cli", "models.pull", "terminal")  # those of a chat, below gemma_mtp
NUMBER = struct.Struct("=i")
USUAL = {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}
READ_AT_START = ("LC_", "LANG", "PYTHON", "TZ")  # variables that Python reads when it starts


class Program:
    """A program that runs in a terminal."""

    def __init__(self, answers: socket.socket) -> None:
        self._answers = answers
        self.pid = self._number()

    def wait(self) -> int:
        """Its exit status, as `os.waitpid` has it, once it has ended."""
        status = self._number()
        self._answers.close()
        return status

    def _number(self) -> int:
        (number,) = NUMBER.unpack(self._answers.recv(NUMBER.size, socket.MSG_WAITALL))
        return int(number)


def can_start(env: Mapping[str, str]) -> bool:
    """Whether Python would be the same with these variables as it is here."""
    names = [name for name in {*env, *USUAL, *os.environ} if name.startswith(READ_AT_START)]
    return all(env.get(name) == {**os.environ, **USUAL}.get(name) for name in names)


def start(
    program: Path, words: Sequence[str], env: Mapping[str, str], tty: int, stdin: int
) -> Program:
    """Run a file of Python in a terminal of which `tty` is a descriptor; it reads `stdin`."""
    here, there = socket.socketpair()
    asked = json.dumps([str(program), list(words), dict(env), os.getcwd()]).encode()
    with there:
        socket.send_fds(_warm(), [NUMBER.pack(len(asked))], [tty, stdin, there.fileno()])
    _warm().sendall(asked)
    return Program(here)


@cache
def _warm() -> socket.socket:
    """The socket of the Python that forks; it ends when this process does."""
    here, there = socket.socketpair()
    _, tty = os.openpty()  # so that its streams are those of a terminal
    command = [sys.executable, __file__, str(there.fileno())]
    subprocess.Popen(
        command, env={**os.environ, **USUAL}, stdin=tty, stdout=tty, stderr=tty,
        pass_fds=[there.fileno()], start_new_session=True,
    )  # fmt: skip
    os.close(tty)
    there.close()
    return here


def _asked(asks: socket.socket) -> tuple[str, list[str]]:
    """Fork whenever that is asked for. Returns in what was forked, with the file to run and the
    words of its command line."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for keepers
    while True:
        head, (*descriptors,), _, _ = socket.recv_fds(asks, NUMBER.size, 3)
        if not head:
            os._exit(0)
        asked = asks.recv(*NUMBER.unpack(head), socket.MSG_WAITALL)
        if os.fork() == 0:
            asks.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            program, words, env, folder = json.loads(asked)
            _enter(*descriptors, env, folder)
            return program, words
        for descriptor in descriptors:
            os.close(descriptor)


def _enter(tty: int, stdin: int, answers: int, env: dict[str, str], folder: str) -> None:
    """Fork once more; returns in what will be the program, and in its terminal."""
    pid = os.fork()
    if pid:
        os.close(tty)
        os.close(stdin)
        os.write(answers, NUMBER.pack(pid))
        os.write(answers, NUMBER.pack(os.waitpid(pid, 0)[1]))
        os._exit(0)
    os.close(answers)
    os.login_tty(tty)
    os.dup2(stdin, 0)
    os.close(stdin)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)


def main() -> None:
    for package in PACKAGES:
        found = import_module(f"gemma_mtp.{package}")
        for module in pkgutil.walk_packages(found.__path__, f"{found.__name__}."):
            import_module(module.name)
    from pydantic import TypeAdapter

    TypeAdapter(int)  # as typer has one for each option
    gc.freeze()
    program, words = _asked(socket.socket(fileno=int(sys.argv[1])))
    sys.argv = [program, *words]
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main()
