"""Rows of cells as lines of columns that fit the window.

Cells are pieces already; knows no markup.
"""

from __future__ import annotations

from itertools import zip_longest

from gemma_mtp.terminal.markdown.pieces import BOLD, DIM, Piece
from gemma_mtp.terminal.markdown.wrap import Wrapper
from gemma_mtp.terminal.widths import columns

NARROWEST = 6  # columns; where a table has no room for that, each of its rows becomes a list

Cell = list[Piece]
Row = list[Cell]


def layout(rows: list[Row], sides: list[str], room: int, signs: str) -> list[list[Piece]]:
    """The lines of a table; `rows[0]` is its heading, and `signs` are bar, dash and cross.

    Cells the heading does not have are left out, missing ones are empty.
    """
    bar, dash, cross = tuple(signs)
    count = len(rows[0])
    rows = [[*row, *([] for _ in range(count - len(row)))][:count] for row in rows]
    rows[0] = [[piece._replace(style=piece.style + BOLD) for piece in cell] for cell in rows[0]]
    widths = _widths(rows, room - 3 * (count - 1))
    if widths is None:
        return _as_lists(rows, room)
    lines: list[list[Piece]] = []
    for number, row in enumerate(rows):
        lines += _row(row, widths, sides, bar)
        if number == 0:
            corner = dash + cross + dash
            lines.append([Piece(corner.join(dash * width for width in widths), DIM)])
    return lines


def _widths(rows: list[Row], room: int) -> list[int] | None:
    """As wide as the widest cell; where that is too much, the widest columns get narrower."""
    widths = [max(1, *map(_cell_width, column)) for column in zip(*rows, strict=True)]
    least = min(NARROWEST, room // len(widths))
    if sum(widths) > room and least < NARROWEST:
        return None
    while sum(widths) > room:
        widest = max(range(len(widths)), key=lambda n: widths[n])
        widths[widest] -= 1
    return widths


def _cell_width(cell: Cell) -> int:
    return sum(columns(piece.text) for piece in cell)


def _row(row: Row, widths: list[int], sides: list[str], bar: str) -> list[list[Piece]]:
    cells = [wrapped(cell, width) for cell, width in zip(row, widths, strict=True)]
    lines: list[list[Piece]] = []
    for parts in zip_longest(*cells, fillvalue=list[Piece]()):
        line: list[Piece] = []
        for number, part in enumerate(parts):
            side = sides[number] if number < len(sides) else "left"
            last = number == len(parts) - 1
            line += _flush(part, widths[number], side, last=last)
            line += [] if last else [Piece(f" {bar} ", DIM)]
        lines.append(line)
    return lines


def _flush(part: Cell, width: int, side: str, last: bool) -> list[Piece]:
    spare = max(width - _cell_width(part), 0)
    shares = {"right": spare, "middle": spare // 2}
    left = shares.get(side, 0) if part else 0
    before = [Piece(" " * left)] if left else []
    after = [Piece(" " * (spare - left))] if spare > left and not last else []
    return [*before, *part, *after]


def wrapped(cell: Cell, width: int) -> list[Cell]:
    """A line as rows of that width."""
    out: list[Piece] = []
    wrapper = Wrapper(out, lambda: width, cut=True)
    for piece in cell:
        wrapper.put(*piece)
    wrapper.end()
    lines: list[Cell] = [[]]
    for piece in out:
        if piece.text == "\n":
            lines.append([])
        else:
            lines[-1].append(piece)
    return lines


def _as_lists(rows: list[Row], room: int) -> list[list[Piece]]:
    """Each row as a heading and a value on every line."""
    lines: list[list[Piece]] = []
    for row in rows[1:]:
        lines += [[]] if lines else []
        for heading, cell in zip(rows[0], row, strict=True):
            lines += wrapped([*heading, Piece(": "), *cell] if heading else cell, room)
    return lines
