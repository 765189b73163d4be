"""Words into rows: a word that does not fit goes to the next row as soon as that is certain.

Knows columns, no markup. A word longer than a row is left to the terminal, so that it can be
copied in one piece; the row in which it ends is filled up.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from unicodedata import category

from rich.style import Style

from gemma_mtp.terminal.pieces import Piece
from gemma_mtp.terminal.widths import JOINER, char_width, columns, is_flag, is_skin_tone, most

TAB = "    "
_UNKNOWN = 10**9  # columns
_CHUNKS = re.compile(r"\n|[ \t]+|[^ \t\n]+")
# Signs that East Asian text, which may be broken almost anywhere, does not begin a row with,
# besides those that Unicode calls closing or other punctuation.
_NOT_FIRST = frozenset("ー々ぁぃぅぇぉっゃゅょァィゥェォッャュョ")


class Wrapper:
    """Appends pieces and line ends to `out`. `limit` is asked again for every word, since a
    window changes its size."""

    def __init__(self, out: list[Piece], limit: Callable[[], int], column: int = 0) -> None:
        self._out, self._limit = out, limit
        self._column = column
        self._hang: list[Piece] = []
        self._hang_width = 0
        self._spaces: list[Piece] = []
        self._word: list[Piece] = []
        self._width = 0  # of the word
        self._open = 0  # columns of the window in which a word without an end is partly out
        self._break = False  # the next word begins a row
        self._filled = column > 0  # something stands in this row

    @property
    def held(self) -> list[Piece]:
        """The space after the last word, and the next word as far as it is there."""
        return [*self._spaces, *self._word]

    def begin(self, first: list[Piece], hang: list[Piece]) -> None:
        """Start a line with `first`; the rows it goes on in start with `hang`."""
        width = sum(columns(piece.text) for piece in hang)
        if width > self._limit() // 2:
            hang, width = [], 0
        self._hang, self._hang_width = hang, width
        self._out.extend(first)
        self._column += sum(columns(piece.text) for piece in first)

    def put(self, text: str, style: Style | None = None) -> None:
        """Go on with the line."""
        for chunk in _CHUNKS.findall(text):
            if chunk == "\n":
                self._settle()
                self._break = True
            elif chunk[0] in " \t":
                self._settle()
                if self._filled:
                    self._spaces.append(Piece(chunk.replace("\t", TAB), style))
            elif chunk.isascii():
                if self._word and not _joined(self._word[-1].text[-1], chunk[0], 1):
                    self._settle()
                self._grow(Piece(chunk, style), len(chunk))
            else:
                self._put_chars(chunk, style)

    def _put_chars(self, chunk: str, style: Style | None) -> None:
        for char in chunk:
            width = most(char)
            if self._word and not _joined(self._word[-1].text[-1], char, width):
                self._settle()
            self._grow(Piece(char, style), width)

    def end(self) -> None:
        """The line is over; spaces at its end are dropped."""
        self._settle()
        self._spaces.clear()
        self._column = 0
        self._filled = self._break = False

    def _grow(self, piece: Piece, width: int) -> None:
        if self._open:
            self._out.append(piece)
            self._flow(piece.text)
            return
        if self._break:
            self._next_row()
        limit = self._limit()
        self._word.append(piece)
        self._width += width
        spaces = sum(len(space.text) for space in self._spaces)
        if self._filled and self._column + spaces + self._width > limit:
            self._next_row()
        if not self._filled and self._column + self._width > limit:
            start, word = self._column, self._word[:]
            self._settle()
            self._column, self._open = start, limit + 1
            for part in word:
                self._flow(part.text)

    def _flow(self, text: str) -> None:
        """Go to the column at which the terminal arrives with a part of a word that it breaks."""
        for char in text:
            width = most(char)
            self._column = width if self._column + width > self._open else self._column + width
            if char_width(char) is None:
                self._open = _UNKNOWN

    def _next_row(self) -> None:
        self._out.extend([Piece("\n"), *self._hang])
        self._spaces.clear()
        self._column, self._filled, self._break = self._hang_width, False, False

    def _settle(self) -> None:
        """The word is complete."""
        if self._open and self._open != self._limit() + 1:  # the column is not certain
            self._column = self._limit()
        self._open = 0
        if not self._word:
            return
        self._column += sum(len(space.text) for space in self._spaces) + self._width
        self._out.extend([*self._spaces, *self._word])
        self._spaces.clear()
        self._word.clear()
        self._width = 0
        self._filled = True


def _joined(before: str, char: str, width: int) -> bool:
    """Whether no row may end between the two."""
    if width == 0 or before == JOINER or is_skin_tone(char):
        return True
    if is_flag(before) and is_flag(char):
        return True
    if _sticks(char) or category(before) in ("Ps", "Pi"):
        return True
    return width < 2 and most(before) < 2


def _sticks(char: str) -> bool:
    """Whether `char` belongs to what is before it."""
    return char in _NOT_FIRST or category(char) in ("Pe", "Pf", "Po")
