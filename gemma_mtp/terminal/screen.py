"""Text on its way to the terminal, and what is shown for the moment only: an unfinished end of
the text, with rows above it where it begins at the start of a row, and one transient line below.

Knows columns and escape sequences, not what the words mean. What is shown for the moment never
becomes part of the text and is erased before anything else is written; it appears only on a
terminal that can move its cursor.

The cursor is always left where the text ended, and all that is shown for the moment is behind it.
So it can be erased without knowing where it is: a window that gets another width while it is there
may have broken its rows anew, as most terminals do, or cut them. No row above the cursor is ever
touched. Where the row of the text itself was broken or cut, the text goes on in a fresh one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Literal, TextIO

from gemma_mtp.terminal import escapes
from gemma_mtp.terminal.console import is_dumb, window
from gemma_mtp.terminal.cursor import Cursor
from gemma_mtp.terminal.escapes import (
    BACK,
    ERASE_BELOW,
    ERASE_SCREEN_BELOW,
    FRESH_ROW,
    NO_WRAP,
    WRAP,
)
from gemma_mtp.terminal.output import let_go, unguarded
from gemma_mtp.terminal.pieces import Piece, fitting, harmless_pieces, lines_of
from gemma_mtp.terminal.prompt import PROMPT
from gemma_mtp.terminal.widths import columns, cut, cut_start
from gemma_mtp.text import harmless

if TYPE_CHECKING:
    from rich.style import Style

GAP = 2  # columns between what is typed and what the transient line says

Shown = Literal["", "line", "end", "rows"]
"""What is on the screen for the moment: no more than the transient line, or more."""


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
        self.left = False  # whoever read the text
        self._cursor = Cursor()
        self._fresh = False  # the row was begun although the text has no line end there
        self._width = self.width
        self._above: list[list[Piece]] = []  # the rows of the end but for the last
        self._most = 0  # so many of these are shown
        self._end: list[Piece] = []
        self._bar: Sequence[Piece] = ()
        self._wanted = self._typed = ""
        self._drawing = threading.Lock()  # keys are shown from a thread of their own
        self._shown: Shown = ""
        self._shown_in = 0, 0  # columns and rows of the window then

    @property
    def width(self) -> int:
        """Columns of the terminal that `notes` go to."""
        return self._size()[0]

    @property
    def height(self) -> int:
        """Rows of that terminal."""
        return self._size()[1]

    def _size(self) -> tuple[int, int]:
        return window(self.notes)

    @property
    def unicode(self) -> bool:
        """Whether signs beyond ASCII arrive."""
        return (getattr(self.notes, "encoding", None) or "utf-8").lower().startswith("utf")

    @property
    def at_line_start(self) -> bool:
        """Nothing was written in the current line yet."""
        return self._cursor.column == 0 and not self._fresh

    def write(self, piece: str, *, dim: bool = False, note: bool = False) -> None:
        """Write a piece where the text ended; the transient line moves along below it."""
        self.put([Piece(piece, self.dim if dim else None)], note=note)

    def put(
        self, pieces: Iterable[Piece], end: Iterable[Piece] = (), *, note: bool = False
    ) -> None:
        """Write pieces where the text ended, all at once. `end` is shown after them until the
        next time, as far as this row holds it; several lines only from the start of a row on."""
        with self._drawing:
            self._put(list(pieces), end, note)

    def _put(self, pieces: list[Piece], end: Iterable[Piece], note: bool) -> None:
        stream = self.notes if note else self.text
        on_terminal = self.live if note else self.text_shown
        if note or on_terminal:
            pieces = harmless_pieces(pieces)
        *above, end = lines_of(harmless_pieces(end))
        stays = not pieces and above == self._above and self._stands
        erase = self._erase(stays)
        if on_terminal or self.text is self.notes:
            pieces = self._begun_afresh(pieces)
            for piece, _ in pieces:
                self._cursor.follow(piece, self._width)
        else:
            self._wanted = ""
        self._above, self._end, self._most = above, end, self.height // 2
        data = self.styled(pieces)
        self._send((self.notes, erase), (stream, data), (self.notes, self._draw(stays)))

    def transient(self, line: str, bar: Sequence[Piece] = ()) -> None:
        """Show `line` below the text, in place of an earlier one, after a `bar`; "" takes both
        away."""
        line = harmless(line)
        if not self.live or (line == self._wanted and bar == self._bar):
            return
        with self._drawing:
            self._wanted, self._bar = line, bar
            self._redraw()

    def typed(self, text: str) -> bool:
        """Show what is typed below the text, before the transient line if there is room for both;
        "" takes it away. Any thread may call this, even one that interrupted this screen: False if
        something else is just being drawn, and nothing was done."""
        if not self._drawing.acquire(blocking=False):
            return False
        try:
            if self.live and text != self._typed:
                self._typed = harmless(text)
                self._redraw()
        finally:
            self._drawing.release()
        return True

    def _redraw(self) -> None:
        stays = self._stands
        erase = self._erase(stays)
        self._send((self.notes, erase + self._draw(stays)))

    def rows(self, lines: Iterable[list[Piece]]) -> None:
        """Show whole lines for the moment, in place of those before, with the cursor at the start
        of a row above them; the last ones where there are more than the window has room for."""
        with self._drawing:
            erase = self._erase()
            self._above, self._end, self._most = (
                [harmless_pieces(x) for x in lines],
                [],
                self.height - 2,
            )
            self._send((self.notes, erase + self._draw()))

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
            from gemma_mtp.terminal.styles import without_colour

            style = without_colour(style)
        lines = (style.render(x, color_system=ColorSystem.STANDARD) for x in text.split("\n"))
        return "\n".join(lines)

    @property
    def dim(self) -> Style | None:
        """The style of what is not the reply; none where it could not be told apart."""
        if not self.dims:
            return None
        from gemma_mtp.terminal.styles import DIM

        return DIM

    @property
    def _stands(self) -> bool:
        """The rows above the end are on the screen as they were drawn."""
        return self._shown == "rows" and self._size() == self._shown_in

    def _draw(self, stays: bool = False) -> str:
        """The end and the transient line behind the cursor, if that is possible here; the rows
        above them may have stayed. In a window that is narrower by now they are cut, not broken."""
        self._shown = ""
        column = self._cursor.column
        if not self.live or column is None or column >= self._width:
            return ""  # at the right edge a movement would lose the pending line break
        room = self._width - 1
        above = self._above[-self._most :] if column == 0 else []
        end = fitting(self._begun_afresh(self._end, False), room - column)
        line = self._line(room)
        if not (above or end or line):
            return ""
        self._shown = "rows" if above else "end" if end else "line"
        self._shown_in = self._size()
        drawn = escapes.down(len(above)) + ERASE_BELOW if stays else ""
        if not stays:
            drawn = "".join(self.styled(fitting(row, room)) + "\r\n" for row in above)
        drawn += self.styled(end)
        below = bool(line and (above or end or column))
        drawn += escapes.START_BELOW if below else ""
        return escapes.room(len(above) + below) + NO_WRAP + drawn + self.styled(line) + WRAP + BACK

    def _line(self, room: int) -> list[Piece]:
        """What is typed, or as much of its end as there is room for, and the transient line."""
        bar = sum(len(piece.text) for piece in self._bar)
        line = [*self._bar, Piece(cut(self._wanted, room - bar), self.dim)] if self._wanted else []
        if not self._typed:
            return line
        typed = PROMPT + cut_start(self._typed, room - len(PROMPT))
        fits = columns(typed) + GAP + bar + columns(self._wanted) <= room
        return [Piece(typed), Piece(" " * GAP), *line] if fits and line else [Piece(typed)]

    def _erase(self, stays: bool = False) -> str:
        """Take away what is shown for the moment, but for the rows above the end if it `stays`
        with them."""
        if self._broken():
            rest = ERASE_BELOW if self._shown == "end" else ""
            self._cursor.follow("\n", self._width)
            self._shown, self._fresh = "", True
            return rest + FRESH_ROW
        if stays or not self._shown:
            return ""
        return ERASE_SCREEN_BELOW if self._cursor.column == 0 else ERASE_BELOW

    def _broken(self) -> bool:
        """The window has another width, and with it the row of the text was broken or cut: the
        cursor may be in any column, even on the last letter."""
        width, before = self.width, self._width
        self._width = width
        if width == before or not self.live:
            return False
        column = self._cursor.column
        return column is None or self._cursor.goes_on or column >= width

    def _begun_afresh(self, pieces: list[Piece], for_good: bool = True) -> list[Piece]:
        """Pieces without the line end or the blanks in whose place a row was begun already."""
        kept = list(pieces)
        while self._fresh and kept:
            text, style = kept[0]
            ended = text.lstrip(" ").startswith("\n")
            text = text.lstrip(" ").removeprefix("\n") if ended else text.lstrip(" ")
            kept[:1] = [Piece(text, style)] if text else []
            if ended or text:
                self._fresh = not for_good
                break
        return kept

    def _send(self, *parts: tuple[TextIO, str]) -> None:
        for stream, group in groupby((p for p in parts if p[1]), key=lambda part: part[0]):
            try:
                stream.write("".join(data for _, data in group))
                stream.flush()
            except BrokenPipeError:
                let_go(stream)
                self.left = self.left or stream is self.text
