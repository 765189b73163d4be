"""In which column the cursor of a terminal is, after what was written. `Screen` asks.

Knows widths of characters; no stream and no escape sequences.
"""

from __future__ import annotations

from gemma_mtp.terminal.widths import char_width, most

TAB = 8  # columns from one stop to the next


class Cursor:
    """`column` counts from 0, up to the width where the next character begins a row; None where it
    is not known until the next line starts. `goes_on`: the terminal broke a line, of which this row
    is the rest."""

    def __init__(self) -> None:
        self.column: int | None = 0
        self.goes_on = False
        self._exact = True  # otherwise the column is the greatest it can be

    def follow(self, text: str, width: int) -> None:
        """`text` was written, in a window of so many columns."""
        _, newline, text = text.rpartition("\n")
        if newline:
            self.column, self._exact, self.goes_on = 0, True, False
        if self.column is None:
            return
        if text.isascii() and "\t" not in text and self.column + len(text) <= width:
            self.column += len(text)
            return
        for char in text:
            self.column = self._after(char, self.column, width)
            if self.column is None:
                return

    def _after(self, char: str, column: int, width: int) -> int | None:
        if char == "\t":
            return min(column + TAB - column % TAB, width - 1)
        taken = char_width(char)
        if taken is None:
            self._exact, taken = False, most(char)
        if column + taken <= width:
            return column + taken
        self.goes_on = True
        return taken if self._exact else None
