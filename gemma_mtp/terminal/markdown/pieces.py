"""Styled text, the common coin of everything here. Knows no escape sequences but their numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

Style = tuple[int, ...]
"""Parameters of the terminal's "select graphic rendition"; later ones win."""

BOLD, DIM, ITALIC, UNDERLINE, STRIKE = (1,), (2,), (3,), (4,), (9,)
RED, GREEN, BLUE, MAGENTA, CYAN = (31,), (32,), (34,), (35,), (36,)
CODE = CYAN
DRAFTED = UNDERLINE + GREEN  # what the drafter had proposed, where that is to be seen
# Marks that are needed only where no colour tells code from text.
COLOURLESS = (-1,)


class Piece(NamedTuple):
    """Text in one style; `drafted` if the drafter had proposed it."""

    text: str
    style: Style = ()
    drafted: bool = False


class Span(NamedTuple):
    """A part of a source line in one style. An empty one is a space the source lacks."""

    start: int
    end: int
    style: Style = ()


@dataclass(frozen=True)
class Look:
    """What the place can do where the text is shown; `base` is the style of all of it.

    `width` is asked again for every word, since windows change. Nothing is written in the last
    column: what the cursor does there differs.
    """

    width: Callable[[], int] = lambda: 80
    wrap: bool = True
    colour: bool = True
    unicode: bool = True
    base: Style = ()

    def limit(self) -> int:
        """The columns that words may fill."""
        return self.width() - 1 if self.wrap else 10**9


@dataclass(frozen=True)
class Source:
    """A line, and for each of its characters whether the drafter had proposed it."""

    text: str
    drafted: bytearray

    def pieces(self, spans: Iterable[Span], look: Look) -> list[Piece]:
        """The text of spans, parted where drafted tokens begin and end."""
        pieces: list[Piece] = []
        for start, end, style in spans:
            if COLOURLESS[0] in style:
                if look.colour:
                    continue
                style = tuple(code for code in style if code != COLOURLESS[0])
            if start == end:
                pieces.append(Piece(" ", style))
            while start < end:
                drafted = self.drafted[start]
                stop = self.drafted.find(1 - drafted, start, end)
                stop = end if stop < 0 else stop
                pieces.append(Piece(self.text[start:stop], style, bool(drafted)))
                start = stop
        return pieces
