"""The file of answers: one process at a time, a line in one piece, and none twice.

Written by `work`. A program that is killed leaves at most a part of its last line, which the next
one cuts off.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

from gemma_mtp.batch.lines import Key
from gemma_mtp.errors import UsageError
from gemma_mtp.files import atomic
from gemma_mtp.files.folder_lock import try_lock
from gemma_mtp.text import json_text

SAFE = 1.0  # seconds; what was written since is lost if the machine loses its power
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
_BEGINNINGS = (b'{"index": ', b'{"id": "batch_req_')


Verdict = Literal["whole", "cut", "failed"]
"""What a line of an answer says: all of an answer, one that a limit cut, or why there is none."""


def verdict(answer: dict[str, Any]) -> Verdict:
    """Of a line of either format."""
    found = answer
    if response := answer.get("response"):
        found = response["body"]
        found = {**found, **(found.get("choices") or [{}])[0]}
    if found.get("error"):
        return "failed"
    limit = found.get("finish_reason") in ("length", "context")
    return "cut" if limit or found.get("status") == "incomplete" else "whole"


class Answers(Protocol):
    """Where answers go."""

    done: dict[Key, Verdict]
    """What is answered already."""

    def add(self, line: dict[str, Any]) -> None:
        """Write a line. Raises OSError."""

    def close(self) -> None: ...


class Printed:
    """Answers on standard output, which nobody can take up. `write` is how a text gets there."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self.done: dict[Key, Verdict] = {}

    def add(self, line: dict[str, Any]) -> None:
        self._write(json_text(line) + "\n")

    def close(self) -> None:
        """The stream is the process's."""


def forget_failed(path: Path) -> None:
    """Take the lines that say why there is no answer out of the file, so that they are tried again.

    Raises UsageError as `Kept` does, and OSError; the file is as it was then.
    """
    held = Kept(path)
    try:
        if "failed" in held.done.values():
            lines = path.read_bytes().splitlines(keepends=True)
            kept = [line for line in lines if (found := _answer(line)) and found[1] != "failed"]
            atomic.write(path.resolve(), kept, private=False)
    finally:
        held.close()


class Kept:
    """Answers in a file that is held until it is closed."""

    def __init__(self, path: Path) -> None:
        """Raises UsageError where another process writes it, or where it holds something else."""
        self._path = path
        try:
            self._file = os.open(path, _FLAGS, 0o666)
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}.") from error
        try:
            regular = stat.S_ISREG(os.fstat(self._file).st_mode)
            if regular and not try_lock(self._file):
                raise UsageError(f"Another process writes answers to {path}.", "Wait for its end.")
            self.done = self._read() if regular else {}
        except BaseException:
            os.close(self._file)
            raise
        self._synced = time.monotonic()

    def add(self, line: dict[str, Any]) -> None:
        self._write(json_text(line).encode() + b"\n")
        if time.monotonic() - self._synced > SAFE:
            self._sync()

    def close(self) -> None:
        self._sync()
        os.close(self._file)

    def _sync(self) -> None:
        self._synced = time.monotonic()
        if stat.S_ISREG(os.fstat(self._file).st_mode):
            os.fsync(self._file)

    def _write(self, data: bytes) -> None:
        while data:  # the system may take a part only
            data = data[os.write(self._file, data) :]

    def _read(self) -> dict[Key, Verdict]:
        """What the file has; a last line that is not whole is cut off."""
        found: dict[Key, Verdict] = {}
        whole = 0  # bytes
        with open(os.dup(self._file), "rb") as file:
            file.seek(0)
            for number, line in enumerate(file, 1):
                answer = _answer(line)
                if answer is not None:
                    found[answer[0]] = answer[1]
                    if not line.endswith(b"\n"):  # somebody took it away
                        self._write(b"\n")
                elif line.endswith(b"\n") or not _is_begun(line):
                    raise self._foreign(number)
                else:
                    os.ftruncate(self._file, whole)
                whole += len(line)
        return found

    def _foreign(self, number: int) -> UsageError:
        what = f"Line {number} of {self._path} is no answer of a batch."
        return UsageError(what, "Give --out another name, or take that line out.")


def _is_begun(line: bytes) -> bool:
    """Whether that is the beginning of an answer."""
    part = line.rstrip(b"\0")  # as some file systems leave it after a loss of power
    return any(part[: len(b)] == b[: len(part)] for b in _BEGINNINGS)


def _answer(line: bytes) -> tuple[Key, Verdict] | None:
    """What the answer in a line is found by, and what it says; None where it is none."""
    try:
        data = json.loads(line)
        if data.keys().isdisjoint(("text", "error", "response")):
            return None
        key = data.get("index", data.get("custom_id"))
        return (key, verdict(data)) if type(key) in (int, str) else None
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError, IndexError):
        return None
