"""One text in Markdown while it is being written: fed in pieces, given out word by word.

What is given out never changes again and does not depend on how the text was cut. What is not
decided yet can be seen in `held`. Line ends at the end of the text are kept back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.style import Style

from gemma_mtp.terminal.markdown.blocks import Leaf, Opening, opening
from gemma_mtp.terminal.markdown.code import Fence
from gemma_mtp.terminal.markdown.inline import as_if_closed, parse
from gemma_mtp.terminal.markdown.place import Place
from gemma_mtp.terminal.markdown.source import Look, Source, Span
from gemma_mtp.terminal.markdown.table import Table
from gemma_mtp.terminal.markdown.wrap import Wrapper
from gemma_mtp.terminal.pieces import Piece
from gemma_mtp.terminal.styles import BOLD, DIM, ITALIC, PLAIN, UNDERLINE
from gemma_mtp.terminal.widths import columns
from gemma_mtp.text import harmless

_HEADINGS: dict[int, Style] = {0: PLAIN, 1: BOLD + UNDERLINE, 2: BOLD, 3: BOLD + ITALIC}
LONGEST_RULE = 60


class Markdown:
    """`feed` it, then `finish`; both return what can be shown from then on.

    `column` is where the first line starts.
    """

    def __init__(self, look: Look | None = None, column: int = 0) -> None:
        self._look = look or Look()
        self._out: list[Piece] = []
        self._wrapper = Wrapper(self._out, self._look.limit, column)
        self._place = Place(self._look)
        self._line = Source()
        self._opening: Opening | None = None  # of the line, when it is known
        self._at = 0  # so much of the line is decided
        self._begun = False  # there is more than blanks in it
        self._owed = 0  # line ends before the next thing to show
        self._shown = False  # there was anything to show
        self._offset = column  # only text goes on in a row that was begun
        self._in_paragraph = False
        self._fence: Fence | None = None
        self._table: Table | None = None

    def feed(self, text: str, drafted: bool = False) -> list[Piece]:
        """Go on with the text."""
        for number, part in enumerate(harmless(text).split("\n")):
            if number:
                self._end_line()
            if part:
                self._line = self._line.plus(part, drafted)
                self._advance(whole=False)
        return self._taken()

    def finish(self) -> list[Piece]:
        """Nothing follows."""
        if self._line.text:
            self._end_line()
        self._end_table()
        return self._taken()

    @property
    def held(self) -> list[Piece]:
        """What is not given out, as it will probably look: the rows of a table so far, and never
        more than one line."""
        return [*(self._table.so_far if self._table else []), *self._held_line]

    @property
    def _held_line(self) -> list[Piece]:
        if not self._begun:
            return []
        if self._fence:
            return self._fence.unfinished(self._line)
        if self._opening is None or self._opening.leaf not in ("text", "heading"):
            raw = self._line.text.strip().replace("\t", "    ")
            return [Piece(raw, self._look.base + DIM)]
        end = len(self._line.text)
        spans = as_if_closed(self._line.text, self._at, end, self._base) if self._at < end else []
        spans = [span._replace(instead=span.instead.replace("\n", " ")) for span in spans]
        held = [*self._wrapper.held, *self._line.pieces(spans, self._look)]
        return held if any(piece.text.strip() for piece in held) else []

    def _taken(self) -> list[Piece]:
        out = self._out[:]
        self._out.clear()
        return out

    def _advance(self, whole: bool) -> None:
        """Give out what is decided about the current line."""
        if not self._begun and self._line.text.strip():
            self._begin()
        if self._fence:
            return
        if self._opening is None:
            continues = self._in_paragraph or self._place.in_list
            self._opening = opening(self._line.text, whole, continues)
            if self._opening is None:
                return
            self._enter(self._opening)
        if self._opening.leaf in ("text", "heading"):
            self._inline(whole)

    def _begin(self) -> None:
        """The first visible character of a line is there."""
        self._begun = True
        if self._fence and self._fence.quotes and not self._line.text.lstrip().startswith(">"):
            self._fence = None
        if not self._table:  # what follows a table waits until it is known to be none of it
            self._break_lines()

    def _break_lines(self) -> None:
        if self._shown:
            self._out.extend([Piece("\n")] * self._owed)
        self._owed, self._shown = 0, True

    def _enter(self, start: Opening) -> None:
        """The line turns out to be this."""
        self._at = start.at
        if start.leaf == "row" and self._table:
            return
        if self._table:
            self._end_table()
            self._break_lines()
        if start.leaf == "blank" and not (start.quotes or start.items):
            return
        first = self._place.enter(start, self._line)
        if self._offset and (first or start.leaf != "text"):
            self._out.append(Piece("\n"))
            self._wrapper.end()
        self._offset = 0
        if start.leaf == "row":
            self._table = Table(self._look, self._place.before)
        else:
            self._wrapper.begin(first, self._place.before)

    def _end_line(self) -> None:
        self._advance(whole=True)
        if self._fence and (self._begun or not self._fence.quotes):
            self._code(self._fence)
        elif self._opening is None or (self._opening.leaf == "blank" and not self._begun):
            self._blank()
        else:
            self._LEAVES[self._opening.leaf](self, self._opening)
            self._in_paragraph = self._opening.leaf == "text"
            self._wrapper.end()
            self._owed = 0 if self._table else 1
        self._line = Source()
        self._opening, self._at, self._begun = None, 0, False

    def _blank(self) -> None:
        """A blank line; several of them count as one."""
        self._fence = None
        self._end_table()
        self._place.leave_quotes()
        self._in_paragraph = False
        self._owed = min(self._owed + 1, 2)

    def _code(self, fence: Fence) -> None:
        if not self._begun:  # in a block of code every blank line counts
            self._owed += 1
            return
        self._out.extend(fence.pieces(self._line))
        self._owed = 1
        if not fence.open:
            self._fence = None

    def _end_table(self) -> None:
        if self._table:
            self._out.extend(self._table.pieces())
            self._table = None
            self._owed = 1

    @property
    def _base(self) -> Style:
        level = self._opening.level if self._opening else 0
        return self._look.base + _HEADINGS.get(level, ITALIC)

    def _inline(self, whole: bool) -> None:
        text = self._line.text
        spans, self._at = parse(text, self._at, len(text), whole, self._base)
        for piece in self._line.pieces(spans, self._look):
            self._wrapper.put(*piece)

    def _nothing(self, start: Opening) -> None:
        """It went out already."""

    def _rule(self, start: Opening) -> None:
        before = sum(columns(piece.text) for piece in self._place.before)
        room = max(self._look.width() - 1 - before, 3)
        sign = "─" if self._look.unicode else "-"
        self._instead(start, sign * min(room, LONGEST_RULE))

    def _indented(self, start: Opening) -> None:
        span = Span(start.at, len(self._line.text.rstrip()), self._look.base)
        self._out += [Piece(" " * start.column), *self._line.pieces([span], self._look)]

    def _fence_line(self, start: Opening) -> None:
        text = self._line.text
        self._instead(start, text[start.at :].rstrip())
        self._fence = Fence(start, text, self._look, self._place.before)

    def _instead(self, start: Opening, text: str) -> None:
        """A dim text for all of the line from where it starts."""
        span = Span(start.at, len(self._line.text), self._look.base + DIM, text)
        self._out += self._line.pieces([span], self._look)

    def _row(self, start: Opening) -> None:
        if self._table and not self._table.add(self._line):
            self._end_table()

    _LEAVES: ClassVar[dict[Leaf, Callable[[Markdown, Opening], None]]] = {
        "blank": _nothing,
        "text": _nothing,
        "heading": _nothing,
        "rule": _rule,
        "indented": _indented,
        "fence": _fence_line,
        "row": _row,
    }
