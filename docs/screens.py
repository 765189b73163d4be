"""The pictures of the chat in README.md: the real program in a terminal, its screen as SVG.

    .venv/bin/python docs/screens.py docs

Talks with the built-in pair at a fixed seed, so the texts are the same each time. The timings are
not, and with them which tokens were drafted; leave the machine alone meanwhile. Knows what to type
and how a cell is drawn, not what the program does in between.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

import pyte
from pyte.screens import Char

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.terminal import Terminal  # noqa: E402

COLUMNS, ROWS = 84, 30
SEED = "7"

# One dark window: it stands out on a light page and sits well in a dark one.
PALETTE = {
    "black": "#3b4252",
    "red": "#f28b82",
    "green": "#8fd694",
    "brown": "#e8c26b",  # what others call yellow
    "blue": "#82b1ff",
    "magenta": "#d7a3f0",
    "cyan": "#7fd5dc",
    "white": "#e6e9ef",
}
PALETTE |= {f"bright{name}": colour for name, colour in PALETTE.items()} | {
    "brightblack": "#8a93a3"
}
TEXT, GROUND, EDGE, HEAD = "#dde1e8", "#1c2027", "#4a515e", "#2a2f38"
DIM = 0.62  # of the full opacity

# A glyph of most monospaced fonts is three fifths as wide as the font is high.
FONT, CELL, LINE = 14, 8.43, 17
MARGIN, BAR = 16, 34
STYLE = f"""
text {{ font: {FONT}px ui-monospace, SFMono-Regular, Menlo, "DejaVu Sans Mono", Consolas, monospace;
  fill: {TEXT}; white-space: pre }}
.name {{ font-size: 12px; fill: #a7afbd; text-anchor: middle }}
"""


class Emulator(pyte.HistoryScreen):
    """pyte drops "dim"; nothing blinks here, so that blinking can stand for it."""

    def select_graphic_rendition(self, *attrs: int) -> None:
        if not {38, 48} & {*attrs}:  # there a 2 is part of a colour
            swap = {2: (5,), 5: (), 22: (22, 25)}
            attrs = tuple(code for attr in attrs for code in swap.get(attr, (attr,)))
        super().select_graphic_rendition(*attrs)


class Chat(Terminal):
    """A chat with the built-in pair, its window and its memory empty."""

    def __init__(self, home: Path) -> None:
        words = ("chat", "tiny", "--seed", SEED)
        super().__init__(*words, columns=COLUMNS, rows=ROWS, real=True, GEMMA_MTP_HOME=str(home))
        answer = self.screen.write_process_input
        self.screen = Emulator(COLUMNS, ROWS, history=1000, ratio=0.5)
        self.screen.write_process_input = answer  # type: ignore[method-assign]
        self.stream = pyte.Stream(self.screen)

    def ask(self, text: str) -> None:
        """Send a line and wait until the next one can be typed and the bar below it is complete."""
        self.say(text)
        self.until(lambda: self.row == ">>>" and self.lines[-1].endswith(" tok/s"))

    def since(self, text: str) -> int:
        """The row where that line was typed last."""
        rows = [at for at, row in enumerate(self.lines) if row == f">>> {text}"]
        assert rows, "\n".join(self.lines)
        return rows[-1]


class Run(NamedTuple):
    """Cells of one row that are drawn alike; `cell` is the first."""

    column: int
    width: int
    text: str
    cell: Char


def runs(row: list[Char]) -> Iterator[Run]:
    """The row in pieces of one style; a wide character is a piece of its own, at its column."""
    at = 0
    for _, group in groupby(enumerate(row), key=lambda item: _alike(row, *item)):
        cells = [cell for _, cell in group]
        yield Run(at, len(cells), "".join(cell.data for cell in cells), cells[0])
        at += len(cells)


def _alike(row: list[Char], column: int, cell: Char) -> tuple[int, Char]:
    if cell.data == "":  # the right half of a wide character
        column, cell = column - 1, row[column - 1]
    wide = column + 1 < len(row) and row[column + 1].data == ""
    return column if wide else -1, cell._replace(data="")


def draw(screen: pyte.Screen, title: str, first: int = 0) -> str:
    """The rows from `first` to the last one with something on it, as a whole SVG file."""
    filled = [at for at, row in enumerate(screen.display) if row.strip()]
    rows = range(first, max(filled, default=first) + 1)
    width, height = screen.columns * CELL + 2 * MARGIN, len(rows) * LINE + BAR + 1.5 * MARGIN
    parts = _frame(width, height, title)
    for place, at in enumerate(rows):
        cells = [screen.buffer[at][column] for column in range(screen.columns)]
        for run in runs(cells):
            parts += _run(run, BAR + MARGIN / 2 + place * LINE)
    if not screen.cursor.hidden and screen.cursor.y in rows:
        top = BAR + MARGIN / 2 + (screen.cursor.y - first) * LINE
        parts.append(_box(screen.cursor.x, 1, top, TEXT, opacity=0.7))
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" role="img" aria-label={quoteattr(title)}>\n'
        f"<style>{STYLE}</style>\n{body}\n</svg>\n"
    )


def _frame(width: float, height: float, title: str) -> list[str]:
    """The window with its title and three buttons."""
    body = f'x="0.5" y="0.5" width="{width - 1:g}" height="{height - 1:g}" rx="9"'
    head = f"M1 {BAR}V9.5a8.5 8.5 0 0 1 8.5-8.5H{width - 9.5:g}a8.5 8.5 0 0 1 8.5 8.5V{BAR}z"
    dots = "".join(f'<circle cx="{x}" cy="17.5" r="5" fill="{EDGE}"/>' for x in (20, 37, 54))
    return [
        f'<rect {body} fill="{GROUND}" stroke="{EDGE}"/>',
        f'<path d="{head}" fill="{HEAD}"/>{dots}',
        f'<text class="name" x="{width / 2:g}" y="22">{escape(title)}</text>',
    ]


def _run(run: Run, top: float) -> list[str]:
    front, back = _colour(run.cell.fg, TEXT), _colour(run.cell.bg, "")
    if run.cell.reverse:
        front, back = back or GROUND, front
    parts = [_box(run.column, run.width, top, back)] if back else []
    text = run.text.rstrip()
    if text:
        width = run.width - len(run.text) + len(text)
        parts.append(
            f'<text x="{MARGIN + run.column * CELL:.2f}" y="{top + LINE - 5:g}" '
            f'textLength="{width * CELL:.2f}" xml:space="preserve"'
            f"{_look(run.cell, front)}>{escape(text)}</text>"
        )
    return parts


def _look(cell: Char, colour: str) -> str:
    marks = {
        "fill": colour if colour != TEXT else "",
        "font-weight": "bold" if cell.bold else "",
        "font-style": "italic" if cell.italics else "",
        "opacity": f"{DIM}" if cell.blink else "",
    }
    lines = {"underline": cell.underscore, "line-through": cell.strikethrough}
    marks["text-decoration"] = " ".join(name for name, on in lines.items() if on)
    style = ";".join(f"{name}:{value}" for name, value in marks.items() if value)
    return f' style="{style}"' if style else ""


def _colour(name: str, default: str) -> str:
    if name == "default":
        return default
    return PALETTE.get(name, f"#{name}")  # others are six hexadecimal digits


def _box(column: int, width: int, top: float, colour: str, opacity: float = 1) -> str:
    return (
        f'<rect x="{MARGIN + column * CELL:.2f}" y="{top:g}" width="{width * CELL:.2f}" '
        f'height="{LINE}" fill="{colour}" opacity="{opacity:g}"/>'
    )


def conversation(home: Path) -> Iterator[tuple[str, str]]:
    """Two questions, what the second reply cost, and that reply raced against plain decoding."""
    with closing(Chat(home)) as chat:
        chat.ask("What is speculative decoding?")
        chat.ask("List five animals.")
        yield "chat", draw(chat.screen, "gemma-mtp chat")
        chat.ask("/stats")
        yield "stats", draw(chat.screen, "gemma-mtp chat: /stats", chat.since("/stats"))
        chat.ask("/race")
        yield "race", draw(chat.screen, "gemma-mtp chat: /race", chat.since("/race"))


def highlighted(home: Path) -> Iterator[tuple[str, str]]:
    """A reply in which green and underlined is what the drafter wrote."""
    with closing(Chat(home)) as chat:
        chat.say("/set highlight on")
        chat.ask("Tell me a story about a fox")
        yield "highlight", draw(chat.screen, "gemma-mtp chat: /set highlight on")


def main() -> None:
    """Write all the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where the pictures go")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for scene in (conversation, highlighted):
        with TemporaryDirectory() as home:
            for name, picture in scene(Path(home)):
                (folder / f"{name}.svg").write_text(picture, encoding="utf-8")
                print(folder / f"{name}.svg")


if __name__ == "__main__":
    main()
