"""Shows the steps of `quantize` and `convert`: a moving line, plain lines, or JSON for scripts.

Ctrl-C is told to the step that runs, by the answer to its progress.
"""

from __future__ import annotations

from time import monotonic

from gemma_mtp.terminal.interrupts import Stop
from gemma_mtp.terminal.render import Printer
from gemma_mtp.text import byte_size, duration, json_text, percent

INTERVAL = 0.5  # seconds between two lines of JSON about one step
SOON = 2.0  # seconds after which the time that is left can be told


class StepView:
    """Called as `models.convert.step.Progress` says."""

    def __init__(self, stop: Stop, *, as_json: bool = False, quiet: bool = False) -> None:
        self._stop, self._as_json, self._quiet = stop, as_json, quiet
        self._printer = Printer()
        self._doing: tuple[str, str] | None = None
        self._started = self._next = 0.0

    def __call__(self, doing: str, file: str, done: int, total: int) -> bool:
        new = self._doing != (doing, file)
        if new:
            self._doing, self._started, self._next = (doing, file), monotonic(), 0.0
        if self._as_json:
            self._write(doing, file, done, total)
        elif not self._quiet:
            self._draw(f"{doing} {file}", done, total, new)
        return not self._stop.is_set()

    def say(self, text: str, **facts: object) -> None:
        """A line, or with its `facts` an event."""
        if self._as_json:
            print(json_text({"event": "note", "text": text, **facts}), flush=True)
        elif not self._quiet:
            self._printer.line(text)

    def ready(self, text: str, **facts: object) -> None:
        """The last line, which is shown even where it is to be quiet about the rest."""
        self.end()
        if self._as_json:
            print(json_text({"event": "ready", **facts}), flush=True)
        elif not self._quiet:
            self._printer.line(text)

    def end(self) -> None:
        """Leave no moving line behind."""
        self._printer.screen.transient("")

    def _draw(self, words: str, done: int, total: int, new: bool) -> None:
        share = done / total if total else 0.0
        if not self._printer.screen.live:
            if new:
                self._printer.line(f"{words}, {byte_size(total)}")
            return
        parts = [(1, words), (4, percent(share)), (2, byte_size(done, total))]
        seconds = monotonic() - self._started
        if seconds > SOON and share > 0.02:
            parts.append((3, f"{duration(seconds / share * (1 - share))} left"))
        self._printer.progress(share, parts)

    def _write(self, doing: str, file: str, done: int, total: int) -> None:
        if monotonic() < self._next and done < total:
            return
        self._next = monotonic() + INTERVAL
        event = {"event": "progress", "doing": doing, "file": file, "done": done, "total": total}
        print(json_text(event), flush=True)
