"""A block of code between fences: its lines go out as they are, in colours."""

from __future__ import annotations

from gemma_mtp.terminal.markdown.blocks import Opening, closes_fence, fence_mark
from gemma_mtp.terminal.markdown.code import Highlighter
from gemma_mtp.terminal.markdown.pieces import DIM, Look, Piece, Source, Span


class Fence:
    """An open block; `before` stands in front of each line. Nothing is wrapped, so that copying
    gives what was written."""

    def __init__(self, start: Opening, line: str, look: Look, before: list[Piece]) -> None:
        self.open = True
        self.quotes = start.quotes
        self._column, self._look, self._before = start.column, look, before
        self._mark = fence_mark(line[start.at :])
        name = line[start.at + len(self._mark) :].strip().split(" ")[0].lower()
        self._highlighter = Highlighter(name if look.colour else "")

    def pieces(self, line: Source) -> list[Piece]:
        """A complete line, in colours; or the fence that ends the block."""
        at = self._start(line.text)
        text = line.text[at:].rstrip()
        base = self._look.base
        if closes_fence(text, self._mark):
            self.open = False
            spans = [Span(at, at + len(text), base + DIM)]
        else:
            found = self._highlighter.line(text)
            spans = [Span(at + start, at + end, base + style) for start, end, style in found]
        return [*self._before, *line.pieces(spans, self._look)]

    def unfinished(self, line: Source) -> list[Piece]:
        """A line that may still grow."""
        at = self._start(line.text)
        rest = Piece(line.text[at:].replace("\t", "    "), self._look.base)
        return [*self._before, rest] if rest.text.strip() else []

    def _start(self, line: str) -> int:
        """Where the code starts: after the marks of its quotes and the indent of its fence."""
        at = 0
        for _ in range(self.quotes):
            at += len(line[at:]) - len(line[at:].lstrip(" "))
            if line[at : at + 1] != ">":
                break
            at += 2 if line[at + 1 : at + 2] == " " else 1
        blanks = len(line[at:]) - len(line[at:].lstrip(" "))
        return at + min(blanks, self._column)
