"""Where a line stands: in which quotes and list items, and what is drawn before it.

Knows openings of lines, not what is in them.
"""

from __future__ import annotations

from gemma_mtp.terminal.markdown.blocks import Item, Opening
from gemma_mtp.terminal.markdown.source import Look, Source
from gemma_mtp.terminal.pieces import Piece
from gemma_mtp.terminal.styles import DIM

BULLETS = "•◦▪"
BOXES = {" ": "☐", "x": "☑"}


class Place:
    """The quotes and lists that are open."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._quotes = 0
        # Of each list item around the line: the source column of its mark, and where its text is
        # in columns on the screen.
        self._items: list[tuple[int, int]] = []

    @property
    def in_list(self) -> bool:
        return bool(self._items)

    @property
    def before(self) -> list[Piece]:
        """What stands before every row but the first of an item."""
        return [*self._bars(), *self._blanks()]

    def enter(self, start: Opening, line: Source) -> list[Piece]:
        """Go to where a line starts; returns what stands before its first row."""
        if start.quotes != self._quotes:
            self._items.clear()
            self._quotes = start.quotes
        self._leave_items(start.items[0].column if start.items else start.column)
        first = self.before
        for item in start.items:
            end = item.at + len(item.mark)
            style = line.marked(self._look.base, item.at, end, self._look)
            first += [Piece(self._open(item), style), Piece(" ")]
        return first

    def leave_quotes(self) -> None:
        """A blank line ends quotes, but not lists."""
        if self._quotes:
            self._quotes = 0
            self._items.clear()

    def _leave_items(self, column: int) -> None:
        """People and models indent by two columns where more would be due; two are enough."""
        while self._items and column < self._items[-1][0] + 2:
            self._items.pop()

    def _open(self, item: Item) -> str:
        mark = item.mark
        box = BOXES[item.box] if item.box and self._look.unicode else f"[{item.box}]"
        if item.box:
            mark = box if mark in "-+*" else f"{mark} {box}"
        elif mark in "-+*" and self._look.unicode:
            mark = BULLETS[min(len(self._items), len(BULLETS) - 1)]
        self._items.append((item.column, self._indent + len(mark) + 1))
        return mark

    @property
    def _indent(self) -> int:
        return self._items[-1][1] if self._items else 0

    def _bars(self) -> list[Piece]:
        bar = "│ " if self._look.unicode else "| "
        return [Piece(bar * self._quotes, self._look.base + DIM)] if self._quotes else []

    def _blanks(self) -> list[Piece]:
        return [Piece(" " * self._indent)] if self._indent else []
