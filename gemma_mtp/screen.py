"""Text on its way to the terminal, and one transient line below it.

Knows columns and escape sequences, not what the words mean. The transient line is drawn under the
text, never becomes part of it, and is erased before anything else is written; it appears only on
a terminal that can move its cursor.
"""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Mapping
from itertools import groupby
from typing import TextIO

DIM, PLAIN = "\x1b[2m", "\x1b[0m"
ERASE_LINE, ERASE_BELOW = "\x1b[K", "\x1b[J"
# Make room for a row below (index keeps the column, a newline would not), then draw in that row
# and come back. Nothing here depends on knowing the column.
ROW_BELOW = "\x1bD\x1b[A\x1b7\x1b[B\r"
BACK = "\x1b8"

# A reply may contain any character; on a terminal, control characters must not act.
_CONTROLS = {c: "\ufffd" for c in (*range(0x20), 0x7F, *range(0x80, 0xA0)) if chr(c) not in "\n\t"}


def char_width(char: str) -> int | None:
    """Columns `char` takes; None where terminals disagree (joined emoji, flags, marks)."""
    if " " <= char <= "~":
        return 1
    if unicodedata.category(char) in ("Mn", "Me", "Mc", "Cf", "Cn", "Co", "Cs"):
        return None
    if "\U0001f1e6" <= char <= "\U0001f1ff" or "\U0001f3fb" <= char <= "\U0001f3ff":
        return None
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def text_width(text: str) -> int:
    """Columns of one line, for texts of our own making."""
    return sum(char_width(c) or 0 for c in text)


def fit(parts: list[tuple[int, str]], width: int) -> str:
    """Join (importance, text) parts with dots, leaving out the least important until it fits."""
    kept = list(parts)
    while len(kept) > 1 and text_width(" · ".join(text for _, text in kept)) > width:
        kept.remove(min(reversed(kept), key=lambda part: part[0]))
    return " · ".join(text for _, text in kept)


class Screen:
    """`text` receives what was asked for, `notes` all the rest; in a chat both are one stream."""

    def __init__(
        self, text: TextIO, notes: TextIO, environment: Mapping[str, str] | None = None
    ) -> None:
        env = os.environ if environment is None else environment
        capable = env.get("TERM", "") != "dumb"
        self.text, self.notes = text, notes
        self.text_shown = text.isatty()
        self.live = notes.isatty() and capable
        self.dims = self.live and not env.get("NO_COLOR")
        if self.live and os.name == "nt":
            os.system("")  # makes older Windows consoles understand escape sequences
        self._column: int | None = 0
        self._width = self.width
        self._wanted, self._shown = "", False

    @property
    def width(self) -> int:
        """Columns of the terminal that `notes` go to."""
        try:
            columns = os.get_terminal_size(self.notes.fileno()).columns
        except (OSError, ValueError):
            columns = 0
        return max(columns or shutil.get_terminal_size().columns, 10)

    @property
    def at_line_start(self) -> bool:
        """Nothing was written in the current row yet."""
        return self._column == 0

    def write(self, piece: str, *, dim: bool = False, note: bool = False) -> None:
        """Write a piece where the text ended; the transient line moves along below it."""
        stream = self.notes if note else self.text
        on_terminal = self.live if note else self.text_shown
        if on_terminal:
            piece = piece.translate(_CONTROLS)
        styled = f"{DIM}{piece}{PLAIN}" if dim and self.dims and piece.strip() else piece
        erase = self._erase()
        if on_terminal or self.text is self.notes:
            self._advance(piece)
        else:
            self._wanted = ""
        self._send((self.notes, erase), (stream, styled), (self.notes, self._draw()))

    def transient(self, line: str) -> None:
        """Show `line` below the text, in place of an earlier one; "" takes it away."""
        if not self.live or line == self._wanted:
            return
        self._resized()
        self._wanted = line
        self._send((self.notes, self._erase() + self._draw()))

    def _draw(self) -> str:
        """The transient line where the cursor is now, if that is possible here."""
        line = _cut(self._wanted, self._width - 1)
        styled = f"{DIM}{line}{PLAIN}" if self.dims else line
        self._shown = True
        if line and self._column == 0:
            return styled + "\r"
        if line and self._column is not None and self._column < self._width:
            return ROW_BELOW + styled + BACK
        self._shown = False  # at the right edge a movement would lose the pending line break
        return ""

    def _erase(self) -> str:
        """Take the transient line away. In the top left corner of the screen, erasing all that is
        below would make some terminals keep it in the scrollback, so a line of its own is erased
        by itself."""
        if not self._shown:
            return ""
        return ERASE_LINE if self._column == 0 else ERASE_BELOW

    def _resized(self) -> None:
        if self.width != self._width:
            self._width = self.width
            self._column = None if self._column else self._column

    def _advance(self, piece: str) -> None:
        """Follow the cursor; None: the column is not known until the next line starts."""
        self._resized()
        for char in piece:
            if char == "\n":
                self._column = 0
            elif self._column is None:
                continue
            elif char == "\t":
                self._column = min(self._column + 8 - self._column % 8, self._width - 1)
            elif (width := char_width(char)) is None:
                self._column = None
            elif self._column + width > self._width:
                self._column = width
            else:
                self._column += width

    def _send(self, *parts: tuple[TextIO, str]) -> None:
        for stream, group in groupby((p for p in parts if p[1]), key=lambda part: part[0]):
            stream.write("".join(data for _, data in group))
            stream.flush()


def _cut(line: str, width: int) -> str:
    while text_width(line) > width:
        line = line[:-1]
    return line
