"""Two recorded replies as two columns of text, or as two bars where the window is narrow.

Draws one moment at a time; knows no clock.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from gemma_mtp.events import FinishReason, Stats
from gemma_mtp.figures import number
from gemma_mtp.markdown.layout import wrapped
from gemma_mtp.markdown.pieces import BOLD, DIM, DRAFTED, Piece
from gemma_mtp.screen import Screen, Styled
from gemma_mtp.widths import columns, cut

NARROW = 60  # columns; below, there are two bars instead of two texts
MARGIN = 6  # rows of the window that the show leaves alone


@dataclass(frozen=True)
class Recording:
    """What came when: pieces as (seconds, text, drafted), thoughts included.

    The clock starts when the prompt has been read, which the cache makes quick the second time.
    """

    pieces: tuple[tuple[float, str, bool], ...]
    stats: Stats
    text: str
    reason: FinishReason

    @property
    def seconds(self) -> float:
        """From the prompt to the last piece."""
        return self.pieces[-1][0] if self.pieces else 0.0

    @property
    def rate(self) -> float:
        """Tokens a second, by the clock."""
        return len(self.pieces) / self.seconds if self.seconds > 0 else 0.0


class _Lane:
    """One of the two, as far as it has come; its rows are only added to."""

    def __init__(self, recording: Recording, title: str, highlight: bool) -> None:
        self.recording, self.title = recording, title
        self._times = [at for at, _, _ in recording.pieces]
        self._highlight = highlight
        self._width = 0
        self._restart()

    def _restart(self) -> None:
        self._count = 0
        self._rows: list[list[Styled]] = []
        self._line: list[Piece] = []

    def count(self, seconds: float) -> int:
        return bisect_right(self._times, seconds)

    def rows(self, seconds: float, width: int) -> list[list[Styled]]:
        """The text so far in rows of `width` columns."""
        if width != self._width:
            self._width = width
            self._restart()
        count = self.count(seconds)
        for _, text, drafted in self.recording.pieces[self._count : count]:
            for place, part in enumerate(text.replace("\t", "    ").split("\n")):
                if place:
                    self._rows += self._wrapped()
                    self._line = []
                style = DRAFTED if drafted and self._highlight and part.strip() else ()
                self._line += [Piece(part, style)] if part else []
        self._count = count
        return [*self._rows, *(self._wrapped() if self._line else [])]

    def _wrapped(self) -> list[list[Styled]]:
        return indented_rows(self._line, self._width)

    def figures(self, seconds: float) -> str:
        """Time and rate so far, or in the end."""
        over = seconds >= self.recording.seconds
        spent = min(seconds, self.recording.seconds)
        rate = self.count(seconds) / spent if spent > 0 else 0.0
        digits = 1 if self.recording.seconds >= 10 else 2
        return f"{spent:.{digits}f} s · {number(rate)} tok/s{' · done' if over else ''}"


def indented_rows(line: list[Piece], width: int) -> list[list[Styled]]:
    """A line between words, its rows as far to the right as the line starts."""
    text = "".join(piece.text for piece in line)
    blanks = len(text) - len(text.lstrip(" "))
    if blanks > width // 2:
        blanks = 0
    rows = wrapped(line, width - blanks)
    return [[(" " * blanks, ()), *((p.text, p.style) for p in row)] for row in rows]


class Lanes:
    """Draws both lanes again and again in the same rows."""

    def __init__(
        self,
        screen: Screen,
        recordings: tuple[Recording, Recording],
        titles: tuple[str, str],
        highlight: bool,
    ) -> None:
        self._screen = screen
        self._lanes = [
            _Lane(recording, title, highlight)
            for recording, title in zip(recordings, titles, strict=True)
        ]
        self._drawn: list[list[Styled]] = []

    @property
    def _wide(self) -> bool:
        return self._screen.live and self._screen.width >= NARROW

    def draw(self, seconds: float) -> None:
        """One frame; of long texts the last rows."""
        room = max(self._screen.height - MARGIN, 1)
        self._put(self._columns(seconds, room) if self._wide else self._bars(seconds))

    def end(self) -> None:
        """All of it, to stay."""
        seconds = max(lane.recording.seconds for lane in self._lanes)
        if self._wide:
            self._put(self._columns(seconds, None))
            return
        if self._screen.live:
            self._put(self._bars(seconds))
        for text in dict.fromkeys(lane.recording.text for lane in self._lanes):
            self.say(text.rstrip("\n"))

    def say(self, text: str) -> None:
        """Lines that stay, broken between words."""
        for line in text.replace("\t", "    ").split("\n"):
            rows: list[list[Styled]] = [[(line, ())]]
            if self._screen.live:
                rows = indented_rows([Piece(line)], self._screen.width - 1)
            for row in rows:
                self._screen.put([*row, ("\n", ())], note=True)

    def _put(self, rows: list[list[Styled]]) -> None:
        """Over the rows drawn before, which a narrower window may have broken."""
        width = self._screen.width
        up = sum(max(-(-_width(row) // width), 1) for row in self._drawn)
        self._screen.rows(rows, min(up, self._screen.height - 1))
        self._drawn = rows

    def _columns(self, seconds: float, room: int | None) -> list[list[Styled]]:
        width = (self._screen.width - 4) // 2
        texts = [lane.rows(seconds, width) for lane in self._lanes]
        height = max(map(len, texts))
        if room is not None and height > room:
            height = room
        texts = [text[-height:] if height else [] for text in texts]
        bar = "│" if self._screen.unicode else "|"
        rows = [self._row([[(lane.title, BOLD)] for lane in self._lanes], width, bar)]
        for place in range(height):
            cells = [text[place] if place < len(text) else [] for text in texts]
            rows.append(self._row(cells, width, bar))
        rows.append(self._row([[(x.figures(seconds), DIM)] for x in self._lanes], width, bar))
        return rows

    def _row(self, cells: list[list[Styled]], width: int, bar: str) -> list[Styled]:
        left, right = cells
        blanks = " " * max(width - _width(left), 0)
        return [*left, (blanks, ()), (f" {bar} ", DIM), *right]

    def _bars(self, seconds: float) -> list[list[Styled]]:
        label = max(len(lane.title) for lane in self._lanes) + 1
        room = max(self._screen.width - label - 22, 4)
        full, empty = "█░" if self._screen.unicode else "#."
        rows: list[list[Styled]] = []
        for lane in self._lanes:
            share = lane.count(seconds) / max(len(lane.recording.pieces), 1)
            done = round(room * share)
            text = f"{lane.title:{label}}{full * done}{empty * (room - done)} "
            figures = lane.figures(seconds).removesuffix(" · done")  # the bar says so
            rows.append([(cut(text + figures, self._screen.width - 1), ())])
        return rows


def _width(row: list[Styled]) -> int:
    return sum(columns(text) for text, _ in row)
