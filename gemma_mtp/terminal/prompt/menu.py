"""Rows of a list to choose from, one of them chosen. Pure: texts and a size in, rows out."""

from __future__ import annotations

from collections.abc import Sequence

from gemma_mtp.terminal.widths import columns, cut

GAP = "  "


def rows(
    items: Sequence[tuple[str, str]], chosen: int | None, width: int, height: int
) -> list[tuple[str, str]]:
    """(style, row) for (text, description) items; those around the chosen one, and how many
    there are where not all are shown."""
    if len(items) > height > 1:
        height -= 1
        below = [("class:bar", f"{GAP}{len(items)} in all")]
    else:
        below = []
    first = max(0, min((chosen or 0) - height // 2, len(items) - height))
    shown = items[first : first + height]
    column = min(max((columns(text) for text, _ in shown), default=0), width - 2)
    found = []
    for i, (text, about) in enumerate(shown, first):
        row = padded(clipped(text, column), column) + (GAP + about if about else "")
        style = "class:chosen" if i == chosen else "class:menu"
        mark = ">" if i == chosen else " "
        found.append((style, clipped(f"{mark} {row}".rstrip(), width)))
    return [(style, f"\n{row}" if i else row) for i, (style, row) in enumerate(found + below)]


def clipped(text: str, width: int) -> str:
    """As much of a line as fits, with a sign where something is missing."""
    text = " ".join(text.split("\n"))
    if columns(text) <= width:
        return text
    return cut(text, width - 1) + "…" if width > 0 else ""


def padded(text: str, width: int) -> str:
    """A text with spaces up to a width."""
    return text + " " * (width - columns(text))
