"""The one printer: events of a reply become text, progress and a line of figures.

Knows what the figures mean and how they are worded, but neither the engine nor the keyboard, and
leaves cursor and columns to `screen`.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable

from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.events import End, Event, Prefill, Progress, Stats, Text
from gemma_mtp.figures import percent, status_parts, summary_parts
from gemma_mtp.screen import Screen, fit

PATIENCE = 0.3  # seconds; progress that is over sooner would only flicker
STATUS_INTERVAL = 0.1  # seconds between two status lines, so that the figures can be read


class Printer:
    """Shows what happens on a `Screen`. `answers` off keeps the answer off it (`run --json`)."""

    def __init__(
        self,
        screen: Screen,
        *,
        answers: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.screen = screen
        self._answers = answers
        self._clock = clock
        self._since = clock()
        self._next_status = 0.0
        self._held = ""  # line ends of the answer that nothing has followed yet
        self._part = ""  # "thought" or "answer", whichever is being written
        self.said = ""  # the answer so far
        # In a chat thoughts stand with the answer; in `run` they are a note.
        self._chat = screen.text is screen.notes

    def begin(self) -> None:
        """Something that may take long starts now."""
        self._since = self._clock()
        self._held = self._part = self.said = ""

    def loading(self, fraction: float) -> None:
        """Progress of loading a pair."""
        self._waiting(f"loading {percent(fraction)}")

    def show(self, event: Event) -> None:
        """One event of a reply."""
        if isinstance(event, Text):
            self._text(event)
        elif isinstance(event, Prefill):
            if event.done < event.total:
                self._waiting(f"reading prompt {event.done}/{event.total}")
        elif isinstance(event, Progress):
            self._status(event.stats)
        else:
            self.finish()

    def finish(self) -> None:
        """End the reply's last line; harmless when that was done already."""
        self.screen.transient("")
        if self._part:
            answered = self._part == "answer"
            self.screen.write("\n", note=not answered and not self._chat)
        self._held = self._part = ""

    def _text(self, event: Text) -> None:
        if not event.thought:
            self.said += event.text
        if event.thought and not self._thoughts_shown:
            return
        if not event.thought and not self._answers:
            return
        part = "thought" if event.thought else "answer"
        piece = event.text
        if part != self._part:
            piece = piece.lstrip("\n") if self._part else piece
            self._change(part)
        whole = self._held + piece
        visible = whole.rstrip("\n")
        self._held = whole[len(visible) :]
        if visible:
            self._write(visible, part)

    @property
    def _thoughts_shown(self) -> bool:
        return self._chat or self.screen.live

    def _change(self, part: str) -> None:
        """Set thought and answer apart, also where dim text cannot be shown."""
        before, self._part, self._held = self._part, part, ""
        if part == "thought":
            self._write("\n\nthinking: " if before else "thinking: ", part)
        elif before:
            self._write("\n\n" if self.screen.dims else "\n\nanswer: ", "thought")

    def _write(self, text: str, part: str) -> None:
        thought = part == "thought"
        self.screen.write(text, dim=thought, note=thought and not self._chat)

    def _waiting(self, line: str) -> None:
        if self._clock() - self._since > PATIENCE:
            self.screen.transient(line)

    def _status(self, stats: Stats) -> None:
        now = self._clock()
        if now < self._next_status or not self.screen.text_shown or not self._answers:
            return
        self._next_status = now + STATUS_INTERVAL
        self.screen.transient(" " + fit(status_parts(stats), self.screen.width - 2))

    def line(self, text: str, *, dim: bool = False) -> None:
        """A whole line that is not part of a reply."""
        self.screen.transient("")
        if not self.screen.at_line_start and self._chat:
            self.screen.write("\n", note=True)
        for row in self._rows(text):
            self.screen.write(row + "\n", dim=dim, note=True)

    def _rows(self, text: str) -> list[str]:
        """On a terminal, break between words; indented lines go on indented."""
        if not self.screen.live:
            return [text]
        indent = "    " if text.startswith(" ") else ""
        rows = textwrap.wrap(
            text, self.screen.width, subsequent_indent=indent, break_on_hyphens=False
        )
        return rows or [text]

    def message(self, prompt: str, text: str) -> None:
        """A message that was not typed at the prompt, as if it had been."""
        self.screen.write(prompt + text.replace("\n", "\n... ") + "\n", note=True)

    def error(self, error: GemmaMtpError) -> None:
        """An error inside a chat, which goes on."""
        self.line(str(error))
        if error.hint:
            self.line(error.hint, dim=True)

    def summary(self, end: End) -> None:
        """The one line below a reply."""
        width = self.screen.width if self.screen.live else 1000
        self.line(fit(summary_parts(end.stats, end.reason), width), dim=True)
