"""Two recorded replies as two columns of text, or as two bars where the window is narrow.

Draws one moment at a time, and marks what is equal; knows no clock.
"""

from __future__ import annotations

from gemma_mtp.terminal.markdown.pieces import BOLD, DIM, Piece
from gemma_mtp.terminal.race_recording import Common, Lane, Recording, in_common, indented_rows
from gemma_mtp.terminal.screen import Screen, Styled
from gemma_mtp.terminal.widths import columns, cut

NARROW = 60  # columns; below, there are two bars instead of two texts
ENDLESS = 10**9  # columns
MARGIN = 6  # rows of the window that the show leaves alone


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
            Lane(recording, title, highlight)
            for recording, title in zip(recordings, titles, strict=True)
        ]
        self._alike = in_common(*(recording.text for recording in recordings))
        self._drawn: list[list[Styled]] = []

    def begin(self) -> None:
        """What the marks mean, where there will be some."""
        if self._wide:
            equal = "Green: equal in both. " if self._screen.colour else ""
            self._screen.write(f"{equal}Bold: different.\n", dim=True, note=True)

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
        left, right = self._lanes
        if left.recording.text == right.recording.text:
            self.say(left.recording.text.rstrip("\n"))
            return
        common = self._common(seconds)
        for lane in self._lanes:
            self._screen.put([(f"{lane.title}:", BOLD), ("\n", ())], note=True)
            width = self._screen.width - 1 if self._screen.live else ENDLESS
            for row in lane.rows(seconds, width, common):
                self._screen.put([*row, ("\n", ())], note=True)

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
        common = self._common(seconds)
        texts = [lane.rows(seconds, width, common) for lane in self._lanes]
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

    def _common(self, seconds: float) -> Common:
        """What both have by then; where one of them is at its end, the rest of the other differs,
        unless it was stopped."""
        length = min(self._alike, *(lane.length(seconds) for lane in self._lanes))
        parted = all(
            lane.length(seconds) > length or lane.complete(seconds) for lane in self._lanes
        )
        return Common(length, parted)

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
