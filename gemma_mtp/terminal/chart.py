"""Bars for a terminal. Knows columns, not what is measured."""

from __future__ import annotations

from collections.abc import Sequence

EIGHTHS = " ▏▎▍▌▋▊▉"
NARROWEST = 4  # columns of a bar that still shows something


def bars(rows: Sequence[tuple[str, float, str]], width: int) -> list[str]:
    """One line for each (label, value, note), the note after the bar, the longest bar filling
    what is left of `width`."""
    if not rows:
        return []
    labels = max(len(label) for label, _, _ in rows)
    notes = max(len(note) for _, _, note in rows)
    room = max(width - labels - notes - 5, NARROWEST)
    most = max(value for _, value, _ in rows)
    return [
        f"  {label:{labels}} {bar(value / most if most > 0 else 0.0, room)} {note}".rstrip()
        for label, value, note in rows
    ]


def bar(share: float, room: int) -> str:
    """A bar as long as this share of the room, to an eighth of a column."""
    eighths = round(max(0.0, min(share, 1.0)) * room * 8)
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()


def table(rows: Sequence[Sequence[str]], importance: Sequence[int], width: int) -> list[str]:
    """Columns of texts, the first row being their heads; the least important columns go where
    they do not all fit."""
    columns = list(range(len(importance)))
    widths = [max(len(row[c]) for row in rows) for c in columns]
    while len(columns) > 1 and sum(widths[c] + 2 for c in columns) > width:
        columns.remove(min(columns, key=lambda c: importance[c]))
    return ["  ".join(_cell(row[c], widths[c], c == columns[0]) for c in columns) for row in rows]


def _cell(text: str, width: int, left: bool) -> str:
    return text.ljust(width) if left else text.rjust(width)
