"""What Ctrl-C does while a reply is written, a question is asked, or something is measured.

Knows only signals; away from the main thread, where no signal arrives, all of it does nothing.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stoppable() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets; a second Ctrl-C raises `KeyboardInterrupt` as usual, and those
    after it nothing more, so that whoever catches it can put things in order.

    Ask it `is_set()`: to `wait()` for it on the main thread, where the handler runs, can deadlock.
    """
    cancel = threading.Event()
    pressed = 0
    if threading.current_thread() is not threading.main_thread():
        yield cancel
        return

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed += 1
        cancel.set()
        if pressed == 2:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield cancel
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def breakable() -> Iterator[None]:
    """For a question while something is `stoppable`: Ctrl-C raises `KeyboardInterrupt`."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


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


class Stopper:
    """`cancel` says that the work was to stop. Ask it `is_set()`: to `wait()` for it on the main
    thread, where the handler runs, can deadlock."""

    def __init__(self) -> None:
        self.cancel = threading.Event()
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
