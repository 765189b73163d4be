"""Events on their way to a client: the engine puts them here and never waits.

A thread of its own sends what has gathered meanwhile, of the counters only the newest.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

from gemma_mtp.api import Progress, to_json
from gemma_mtp.resident.wire import Connection, Disconnected, Message

GATHER = 0.01  # seconds between two messages; a screen shows no more, and each costs the engine


class Outbox:
    """Messages and events, sent in the order in which they were put."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._waiting: list[Any] = []
        self._changed = threading.Condition()
        self._closed = threading.Event()
        threading.Thread(target=self._send_all, daemon=True).start()

    def put(self, item: Any) -> None:
        """An event, or a message that is a dictionary already."""
        with self._changed:
            self._waiting.append(item)
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
