"""A race between two recorded replies, shown in real time: two columns of text, or two bars where
the window is narrow. `chat.race` calls it."""

from __future__ import annotations

import sys
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from operator import itemgetter

from rich.style import Style
from rich.text import Text

from gemma_mtp.terminal.pieces import Piece
from gemma_mtp.terminal.race import Recording, in_common, verdict
from gemma_mtp.terminal.screen import Screen
from gemma_mtp.terminal.styles import BOLD, DIM, GREEN, UNDERLINE
from gemma_mtp.terminal.tables import ENDLESS, lines
from gemma_mtp.terminal.widths import columns, cut
from gemma_mtp.text import harmless

FRAME = 0.05  # seconds
NARROW = 60  # columns; below, there are two bars instead of two texts
MARGIN = 6  # rows of the window that the show leaves alone

EQUAL, DIFFERENT = GREEN, BOLD  # bold is to be seen without colours, too

Line = list[Piece]
Mark = tuple[Style, int, int]
"""A style from one place of a text to another."""


def replay(
    screen: Screen,
    left: Recording,
    right: Recording,
    *,
    titles: tuple[str, str] = ("plain", "with drafts"),
    highlight: bool = False,
    factor: float = 1.0,
    built_in: bool = False,
    stopped: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Show both, `factor` times as fast as they were written, until they end or are `stopped`; then
    say how the race went, and why if the pair is the toy that is `built_in`."""
    view = RaceView(screen, (left, right), titles, highlight)
    if not screen.at_line_start:
        screen.write("\n", note=True)
    if factor != 1:
        view.say(_pace(factor))
    view.begin()
    start = clock()
    seconds = 0.0
    while screen.live and seconds < max(left.seconds, right.seconds) and not stopped():
        view.draw(seconds)
        sleep(FRAME)
        seconds = (clock() - start) * factor
    view.end()
    for line in filter(None, verdict(left, right, titles, built_in=built_in)):
        view.say(line)


def _pace(factor: float) -> str:
    if factor > 1:
        return f"Shown {factor:g} times as fast as it was."
    return f"In slow motion: {1 / factor:g} times as long as it took."


class RaceView:
    """Shows both replies again and again, and in the end to stay."""

    def __init__(
        self,
        screen: Screen,
        recordings: tuple[Recording, Recording],
        titles: tuple[str, str],
        highlight: bool,
    ) -> None:
        self._screen, self._recordings, self._titles = screen, recordings, titles
        # Signs stand for characters that would act, one for one, so that places stay.
        self._texts = [harmless(recording.text) for recording in recordings]
        self._drafted: list[list[Mark]] = [
            [(UNDERLINE, *span) for span in one.drafted()] if highlight else []
            for one in recordings
        ]
        self._alike = in_common(*(recording.text for recording in recordings))

    @property
    def _wide(self) -> bool:
        return self._screen.live and self._screen.width >= NARROW

    def begin(self) -> None:
        """What the marks mean, where there will be some."""
        if self._wide:
            equal = "Green: equal in both. " if self._screen.colour else ""
            self._screen.write(f"{equal}Bold: different.\n", dim=True, note=True)

    def draw(self, seconds: float) -> None:
        """One frame; of long texts the last rows."""
        room = max(self._screen.height - MARGIN, 1)
        self._screen.rows(self._columns(seconds, room) if self._wide else self._bars(seconds))

    def end(self) -> None:
        """All of it, to stay."""
        seconds = max(recording.seconds for recording in self._recordings)
        if self._wide:
            self._write(*self._columns(seconds))
            return
        if self._screen.live:
            self._write(*self._bars(seconds))
        left, right = self._recordings
        if left.text == right.text:
            self.say(left.text.rstrip("\n"))
            return
        width = self._screen.width - 1 if self._screen.notes_shown else ENDLESS
        for title, rows in zip(self._titles, self._rows(seconds, width), strict=True):
            for row in ([Piece(f"{title}:", BOLD)], *rows):
                self._write(row)

    def say(self, text: str) -> None:
        """Lines that stay, broken between words."""
        width = self._screen.width - 1 if self._screen.notes_shown else ENDLESS
        for row in (row for line in text.split("\n") for row in indented(Text(line), width)):
            self._write(row)

    def _write(self, *rows: Line) -> None:
        self._screen.put([piece for row in rows for piece in (*row, Piece("\n"))], note=True)

    def _rows(self, seconds: float, width: int, room: int = sys.maxsize) -> list[list[Line]]:
        """The last `room` rows of both texts by then, or some more. Where one of them is at its
        end, the rest of the other differs, unless the first was stopped."""
        lengths = [recording.length(seconds) for recording in self._recordings]
        same = min(self._alike, *lengths)
        parted = all(
            length > same or recording.complete(seconds)
            for recording, length in zip(self._recordings, lengths, strict=True)
        )
        marks: list[Mark] = [(EQUAL, 0, same)]
        if parted:
            marks.append((DIFFERENT, same, max(lengths)))
        return [self._last_rows(i, length, marks, width, room) for i, length in enumerate(lengths)]

    def _last_rows(
        self, side: int, length: int, marks: list[Mark], width: int, room: int
    ) -> list[Line]:
        """Those of the first `length` characters of one text, in styles from place to place."""
        drafted, rows = self._drafted[side], list[Line]()
        for line in reversed(self._texts[side][:length].split("\n")):
            start = length - len(line)
            near = bisect_right(drafted, start, key=itemgetter(2))
            past = bisect_left(drafted, length, key=itemgetter(1))
            shown = Text(line)
            for style, first, last in (*marks, *drafted[near:past]):
                if last > start:
                    shown.stylize(style, max(first - start, 0), last - start)
            rows[:0] = indented(shown, width)
            length = start - 1
            if len(rows) >= room:
                break
        return rows

    def _columns(self, seconds: float, room: int = sys.maxsize) -> list[Line]:
        width = (self._screen.width - 4) // 2
        texts = self._rows(seconds, width, room)
        height = min(max(map(len, texts)), room)
        texts = [text[max(len(text) - height, 0) :] for text in texts]
        rows = [self._row([[Piece(title, BOLD)] for title in self._titles], width)]
        for place in range(height):
            rows.append(self._row([t[place] if place < len(t) else [] for t in texts], width))
        figures = [[Piece(one.figures(seconds), DIM)] for one in self._recordings]
        return [*rows, self._row(figures, width)]

    def _row(self, cells: list[Line], width: int) -> Line:
        left, right = cells
        bar = " │ " if self._screen.unicode else " | "
        return [*left, Piece(" " * max(width - _width(left), 0)), Piece(bar, DIM), *right]

    def _bars(self, seconds: float) -> list[Line]:
        label = max(map(len, self._titles)) + 1
        room = max(self._screen.width - label - 22, 4)
        full, empty = "█░" if self._screen.unicode else "#."
        rows: list[Line] = []
        for title, recording in zip(self._titles, self._recordings, strict=True):
            done = round(room * recording.count(seconds) / max(len(recording.pieces), 1))
            text = f"{title:{label}}{full * done}{empty * (room - done)} "
            # The full bar says that already.
            figures = recording.figures(seconds).removesuffix(" · done")
            rows.append([Piece(cut(text + figures, self._screen.width - 1))])
        return rows


def indented(line: Text, width: int) -> list[Line]:
    """A line in rows of `width` columns, all as far to the right as it starts."""
    line.expand_tabs(4)
    blanks = len(line) - len(line.plain.lstrip(" "))
    if blanks > width // 2:
        blanks = 0
    found = lines(line[blanks:], width - blanks) if line else [[]]
    return [[Piece(" " * blanks), *row] for row in found]


def _width(row: Line) -> int:
    return sum(columns(piece.text) for piece in row)
