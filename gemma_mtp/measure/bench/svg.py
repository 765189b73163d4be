"""The picture as an SVG file: tokens per second by setting, and cost by width if it was measured.

Readable on light and dark ground: nothing is painted behind it, and its colours follow the
reader's scheme. Knows only numbers and texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

WIDTH, LEFT, RIGHT = 640, 70, 120
ROW, BAR, TITLE = 28, 16, 34
PLOT, AXIS, INSET = 200, 46, 24
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #333 }
.title { font-size: 15px; font-weight: 600 }
.quiet { fill: #767676 }
.bar { fill: #3b78c4 }
.plain { fill: #8a8a8a }
.range, .line { stroke: #333; stroke-width: 1.5; fill: none }
.line { stroke: #3b78c4; stroke-width: 2 }
.grid { stroke: #8a8a8a; stroke-opacity: .35 }
@media (prefers-color-scheme: dark) {
  text { fill: #ddd } .quiet { fill: #9a9a9a } .bar { fill: #6ea8ee }
  .range { stroke: #ddd } .line { stroke: #6ea8ee }
}
"""


@dataclass(frozen=True)
class Bar:
    """`low` to `high` is the range of what was measured; `note` stands at the end."""

    label: str
    value: float
    low: float
    high: float
    note: str
    plain: bool = False


def draw(title: str, rows: Sequence[Bar], curve: Sequence[tuple[int, float]] = ()) -> str:
    """The whole file; `curve` are widths and their cost in plain steps."""
    parts = [_text(LEFT, 22, title, "title")]
    parts += _bars(rows, TITLE)
    height = TITLE + ROW * len(rows) + 12
    if curve:
        parts.append(_text(LEFT, height + 24, "Plain steps to verify so many rows", "title"))
        parts += _curve(curve, height + 42)
        height += 42 + PLOT + AXIS
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" aria-label={quoteattr(title)}>\n'
        f"<style>{STYLE}</style>\n{body}\n</svg>\n"
    )


def _bars(rows: Sequence[Bar], top: int) -> list[str]:
    room = WIDTH - LEFT - RIGHT
    most = max((row.high for row in rows), default=1.0) or 1.0
    parts = []
    for number, row in enumerate(rows):
        y = top + ROW * number + (ROW - BAR) / 2
        middle = y + BAR / 2
        kind = "plain" if row.plain else "bar"
        low, high = (LEFT + room * value / most for value in (row.low, row.high))
        parts.append(_text(LEFT - 8, middle + 4, row.label, anchor="end"))
        parts.append(
            f'<rect class="{kind}" x="{LEFT}" y="{y:g}" rx="2" '
            f'width="{room * row.value / most:.1f}" height="{BAR}"/>'
        )
        if row.high > row.low:
            parts.append(_line(low, middle, high, middle, "range"))
        parts.append(_text(max(high, LEFT) + 8, middle + 4, row.note))
    return parts


def _curve(curve: Sequence[tuple[int, float]], top: int) -> list[str]:
    room = WIDTH - LEFT - RIGHT
    widths = [width for width, _ in curve]
    most = max(cost for _, cost in curve)
    step = 1 if most <= 8 else 2 if most <= 16 else 5
    ceiling = -(-most // step) * step

    def x(width: float) -> float:
        return LEFT + INSET + (room - 2 * INSET) * (width - widths[0]) / max(len(widths) - 1, 1)

    def y(cost: float) -> float:
        return top + PLOT * (1 - cost / ceiling)

    parts = []
    for mark in range(0, int(ceiling) + 1, step):
        parts.append(_line(LEFT, y(mark), LEFT + room, y(mark), "grid"))
        parts.append(_text(LEFT - 8, y(mark) + 4, str(mark), "quiet", "end"))
    points = " ".join(f"{x(width):.1f},{y(cost):.1f}" for width, cost in curve)
    parts.append(f'<polyline class="line" points="{points}"/>')
    for width, cost in curve:
        parts.append(f'<circle class="bar" cx="{x(width):.1f}" cy="{y(cost):.1f}" r="4"/>')
        parts.append(_text(x(width), top + PLOT + 20, str(width), "quiet", "middle"))
        parts.append(_text(x(width), y(cost) - 10, f"{cost:.2f}", anchor="middle"))
    parts.append(_text(LEFT + room / 2, top + PLOT + 38, "width", "quiet", "middle"))
    return parts


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text{style} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
