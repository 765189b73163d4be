"""Events on their way to a client: the engine puts them here and never waits.

A thread of its own sends what has gathered meanwhile, of the counters only the newest.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gemma_mtp.api import Progress, to_json
from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.resident import failures
from gemma_mtp.resident.wire import Connection, Disconnected, Message

MOST = 50_000  # things that wait for a client that does not read; some ten megabytes
GATHER = 0.01  # seconds between two messages; a screen shows no more, and each costs the engine

NOT_READ = GemmaMtpError("The reply was stopped: too much of it had not been read.")


class Outbox:
    """Messages and events, sent in the order in which they were put."""

    def __init__(self, connection: Connection, on_full: Callable[[], None]) -> None:
        """`on_full` is called when more waits than is kept. The client is told so in place of all
        that waits, when it reads again, and that is the end of the connection."""
        self._connection, self._on_full = connection, on_full
        self._waiting: list[Any] = []
        self._changed = threading.Condition()
        self._is_full = False
        self._closed = threading.Event()
        threading.Thread(target=self._send_all, daemon=True).start()

    def put(self, item: Any) -> None:
        """An event, or a message that is a dictionary already."""
        with self._changed:
            if self._is_full:
                return
            self._waiting.append(item)
            if len(self._waiting) > MOST:
                self._is_full = True
                self._waiting[:] = [{"error": failures.as_data(NOT_READ)}]
                self._on_full()
            self._changed.notify()

    def close(self) -> None:
        """Send what is left, and end the thread."""
        self._closed.set()
        with self._changed:
            self._changed.notify()

    def _send_all(self) -> None:
        with suppress(Disconnected):
            while items := self._take():
                self._connection.send({"all": [_as_data(item) for item in items]})
                if self._is_full and not self._waiting:
                    self._connection.close()
                    return
                self._closed.wait(GATHER)

    def _take(self) -> list[Any]:
        with self._changed:
            while not self._waiting and not self._closed.is_set():
                self._changed.wait()
            taken, self._waiting = self._waiting, []
        counters = [item for item in taken if isinstance(item, Progress)]
        return [t for t in taken if not isinstance(t, Progress) or t is counters[-1]]


def _as_data(item: Any) -> Message:
    return item if isinstance(item, dict) else {"event": to_json(item)}
