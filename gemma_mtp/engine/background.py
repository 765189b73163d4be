"""Work that goes on while nobody waits for it: in a thread of its own, step by step.

Whoever needs what it works with stops it first. Knows neither engine nor chat.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import closing, suppress
from dataclasses import dataclass


@dataclass(frozen=True)
class Pause:
    """A step that lets time pass before the next one, unless the work is cancelled meanwhile."""

    seconds: float


class Background:
    """At most one work at a time; `start`, `cancel` and `stop` are called by one thread only."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._cancelled = threading.Event()

    def start(self, steps: Generator[object, None, None]) -> None:
        """Take the first of `steps` in any case, and the others until this is cancelled.

        An error ends the work and is not reported: what it was to do is done later, or fails again
        where somebody waits for it. The same holds where the system gives no thread.
        """
        self.cancel()
        cancelled = threading.Event()
        thread = threading.Thread(target=_work, args=(steps, cancelled, self._thread))
        with suppress(RuntimeError):
            thread.start()
            self._thread, self._cancelled = thread, cancelled

    def cancel(self) -> None:
        """Let the step under way be the last one; does not wait for it."""
        self._cancelled.set()

    def stop(self) -> None:
        """Cancel, and wait for the step under way."""
        self.cancel()
        self.wait()

    def wait(self) -> None:
        """Until the work is done, or was cancelled."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None


def _work(
    steps: Generator[object, None, None],
    cancelled: threading.Event,
    before: threading.Thread | None,
) -> None:
    if before is not None:
        before.join()
    with suppress(Exception), closing(steps):
        for step in steps:
            if cancelled.wait(step.seconds if isinstance(step, Pause) else 0.0):
                return
