"""Text in one style: what Markdown, race and tables give to the screen.

Imports nothing, so that a reply that goes into a pipe is written without rich.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rich.style import Style


class Piece(NamedTuple):
    """Text and how it looks; None: as the terminal shows text anyway."""

    text: str
    style: Style | None = None
