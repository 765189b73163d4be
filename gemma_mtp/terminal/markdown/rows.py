"""The text as it is, but for line ends between words where a row is full: what `stream` does where
nothing is to be rendered."""

from __future__ import annotations

from gemma_mtp.terminal.markdown.source import Look, Source, Span
from gemma_mtp.terminal.markdown.wrap import TAB, Wrapper
from gemma_mtp.terminal.pieces import Piece
from gemma_mtp.text import harmless


class Rows:
    """`feed` it, then `finish`, as `Markdown`. `column` is where the first line starts."""

    def __init__(self, look: Look, column: int = 0) -> None:
        self._look = look
        self._out: list[Piece] = []
        self._wrapper = Wrapper(self._out, look.limit, column)
        self._owed = 0  # line ends that nothing has followed yet
        self._indent = ""
        self._at_start = True  # of a line, where blanks are the indent of all its rows

    def feed(self, text: str, drafted: bool = False) -> list[Piece]:
        """Go on with the text."""
        for number, part in enumerate(harmless(text).split("\n")):
            if number:
                self._end_line()
            if self._at_start:
                visible = part.lstrip(" \t")
                self._indent += part[: len(part) - len(visible)].replace("\t", TAB)
                part = visible
            if part:
                self._begin_line()
                line = Source().plus(part, drafted)
                for piece in line.pieces([Span(0, len(part), self._look.base)], self._look):
                    self._wrapper.put(*piece)
        return self._taken()

    def finish(self) -> list[Piece]:
        """Nothing follows."""
        self._wrapper.end()
        return self._taken()

    @property
    def held(self) -> list[Piece]:
        """The last word, as far as it is there."""
        return self._wrapper.held

    def _begin_line(self) -> None:
        if not self._at_start:
            return
        self._at_start = False
        self._out.extend([Piece("\n")] * self._owed)
        self._owed = 0
        indent = [Piece(self._indent)] if self._indent else []
        self._wrapper.begin(indent, indent)

    def _end_line(self) -> None:
        self._wrapper.end()
        self._owed += 1
        self._indent, self._at_start = "", True

    def _taken(self) -> list[Piece]:
        out = self._out[:]
        self._out.clear()
        return out
