"""llama.cpp's log of the pair that is loaded, for clients that want to see it (--verbose)."""

from __future__ import annotations

import threading
from collections import deque

from gemma_mtp.resident.clients import Client

LONGEST = 10_000  # lines; loading writes some hundreds


class Journal:
    """Written by llama.cpp's threads and the engine's."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=LONGEST)
        self._readers: list[Client] = []
        self._changed = threading.Lock()

    def begin(self) -> None:
        """Another pair is loaded: what was written about the one before is of no interest."""
        with self._changed:
            self._lines.clear()
            self._readers.clear()

    def show(self, client: Client) -> None:
        """Send what was written so far, and from now on what will be, if this client wants it."""
        with self._changed:
            if client.verbose and client not in self._readers:
                client.outbox.put({"log": "".join(self._lines)})
                self._readers.append(client)

    def write(self, line: str) -> None:
        with self._changed:
            self._lines.append(line)
            self._readers = [client for client in self._readers if not client.gone]
            for client in self._readers:
                client.outbox.put({"log": line})
