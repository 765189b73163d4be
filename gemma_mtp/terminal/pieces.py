"""Text in one style: what Markdown, race and tables give to the screen.

Imports no rich, so that a reply that goes into a pipe is written without it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from gemma_mtp.terminal.widths import char_width, columns
from gemma_mtp.text import harmless

if TYPE_CHECKING:
    from rich.style import Style


class Piece(NamedTuple):
    """Text and how it looks; None: as the terminal shows text anyway."""

    text: str
    style: Style | None = None


def harmless_pieces(pieces: Iterable[Piece]) -> list[Piece]:
    """The same, of which no character acts on a terminal."""
    return [Piece(harmless(text), style) for text, style in pieces]


def lines_of(pieces: list[Piece]) -> list[list[Piece]]:
    """Pieces parted at line ends; at least one line."""
    lines: list[list[Piece]] = [[]]
    for piece, style in pieces:
        first, *more = piece.split("\n")
        lines[-1].append(Piece(first, style))
        lines += [[Piece(part, style)] for part in more]
    return lines


def fitting(pieces: list[Piece], room: int) -> list[Piece]:
    """As much of a line as there is room for."""
    kept: list[Piece] = []
    for piece, style in pieces:
        part = _plain_part(piece, room)
        kept.append(Piece(part, style))
        room -= columns(part)
        if part != piece:
            break
    return [piece for piece in kept if piece.text]


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
