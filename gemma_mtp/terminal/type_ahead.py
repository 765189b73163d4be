"""Collects what is typed while nothing is read; knows bytes, but no keys.

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


class TypeAhead:
    """Collects bytes from a terminal in a thread of its own."""

    def __init__(self, keyboard: int) -> None:
        self._keyboard = keyboard
        self._data = bytearray()
        self._typed_at = -PAUSE
        self._running: tuple[threading.Thread, int] | None = None

    def start(self) -> None:
        """Read the terminal from here on."""
        if self._running is None:
            stopped, stop = os.pipe()
            thread = threading.Thread(target=self._collect, args=(stopped,), daemon=True)
            thread.start()
            self._running = thread, stop

    @property
    def running(self) -> bool:
        """Nobody else reads the terminal now."""
        return self._running is not None

    def stop(self) -> None:
        """Leave what comes from here on to others. A signal's handler may call this while it runs,
        so whoever takes the thread first is the one to end it."""
        running, self._running = self._running, None
        if running is not None:
            thread, stop = running
            os.close(stop)
            thread.join()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the terminal to others for a while."""
        running = self.running
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

    def _collect(self, stopped: int) -> None:
        """Until the other end of the pipe `stopped` is closed."""
        with suppress(OSError), open(stopped, closefd=True):  # the terminal may have gone
            while stopped not in select.select([self._keyboard, stopped], [], [])[0]:
                data = os.read(self._keyboard, 1 << 16)
                if not data:
                    return
                self._typed_at = time.monotonic()
                self._data += data
