"""Starts the process of the resident engine, where none runs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.files.folder_lock import is_locked
from gemma_mtp.resident.identity import WITHOUT, NoEngine
from gemma_mtp.resident.sockets import connect, is_running

PATIENCE = 60.0  # seconds that a new process may take until it listens
ENDING = 10.0  # seconds that the system may take to end a process
PID = "pid"  # the number of the engine's process, which holds the folder
LOG = "log"  # what the process says, as when llama.cpp dies

_begun: list[subprocess.Popen[bytes]] = []  # what `begin` has started, until it is connected to


class Started:
    """A connection to the engine, and the process where it was started here."""

    def __init__(self, sock: socket.socket, process: subprocess.Popen[bytes] | None) -> None:
        self.socket, self.process = sock, process

    def how_it_ended(self) -> str:
        """Why the process is gone, as the rest of a sentence; "" where that is not known."""
        if self.process is None:
            return ""
        try:
            status = self.process.wait(1.0)
        except subprocess.TimeoutExpired:
            return ""
        if status >= 0:
            return f"with status {status}"
        name = signal.Signals(-status).name
        return f"by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")


def begin(folder: Path) -> None:
    """Start the engine where none runs, and go on with something else meanwhile."""
    if not is_running(folder):
        with suppress(OSError):
            _begun.append(_spawn(folder))


def ran_before(folder: Path) -> bool:
    """Whether an engine runs that was not begun here."""
    return not _begun and is_running(folder)


def connect_or_start(folder: Path) -> Started:
    """Raises NoEngine where a new process does not come up."""
    found = None if _begun else connect(folder)
    return Started(found, None) if found is not None else _start(folder)


def _start(folder: Path) -> Started:
    if _begun and (found := _listening(folder, _begun.pop())):
        return found
    try:
        process = _spawn(folder)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise NoEngine(f"No engine can be started: {why}.", WITHOUT) from error
    if found := _listening(folder, process):
        return found
    raise NoEngine(f"The engine does not start; {folder / LOG} may say why.", WITHOUT)


def _listening(folder: Path, process: subprocess.Popen[bytes]) -> Started | None:
    """A connection to the engine that a process becomes, unless another one is it by then; None
    where it has ended, as one does that was begun too long ago."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        ended = process.poll() is not None
        found = connect(folder)
        if found is not None:
            return Started(found, None if ended else process)
        if ended:
            break
        time.sleep(0.01)
    return None


def kill(folder: Path) -> int | None:
    """End the process of the engine, whatever it does, and return its number; None where none is.

    Raises GemmaMtpError where it cannot be ended.
    """
    if not folder.is_dir() or not is_locked(folder):
        return None
    try:
        pid = int((folder / PID).read_text())
        os.kill(pid, signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
    except (OSError, ValueError) as error:
        raise GemmaMtpError(f"The engine of {folder} cannot be ended: {error}.") from error
    until = time.monotonic() + ENDING
    while is_locked(folder) and time.monotonic() < until:
        time.sleep(0.01)
    return pid


def _spawn(folder: Path) -> subprocess.Popen[bytes]:
    package = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    with (folder / LOG).open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "gemma_mtp.resident.process", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/" if os.name == "posix" else folder,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
        )
