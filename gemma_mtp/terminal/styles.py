"""How things look, by name. Imported where something is drawn, since it imports rich.

The colours are the terminal's own eight, which suit light and dark backgrounds alike.
"""

from __future__ import annotations

from rich.style import Style

PLAIN = Style.null()
BOLD, DIM, ITALIC = Style(bold=True), Style(dim=True), Style(italic=True)
UNDERLINE, STRIKE = Style(underline=True), Style(strike=True)
GREEN, CODE = Style(color="green"), Style(color="cyan")

DRAFTED = UNDERLINE + GREEN
"""What was proposed and accepted; the underline is visible without colours."""


def without_colour(style: Style) -> Style:
    """What is left of a style for those who want no colours. Dim text counts as one."""
    return style.without_color + Style(dim=False)


CONCEALED, REVEALED = Style(conceal=True), Style(conceal=False)
"""Marks that are shown only where no colour tells code from text."""
