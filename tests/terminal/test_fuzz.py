"""Any text in any pieces at any width: on the screen is what the whole text would be at once."""

from __future__ import annotations

import random
import re
from itertools import pairwise

import pytest
from support.window import Window
from test_markdown import FRAGMENTS, NAMED, shown
from test_output_terminal import STATS, Clock

from gemma_mtp.api import Progress, TextDelta
from gemma_mtp.terminal.render import Printer, View
from gemma_mtp.text import harmless

ODD = [
    *(
        "👩\u200d👩\u200d👧",
        "🇩🇪",
        "👍🏽",
        "☀\ufe0f",
        "e\u0301",
        "नि",
        "שלום",
        "مرحبا",
        "\u200f",
        "\u200b",
        "\u00ad",
    ),
    *(
        "雨",
        "。",
        "「",
        "」",
        "\t",
        "\r",
        "\x1b[2J",
        "\x1b]0;t\x07",
        "\x9b5A",
        "\x08",
        "\x00",
        "\u2028",
    ),
]
WORDS = ["word ", "and ", "a", "longer words ", "x" * 30 + " ", "\n", "\n\n", "1", ", "]
PIECES = [*FRAGMENTS, *NAMED, *ODD, *WORDS, *WORDS, *WORDS]


def text_of(rng: random.Random) -> str:
    return "".join(rng.choice(PIECES) for _ in range(rng.randint(5, 120)))


def at_once(text: str, width: int, markdown: bool) -> list[str]:
    window = Window(width, rows=500)
    if markdown:
        window.write(harmless(shown(text, width)) + "\n")
        return window.rows
    printer = Printer(window.screen(), view=View(markdown=False))
    printer.begin()
    printer.show(TextDelta(text))
    printer.finish()
    return window.rows


@pytest.mark.parametrize("markdown", [True, False])
@pytest.mark.parametrize("width", [20, 33, 60, 100])
def test_any_text_in_any_pieces(width: int, markdown: bool) -> None:
    rng = random.Random(width)
    for _ in range(40):
        text = text_of(rng)
        cuts = sorted({0, len(text), *rng.choices(range(len(text)), k=rng.randint(1, 60))})
        window = Window(width, rows=rng.randint(6, 30))
        printer = Printer(window.screen(), view=View(markdown=markdown), clock=Clock())
        printer.begin()
        for start, end in pairwise(cuts):
            printer.show(TextDelta(text[start:end]))
            printer.show(Progress(STATS))
        printer.finish()
        assert window.rows == at_once(text, width, markdown), (text, cuts)
        assert not re.search(r"[\x00-\x08\x0e-\x1a\x9b]|\x1b\]|\x1b\[2J", window.getvalue())
