"""Stall detection: says after seconds that hardly anything comes, and ends the waiting after more.

A client's own time-outs begin anew with every byte, so that one byte a second satisfies them for
ever. `hub` and `retry` bound questions with it, `transfer` watches its connections. Knows neither
network nor disk.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from gemma_mtp.models.pull.hub_errors import TransientError

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")

FIRST_REPORT = 5.0  # seconds of silence until it is spoken of; doubles each time
LEAST = 1 << 10  # bytes; fewer, in all the time that is looked at, are as good as nothing


class StallTimer:
    """How long hardly anything has come, and when to say so."""

    def __init__(self) -> None:
        self._amount = 0
        self.restart(0)

    def restart(self, amount: int) -> None:
        """Something came, or nobody is listening just now; it begins anew with `amount` bytes."""
        self._amount, self._since, self._next = amount, time.monotonic(), FIRST_REPORT

    def stalled_for(self, amount: int) -> float | None:
        """Given how many bytes came so far: seconds of silence if it is time to speak of them."""
        if amount - self._amount >= LEAST:
            self.restart(amount)
        lasted = time.monotonic() - self._since
        if lasted < self._next:
            return None
        self._next *= 2
        return lasted


def with_deadline(
    seconds: float,
    action: Callable[[], T],
    on_stall: Callable[[float], None] = lambda seconds: None,
    discard: Callable[[T], object] = lambda late: None,
) -> T:
    """The result of `action`, or a TransientError when it takes more than `seconds`.

    The action has a thread of its own, which is left alone when it takes too long and keeps no
    process alive; what it returns in the end is given to `discard`.
    """
    from concurrent.futures import Future, wait

    result: Future[T] = Future()
    threading.Thread(target=_settle, args=(result, action), daemon=True).start()
    timer, deadline = StallTimer(), time.monotonic() + seconds
    while not wait([result], min(FIRST_REPORT / 5, max(deadline - time.monotonic(), 0))).done:
        if time.monotonic() >= deadline:
            result.add_done_callback(lambda late: late.exception() or discard(late.result()))
            raise TransientError(f"no whole answer came within {seconds:.0f} s")
        if lasted := timer.stalled_for(0):
            on_stall(lasted)
    return result.result()


def _settle(result: Future[T], action: Callable[[], T]) -> None:
    try:
        result.set_result(action())
    except BaseException as error:
        result.set_exception(error)


def require_pace(chunks: Iterable[bytes], seconds: float) -> Iterator[bytes]:
    """The chunks; a TransientError once fewer than LEAST bytes came in `seconds`."""
    came, begun = 0, time.monotonic()
    for chunk in chunks:
        yield chunk
        came += len(chunk)
        if time.monotonic() - begun >= seconds:
            if came < LEAST:
                raise TransientError(f"only {came} bytes came in {seconds:.0f} s")
            came, begun = 0, time.monotonic()
