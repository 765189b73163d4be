"""What signals do, above all Ctrl-C: while a reply is written, a question is asked, or something
is measured. The chat, the commands and the prompt use it.

Away from the main thread, where no signal arrives, none of it does anything.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], object]
GRACE = 5.0  # seconds from a signal to end until the end; service managers wait for 10 and more
_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextmanager
def handled(handler: Handler, *signals: int) -> Iterator[None]:
    """These signals call `handler`."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) or signal.SIG_DFL for number in signals}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def _end_after_grace(status: int) -> None:
    timer = threading.Timer(GRACE, os._exit, [status])
    timer.daemon = True
    timer.start()


class Stop(threading.Event):
    """Set when a signal says so."""

    number = int(signal.SIGINT)

    @property
    def status(self) -> int:
        """What a process ends with that ends for it."""
        return 128 + self.number


@contextmanager
def stoppable(raising: bool = True, ends: bool = False) -> Iterator[Stop]:
    """An event that Ctrl-C sets; a second Ctrl-C raises `KeyboardInterrupt` as usual, if it may,
    and those after it nothing more, so that whoever catches it can put things in order. With
    `ends`, so do the signals that tell a program to end, and after a grace it ends in any case:
    what waits for a reader of its output may wait for good.

    Ask it `is_set()`: to `wait()` for it on the main thread, where the handler runs, can deadlock.
    """
    cancel = Stop()
    pressed = 0

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed += 1
        if not cancel.is_set():
            cancel.number = number
            if number != signal.SIGINT:
                _end_after_grace(cancel.status)
        cancel.set()
        if raising and pressed == 2:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    # Those that are ignored, as by nohup, stay so.
    told = [n for n in _ENDING if ends and signal.getsignal(n) is not signal.SIG_IGN]
    with handled(on_interrupt, signal.SIGINT, *told):
        yield cancel


def breakable() -> AbstractContextManager[None]:
    """For a question while something is `stoppable`: Ctrl-C raises `KeyboardInterrupt`."""
    return handled(signal.default_int_handler, signal.SIGINT)
