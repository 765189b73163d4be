"""The pictures of the chat in README.md: the real program in a terminal, its screen as SVG.

    .venv/bin/python docs/screens.py docs

Talks with the built-in pair at a fixed seed, so the texts are the same each time. The timings are
not, and with them which tokens were drafted; leave the machine alone meanwhile. Knows what to type,
not what the program does in between; rich draws.
"""

from __future__ import annotations

import argparse
import inspect
import io
import re
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.sax.saxutils import quoteattr

import pyte
from pyte.screens import Char
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support import emulator  # noqa: E402
from support.terminal import Terminal  # noqa: E402

COLUMNS, ROWS = 84, 30
SEED = "7"

# One dark window: it stands out on a light page and sits well in a dark one.
GROUND, TEXT = (28, 32, 39), (221, 225, 232)
COLOURS = {
    "black": (59, 66, 82),
    "red": (242, 139, 130),
    "green": (143, 214, 148),
    "yellow": (232, 194, 107),
    "blue": (130, 177, 255),
    "magenta": (215, 163, 240),
    "cyan": (127, 213, 220),
    "white": (230, 233, 239),
}
THEME = TerminalTheme(GROUND, TEXT, [*COLOURS.values()])

# Of the format that rich has, without the fonts that it would have a page load from elsewhere.
_RICH = inspect.signature(Console.export_svg).parameters["code_format"].default
FORMAT = re.sub(r"@font-face \{\{.*?\}\}", "", _RICH, flags=re.DOTALL).replace(
    "Fira Code, monospace", 'ui-monospace, SFMono-Regular, Menlo, "DejaVu Sans Mono", monospace'
)


class Emulator(emulator.Emulator):
    """pyte drops "dim"; nothing blinks here, so that blinking can stand for it."""

    def select_graphic_rendition(self, *attrs: int) -> None:
        if not {38, 48} & {*attrs}:  # there a 2 is part of a colour
            swap = {2: (5,), 5: (), 22: (22, 25)}
            attrs = tuple(code for attr in attrs for code in swap.get(attr, (attr,)))
        super().select_graphic_rendition(*attrs)


class Chat(Terminal):
    """A chat with the built-in pair, its window and its memory empty."""

    def __init__(self, home: Path) -> None:
        words = ("chat", "tiny", "--seed", SEED, "--draft", "3")
        super().__init__(
            *words,
            columns=COLUMNS,
            rows=ROWS,
            real=True,
            GEMMA_MTP_HOME=str(home),
            GEMMA_MTP_KEEP_ALIVE="0",
        )
        answer = self.screen.write_process_input
        self.screen = Emulator(COLUMNS, ROWS)
        self.screen.write_process_input = answer  # type: ignore[method-assign]

    def ask(self, text: str) -> None:
        """Send a line and wait until the next one can be typed and the bar below it is complete."""
        self.say(text)
        self.until(lambda: self.row == ">>>" and self.lines[-1].endswith(" tok/s"))

    def since(self, text: str) -> int:
        """The row where that line was typed last."""
        rows = [at for at, row in enumerate(self.lines) if row == f">>> {text}"]
        assert rows, "\n".join(self.lines)
        return rows[-1]


def draw(screen: pyte.Screen, title: str, first: int = 0) -> str:
    """The rows from `first` to the last one with something on it, as a whole SVG file."""
    filled = [at for at, row in enumerate(screen.display) if row.strip()]
    width = {"width": screen.columns, "height": screen.lines}
    console = Console(record=True, file=io.StringIO(), force_terminal=True, **width)
    for at in range(first, max(filled, default=first) + 1):
        row = screen.buffer[at]
        cells = [(row[x].data, look(row[x])) for x in range(screen.columns)]
        if at == screen.cursor.y and not screen.cursor.hidden:
            data, style = cells[screen.cursor.x]
            cells[screen.cursor.x] = data, style + Style(reverse=True)
        while cells and cells[-1] == (" ", Style()):
            cells.pop()
        alike = groupby(cells, key=lambda cell: cell[1])
        line = Text.assemble(*(("".join(x for x, _ in group), style) for style, group in alike))
        console.print(line, soft_wrap=True, highlight=False)
    drawn = console.export_svg(title=title, theme=THEME, code_format=FORMAT, unique_id="screen")
    drawn = drawn.replace("<text ", '<text xml:space="preserve" ')  # blanks at the start, too
    return drawn.replace("<svg ", f'<svg role="img" aria-label={quoteattr(title)} ', 1)


def look(cell: Char) -> Style:
    """What rich calls the looks of a cell."""
    marks = {"bold": cell.bold, "italic": cell.italics, "underline": cell.underscore}
    marks |= {"strike": cell.strikethrough, "reverse": cell.reverse, "dim": cell.blink}
    on = {name: True for name, marked in marks.items() if marked}
    return Style(color=_colour(cell.fg), bgcolor=_colour(cell.bg), **on)


def _colour(name: str) -> str | None:
    name = name.replace("brown", "yellow").replace("bright", "bright_")
    known = name.removeprefix("bright_") in COLOURS
    return None if name == "default" else name if known else f"#{name}"  # six hexadecimal digits


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
