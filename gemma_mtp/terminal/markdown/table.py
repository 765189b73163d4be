"""The lines of a table, kept until it is complete: only then are its columns known. rich lays it
out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from gemma_mtp.terminal.markdown.blocks import is_delimiter
from gemma_mtp.terminal.markdown.inline import parse
from gemma_mtp.terminal.markdown.source import Look, Source, Span
from gemma_mtp.terminal.markdown.wrap import Wrapper
from gemma_mtp.terminal.pieces import Piece
from gemma_mtp.terminal.styles import BOLD, DIM
from gemma_mtp.terminal.tables import as_lists, lines
from gemma_mtp.terminal.widths import columns

if TYPE_CHECKING:
    from rich.table import Table as RichTable
    from rich.text import Text

NARROWEST = 6  # columns; where a table has no room for that, each of its rows becomes a list

Side = Literal["left", "center", "right"]
_SIDES: dict[tuple[bool, bool], Side] = {(True, True): "center", (False, True): "right"}
_ESCAPED_BAR = re.compile(r"\\\|")
_BARS = re.compile(r"(?<!\\)\|")


class Table:
    """Lines that start with a bar. Whether they are a table is known from the second on; `before`
    stands in front of each."""

    def __init__(self, look: Look, before: list[Piece]) -> None:
        self._look, self._before = look, before
        self._rows: list[Source] = []
        self._so_far: list[Piece] = []
        self._width = 0  # of the window, when they were laid out

    @property
    def so_far(self) -> list[Piece]:
        """What it would be if nothing followed, with a line end."""
        width = self._look.width()
        if self._rows and (not self._so_far or width != self._width):
            self._so_far, self._width = [*self.pieces(), Piece("\n")], width
        return self._so_far

    def add(self, row: Source) -> bool:
        """One more line; False if these lines turn out to be plain text."""
        self._rows.append(row)
        self._so_far = []
        return len(self._rows) != 2 or self._real

    @property
    def _real(self) -> bool:
        return len(self._rows) > 1 and is_delimiter(self._rows[1].text[_bar(self._rows[1]) :])

    def pieces(self) -> list[Piece]:
        """All of it, without a line end after the last line."""
        if not self._real:
            return self._as_text()
        room = self._look.width() - 1 - sum(columns(piece.text) for piece in self._before)
        base = self._look.base
        out: list[Piece] = []
        for line in self._lines(room):
            out += [Piece("\n")] if out else []
            out += [*self._before, *(Piece(text, base + style) for text, style in line)]
        return out

    def _lines(self, room: int) -> list[list[Piece]]:
        """Rows and columns, or a list where the columns would get too narrow.

        Cells the heading does not have are left out, missing ones are empty.
        """
        from rich.console import Group

        heads, *rows = (self._cells(row) for row in (self._rows[0], *self._rows[2:]))
        rows = [row[: len(heads)] for row in rows]
        for head in heads:
            head.stylize(BOLD)
        grid = self._grid(heads, rows)
        wanted = max(sum(columns(piece.text) for piece in line) for line in lines(grid))
        if wanted > room and (room - 3 * (len(heads) - 1)) // len(heads) < NARROWEST:
            return lines(Group(*as_lists(heads, rows)), room)
        return lines(grid, room)

    def _grid(self, heads: list[Text], rows: list[list[Text]]) -> RichTable:
        from rich import box
        from rich.table import Table

        signs = box.MINIMAL if self._look.unicode else box.ASCII
        grid = Table(box=signs, show_edge=False, pad_edge=False, border_style=DIM)
        for head, side in zip(heads, _sides(self._rows[1]), strict=False):
            grid.add_column(head, justify=side, overflow="fold")
        for row in rows:
            grid.add_row(*row)
        return grid

    def _as_text(self) -> list[Piece]:
        out: list[Piece] = []
        wrapper = Wrapper(out, self._look.limit)
        for row in self._rows:
            out += [Piece("\n")] if out else []
            wrapper.begin(self._before, self._before)
            spans, _ = parse(row.text, _bar(row), len(row.text), True, self._look.base)
            for piece in row.pieces(spans, self._look):
                wrapper.put(*piece)
            wrapper.end()
        return out

    def _cells(self, row: Source) -> list[Text]:
        from rich.text import Text

        parsed = (parse(row.text, start, end, True)[0] for start, end in _bounds(row))
        shown = (row.pieces(_without_escapes(row.text, x), self._look) for x in parsed)
        return [Text.assemble(*((text, style or "") for text, style in cell)) for cell in shown]


def _without_escapes(text: str, spans: list[Span]) -> Iterator[Span]:
    """In a cell, a bar is escaped even within code, where a backslash is one elsewhere."""
    for span in spans:
        at = span.start
        for bar in _ESCAPED_BAR.finditer(text, at, span.end if not span.instead else at):
            yield Span(at, bar.start(), span.style)
            yield Span(bar.start(), bar.end(), span.style, "|")
            at = bar.end()
        yield span._replace(start=at)


def _bar(row: Source) -> int:
    return row.text.index("|")


def _bounds(row: Source) -> list[tuple[int, int]]:
    """Where the cells of a row start and end, without the blanks around them."""
    end = len(row.text.rstrip())
    bars = [found.start() for found in _BARS.finditer(row.text, 0, end)]
    if bars[-1] != end - 1 or len(bars) == 1:
        bars.append(end)
    return [_trimmed(row.text, start + 1, end) for start, end in pairwise(bars)]


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    cell = text[start:end]
    start += len(cell) - len(cell.lstrip())
    return start, start + len(cell.strip())


def _sides(row: Source) -> list[Side]:
    """The side each column is flush with, from the line below the heading."""
    marks = [row.text[start:end] for start, end in _bounds(row)]
    return [_SIDES.get((mark[:1] == ":", mark[-1:] == ":"), "left") for mark in marks]
