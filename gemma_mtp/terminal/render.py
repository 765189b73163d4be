"""The one printer: events of a reply become text, progress and a line of figures.

Knows what the figures mean and how they are worded, but neither the engine nor the keyboard. It
leaves markup to `markdown`, cursor and columns to `screen`.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal

from gemma_mtp.api import (
    TRYING_SECONDS,
    End,
    Event,
    Loading,
    Prefill,
    Progress,
    Replies,
    Request,
    Stats,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Waiting,
)
from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.settings import View
from gemma_mtp.terminal.console import wrapped
from gemma_mtp.terminal.figures import Parts, reply_parts, status_parts
from gemma_mtp.terminal.pieces import Piece
from gemma_mtp.terminal.prompt import CONTINUED, PROMPT
from gemma_mtp.terminal.screen import Screen, fit
from gemma_mtp.terminal.tool_lines import call_line, result_lines
from gemma_mtp.terminal.widths import cut_start
from gemma_mtp.text import counted, percent

if TYPE_CHECKING:
    from rich.style import Style

    from gemma_mtp.terminal.markdown.rows import Rows
    from gemma_mtp.terminal.markdown.stream import Markdown

PATIENCE = 0.3  # seconds; progress that is over sooner would only flicker
STATUS_INTERVAL = 0.1  # seconds between two status lines, so that the figures can be read
BAR, LEAST_FOR_BAR = 20, 60  # columns of a bar, and of a window that has room for it

Part = Literal["", "thought", "answer"]


class Raw:
    """The text as it is, with the methods of `Markdown`. Line ends that nothing has followed yet
    are kept back."""

    def __init__(self, style: Style | None = None, drafted: Style | None = None) -> None:
        self._style, self._drafted, self._kept = style, drafted, ""

    def feed(self, text: str, drafted: bool = False) -> list[Piece]:
        whole = self._kept + text
        visible = whole.rstrip("\n")
        self._kept = whole[len(visible) :]
        style = self._drafted if drafted and visible.strip() else self._style
        return [Piece(visible, style)] if visible else []

    def finish(self) -> list[Piece]:
        return []

    held: list[Piece] = []  # noqa: RUF012


class Printer:
    """Shows what happens on a `Screen`: standard output and error, if no other is given. `answers`
    off keeps the answer off it (`run --json`)."""

    def __init__(
        self,
        screen: Screen | None = None,
        *,
        answers: bool = True,
        clock: Callable[[], float] = time.monotonic,
        view: View | None = None,
    ) -> None:
        self.screen = screen = screen or Screen(sys.stdout, sys.stderr)
        self.view = view or View()
        self._answers = answers
        self._clock = clock
        self._since = clock()
        self._next_status = 0.0
        self._part: Part = ""  # what is being written
        self._flow: Markdown | Rows | Raw = Raw()
        self._thought_since: float | None = None  # while a thought is kept off the screen
        self._thought_tokens = 0
        self._growing = ""  # the call that is being written
        # In a chat thoughts stand with the answer; in `run` they are a note.
        self._chat = screen.text is screen.notes

    def begin(self) -> None:
        """Something that may take long starts now."""
        self._since = self._clock()
        self._part = ""
        self._thought_since, self._thought_tokens = None, 0

    def loading(self, fraction: float) -> None:
        """Progress of loading a pair, or of what comes once behind that (`api.Loading`)."""
        if fraction > 1:
            limit = f"at most {TRYING_SECONDS} s"
            words = [(3, "trying what is fastest on this GPU"), (2, "once"), (1, limit)]
            self.progress(fraction - 1, words)
        elif self._clock() - self._since > PATIENCE:
            self.progress(fraction, f"loading {percent(fraction)}")

    def progress(self, share: float, words: str | Parts) -> None:
        """A bar and words, of which the least important go first, for the moment."""
        screen, bar = self.screen, list[Piece]()
        if screen.live and screen.unicode and screen.width >= LEAST_FOR_BAR:
            from gemma_mtp.terminal.tables import progress_bar

            bar = [*progress_bar(share, BAR), Piece(" ")]
        if not isinstance(words, str):
            words = fit(words, screen.width - 1 - (BAR + 1 if bar else 0))
        screen.transient(words, bar)

    def show(self, event: Event) -> None:
        """One event of a reply."""
        if isinstance(event, TextDelta):
            self._text(event)
        elif isinstance(event, Prefill):
            if event.done < event.total:
                self._waiting(f"reading prompt {event.done}/{event.total}")
        elif isinstance(event, Progress):
            self._status(event.stats)
        elif isinstance(event, ToolCallDelta):
            self._call(event)
        elif isinstance(event, Loading):
            self.loading(event.fraction)
        elif isinstance(event, Waiting):
            others = counted(event.ahead, "request")
            self.screen.transient(f"waiting for {others} before this one")
        else:
            self.finish()

    def finish(self) -> None:
        """End the reply's last line; harmless when that was done already."""
        self.screen.transient("")
        self._fold()
        if self._part:
            self._put(self._flow.finish())
            answered = self._part == "answer"
            self.screen.write("\n", note=not answered and not self._chat)
        self._part = ""

    def _text(self, event: TextDelta) -> None:
        if event.thought and self.view.thoughts != "show":
            self._keep_thought()
            return
        if not (self._thoughts_shown if event.thought else self._answers):
            return
        part: Part = "thought" if event.thought else "answer"
        text = event.text
        if part != self._part:
            self._fold()
            text = text.lstrip("\n") if self._part else text
            self._change(part)
        self._put(self._flow.feed(text, event.drafted), self._flow.held)

    def _call(self, event: ToolCallDelta) -> None:
        """A call is shown whole, by whoever asks whether it may run; until then, that it grows."""
        if event.name:
            self.finish()
            self._growing = event.name + "("
        self._growing += event.arguments
        if self._chat:
            self.screen.transient(cut_start(self._growing, self.screen.width - 1))

    @property
    def _thoughts_shown(self) -> bool:
        return self._chat or self.screen.live

    def _keep_thought(self) -> None:
        if self._thought_since is None:
            self._thought_since = self._clock()
        self._thought_tokens += 1

    def _fold(self) -> None:
        """A line in place of a thought that was not shown."""
        if self._thought_since is None:
            return
        seconds = self._clock() - self._thought_since
        self._thought_since = None
        if self.view.thoughts == "fold" and self._thoughts_shown:
            tokens = counted(self._thought_tokens, "token")
            line = f"thought for {seconds:.1f} s, {tokens}\n"
            gap = "\n" if self._chat else ""
            self.screen.write(line + gap, dim=True, note=not self._chat)
        self._thought_tokens = 0

    def _change(self, part: Part) -> None:
        """Set thought and answer apart, also where dim text cannot be shown."""
        before = self._part
        if before:
            self._put(self._flow.finish())
        self._part = part
        label = ""
        if part == "thought":
            label = "thinking: "
        elif before and not self.screen.dims:
            label = "answer: "
        thought = "thought" in (part, before)
        lead = "\n\n" + label if before else label
        if lead:
            self.screen.write(lead, dim=thought, note=thought and not self._chat)
        self._flow = self._new_flow(part, len(label))

    def _new_flow(self, part: Part, column: int = 0) -> Markdown | Rows | Raw:
        """On a terminal, Markdown if it has styles, and rows that end between words; the
        text as it is elsewhere."""
        screen, view, thought = self.screen, self.view, part == "thought"
        if not screen.text_shown or not self._answers:
            return Raw(screen.dim if thought else None)
        from gemma_mtp.terminal.markdown.rows import Rows
        from gemma_mtp.terminal.markdown.source import Look
        from gemma_mtp.terminal.markdown.stream import Markdown
        from gemma_mtp.terminal.styles import DIM, DRAFTED, PLAIN

        base, drafted = DIM if thought else PLAIN, DRAFTED if view.highlight else PLAIN
        look = Look(lambda: screen.width, view.wrap, screen.colour, screen.unicode, base, drafted)
        if view.markdown and screen.live:
            return Markdown(look, column)
        return Rows(look, column) if view.wrap else Raw(base, base + drafted)

    def _put(self, pieces: list[Piece], held: Iterable[Piece] = ()) -> None:
        self.screen.put(pieces, held, note=self._part == "thought" and not self._chat)

    def _waiting(self, line: str) -> None:
        if self._clock() - self._since > PATIENCE:
            self.screen.transient(line)

    def _status(self, stats: Stats) -> None:
        now = self._clock()
        if now < self._next_status or not self.screen.text_shown or not self._answers:
            return
        self._next_status = now + STATUS_INTERVAL
        parts = status_parts(stats)
        if self._thought_since is not None:
            parts.insert(0, (10, f"thinking, {counted(self._thought_tokens, 'token')}"))
        self.screen.transient(" " + fit(parts, self.screen.width - 2))

    def line(self, text: str, *, dim: bool = False) -> None:
        """A whole line, or several, not part of a reply."""
        self.screen.transient("")
        if not self.screen.at_line_start and self._chat:
            self.screen.write("\n", note=True)
        shown = self.screen.notes_shown
        for row in wrapped(text, self.screen.width) if shown else text.split("\n"):
            self.screen.write(row + "\n", dim=dim, note=True)

    def message(self, text: str, *, dim: bool = False) -> None:
        """A message that was not typed at the prompt, as if it had been."""
        self.screen.write(PROMPT + text.replace("\n", f"\n{CONTINUED}") + "\n", dim=dim, note=True)

    def call(self, call: ToolCall, *, whole: bool = False) -> None:
        """A call of a tool, on a line of its own; a long argument is cut, unless `whole`."""
        line, _ = call_line(call, len(call.arguments)) if whole else call_line(call)
        self.line(line, dim=not whole)

    def result(self, text: str) -> None:
        """What a tool said, in a few lines."""
        width = self.screen.width if self.screen.notes_shown else 1000
        self.line("\n".join(result_lines(text, width)), dim=True)

    def error(self, error: GemmaMtpError) -> None:
        """An error inside a chat, which goes on."""
        self.line(str(error))
        if error.hint:
            self.line(error.hint, dim=True)

    def summary(self, end: End) -> None:
        """The one line below a reply."""
        width = self.screen.width if self.screen.notes_shown else 1000
        self.line(fit(reply_parts(end), width), dim=True)


def write_reply(
    engine: Replies,
    request: Request,
    printer: Printer,
    cancel: threading.Event,
    observe: Callable[[Event], None] = lambda event: None,
) -> End:
    """Show every event of a reply and return the last one; `observe` gets each before it shows."""
    end: End | None = None
    printer.begin()
    events = engine.reply(request, cancel)
    try:
        for event in events:
            if isinstance(event, End):
                end = event
            observe(event)
            printer.show(event)
    finally:
        close = getattr(events, "close", None)
        if close:  # gives the engine the chance to roll back on every way out
            close()
        printer.finish()
    if end is None:
        raise GemmaMtpError("The engine ended the reply without a result.")
    return end
