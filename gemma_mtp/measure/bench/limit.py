"""A limit of time for a measurement, which Ctrl-C ends as well."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event as Flag
from time import monotonic


class Limit(Flag):
    """A flag that counts as set when `seconds` have passed, or when `stop` is set."""

    def __init__(
        self, seconds: float, stop: Flag | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        super().__init__()
        self._clock, self._stop = clock, stop
        self._end = clock() + seconds

    @property
    def left(self) -> float:
        """Seconds; never less than 0."""
        return max(self._end - self._clock(), 0.0)

    def share(self, of: int) -> Limit:
        """A limit of an equal share of what is left, for the next of so many."""
        return Limit(self.left / max(of, 1), self, self._clock)

    def is_set(self) -> bool:
        stopped = self._stop is not None and self._stop.is_set()
        return super().is_set() or stopped or self.left <= 0
