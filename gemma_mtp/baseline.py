"""What plain decoding costs here: when to time a plain step, and what the timings say.

Speedup needs something to be compared with. Plain rounds of a reply are timed as they come; where
every round speculates, a plain step is timed on the side now and then, without touching the text.
Knows no engine.
"""

from __future__ import annotations

from collections import deque
from statistics import median

from gemma_mtp.events import SpeedupBasis

FIRST_ROUNDS = (3, 10, 24)  # three looks in the first reply, so that one stall does not decide
EVERY = 128  # rounds: the machine may get busier, and the context longer
NEAR = 512  # tokens of context within which the cost of a step hardly changes


class Baseline:
    """Timed plain steps of this session."""

    def __init__(self) -> None:
        self._steps: deque[tuple[int, float]] = deque(maxlen=5)

    def is_due(self, rounds: int, position: int) -> bool:
        """Whether a step should be timed after `rounds` rounds of this reply, at `position`."""
        if rounds in FIRST_ROUNDS:
            return len(self._near(position)) <= FIRST_ROUNDS.index(rounds)
        return rounds > 0 and rounds % EVERY == 0

    def record(self, position: int, seconds: float) -> None:
        self._steps.append((position, seconds))

    def step(self, position: int) -> tuple[float, SpeedupBasis]:
        """Seconds of a plain step at `position`, and what that rests on.

        "measured" on steps timed near this position, else "estimated".
        """
        if not self._steps:
            return 0.0, "none"
        if near := self._near(position):
            return median(near), "measured"
        return median(seconds for _, seconds in self._steps), "estimated"

    def _near(self, position: int) -> list[float]:
        reach = max(NEAR, position // 4)
        return [seconds for at, seconds in self._steps if abs(at - position) <= reach]
