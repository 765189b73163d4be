"""What clients want of the engine, in the order in which it is done.

Each client waits for one thing at a time, so that taking turns in order of arrival is fair. Jobs
for the pair that is loaded may pass others a few times, since loading another takes long.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass

MOST_PASSED = 4  # jobs for the loaded pair that go before one that waits for another


@dataclass
class Job:
    """`run` does it for `owner`; `key` is the pair it needs, None for whichever is loaded."""

    owner: object
    key: Hashable
    run: Callable[[], None]
    passed: int = 0  # jobs that went before it though they came later


class Jobs:
    """Put by many threads, taken by one."""

    def __init__(self) -> None:
        self._waiting: list[Job] = []
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._waiting)

    def needed(self) -> list[Hashable]:
        """The pairs that jobs wait for, one for each of these jobs."""
        with self._changed:
            return [job.key for job in self._waiting if job.key is not None]

    def put(self, job: Job) -> None:
        with self._changed:
            self._waiting.append(job)
            self._changed.notify()

    def drop(self, owner: object) -> bool:
        """Forget what was to be done for `owner`; whether there was something."""
        with self._changed:
            left = [job for job in self._waiting if job.owner is not owner]
            dropped = len(left) < len(self._waiting)
            self._waiting[:] = left
            return dropped

    def wake(self) -> None:
        """Let `take` return, so that its caller looks at what has changed."""
        with self._changed:
            self._changed.notify()

    def take(self, loaded: Hashable, timeout: float | None) -> Job | None:
        """The next job; None when there was none within `timeout` seconds."""
        with self._changed:
            if not self._waiting:
                self._changed.wait(timeout)
            return self._next(loaded) if self._waiting else None

    def _next(self, loaded: Hashable) -> Job:
        job = first = self._waiting[0]
        if first.passed < MOST_PASSED:
            job = next((j for j in self._waiting if j.key in (loaded, None)), first)
        if job is not first:
            first.passed += 1
        self._waiting.remove(job)
        return job
