"""A client's end of a connection to the resident engine: what is asked, and what is answered."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gemma_mtp.api import Event, from_json
from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.resident import failures
from gemma_mtp.resident.sockets import connect
from gemma_mtp.resident.start import Started
from gemma_mtp.resident.wire import Connection, Disconnected, Unread

ENDED_WELL = "with status 0"
CHECK = 0.05  # seconds between two looks at whether the user has stopped something


SILENCE = 5.0  # seconds without a word after which the engine is asked whether it is there
PATIENCE = 15.0  # seconds in which it has to say so; its threads do so while it computes


class EngineSilent(GemmaMtpError):
    """The engine's process is there and does nothing, as one that was stopped by a signal."""

    def __init__(self) -> None:
        super().__init__(
            "The engine does not answer.",
            "gemma-mtp stop --force ends it; the next command starts another one.",
        )


def never() -> bool:
    return False


class Line:
    """Over it one thing is asked at a time, and its answer read to the end."""

    def __init__(self, started: Started) -> None:
        self._started = started
        self._connection = Connection(started.socket, PATIENCE)
        self._read: deque[dict[str, Any]] = deque()
        self._heard, self._is_asked = time.monotonic(), False  # last, and whether it is there
        self.answer: Any = None  # what was asked for last
        self.waits = False  # whether an answer is still to come

    @property
    def is_new(self) -> bool:
        """Whether the engine was started for it."""
        return self._started.process is not None

    def send(self, *messages: dict[str, Any]) -> None:
        """Say what has no answer. Raises Disconnected and EngineSilent."""
        try:
            self._connection.send(*messages)
        except Unread as error:
            self.close()
            raise EngineSilent from error

    def ask(self, op: str, cancelled: Callable[[], bool] = never, **more: Any) -> Iterator[Event]:
        """Events until the answer, which `answer` has then.

        Raises what the engine raised, Disconnected and EngineSilent.
        """
        self._heard, self._is_asked = time.monotonic(), False
        self.send({"op": op, **more})
        self.waits = True
        told = False
        while True:
            if not told and cancelled():
                self.send({"op": "cancel"})
                told = True
            message = self._next()
            if message is None:
                continue
            self.waits = "event" in message
            if "error" in message:
                raise failures.of_data(message["error"])
            if "done" in message:
                self.answer = message["done"]
                return
            yield from_json(Event, message["event"])

    def _next(self) -> dict[str, Any] | None:
        if not self._read:
            self._receive(CHECK)
            self._notice_silence()
        return self._read.popleft() if self._read else None

    def _notice_silence(self) -> None:
        silent = time.monotonic() - self._heard
        if silent > SILENCE + PATIENCE:
            self.close()
            raise EngineSilent
        if silent > SILENCE and not self._is_asked:
            self._is_asked = True
            self.send({"op": "ping"})

    def _receive(self, timeout: float) -> None:
        several = self._connection.receive(timeout)
        if several:
            self._heard, self._is_asked = time.monotonic(), False
        for message in several["all"] if several else ():
            if "pong" in message:
                continue
            if "log" in message:
                print(message["log"], end="", file=sys.stderr, flush=True)
            else:
                self._read.append(message)

    def check(self) -> None:
        """Raises Disconnected where the engine has ended since."""
        self._receive(0.0)

    def wait_for_end(self) -> None:
        """Until the engine has ended. Raises EngineSilent."""
        try:
            while True:
                self._next()
        except Disconnected:
            self.close()

    def has_crashed(self) -> bool:
        """Whether the engine was started for it and did not end as it should."""
        return self.is_new and self.how_it_ended() != ENDED_WELL

    def how_it_ended(self) -> str:
        return self._started.how_it_ended()

    def close(self) -> None:
        self._connection.close()


def ask(folder: Path, op: str, until_it_ends: bool = False) -> Any:
    """What the engine of this folder answers to "status", "stop" or "unload"; None where none runs.

    Waits for its turn where others are served first, and with `until_it_ends` until the process has
    ended. Raises what the engine raises, and EngineSilent.
    """
    found = connect(folder)
    if found is None:
        return None
    line = Line(Started(found, None))
    try:
        for _ in line.ask(op):
            pass
        if until_it_ends:
            line.wait_for_end()
    except Disconnected:
        return None
    finally:
        line.close()
    return line.answer
