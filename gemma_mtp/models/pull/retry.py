"""When to try again after an error that may pass, how long to wait, and when to give up.

`ask` is for single questions to the hub, `transfer` counts the failures of each connection with a
`Backoff` of its own. Knows neither network nor disk: whoever meets such an error raises a
TransientError.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from gemma_mtp.errors import HubError
from gemma_mtp.models.pull.events import OnEvent, PullSilence, PullWait
from gemma_mtp.models.pull.hub_errors import TransientError
from gemma_mtp.models.pull.stalls import with_deadline

T = TypeVar("T")

FIRST_WAIT = 0.5  # seconds; doubles with every failure in a row
LONGEST_WAIT = 30.0  # seconds
LONGEST_REQUEST = 300.0  # seconds; a server that asks for more than this is not waited for
WORTHWHILE = 64 << 10  # bytes; after a cut that brought this many the next try comes at once
PROGRESS = 16 << 10  # bytes; fewer between two failures leave them failures in a row
QUESTIONS = 4  # times that a question is asked before it is given up


@dataclass
class Backoff:
    """Counts failures in a row; enough bytes in between start the count again."""

    attempts: int = 8
    failures: int = 0
    _unrewarding: int = 0  # failures since the last attempt that brought enough bytes

    def after(self, error: TransientError, gained: int = 0, own: int = 0) -> float | None:
        """Seconds until the next attempt; None: give up.

        `gained`: bytes that came since the last failure; `own`: those of the failed attempt alone.
        """
        self.failures = 1 if gained >= PROGRESS else self.failures + 1
        self._unrewarding = 0 if own >= WORTHWHILE else self._unrewarding + 1
        asked = error.wait or 0.0
        attempts = min(self.attempts, 2) if error.once else self.attempts
        if self.failures >= attempts or asked > LONGEST_REQUEST:
            return None
        if not self._unrewarding:
            return asked
        doubled = FIRST_WAIT * 2.0 ** min(self._unrewarding - 1, 20)
        return max(asked, min(LONGEST_WAIT, doubled) * random.uniform(0.75, 1.0))


def ask(where: str, question: Callable[[], T], longest: float, on_event: OnEvent) -> T:
    """The answer to `question`, which is asked again until it is answered or hopeless.

    An attempt ends after `longest` seconds. Raises HubError; one caused by a TransientError means
    that `where` cannot be reached.
    """
    host, backoff = urlsplit(where).netloc or where, Backoff(QUESTIONS)
    while True:
        try:
            return with_deadline(longest, question, lambda s: on_event(PullSilence(host, s)))
        except TransientError as error:
            delay = backoff.after(error)
            if delay is None:
                raise give_up(f"{where} cannot be asked", error, backoff) from error
            if not error.once:  # else the end is near, and says the same
                on_event(PullWait(str(error), delay))
            time.sleep(delay)


def give_up(what: str, error: TransientError, backoff: Backoff, hint: str = "") -> HubError:
    """The error that ends the trying; `what` begins its sentence."""
    if error.wait and error.wait > LONGEST_REQUEST:
        return HubError(
            f"{what}: {error}; the server asks to come back in {error.wait / 60:.0f} minutes.",
            "Run the same command then; it goes on from where it stopped.",
        )
    often = backoff.failures > 1 and not error.once
    times = f", {backoff.failures} times in a row" if often else ""
    hints = f"{hint} {error.hint}".strip()
    return HubError(f"{what}: {error}{times}.", hints or "Check the network and try again.")
