"""A line of Markdown as it was written, and the pieces that its parts become."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from rich.style import Style

from gemma_mtp.terminal.pieces import Piece
from gemma_mtp.terminal.styles import PLAIN, REVEALED


class Span(NamedTuple):
    """A part of a source line in one style, or what is shown `instead` of it."""

    start: int
    end: int
    style: Style = PLAIN
    instead: str = ""


@dataclass(frozen=True)
class Look:
    """What the place can do where the text is shown. All of it is in the style `base`, tokens that
    were proposed in `drafted` as well.

    `width` is asked again for every word, since windows change. Nothing is written in the last
    column: what the cursor does there differs.
    """

    width: Callable[[], int] = lambda: 80
    wrap: bool = True
    colour: bool = True
    unicode: bool = True
    base: Style = PLAIN
    drafted: Style = PLAIN

    def limit(self) -> int:
        """The columns that words may fill."""
        return self.width() - 1 if self.wrap else 10**9


@dataclass(frozen=True)
class Source:
    """A line, and for each of its characters 1 if it is to be seen that it was drafted, else 0."""

    text: str = ""
    drafted: bytes = b""

    def plus(self, text: str, drafted: bool) -> Source:
        """The line with more text. Blanks are not marked as drafted."""
        marks = bytes(drafted and not char.isspace() for char in text)
        return Source(self.text + text, self.drafted + marks)

    def pieces(self, spans: Iterable[Span], look: Look) -> list[Piece]:
        """The text of spans, parted where drafted tokens begin and end."""
        pieces: list[Piece] = []
        for start, end, style, instead in spans:
            if style.conceal:
                if look.colour:
                    continue
                style += REVEALED
            if instead:
                pieces.append(Piece(instead, self.marked(style, start, end, look)))
                continue
            while start < end:
                stop = self.drafted.find(1 - self.drafted[start], start, end)
                stop = end if stop < 0 else stop
                pieces.append(Piece(self.text[start:stop], self.marked(style, start, stop, look)))
                start = stop
        return pieces

    def marked(self, style: Style, start: int, end: int, look: Look) -> Style:
        """The style of what stands for a part of the line, of which some may have been drafted."""
        return style + look.drafted if 1 in self.drafted[start:end] else style
