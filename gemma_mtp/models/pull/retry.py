"""When to try again after a fault that may pass, how long to wait, and when it is enough.

Knows neither network nor disk: whoever meets such a fault raises a Hiccup.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from gemma_mtp.errors import HubError

T = TypeVar("T")

FIRST_WAIT = 0.5  # seconds; doubles with every failure in a row
LONGEST_WAIT = 30.0
LONGEST_REQUEST = 300.0  # a server that asks for more than this is not waited for
WORTHWHILE = 64 << 10  # bytes; after a cut that brought this many the next try comes at once
PROGRESS = 16 << 10  # bytes; fewer between two failures leave them failures in a row

OnWait = Callable[[str, float], None]


class Hiccup(Exception):
    """A fault that may pass. `wait`: seconds the server asks for; `crowded`: too many requests;
    `once`: it hardly ever passes, so one more attempt is enough; `hint`: what helps if it stays."""

    def __init__(
        self,
        reason: str,
        wait: float | None = None,
        crowded: bool = False,
        once: bool = False,
        hint: str = "",
    ) -> None:
        super().__init__(reason)
        self.wait = wait
        self.crowded = crowded
        self.once = once
        self.hint = hint


@dataclass
class Patience:
    """Counts failures in a row; enough bytes in between start the count again."""

    attempts: int = 8
    failures: int = 0
    _unrewarding: int = 0  # failures since the last attempt that was worth it

    def after(self, hiccup: Hiccup, gained: int = 0, own: int = 0) -> float | None:
        """Seconds until the next attempt; None: give up.

        `gained`: bytes that came since the last failure; `own`: those of the failed attempt alone.
        """
        self.failures = 1 if gained >= PROGRESS else self.failures + 1
        self._unrewarding = 0 if own >= WORTHWHILE else self._unrewarding + 1
        asked = hiccup.wait or 0.0
        attempts = min(self.attempts, 2) if hiccup.once else self.attempts
        if self.failures >= attempts or asked > LONGEST_REQUEST:
            return None
        if not self._unrewarding:
            return asked
        doubled = FIRST_WAIT * 2.0 ** min(self._unrewarding - 1, 20)
        return max(asked, min(LONGEST_WAIT, doubled) * random.uniform(0.75, 1.0))


def patiently(
    what: str, action: Callable[[], T], on_wait: OnWait, attempts: int = 4, hint: str = ""
) -> T:
    """The result of `action`, tried again after each Hiccup until it is enough."""
    patience = Patience(attempts)
    while True:
        try:
            return action()
        except Hiccup as hiccup:
            delay = patience.after(hiccup)
            if delay is None:
                raise give_up(what, hiccup, patience, hint) from hiccup
            on_wait(str(hiccup), delay)
            time.sleep(delay)


def give_up(what: str, hiccup: Hiccup, patience: Patience, hint: str = "") -> HubError:
    """The sentence that ends the trying."""
    if hiccup.wait and hiccup.wait > LONGEST_REQUEST:
        return HubError(
            f"{what}: {hiccup}; the server asks to come back in {hiccup.wait / 60:.0f} minutes.",
            "Run the same command then; it goes on from where it stopped.",
        )
    times = f", {patience.failures} times in a row" if patience.failures > 1 else ""
    hints = f"{hint} {hiccup.hint}".strip()
    return HubError(f"{what}: {hiccup}{times}.", hints or "Check the network and try again.")
