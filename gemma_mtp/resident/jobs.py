"""What clients want of the engine, in the order in which it is done.

Turns go round among parties, each of which may want several things at once: one of each party,
then the next of each. Jobs for the pair that is loaded may pass others a few times, since loading
another takes long. What nobody waits for is done when there is nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from itertools import zip_longest

MOST_PASSED = 4  # jobs for the loaded pair that go before one that waits for another


def ignore(ahead: int) -> None:
    pass


@dataclass(eq=False)
class Job:
    """`run` does it for `owner`, who belongs to a `party`; `key` is the pair it needs, None for
    whichever is loaded. `moved` is told how many go before it, when that is not 0 or changes."""

    owner: object
    key: Hashable
    run: Callable[[], None]
    party: Hashable = None
    moved: Callable[[int], None] = ignore
    ahead: int = 0
    passed: int = 0  # jobs that went before it though it was its turn


class Jobs:
    """Put by many threads, taken by one, which does a job before it takes the next."""

    def __init__(self) -> None:
        self._parties: dict[Hashable, list[Job]] = {}  # the one whose turn it is first
        self._spare: list[Job] = []  # for which nobody waits
        self._in_progress = 0
        self._changed = threading.Condition()

    def __len__(self) -> int:
        """How many somebody waits for."""
        return sum(map(len, self._parties.values()))

    def waiting(self) -> list[Job]:
        """Those that somebody waits for, in their order."""
        with self._changed:
            return self._order()

    def put(self, job: Job) -> None:
        with self._changed:
            self._forget_spare(job.owner)
            self._parties.setdefault(job.party, []).append(job)
            self._tell()
            self._changed.notify()

    def put_spare(self, job: Job) -> None:
        """Do it when there is nothing else, and unless its owner wants something else first."""
        with self._changed:
            self._forget_spare(job.owner)
            self._spare.append(job)
            self._changed.notify()

    def drop(self, owner: object) -> bool:
        """Forget what `owner` waits for; whether there was something."""
        with self._changed:
            found = [job for job in self._order() if job.owner is owner]
            for job in found:
                self._parties[job.party].remove(job)
                if not self._parties[job.party]:
                    del self._parties[job.party]
            self._tell()
            return bool(found)

    def wake(self) -> None:
        """Let `take` return, so that its caller looks at what has changed."""
        with self._changed:
            self._changed.notify()

    def take(self, loaded: Hashable, timeout: float | None) -> Job | None:
        """The next job; None when there was none within `timeout` seconds, or within as many as
        the system can wait at once."""
        with self._changed:
            self._in_progress = 0
            if not self._parties and not self._spare:
                self._changed.wait(None if timeout is None else min(timeout, threading.TIMEOUT_MAX))
            if self._parties:
                self._in_progress = 1
                job = self._next(loaded)
                self._tell()
                return job
            return self._spare.pop(0) if self._spare else None

    def _order(self) -> list[Job]:
        rounds = zip_longest(*self._parties.values())
        return [job for each in rounds for job in each if job is not None]

    def _next(self, loaded: Hashable) -> Job:
        order = self._order()
        job = first = order[0]
        if first.passed < MOST_PASSED:
            job = next((j for j in order if j.key in (loaded, None)), first)
        if job is not first:
            first.passed += 1
        others = self._parties.pop(job.party)
        others.remove(job)
        if others:
            self._parties[job.party] = others  # behind all others
        return job

    def _tell(self) -> None:
        for ahead, job in enumerate(self._order(), self._in_progress):
            if ahead != job.ahead:
                job.ahead = ahead
                job.moved(ahead)

    def _forget_spare(self, owner: object) -> None:
        self._spare = [job for job in self._spare if job.owner is not owner]
