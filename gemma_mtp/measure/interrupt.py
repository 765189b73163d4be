"""Ctrl-C while something is measured: the first ends it after the token at hand, a second at once.

What was measured until then is shown in either case, so nothing is raised after `work` ended,
however often the keys are pressed. Knows only signals.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event as Flag
from types import FrameType


class Stopper:
    """`cancel` says that the work was to stop. Ask it `is_set()`: to `wait()` for it on the main
    thread, where the handler runs, can deadlock."""

    def __init__(self) -> None:
        self.cancel = Flag()
        self._may_raise = False

    def run(self, work: Callable[[], None]) -> None:
        """Do the work, or as much of it as there was time for."""
        try:
            self._may_raise = True
            work()
            self._may_raise = False
        except KeyboardInterrupt:  # raised once at the most
            pass

    def on_interrupt(self, number: int, frame: FrameType | None) -> None:
        """The handler."""
        if self.cancel.is_set() and self._may_raise:
            self._may_raise = False
            raise KeyboardInterrupt
        self.cancel.set()


@contextmanager
def stopper() -> Iterator[Stopper]:
    """Handles Ctrl-C until what was found has been shown."""
    found = Stopper()
    if threading.current_thread() is not threading.main_thread():
        yield found
        return
    before = signal.signal(signal.SIGINT, found.on_interrupt)
    try:
        yield found
    finally:
        signal.signal(signal.SIGINT, before)
