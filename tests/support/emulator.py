"""What a terminal does with its rows when its window changes: most break them anew, some cut them.

pyte is the rest of the terminal; it keeps no account of rows that go on in the next one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pyte
from pyte import modes
from pyte.screens import Char
from wcwidth import wcwidth  # type: ignore[import-untyped]

Row = list[Char]
BLANK = " "


class Emulator(pyte.HistoryScreen):
    """A terminal whose rows are broken anew when its width changes (`reflows`), or cut at the right
    edge as in xterm. Of the rows that find no room, empty ones below go first; others leave the
    screen at the top and are kept.

    The cursor stays with the character it stands on: where that has left the screen it goes to the
    first row, and where there is no column behind the last character, it stands on that.
    """

    def __init__(self, columns: int, rows: int, *, reflows: bool = True) -> None:
        super().__init__(columns, rows, history=2000, ratio=0.5)
        self.reflows = reflows
        self._stream = pyte.Stream(self)

    def feed(self, text: str) -> None:
        """Show what a program has written. Other letters than ASCII come one by one: in longer
        pieces, pyte skips what follows a joiner."""
        for piece in re.findall(r"[\0-\x7f]+|.", text, re.DOTALL):
            self._stream.feed(piece)

    def draw(self, data: str) -> None:
        for char in data:
            room = self.columns - self.cursor.x
            if modes.DECAWM in self.mode and wcwidth(char) > room:
                self.buffer[self.cursor.y].goes_on = True  # type: ignore[attr-defined]
                self.carriage_return()
                self.linefeed()
            super().draw(char)

    def erase_in_line(self, how: int = 0, private: bool = False) -> None:
        super().erase_in_line(how, private)
        if how != 1:
            self.buffer[self.cursor.y].goes_on = False  # type: ignore[attr-defined]

    def erase_in_display(self, how: int = 0, *args: object, **kwargs: object) -> None:
        super().erase_in_display(how, *args, **kwargs)
        if how == 0:
            for y in range(self.cursor.y, self.lines):
                self.buffer[y].goes_on = False  # type: ignore[attr-defined]

    @property
    def rows(self) -> list[str]:
        """All that was ever written and not erased, down to the last row that is not empty."""
        rows = ["".join(cell.data for cell in row).rstrip() for row, _ in self._all()]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    def _all(self) -> list[tuple[Row, bool]]:
        """Every row with whether it goes on in the next one, those that left the screen first."""
        lines = [*self.history.top, *(self.buffer[y] for y in range(self.lines))]
        return [
            ([line[x] for x in range(max(line, default=-1) + 1)], getattr(line, "goes_on", False))
            for line in lines
        ]

    def resize(self, lines: int | None = None, columns: int | None = None) -> None:
        lines, columns = lines or self.lines, columns or self.columns
        if (lines, columns) == (self.lines, self.columns):
            return
        rows, at = self._all(), len(self.history.top) + self.cursor.y
        x = min(self.cursor.x, self.columns)
        if columns != self.columns and self.reflows:
            rows, at, x = _broken_anew(rows, at, x, columns)
        used = max([at, *(i for i, (row, _) in enumerate(rows) if _trimmed(row))])
        first = max(used + 1 - lines, min(len(self.history.top), max(len(rows) - lines, 0)))
        if columns != self.columns and self.reflows:
            first = max(used + 1 - lines, 0)
        super().resize(lines, columns)
        self._put(rows, first)
        self.cursor.y = max(min(at - first, lines - 1), 0)
        self.cursor.x = min(x, columns - 1) if at >= first else 0

    def _put(self, rows: list[tuple[Row, bool]], first: int) -> None:
        """Show `rows` from the first of the screen on; those above it have left."""
        self.buffer.clear()
        self.history.top.clear()
        for number, (row, goes_on) in enumerate(rows[: first + self.lines]):
            line = self.buffer[max(number - first, 0)]
            line.clear()
            keep = row if number < first else row[: self.columns]
            line.update(enumerate(keep))
            line.goes_on = goes_on  # type: ignore[attr-defined]
            if number < first:
                self.history.top.append(self.buffer.pop(0))
        self.dirty.update(range(self.lines))


def _broken_anew(
    rows: list[tuple[Row, bool]], at: int, x: int, columns: int
) -> tuple[list[tuple[Row, bool]], int, int]:
    """The rows in `columns` columns, and where the cursor is then."""
    made: list[tuple[Row, bool]] = []
    new_at = new_x = 0
    for first, last in _wholes(rows):
        whole = [cell for row, _ in rows[first:last] for cell in row]
        whole += _trimmed(rows[last][0])
        parts = _parts(whole, columns)
        if first <= at <= last:
            offset = sum(len(row) for row, _ in rows[first:at]) + x
            new_at = len(made)
            while len(parts) > new_at - len(made) + 1 and offset >= len(parts[new_at - len(made)]):
                offset -= len(parts[new_at - len(made)])
                new_at += 1
            new_x = offset
        made += [(part, number < len(parts) - 1) for number, part in enumerate(parts)]
    return made, new_at, new_x


def _wholes(rows: list[tuple[Row, bool]]) -> Iterator[tuple[int, int]]:
    """First and last row of each line that was written as one."""
    first = 0
    for number, (_, goes_on) in enumerate(rows):
        if not goes_on or number == len(rows) - 1:
            yield first, number
            first = number + 1


def _parts(cells: Row, columns: int) -> list[Row]:
    """Cells in rows; no wide character is parted from its second half."""
    parts: list[Row] = [[]]
    for cell in cells:
        room = columns - len(parts[-1])
        if room < max(wcwidth(cell.data[:1] or " "), 1) and cell.data:
            parts.append([])
        parts[-1].append(cell)
    return parts


def _trimmed(row: Row) -> Row:
    end = len(row)
    while end and row[end - 1].data == BLANK:
        end -= 1
    return row[:end]
