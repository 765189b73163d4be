"""Text on its way to the terminal, and what is shown for the moment only: an unfinished end of
the text, with rows above it where it begins at the start of a row, and one transient line below.

Knows columns and escape sequences, not what the words mean. What is shown for the moment never
becomes part of the text and is erased before anything else is written; it appears only on a
terminal that can move its cursor.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, TextIO

from gemma_mtp.terminal import escapes
from gemma_mtp.terminal.console import is_dumb
from gemma_mtp.terminal.escapes import BACK, ERASE_BELOW, ERASE_LINE, ROW_BELOW
from gemma_mtp.terminal.output import unguarded
from gemma_mtp.terminal.pieces import Piece
from gemma_mtp.terminal.widths import char_width, columns, cut, most
from gemma_mtp.text import harmless

if TYPE_CHECKING:
    from rich.style import Style


def fit(parts: list[tuple[int, str]], width: int) -> str:
    """Join (importance, text) parts with dots, leaving out the least important until it fits."""
    kept = list(parts)
    while len(kept) > 1 and columns(" · ".join(text for _, text in kept)) > width:
        kept.remove(min(reversed(kept), key=lambda part: part[0]))
    return " · ".join(text for _, text in kept)


class Screen:
    """`text` receives what was asked for, `notes` all the rest; in a chat both are one stream.

    On a terminal no character of what is written acts; elsewhere a text stays as it is, since a
    reply may contain any character, while notes are harmless everywhere.
    """

    def __init__(self, text: TextIO, notes: TextIO, env: Mapping[str, str] | None = None) -> None:
        env = os.environ if env is None else env
        self.text, self.notes = unguarded(text), unguarded(notes)
        self.text_shown = text.isatty()
        self.notes_shown = notes.isatty()
        self.live = self.notes_shown and not is_dumb(env)
        self.dims = self.colour = self.live and not env.get("NO_COLOR")
        if self.live and os.name == "nt":
            os.system("")  # makes older Windows consoles understand escape sequences
        self._column: int | None = 0
        self._exact = True  # otherwise the column is the greatest it can be
        self._width = self.width
        self._above: list[list[Piece]] = []  # the rows of the end but for the last
        self._above_widths: list[int] = []  # columns of those that are on the screen
        self._end: list[Piece] = []
        self._end_width = 0  # columns of it that are on the screen
        self._bar: Sequence[Piece] = ()
        self._wanted, self._shown = "", False

    @property
    def width(self) -> int:
        """Columns of the terminal that `notes` go to."""
        return self._size()[0]

    @property
    def height(self) -> int:
        """Rows of that terminal."""
        return self._size()[1]

    def _size(self) -> tuple[int, int]:
        try:
            wide, high = os.get_terminal_size(self.notes.fileno())
        except (OSError, ValueError):
            wide, high = 0, 0
        assumed = shutil.get_terminal_size()
        return max(wide or assumed.columns, 10), max(high or assumed.lines, 4)

    @property
    def unicode(self) -> bool:
        """Whether signs beyond ASCII arrive."""
        return (getattr(self.notes, "encoding", None) or "utf-8").lower().startswith("utf")

    @property
    def at_line_start(self) -> bool:
        """Nothing was written in the current row yet."""
        return self._column == 0

    def write(self, piece: str, *, dim: bool = False, note: bool = False) -> None:
        """Write a piece where the text ended; the transient line moves along below it."""
        self.put([Piece(piece, self.dim if dim else None)], note=note)

    def put(
        self, pieces: Iterable[Piece], end: Iterable[Piece] = (), *, note: bool = False
    ) -> None:
        """Write pieces where the text ended, all at once. `end` is shown after them until the
        next time, as far as this row holds it; several lines only from the start of a row on."""
        stream = self.notes if note else self.text
        on_terminal = self.live if note else self.text_shown
        pieces = list(pieces)
        *above, end = _lines(_harmless(end))
        stays = not pieces and above == self._above and self.width == self._width
        erase = self._erase(stays)
        if note or on_terminal:
            pieces = _harmless(pieces)
        self._resized()
        data = self.styled(pieces)
        if on_terminal or self.text is self.notes:
            for piece, _ in pieces:
                self._advance(piece)
        else:
            self._wanted = ""
        self._above, self._end = above, end
        self._send((self.notes, erase), (stream, data), (self.notes, self._draw(stays)))

    def transient(self, line: str, bar: Sequence[Piece] = ()) -> None:
        """Show `line` below the text, in place of an earlier one, after a `bar`; "" takes both
        away."""
        line = harmless(line)
        if not self.live or (line == self._wanted and bar == self._bar):
            return
        stays = self.width == self._width
        erase = self._erase(stays)
        self._resized()
        self._wanted, self._bar = line, bar
        self._send((self.notes, erase + self._draw(stays)))

    def rows(self, lines: Iterable[list[Piece]], up: int = 0) -> None:
        """Write whole lines, each over what its row may hold, from `up` rows above on; what is
        below them is erased. Starts and ends at the start of a row."""
        data = "".join(self.styled(_harmless(line)) + ERASE_LINE + "\n" for line in lines)
        self._send((self.notes, self._erase() + escapes.up(up) + data + ERASE_BELOW))

    def styled(self, pieces: Iterable[Piece]) -> str:
        """Pieces with escape sequences around them, as few as possible."""
        if not self.live:
            return "".join(piece.text for piece in pieces)
        groups = groupby(pieces, key=lambda piece: piece.style)
        return "".join(self._in(style, (piece.text for piece in group)) for style, group in groups)

    def _in(self, style: Style | None, texts: Iterable[str]) -> str:
        text = "".join(texts)
        if not style:
            return text
        from rich.color import ColorSystem

        if not self.colour:  # dim text counts as a colour
            from rich.style import Style

            style = style.without_color + Style(dim=False)
        lines = (style.render(x, color_system=ColorSystem.STANDARD) for x in text.split("\n"))
        return "\n".join(lines)

    @property
    def dim(self) -> Style | None:
        """The style of what is not the reply; none where it could not be told apart."""
        if not self.dims:
            return None
        from gemma_mtp.terminal.styles import DIM

        return DIM

    def _draw(self, stays: bool = False) -> str:
        """The end and the transient line where the cursor is now, if that is possible here; the
        rows above them may have stayed."""
        end = ("" if stays else self._draw_above()) + self._draw_end()
        bar = sum(len(piece.text) for piece in self._bar)
        line = cut(self._wanted, self._width - 1 - bar)
        styled = self.styled([*self._bar, Piece(line, self.dim)])
        column = None if self._column is None else self._column + self._end_width
        self._shown = True
        if line and column == 0:
            return end + styled + "\r"
        if line and column is not None and column < self._width:
            return end + ROW_BELOW + styled + BACK
        self._shown = False  # at the right edge a movement would lose the pending line break
        return end

    def _draw_above(self) -> str:
        """The last rows above the end that leave the screen room for what is around them."""
        self._above_widths = []
        if not self.live or self._column != 0:
            return ""
        drawn = ""
        for row in self._above[-(self.height - 3) :]:
            kept, width = _fitting(row, self._width - 1)
            drawn += self.styled(kept) + "\n"
            self._above_widths.append(width)
        return drawn

    def _draw_end(self) -> str:
        """As much of the unfinished end as this row holds; at the edge one could not go back."""
        self._end_width = 0
        if not self.live or self._column is None:
            return ""
        kept, self._end_width = _fitting(self._end, self._width - 1 - self._column)
        return self.styled(kept) if self._end_width else ""

    def _erase(self, stays: bool = False) -> str:
        """Take away what is shown for the moment, but for the rows above the end if it `stays`
        with them. In the top left corner of the screen, erasing all that is below would make some
        terminals keep it in the scrollback, so lines that may be there are erased by themselves."""
        if self._above_widths and not stays:
            rows = sum(max(width - 1, 0) // self.width + 1 for width in self._above_widths)
            rows += self._end_width // self.width
            return f"\r{ERASE_BELOW}" + (escapes.up(1) + ERASE_LINE) * rows
        if not self._shown and not self._end_width:
            return ""
        narrower = self.width < self._width
        column = self._column or 0
        if not self._end_width:
            return ERASE_LINE if self._column == 0 and not narrower else ERASE_BELOW
        below = ERASE_BELOW if self._shown else ""
        if narrower and column + self._end_width >= self.width:
            return below + _back_over_rows(column, self._end_width, self.width)
        return below + escapes.left(self._end_width) + ERASE_LINE

    def _resized(self) -> None:
        width = self.width
        if width != self._width:
            if self._column is not None and self._column >= width:
                self._column = None
            self._width = width

    def _advance(self, piece: str) -> None:
        """Follow the cursor; None: the column is not known until the next line starts."""
        _, newline, piece = piece.rpartition("\n")
        if newline:
            self._column, self._exact = 0, True
        if self._column is None:
            return
        if piece.isascii() and "\t" not in piece and self._column + len(piece) <= self._width:
            self._column += len(piece)
            return
        for char in piece:
            self._step(char)

    def _step(self, char: str) -> None:
        if self._column is None:
            return
        if char == "\t":
            self._column = min(self._column + 8 - self._column % 8, self._width - 1)
            return
        width = char_width(char)
        if width is None:
            self._exact, width = False, most(char)
        if self._column + width <= self._width:
            self._column += width
        else:
            self._column = width if self._exact else None

    def _send(self, *parts: tuple[TextIO, str]) -> None:
        for stream, group in groupby((p for p in parts if p[1]), key=lambda part: part[0]):
            stream.write("".join(data for _, data in group))
            stream.flush()


def _harmless(pieces: Iterable[Piece]) -> list[Piece]:
    return [Piece(harmless(text), style) for text, style in pieces]


def _lines(pieces: list[Piece]) -> list[list[Piece]]:
    """Pieces parted at line ends; at least one line."""
    lines: list[list[Piece]] = [[]]
    for piece, style in pieces:
        first, *more = piece.split("\n")
        lines[-1].append(Piece(first, style))
        lines += [[Piece(part, style)] for part in more]
    return lines


def _fitting(pieces: list[Piece], room: int) -> tuple[list[Piece], int]:
    """As much of a line as there is room for, and its columns."""
    kept: list[Piece] = []
    used = 0
    for piece, style in pieces:
        part = _plain_part(piece, room - used)
        kept.append(Piece(part, style))
        used += len(part) if part.isascii() else columns(part)
        if part != piece:
            break
    return kept, used


def _plain_part(text: str, room: int) -> str:
    """The start of `text` that fits and of which the columns are certain."""
    if text.isascii():
        return text[: max(room, 0)]
    for at, char in enumerate(text):
        width = char_width(char)
        if width is None or width > room:
            return text[:at]
        room -= width
    return text


def _back_over_rows(column: int, after: int, width: int) -> str:
    """Back over `after` columns that a narrower window has broken into rows, erasing them."""
    rows = (column + after) // width - column // width
    return escapes.up(rows) + escapes.to_column(column % width) + ERASE_BELOW
