"""Takes what is typed while nothing is read. Knows no keys.

A terminal holds a few kilobytes only: behind a paste larger than that, Ctrl-C would not arrive.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Ahead:
    """Collects bytes from a terminal in a thread of its own."""

    def __init__(self, keyboard: int) -> None:
        self._keyboard = keyboard
        self._data = bytearray()
        self._thread: threading.Thread | None = None
        self._bell = (-1, -1)

    def start(self) -> None:
        if self._thread is None:
            self._bell = os.pipe()
            self._thread = threading.Thread(target=self._collect, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """What comes from here on is another's."""
        if self._thread is not None:
            os.write(self._bell[1], b"!")
            self._thread.join()
            self._thread = None
            for end in self._bell:
                os.close(end)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the terminal to others for a while."""
        running = self._thread is not None
        self.stop()
        try:
            yield
        finally:
            if running:
                self.start()

    def take(self) -> bytes:
        """What was collected so far, once."""
        data, self._data = bytes(self._data), bytearray()
        return data

    def _collect(self) -> None:
        with suppress(OSError):  # the terminal has gone
            while self._bell[0] not in select.select([self._keyboard, self._bell[0]], [], [])[0]:
                data = os.read(self._keyboard, 1 << 16)
                if not data:
                    return
                self._data += data
