"""Takes what is typed while nothing is read. Knows no keys.

A terminal holds a few kilobytes only: behind a paste larger than that, Ctrl-C would not arrive.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PAUSE = 0.5  # seconds without a key; who is typing presses the next one sooner


class Ahead:
    """Collects bytes from a terminal in a thread of its own."""

    def __init__(self, keyboard: int) -> None:
        self._keyboard = keyboard
        self._data = bytearray()
        self._typed_at = -PAUSE
        self._running: tuple[threading.Thread, tuple[int, int]] | None = None

    def start(self) -> None:
        if self._running is None:
            bell = os.pipe()
            thread = threading.Thread(target=self._collect, args=(bell[0],), daemon=True)
            thread.start()
            self._running = thread, bell

    def stop(self) -> None:
        """What comes from here on is another's. A signal's handler may call this while it runs, so
        whoever takes the thread first is the one to end it."""
        running, self._running = self._running, None
        if running is not None:
            thread, bell = running
            os.write(bell[1], b"!")
            thread.join()
            for end in bell:
                os.close(end)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the terminal to others for a while."""
        running = self._running is not None
        self.stop()
        try:
            yield
        finally:
            if running:
                self.start()

    def wait_for_a_pause(self) -> None:
        """Until nobody is in the middle of typing something."""
        while time.monotonic() - self._typed_at < PAUSE:
            time.sleep(PAUSE / 10)

    def take(self) -> bytes:
        """What was collected so far, once."""
        data, self._data = bytes(self._data), bytearray()
        return data

    def _collect(self, bell: int) -> None:
        with suppress(OSError):  # the terminal has gone
            while bell not in select.select([self._keyboard, bell], [], [])[0]:
                data = os.read(self._keyboard, 1 << 16)
                if not data:
                    return
                self._typed_at = time.monotonic()
                self._data += data
