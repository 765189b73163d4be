"""A line of Markdown as it was written, and the pieces that its parts become."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from rich.style import Style

from gemma_mtp.terminal.pieces import Piece
from gemma_mtp.terminal.styles import PLAIN, REVEALED


class Span(NamedTuple):
    """A part of a source line in one style. An empty one is a space the source lacks."""

    start: int
    end: int
    style: Style = PLAIN


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
        for start, end, style in spans:
            if style.conceal:
                if look.colour:
                    continue
                style += REVEALED
            if start == end:
                pieces.append(Piece(" ", style))
            while start < end:
                drafted = self.drafted[start]
                stop = self.drafted.find(1 - drafted, start, end)
                stop = end if stop < 0 else stop
                shown = style + look.drafted if drafted else style
                pieces.append(Piece(self.text[start:stop], shown))
                start = stop
        return pieces
