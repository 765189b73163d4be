"""Shows a pull: one moving line on a terminal, plain lines elsewhere, or JSON for scripts.

Knows amounts, rates and words; knows neither the hub nor the disk.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from typing import TextIO

from gemma_mtp.cli.positionals import quoted
from gemma_mtp.models.pull.events import (
    PullEvent,
    PullNote,
    PullProgress,
    PullReady,
    PullSilence,
    PullWait,
)
from gemma_mtp.terminal.render import Printer
from gemma_mtp.text import byte_size, duration, json_text, percent

WINDOW = 10.0  # seconds the rate is taken over
PLAIN_INTERVAL = 30.0  # seconds between two lines about one file where nothing can move
WAIT_INTERVAL = 10.0  # seconds between two lines about the same reason to wait, there
JSON_INTERVAL = 0.5

Clock = Callable[[], float]


class Rate:
    """Bytes a second over the last moments, for one file and one kind of work."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._doing: tuple[str, bool] | None = None
        self._seen: deque[tuple[float, int]] = deque()

    def of(self, event: PullProgress) -> float | None:
        """None while too little is known."""
        now = self._clock()
        if self._doing != (event.file, event.verifying):
            self._doing = event.file, event.verifying
            self._seen.clear()
        self._seen.append((now, event.done))
        while now - self._seen[0][0] > WINDOW:
            self._seen.popleft()
        seconds, amount = now - self._seen[0][0], event.done - self._seen[0][1]
        return amount / seconds if seconds >= 1 and amount > 0 else None


class PullView:
    """Turns events into what a person sees. `quiet`: only what they must know."""

    def __init__(self, printer: Printer, quiet: bool = False, clock: Clock = time.monotonic):
        self._printer, self._quiet, self._clock = printer, quiet, clock
        self._rate = Rate(clock)
        self._doing = ""
        self._next_line = self._next_wait = 0.0
        self._reason = ""

    def __call__(self, event: PullEvent) -> None:
        if isinstance(event, PullNote):
            self._printer.line(event.text)
        elif isinstance(event, PullProgress):
            self._progress(event)
        elif isinstance(event, PullWait):
            self._wait(event.reason, f"{event.reason}; trying again {_soon(event.seconds)}")
        elif isinstance(event, PullSilence):
            self._wait("", f"hardly anything has come from {event.host} for {event.seconds:.0f} s")

    def _wait(self, reason: str, text: str) -> None:
        """Where nothing can move, the same reason gets one line in a while."""
        if self._quiet:
            return
        screen, now = self._printer.screen, self._clock()
        if screen.live:
            screen.transient(text[: screen.width - 1])
        elif not reason or reason != self._reason or now >= self._next_wait:
            self._printer.line(text)
            self._reason, self._next_wait = reason, now + WAIT_INTERVAL

    def _progress(self, event: PullProgress) -> None:
        if self._quiet:
            return
        doing = _doing(event)
        rate = self._rate.of(event)
        if self._printer.screen.live:
            share = event.done / event.total if event.total else 0.0
            self._printer.progress(share, _parts(doing, event, rate))
        elif doing != self._doing:
            size = f", {byte_size(event.total)}" if event.total and not event.beginning else ""
            self._printer.line(f"{doing}{size}")
            self._next_line = self._clock() + PLAIN_INTERVAL
        elif self._clock() >= self._next_line:
            self._printer.line(" · ".join(text for _, text in _parts(doing, event, rate)))
            self._next_line = self._clock() + PLAIN_INTERVAL
        self._doing = doing

    def end(self) -> None:
        """Leave no moving line behind."""
        self._printer.screen.transient("")


class JsonView:
    """One JSON object a line for each event, on the stream of scripts."""

    def __init__(self, stream: TextIO, clock: Clock = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._rate = Rate(clock)
        self._next = 0.0
        self._doing: tuple[str, bool] | None = None

    def __call__(self, event: PullEvent) -> None:
        kind = type(event).__name__.removeprefix("Pull").lower()
        data = {"event": kind, **asdict(event)}
        if isinstance(event, PullProgress):
            rate = self._rate.of(event)
            doing, now = (event.file, event.verifying), self._clock()
            if now < self._next and doing == self._doing and event.done < event.total:
                return
            self._next, self._doing = now + JSON_INTERVAL, doing
            left = _seconds_left(event, rate)
            data |= {"bytes_per_second": rate and round(rate), "seconds_left": left and round(left)}
        self._write(data)

    def error(self, message: str, hint: str, status: int) -> None:
        """The last line of a pull that failed."""
        self._write({"event": "error", "message": message, "hint": hint, "status": status})

    def end(self) -> None:
        """Nothing is left open."""

    def _write(self, data: dict[str, object]) -> None:
        print(json_text(data), file=self._stream, flush=True)


def ready_line(event: PullReady, carried: bool, goes_on: bool = False) -> str:
    """What is said at the end, with what to type then; nothing is typed where the command
    `goes_on`."""
    name = quoted(event.name)
    if goes_on:
        return f"{event.name} is ready."
    if carried:
        folder = event.target.rpartition("/")[0]
        return f"{event.name} is in {folder}; there: gemma-mtp pull {name} --from FOLDER"
    if event.builtin:
        return f"{event.name} is built in, nothing to pull: gemma-mtp chat {event.name}"
    return f"{event.name} is ready: gemma-mtp chat {name}"


def _doing(event: PullProgress) -> str:
    what = "reading the header of" if event.beginning else "fetching"
    return f"{'checking' if event.verifying else what} {event.file.rpartition('/')[2]}"


def _parts(doing: str, event: PullProgress, rate: float | None) -> list[tuple[int, str]]:
    """What is known, with its importance where room is short."""
    parts = [(2, doing)]
    if event.total:
        parts.append((6, percent(event.done / event.total)))
    parts.append((3, f"{byte_size(event.done, event.total)}"))
    if rate:
        parts.append((4, f"{byte_size(round(rate))}/s"))
    left = _seconds_left(event, rate)
    if left is not None and not event.verifying:
        parts.append((5, f"{duration(left)} left"))
    if event.pair_total > event.total:
        parts.append((1, f"pair {percent(event.pair_done / event.pair_total)}"))
    return parts


def _seconds_left(event: PullProgress, rate: float | None) -> float | None:
    """Until both files are here, or this one is checked."""
    if not rate or not event.total:
        return None
    total = event.total if event.verifying else max(event.pair_total, event.total)
    done = event.done if event.verifying else max(event.pair_done, event.done)
    return (total - done) / rate


def _soon(seconds: float) -> str:
    return f"in {seconds:.0f} s" if seconds >= 1 else "now"
