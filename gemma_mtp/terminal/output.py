"""The way out: every text for standard output or error passes here, whoever wrote it.

What is written is made harmless on the way. A reader that leaves before the end, as in `| head -1`,
has what it wanted: what else is written goes nowhere, and is no error. Knows no words and no
columns.
"""

from __future__ import annotations

import errno
import io
import os
import select
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from gemma_mtp.text import harmless


class Closed(io.StringIO):
    """In place of a standard output that was closed before we were started."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        raise OSError(errno.EBADF, "it is closed")


class Guard:
    """A text stream that lets only harmless text through. It has no `buffer`, so that nobody can
    write bytes around it."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        try:
            self.stream.write(harmless(text))
        except BrokenPipeError:
            let_go(self.stream)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except BrokenPipeError:
            let_go(self.stream)

    def isatty(self) -> bool:
        return self.stream.isatty()

    def fileno(self) -> int:
        return self.stream.fileno()

    def close(self) -> None:
        """What is behind it belongs to the process and stays open."""
        self.flush()

    @property
    def closed(self) -> bool:
        return self.stream.closed

    @property
    def encoding(self) -> str:
        return self.stream.encoding

    @property
    def errors(self) -> str | None:
        return self.stream.errors


def unguarded(stream: TextIO) -> TextIO:
    """What is behind a `Guard`, for those who send escape sequences of their own."""
    return stream.stream if isinstance(stream, Guard) else stream


class Unread(io.RawIOBase):
    """Standard error where it is a pipe. What its reader does not take is lost: an answer must not
    wait for somebody to read notes about it."""

    PATIENCE = 1.0  # seconds that a reader may take once; afterwards it has to be ready
    ATOMIC = 4096  # bytes that a pipe which is ready takes at once, at the least

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._patience = self.PATIENCE

    def write(self, data: Any) -> int:
        left = memoryview(data)
        while left and self._is_ready():
            with suppress(BlockingIOError):
                left = left[os.write(self._descriptor, left[: self.ATOMIC]) :]
        return len(data)

    def _is_ready(self) -> bool:
        ready = bool(select.select([], [self._descriptor], [], self._patience)[1])
        self._patience = self.PATIENCE if ready else 0.0
        return ready

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor


def never_waiting(stream: TextIO) -> TextIO:
    """A standard error that nobody's reading can hold up."""
    try:
        kind = os.fstat(stream.fileno()).st_mode
    except (OSError, ValueError):
        return stream
    if os.name != "posix" or not (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind)):
        return stream
    return io.TextIOWrapper(
        cast(Any, Unread(stream.fileno())), "utf-8", "replace", write_through=True
    )


@contextmanager
def guarded() -> Iterator[None]:
    """Guard standard output and error for as long as this lasts. In the end nothing is left in
    them that cannot be written: Python would try again, complain, and end with status 120."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, Guard(unguarded(stream))) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream in before:
            let_go(stream)


def let_go(stream: TextIO) -> None:
    """Send what is still to be written of a stream to where nobody reads, if nobody does."""
    try:
        stream.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
