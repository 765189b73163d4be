"""What plain decoding costs here: when to time a plain step, and what the timings say.

Speedup needs something to be compared with. Plain rounds of a reply are timed as they come; where
every round speculates, a plain step is timed on the side now and then, without touching the text.
Knows no engine.
"""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import NamedTuple

from gemma_mtp.api import SpeedupBasis

# Rounds of the first reply after which a step is timed: three, so that one stall does not decide.
FIRST_PROBES = (3, 10, 24)
PROBE_INTERVAL = 128  # rounds between later ones: the machine may get busier, the context longer
NEAR = 512  # positions within which the cost of a step hardly changes
FEWEST_STEPS = 2  # one alone does not tell how far it can be relied on


class Step(NamedTuple):
    """Seconds of a plain step, how far the timed ones differ from that (the median of the
    differences), and whether they were timed near by."""

    seconds: float
    deviation: float
    basis: SpeedupBasis


class PlainSteps:
    """Timed plain steps of this session."""

    def __init__(self) -> None:
        self._steps: deque[tuple[int, float]] = deque(maxlen=5)

    def is_due(self, rounds: int, position: int) -> bool:
        """Whether a step should be timed after `rounds` rounds of this reply, at `position`."""
        if rounds in FIRST_PROBES:
            return len(self._near(position)) <= FIRST_PROBES.index(rounds)
        return rounds > 0 and rounds % PROBE_INTERVAL == 0

    def record(self, position: int, seconds: float) -> None:
        self._steps.append((position, seconds))

    def step(self, position: int) -> Step:
        """What a plain step at `position` takes: "measured" on steps timed near this position,
        else "estimated", and "none" where there are too few to say."""
        near = self._near(position)
        known = near if len(near) >= FEWEST_STEPS else [seconds for _, seconds in self._steps]
        if len(known) < FEWEST_STEPS:
            return Step(0.0, 0.0, "none")
        middle = median(known)
        deviation = median(abs(seconds - middle) for seconds in known)
        return Step(middle, deviation, "measured" if known is near else "estimated")

    def _near(self, position: int) -> list[float]:
        reach = max(NEAR, position // 4)
        return [seconds for at, seconds in self._steps if abs(at - position) <= reach]
