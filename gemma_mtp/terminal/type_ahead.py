"""Collects what is typed while nothing reads it, and has it shown; `tty_modes` runs it in a chat.

A terminal holds a few kilobytes only: behind a paste larger than that, Ctrl-C would not arrive.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from gemma_mtp.terminal.keyboard import Keyboard
from gemma_mtp.terminal.typed import Typed

PAUSE = 0.5  # seconds without a key; who is typing presses the next one sooner
BUSY = 0.02  # seconds until what is typed is shown, where something else was just being drawn

Show = Callable[[str], bool]
"""Shows a line, or none if it is empty; False: not now, since something else is being drawn."""


class TypeAhead:
    """Collects keys from a terminal in a thread of its own."""

    def __init__(self, keyboard: Keyboard, show: Show) -> None:
        self.keyboard = keyboard
        self._show = show
        self._typed = Typed()
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
            self._show("")

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

    def take(self) -> str:
        """What was collected so far, once."""
        return self._typed.take()

    def take_lines(self) -> None:
        """Collect what was typed before the chat began."""
        self._typed.feed(self.keyboard.read_lines())

    def _collect(self, stopped: int) -> None:
        """Until the other end of the pipe `stopped` is closed."""
        shown = ""
        # The terminal may have gone, and then reading and showing fail.
        with suppress(OSError, ValueError), open(stopped, closefd=True):
            while not self.keyboard.closed:
                wait = None if shown == self._typed.shown else BUSY
                ready = select.select([self.keyboard.file, stopped], [], [], wait)[0]
                if self.keyboard.file in ready:  # also what came just before the end
                    self._typed.feed(self.keyboard.read())
                    self._typed_at = time.monotonic()
                if stopped in ready:
                    return
                if self._show(self._typed.shown):
                    shown = self._typed.shown
