"""Replies in a window that changes its size: no letter is lost and none is there twice."""

from __future__ import annotations

import random
import re

import pytest
from support.window import Window
from test_output_terminal import STATS, Clock

from gemma_mtp.api import Progress, TextDelta
from gemma_mtp.terminal.render import Printer, View

WORDS = [f"word{n}" for n in range(1000, 1150)]
WORD = re.compile(r"word\d{4}")
PROSE = " ".join(WORDS)
URL = "https://example.com/" + "/".join(WORDS[:60])
TABLE = "| n | what it is |\n|--|--|\n" + "".join(f"| {n} | row {n} of it |\n" for n in range(10))
TEXTS = {
    "prose": PROSE,
    "items": "\n".join(f"- **{word}** and `{word}` again and again and again" for word in WORDS),
    "long words": f"before {URL} between {URL} after",
    "code": "```\n" + "\n".join(f"{word} = {word} + {word}" for word in WORDS) + "\n```",
    "wide": "雨が降っています。それはとても長い文なので。" * 20,
    "tables": "\n".join(f"{word} begins.\n\n{TABLE}\nand ends." for word in WORDS[:8]),
}


def letters(text: str) -> str:
    return "".join(char for char in text if char.isalnum() or char == "/")


def reply(
    window: Window, text: str, sizes: list[tuple[int, int]], view: View, lag: bool = False
) -> set[str]:
    """A reply during which the window gets these sizes, at random; where it lags, the program
    writes once before it knows. Returns the words that were never cut off by the window."""
    rng = random.Random(len(text) + len(sizes))
    printer = Printer(window.screen(), view=view, clock=Clock())
    window.write("what was there before\n" * window.lines)
    printer.begin()
    pieces = re.findall(r"(?s).{1,7}", text)
    at = dict(zip(sorted(rng.sample(range(5, len(pieces)), len(sizes))), sizes, strict=True))
    cut: set[str] = set()
    for number, piece in enumerate(pieces):
        columns, rows = at.get(number, (window.columns, window.lines))
        if columns < window.columns:
            cut |= {word for row in window.rows for word in WORD.findall(row + " ", columns - 7)}
        window.emulator.resize(rows, columns)
        if not lag:
            window.resize(columns, rows)
        printer.show(TextDelta(piece))
        window.resize(columns, rows)
        printer.show(Progress(STATS))
    printer.finish()
    return {*WORD.findall(text)} - cut


def said(text: str, view: View) -> str:
    """The letters of a text where nothing changes."""
    window = Window(300, rows=50)
    printer = Printer(window.screen(), view=view)
    printer.begin()
    printer.show(TextDelta(text))
    printer.finish()
    return letters("".join(window.rows))


def dragged(first: int, last: int, step: int, rows: int) -> list[tuple[int, int]]:
    """The sizes on the way from one width to another, and back."""
    way = [*range(first, last, -step), *range(last, first, step)]
    return [(columns, rows) for columns in way]


RANDOM = [
    (random.Random(n).randint(24, 100), random.Random(n + 99).randint(10, 30)) for n in range(9)
]


@pytest.mark.parametrize("wrap", [True, False], ids=["wrapped", "raw"])
@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize(
    "sizes", [dragged(80, 60, 1, 24), dragged(80, 30, 10, 24), RANDOM], ids=["drag", "jump", "any"]
)
def test_where_rows_are_broken_anew_all_letters_are_there_once(
    kind: str, sizes: list[tuple[int, int]], wrap: bool
) -> None:
    view = View(markdown=wrap, wrap=wrap)
    window = Window(80)
    reply(window, TEXTS[kind], sizes, view)
    shown = "".join(window.rows).replace("what was there before", "")
    assert letters(shown) == said(TEXTS[kind], view)


@pytest.mark.parametrize("kind", ["prose", "items", "code", "tables"])
def test_what_is_written_before_the_size_is_known_costs_no_letter(kind: str) -> None:
    """A program learns of another width a moment after the terminal has it."""
    window, view = Window(80), View()
    reply(window, TEXTS[kind], dragged(80, 60, 1, 24), view, lag=True)
    shown = "".join(window.rows).replace("what was there before", "")
    assert letters(shown) == said(TEXTS[kind], view)


@pytest.mark.parametrize("kind", ["prose", "items", "code"])
@pytest.mark.parametrize("lag", [False, True])
def test_where_rows_are_cut_nothing_else_is_lost(kind: str, lag: bool) -> None:
    """Such a terminal throws away what is beyond its new edge: all words in front of that are still
    there, and none is there twice."""
    window = Window(80, reflows=False)
    uncut = reply(window, TEXTS[kind], dragged(80, 60, 1, 24), View(), lag)
    found = WORD.findall(" ".join(window.rows))
    rest = iter(WORD.findall(TEXTS[kind]))
    assert all(word in rest for word in found)  # in their order, none twice
    assert uncut <= {*found}
